/* SPDX-License-Identifier: Apache-2.0 */
/* attestry profile: what is registered, activated, moved and deleted. */
#include "cli.h"

#include "base/file.h"
#include "base/str.h"
#include "ca/csr.h"
#include "ca/keyfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_S = 60, POLL_FIRST_MS = 50, POLL_MS = 500 };

static const struct out_col profile_cols[] = {
	{ "name", "name", OUT_TEXT },
	{ "owner_name", "owner name", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "sponsor", "sponsor", OUT_TEXT },
	{ "service", "service", OUT_TEXT },
	{ "kind", "kind", OUT_TEXT },
	{ "device", "device", OUT_TEXT },
	{ "certificate.state", "certificate", OUT_TEXT },
	{ "certificate.sha256", "SHA-256", OUT_HEX },
	{ "certificate.not_after", "not after", OUT_TIME },
	{ "overlap.certificate.sha256", "beside it", OUT_HEX },
	{ "overlap.ends", "until", OUT_TIME },
	{ "payload_sequence", "payload", OUT_TEXT },
	{ "card_current", "on the card", OUT_BOOL },
	{ "wipe_pending", "wipe pending", OUT_BOOL },
	{ "attested", "key proven", OUT_BOOL },
	{ "attested_by", "proven by", OUT_TEXT },
	{ "auth_set", "code set", OUT_BOOL },
	{ "pending_job", "waits for job", OUT_TEXT },
	{ "updated", "updated", OUT_TIME },
	{ 0 },
};
static const struct out_col profile_table[] = {
	{ "name", "name", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "sponsor", "sponsor", OUT_TEXT },
	{ "service", "service", OUT_TEXT },
	{ "certificate.not_after", "not after", OUT_TIME },
	{ "card_current", "on card", OUT_BOOL },
	{ 0 },
};

static int show(struct cli *cli, int code, json_t *answer)
{
	if (code == EXIT_DONE)
		out_object(cli, answer, "profile", profile_cols);
	json_decref(answer);
	return code;
}

static int run_show(struct cli *cli)
{
	json_t *answer = NULL;
	char name[64];
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE)
		code = cli_call(cli, "GET", NULL, &answer, "/v1/profiles/%s", name);
	return show(cli, code, answer);
}

static int run_list(struct cli *cli)
{
	const char *service = cli_opt(cli, "service");
	json_t *answer = NULL;
	char path[128];
	int code = EXIT_DONE;

	if (str_format(path, sizeof(path), "/v1/profiles%s%s", service ? "?service=" : "",
		    service ? service : "") != RC_OK ||
		(service && strpbrk(service, "&?#% ")))
		code = cli_usage(cli, "--service: is no handle");
	if (code == EXIT_DONE)
		code = cli_call_list(cli, path, "profiles", &answer);
	if (code == EXIT_DONE)
		out_list(cli, answer, "profiles", profile_table);
	json_decref(answer);
	return code;
}

int cli_read_code(const struct cli *cli, const char *opt, char out[CLI_CODE_MAX])
{
	const char *path = cli_opt(cli, opt);
	FILE *from = NULL;
	int code = EXIT_DONE;

	out[0] = '\0';
	if (!path)
		return EXIT_DONE;
	from = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!from)
		return cli_error(EXIT_USAGE, "%s: %s", path, strerror(errno));
	if (!fgets(out, CLI_CODE_MAX, from))
		code = cli_error(EXIT_USAGE, "%s: is empty", path);
	else if (!strchr(out, '\n') && strlen(out) == CLI_CODE_MAX - 1)
		code = cli_error(EXIT_USAGE, "%s: its first line is too long for a code", path);
	out[strcspn(out, "\r\n")] = '\0';
	if (from != stdin)
		fclose(from);
	return code;
}

static int run_register(struct cli *cli)
{
	const char *service = cli_opt(cli, "service"), *kind = cli_opt(cli, "kind");
	char name[64], claim[CLI_CODE_MAX], form[32] = "";
	json_t *body, *answer = NULL;
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE && !service)
		code = cli_usage(cli, "--service is missing");
	if (code == EXIT_DONE)
		code = cli_read_code(cli, "claim-file", claim);
	if (code == EXIT_DONE && kind && str_copy(form, sizeof(form), kind) != RC_OK)
		code = cli_usage(cli, "--kind: must be uta-iot or devkit");
	if (code != EXIT_DONE)
		return code;
	for (char *at = form; *at; at++)
		*at = *at == '-' ? '_' : *at;
	body = json_pack("{s:s,s:i,s:s,s:s*,s:s*}", "iccid", name + 2, "slot", name[0] - '0',
		"service", service, "claim", *claim ? claim : NULL, "kind", *form ? form : NULL);
	code = cli_call(cli, "POST", body, &answer, "/v1/profiles");
	return show(cli, code, answer);
}

/* ---- activate ---- */

static int read_csr(struct cli *cli, json_t *body)
{
	const char *path = cli_opt(cli, "csr");
	uint8_t der[CA_CSR_MAX];
	char base64[B64_LEN(CA_CSR_MAX)];
	struct diag d = { 0 };
	size_t len = 0;

	if (!path)
		return EXIT_DONE;
	if (ca_pem_load(path, "CERTIFICATE REQUEST", der, sizeof(der), &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	b64_write(der, len, base64);
	json_object_set_new(body, "csr", json_string(base64));
	return EXIT_DONE;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool there(const json_t *profile, bool on_card)
{
	const char *state = json_string_value(json_object_get(profile, "state"));

	return state && strcmp(state, "activated") == 0 &&
	       (!on_card || json_is_true(json_object_get(profile, "card_current")));
}

/* Asks until the card has made its key and the certificate is in the DNS (and, if wanted, back on
 * the card). A job that ended without that is a refusal. */
static int wait_active(struct cli *cli, const char *name, bool on_card, json_t **answer)
{
	const char *timeout = cli_opt(cli, "timeout");
	uint64_t limit_s = WAIT_S;
	double start = now_s();
	long pause_ms = POLL_FIRST_MS;

	if (timeout && u64_read(timeout, 1, 3600, &limit_s) != RC_OK)
		return cli_usage(cli, "--timeout: must be 1 to 3600 seconds");
	for (;;) {
		const json_t *profile = json_object_get(*answer, "profile");
		const char *job = json_string_value(json_object_get(profile, "pending_job"));
		struct timespec t = { .tv_sec = 0, .tv_nsec = pause_ms * 1000000 };
		int code;

		if (there(profile, on_card))
			return EXIT_DONE;
		if (!there(profile, false) && !job)
			return cli_error(EXIT_REFUSED,
				"%s: the card did not make a key; see: attestry job list", name);
		if (now_s() - start > (double)limit_s)
			return cli_error(EXIT_UNAVAILABLE,
				"%s: still waiting after %llu s; see: attestry profile show %s",
				name, (unsigned long long)limit_s, name);
		nanosleep(&t, NULL);
		pause_ms = pause_ms * 2 < POLL_MS ? pause_ms * 2 : POLL_MS;
		json_decref(*answer);
		*answer = NULL;
		code = cli_call(cli, "GET", NULL, answer, "/v1/profiles/%s", name);
		if (code != EXIT_DONE)
			return code;
	}
}

static int run_activate(struct cli *cli)
{
	bool wait = cli_opt(cli, "wait") != NULL, card = cli_opt(cli, "wait-card") != NULL;
	json_t *body = json_object(), *answer = NULL;
	char name[64];
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE)
		code = read_csr(cli, body);
	if (code == EXIT_DONE)
		code = cli_call(
			cli, "POST", json_incref(body), &answer, "/v1/profiles/%s/activate", name);
	json_decref(body);
	if (code == EXIT_DONE && (wait || card))
		code = wait_active(cli, name, card, &answer);
	return show(cli, code, answer);
}

/* ---- the others ---- */

static int run_deactivate(struct cli *cli)
{
	const char *reason = cli_opt(cli, "reason");
	json_t *answer = NULL;
	char name[64];
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE)
		code = cli_call(cli, "POST", json_pack("{s:s*}", "reason", reason), &answer,
			"/v1/profiles/%s/deactivate", name);
	return show(cli, code, answer);
}

static int run_transfer(struct cli *cli)
{
	const char *service = cli_opt(cli, "service");
	json_t *answer = NULL;
	char name[64], secret[CLI_CODE_MAX];
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE && !service)
		code = cli_usage(cli, "--service is missing");
	if (code == EXIT_DONE)
		code = cli_read_code(cli, "code-file", secret);
	if (code == EXIT_DONE && !*secret)
		code = cli_usage(cli, "--code-file is missing");
	if (code == EXIT_DONE)
		code = cli_call(cli, "POST",
			json_pack("{s:s,s:s}", "code", secret, "service", service), &answer,
			"/v1/profiles/%s/transfer", name);
	return show(cli, code, answer);
}

static int run_auth(struct cli *cli)
{
	static const struct out_col cols[] = { { "code", "code", OUT_TEXT },
		{ "expires", "expires", OUT_TIME }, { 0 } };
	const char *ttl = cli_opt(cli, "ttl");
	json_t *body = json_object(), *answer = NULL;
	char name[64];
	uint64_t ttl_s = 0;
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE && ttl && u64_read(ttl, 1, UINT32_MAX, &ttl_s) != RC_OK)
		code = cli_usage(cli, "--ttl: must be seconds");
	if (ttl_s)
		json_object_set_new(body, "ttl_s", json_integer((json_int_t)ttl_s));
	if (code == EXIT_DONE)
		code = cli_call(
			cli, "POST", json_incref(body), &answer, "/v1/profiles/%s/auth", name);
	if (code == EXIT_DONE) {
		out_object(cli, answer, NULL, cols);
		out_say(cli,
			"It is shown this once. The new provider uses it with:\n"
			"  attestry profile transfer %s --code-file FILE --service HANDLE",
			name);
	}
	json_decref(body);
	json_decref(answer);
	return code;
}

static int run_delete(struct cli *cli)
{
	json_t *answer = NULL;
	char name[64];
	int code = cli_profile_name(cli, cli->args[0], name);

	if (code == EXIT_DONE)
		code = cli_call(cli, "DELETE", NULL, &answer, "/v1/profiles/%s", name);
	return show(cli, code, answer);
}

const struct cmd profile_cmds[] = {
	{ "profile", "register", "NAME", 1, 1, "parkoserv", 0, run_register, "register a profile",
		"attestry profile register 1.8912230200031010008F --service parkoserv "
		"--claim-file claim --lab /tmp/lab",
		{ { "service", "HANDLE", "the service it connects to" },
			{ "claim-file", "FILE", "the SIM's claim code; - is standard input" },
			{ "kind", "KIND", "uta-iot (default) or devkit" } } },
	{ "profile", "activate", "NAME", 1, 1, "parkoserv", 0, run_activate,
		"certificate and DNS records; without --csr the card makes a key first",
		"attestry profile activate 1.8912230200031010008F --wait --lab /tmp/lab",
		{ { "csr", "FILE", "a request made elsewhere, PEM" },
			{ "wait", NULL, "until it is in the DNS" },
			{ "wait-card", NULL, "and until the card has certificate and payload" },
			{ "timeout", "SECONDS", "how long to wait (default 60)" } } },
	{ "profile", "deactivate", "NAME", 1, 1, "parkoserv", 0, run_deactivate,
		"withdraw its records, block its key",
		"attestry profile deactivate 1.8912230200031010008F --reason stolen --lab /tmp/lab",
		{ { "reason", "TEXT", "for the audit" } } },
	{ "profile", "auth", "NAME", 1, 1, "parkoserv", 0, run_auth,
		"make the code with which another provider takes it over",
		"attestry profile auth 1.8912230200031010008F --lab /tmp/lab",
		{ { "ttl", "SECONDS", "how long the code is good" } } },
	{ "profile", "transfer", "NAME", 1, 1, "carparkserv", 0, run_transfer,
		"take a profile over with its code",
		"attestry profile transfer 1.8912230200031010008F --code-file code "
		"--service carparkserv --lab /tmp/lab --as carparkserv",
		{ { "service", "HANDLE", "the service it connects to from now on" },
			{ "code-file", "FILE", "the authorization code; - is standard input" } } },
	{ "profile", "show", "NAME", 1, 1, "parkoserv", 0, run_show, "show a profile",
		"attestry profile show 1.8912230200031010008F --lab /tmp/lab", { { 0 } } },
	{ "profile", "list", "", 0, 0, "parkoserv", 0, run_list, "list profiles",
		"attestry profile list --lab /tmp/lab",
		{ { "service", "HANDLE", "only those of this service" } } },
	{ "profile", "delete", "NAME", 1, 1, "parkoserv", 0, run_delete,
		"delete it and destroy its key on the card",
		"attestry profile delete 1.8912230200031010008F --lab /tmp/lab", { { 0 } } },
	{ 0 },
};
