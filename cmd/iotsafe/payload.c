/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/file.h"
#include "device/apply.h"
#include "device/record.h"
#include "device/self.h"
#include "payload/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_PAYLOAD    0xd
#define PROFILE_FILE 0xf3
#define LOOKUP_MS    5000

/* From a file, or the slot's container D. */
static enum rc read_payload(const struct run *run, struct iotsafe *card, const char *path,
	uint8_t **bytes, size_t *len, struct diag *d)
{
	enum iotsafe_error e;

	if (path)
		return file_read(path, PAYLOAD_MAX, bytes, len, d);
	*bytes = malloc(PAYLOAD_MAX);
	if (!*bytes)
		return RC_NOMEM;
	e = iotsafe_read_file(
		card, iotsafe_container(run->slot, N_PAYLOAD), *bytes, PAYLOAD_MAX, len);
	if (e == IOTSAFE_OK && *len == 0)
		return diag_set(d, RC_NOT_FOUND, "no payload on the card yet");
	return self_card_error(card, e, d);
}

static void show(const struct run *run, const struct payload *p)
{
	if (run->json)
		cmd_print(payload_json(p));
	else
		payload_show(p, stdout);
}

static int cmd_show(const struct run *run, const char *path)
{
	struct iotsafe *card = NULL;
	uint8_t *bytes = NULL;
	size_t len = 0;
	struct payload p;
	struct diag d = { 0 };
	enum rc rc;

	if (!path) {
		card = cmd_open(run);
		if (!card)
			return EXIT_CANNOT_TELL;
	}
	rc = read_payload(run, card, path, &bytes, &len, &d);
	if (rc == RC_OK)
		rc = payload_parse(bytes, len, &p, NULL, &d);
	if (rc == RC_OK)
		show(run, &p);
	free(bytes);
	iotsafe_close(card);
	return rc == RC_OK ? EXIT_YES : cmd_fail(run, EXIT_NO, d.text);
}

/* Which rule refused, for scripts: the text of the result code. */
static int verdict(const struct run *run, enum rc rc, const struct diag *d)
{
	int code = rc == RC_OK ? EXIT_YES : rc == RC_UNAVAILABLE ? EXIT_CANNOT_TELL : EXIT_NO;

	if (run->json)
		cmd_print(json_pack("{s:b, s:s, s:s}", "accepted", rc == RC_OK, "result",
			rc_text(rc), "why", d->text));
	else if (rc == RC_OK)
		puts("accepted");
	else
		printf("refused: %s: %s\n", rc_text(rc), d->text);
	return code;
}

/* No state is kept: what a device would say that has accepted nothing yet. */
static int cmd_verify(const struct run *run, const char *path)
{
	static const struct payload_state none;
	struct iotsafe *card = cmd_open(run);
	struct self *self = calloc(1, sizeof(*self));
	struct diag d = { 0 };
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = RC_UNAVAILABLE;
	int code = EXIT_CANNOT_TELL;

	if (!card || !self)
		goto out;
	if (path) {
		rc = read_payload(run, card, path, &bytes, &len, &d);
		if (rc == RC_OK)
			rc = self_believe(
				card, run->slot, bytes, len, &none, (uint64_t)time(NULL), self, &d);
	} else {
		rc = self_read(card, run->slot, &none, (uint64_t)time(NULL), self, &d);
	}
	if (rc == RC_STATE && self->state.any) /* withdrawn, and rightly so */
		rc = RC_OK;
	code = verdict(run, rc, &d);
out:
	free(bytes);
	free(self);
	iotsafe_close(card);
	return code;
}

/* Believes, remembers, writes. A payload that withdraws the profile removes what was written. */
static int cmd_apply(const struct run *run, const char *dir)
{
	struct iotsafe *card = cmd_open(run);
	struct self *self = calloc(1, sizeof(*self));
	const char *state = run->state ? run->state : dir;
	struct payload_state before = { 0 };
	struct diag d = { 0 };
	enum rc rc, kept = RC_OK;
	int code = EXIT_CANNOT_TELL;

	if (!card || !self)
		goto out;
	rc = self_state_load(card, state, run->slot, &before, &d);
	if (rc == RC_OK)
		rc = self_read(card, run->slot, &before, (uint64_t)time(NULL), self, &d);
	if (self->state.any && !payload_state_equal(&self->state, &before))
		kept = self_state_store(card, state, run->slot, &self->state, &d);
	if (kept != RC_OK)
		rc = kept;
	if (rc == RC_OK)
		rc = apply_write(card, self, dir, &d);
	else if (kept == RC_OK && rc == RC_STATE && self->state.any)
		rc = apply_remove(dir, &d);
	code = verdict(run, rc, &d);
out:
	free(self);
	iotsafe_close(card);
	return code;
}

int cmd_payload(const struct run *run)
{
	const char *path = run->argc == 2 ? run->argv[1] : NULL;

	if (run->argc < 1 || run->argc > 2)
		return EXIT_USAGE;
	if (strcmp(run->argv[0], "show") == 0)
		return cmd_show(run, path);
	if (strcmp(run->argv[0], "verify") == 0)
		return cmd_verify(run, path);
	if (strcmp(run->argv[0], "apply") == 0 && path)
		return cmd_apply(run, path);
	return EXIT_USAGE;
}

/* Resolver and anchor: from the payload, or from the registry profile that the card was born with.
 */
static enum rc open_dns(struct iotsafe *card, const struct run *run, struct self *self,
	struct dane **dane, struct diag *d)
{
	static const struct payload_state none;
	uint8_t *profile = NULL;
	size_t len = 0;
	struct payload p;
	enum rc rc = self_read(card, run->slot, &none, (uint64_t)time(NULL), self, d);

	if (rc == RC_OK)
		return record_open(&self->payload, LOOKUP_MS, dane, d);
	if (rc != RC_NOT_FOUND && rc != RC_CONFLICT)
		return rc;
	rc = self_read_cert(card, run->slot, self, d);
	if (rc != RC_OK)
		return rc;
	profile = malloc(PAYLOAD_MAX);
	if (!profile)
		return RC_NOMEM;
	rc = self_card_error(
		card, iotsafe_read_file(card, PROFILE_FILE, profile, PAYLOAD_MAX, &len), d);
	if (rc == RC_OK && len == 0)
		rc = diag_set(d, RC_UNAVAILABLE,
			"nobody to ask: the card has neither a payload (file %02X) nor a registry "
			"profile (file F3)",
			iotsafe_container(run->slot, N_PAYLOAD));
	if (rc == RC_OK)
		rc = payload_profile_parse(profile, len, &p, d);
	if (rc == RC_OK)
		rc = record_open(&p, LOOKUP_MS, dane, d);
	free(profile);
	return rc;
}

int cmd_attest(const struct run *run)
{
	struct iotsafe *card = run->argc == 0 ? cmd_open(run) : NULL;
	struct self *self = calloc(1, sizeof(*self));
	struct dane *dane = NULL;
	struct diag d = { 0 };
	enum record_verdict v = RECORD_CANNOT_TELL;
	enum rc rc;
	int code = EXIT_CANNOT_TELL;

	if (run->argc != 0) {
		code = EXIT_USAGE;
		goto out;
	}
	if (!card || !self)
		goto out;
	rc = open_dns(card, run, self, &dane, &d);
	if (rc != RC_OK) {
		code = cmd_fail(run, rc == RC_UNAVAILABLE ? EXIT_CANNOT_TELL : EXIT_NO, d.text);
		goto out;
	}
	v = record_check(dane, self->owner, self->cert_sha256, &d);
	if (run->json)
		cmd_print(json_pack("{s:s, s:s, s:s}", "name", self->owner, "verdict",
			record_text(v), "why", d.text));
	else
		printf("%s: %s\n%s\n", self->owner, record_text(v), d.text);
	code = v == RECORD_ATTESTED	 ? EXIT_YES
	       : v == RECORD_CANNOT_TELL ? EXIT_CANNOT_TELL
					 : EXIT_NO;
out:
	dane_free(dane);
	free(self);
	iotsafe_close(card);
	return code;
}
