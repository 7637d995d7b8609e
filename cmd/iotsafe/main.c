/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/str.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb COMMANDS[] = {
	{ "info", "", "EID, ICCID, slots and whether they are provisioned", cmd_info },
	{ "objects", "", "every key and file: id, label, state, size", cmd_objects },
	{ "read", "ID", "a file's bytes to standard output; ID in hex", cmd_read },
	{ "sign", "ID [FILE]",
		"SHA-256 of FILE or standard input, signed by key ID: DER, or r and s with --json",
		cmd_sign },
	{ "verify", "ID SIGNATURE [FILE]",
		"whether SIGNATURE (a DER file) over FILE or standard input is key ID's",
		cmd_verify_text },
	{ "csr", "ID [NAME]", "a certificate request (PEM) of key ID for common name NAME",
		cmd_csr },
	{ "random", "COUNT", "random bytes of the card, in hex", cmd_random },
	{ "discover", "", "tries the serial devices and PC/SC readers of this machine",
		cmd_discover },
	{ "reset", "", "starts a modem that hangs again (AT+CFUN=1,1, or as IOTSAFE_RESET says)",
		cmd_reset },
	{ "payload", "show [FILE]", "the Registry Payload on the card, or in FILE, as it is",
		cmd_payload },
	{ "payload", "verify [FILE]",
		"whether it is to be believed, by the card's own certificates (C, 7, 6)",
		cmd_payload },
	{ "payload", "apply DIR",
		"believes it, then writes what programs need: DIR/current/service.json, "
		"device.pem,\n"
		"                          ca.pem, anchors.ds, stubby.yml, wpa_supplicant.conf",
		cmd_payload },
	{ "attest", "", "whether the registry vouches for the card's certificate now", cmd_attest },
	{ "connect", "",
		"standard input and output to the payload's service, over mutual TLS, once "
		"payload,\n"
		"                          own record and the service's TLSA are checked",
		cmd_connect },
	{ "watch", "",
		"an agent: notices a new payload or certificate; --apply DIR as above, --hook "
		"PROGRAM\n"
		"                          is run (IOTSAFE_EVENT ...), --listen ADDR:PORT carries "
		"local\n"
		"                          connections to the service and cuts them when it "
		"changes;\n"
		"                          --state DIR, --every SECONDS (10), --once",
		cmd_watch },
	{ "enroll", "URL [NAME]",
		"a certificate for key 1 of the slot from an EST server (RFC 7030); --ca FILE,\n"
		"                          --user NAME:PASSWORDFILE (first time), --out FILE",
		cmd_enroll },
	{ "doctor", "", "what works and what does not: modem, applet, key, payload, record",
		cmd_doctor },
};

struct iotsafe *cmd_open(const struct run *run)
{
	struct iotsafe_options o = { .card = run->card };
	struct iotsafe *card = NULL;
	char error[IOTSAFE_ERROR_MAX] = "";

	if (iotsafe_open(&o, &card, error, sizeof(error)) != IOTSAFE_OK)
		(void)cmd_fail(run, EXIT_CANNOT_TELL, error);
	return card;
}

int cmd_card_error(
	const struct run *run, const struct iotsafe *card, enum iotsafe_error e, const char *what)
{
	const char *why = iotsafe_last_error(card);
	char text[IOTSAFE_ERROR_MAX + 32];

	(void)!str_format(text, sizeof(text), "%s: %s", what, *why ? why : iotsafe_error_text(e));
	return cmd_fail(run,
		e == IOTSAFE_ENOCARD || e == IOTSAFE_ETIMEOUT ? EXIT_CANNOT_TELL : EXIT_NO, text);
}

int cmd_fail(const struct run *run, int code, const char *text)
{
	if (run->json)
		cmd_print(json_pack("{s:s}", "error", text));
	(void)fprintf(stderr, "iotsafe: %s\n", text);
	return code;
}

bool cmd_long_id(const char *text, unsigned char bytes[IOTSAFE_ID_MAX], struct iotsafe_id *id)
{
	char two[3] = { '0', text[0], '\0' };

	id->at = bytes;
	return hex_read_upto(strlen(text) == 1 ? two : text, bytes, IOTSAFE_ID_MAX, &id->len) ==
		       RC_OK &&
	       id->len > 0;
}

bool cmd_id(const char *text, unsigned char *id)
{
	unsigned char bytes[IOTSAFE_ID_MAX] = { 0 };
	struct iotsafe_id any;
	bool ok = cmd_long_id(text, bytes, &any) && any.len == 1;

	if (ok)
		*id = bytes[0];
	return ok;
}

void cmd_print(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (text)
		puts(text);
	free(text);
	json_decref(o);
}

/* Options with a value: those of struct run that are texts. */
static const struct {
	const char *name;
	size_t offset;
} OPTIONS[] = {
	{ "--card", offsetof(struct run, card) },
	{ "--state", offsetof(struct run, state) },
	{ "--apply", offsetof(struct run, apply) },
	{ "--hook", offsetof(struct run, hook) },
	{ "--listen", offsetof(struct run, listen) },
	{ "--every", offsetof(struct run, every) },
	{ "--ca", offsetof(struct run, ca) },
	{ "--user", offsetof(struct run, user) },
	{ "--out", offsetof(struct run, out) },
};

static bool take_option(struct run *run, const char *name, const char *value)
{
	for (size_t i = 0; value && i < ARRAY_LEN(OPTIONS); i++) {
		if (strcmp(OPTIONS[i].name, name) != 0)
			continue;
		memcpy((char *)run + OPTIONS[i].offset, &value, sizeof(value));
		return true;
	}
	return false;
}

/* Options stand before or behind the subcommand; what is left goes to run->argv. */
static bool parse(int argc, char **argv, struct run *run, bool *wants_help)
{
	uint64_t slot = 1;

	run->slot = 1;
	run->argv = argv;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			run->json = true;
		} else if (strcmp(argv[i], "--once") == 0) {
			run->once = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*wants_help = true;
		} else if (strcmp(argv[i], "--slot") == 0 && i + 1 < argc) {
			if (u64_read(argv[++i], 1, 9, &slot) != RC_OK)
				return false;
			run->slot = (unsigned)slot;
		} else if (take_option(run, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
			i++;
		} else if (strncmp(argv[i], "--", 2) == 0) {
			(void)fprintf(stderr,
				"iotsafe: %s: no such option, or its value is missing\n", argv[i]);
			return false;
		} else {
			argv[run->argc++] = argv[i];
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct run run = { 0 };
	bool wants_help = false;

	if (argc == 2 && strcmp(argv[1], "--manual") == 0) {
		help_manual(stdout, COMMANDS, ARRAY_LEN(COMMANDS));
		return EXIT_YES;
	}
	if (!parse(argc, argv, &run, &wants_help) || (run.argc == 0 && !wants_help)) {
		help_print(stderr, COMMANDS, ARRAY_LEN(COMMANDS));
		return EXIT_USAGE;
	}
	if (wants_help) {
		help_print(stdout, COMMANDS, ARRAY_LEN(COMMANDS));
		return EXIT_YES;
	}
	for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
		if (strcmp(run.argv[0], COMMANDS[i].name) != 0)
			continue;
		run.argv++;
		run.argc--;
		int code = COMMANDS[i].run(&run);
		if (code == EXIT_USAGE)
			help_print(stderr, COMMANDS, ARRAY_LEN(COMMANDS));
		return code;
	}
	(void)fprintf(stderr, "iotsafe: no command %s\n", run.argv[0]);
	help_print(stderr, COMMANDS, ARRAY_LEN(COMMANDS));
	return EXIT_USAGE;
}
