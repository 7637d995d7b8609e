/* SPDX-License-Identifier: Apache-2.0 */
/* attestry asp: what a provider runs beside its servers. The services of its middleware have a
 * file each. */
#include "asp.h"

#include "base/file.h"
#include "base/str.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct out_col event_cols[] = {
	{ "position", "position", OUT_TEXT },
	{ "date", "date", OUT_TIME },
	{ "event", "event", OUT_TEXT },
	{ "name", "name", OUT_TEXT },
	{ "service", "service", OUT_TEXT },
	{ "cert_sha256", "certificate", OUT_HEX },
	{ 0 },
};

/* A line per event, so that a script may read it. */
static void print_event(struct cli *cli, const json_t *e)
{
	char *line;

	if (cli->json) {
		line = json_dumps(e, JSON_COMPACT);
		puts(line ? line : "");
		free(line);
	} else {
		const char *service = json_string_value(json_object_get(e, "service"));

		printf("%lld %s %s %s\n",
			(long long)json_integer_value(json_object_get(e, "position")),
			json_string_value(json_object_get(e, "event")),
			json_string_value(json_object_get(e, "owner_name")),
			service && *service ? service : "-");
	}
	fflush(stdout);
}

static int follow(struct cli *cli, char position[64])
{
	const char *state = cli_opt(cli, "state");
	struct diag d = { 0 };

	for (;;) {
		json_t *answer = NULL;
		const json_t *e;
		size_t i;
		int code =
			cli_call(cli, "GET", NULL, &answer, "/v1/feed?after=%s&wait=30", position);

		if (code != EXIT_DONE)
			return code;
		json_array_foreach(json_object_get(answer, "events"), i, e) print_event(cli, e);
		(void)snprintf(
			position, 64, "%s", json_string_value(json_object_get(answer, "position")));
		json_decref(answer);
		if (state &&
			file_write_atomic(state, position, strlen(position), 0600, &d) != RC_OK)
			return cli_error(EXIT_USAGE, "%s", d.text);
	}
}

static int set_epp(struct cli *cli, const char *how)
{
	bool on = strcmp(how, "on") == 0;
	json_t *answer = NULL;
	int code;

	if (!on && strcmp(how, "off") != 0)
		return cli_usage(cli, "--epp: must be on or off");
	code = cli_call(cli, "PATCH", json_pack("{s:b}", "poll", on), &answer, "/v1/feed");
	if (code == EXIT_DONE)
		out_say(cli, "events are %s as poll messages", on ? "told" : "not told");
	if (code == EXIT_DONE && cli->json)
		out_json(answer);
	json_decref(answer);
	return code;
}

static void load_state(const struct cli *cli, char position[64])
{
	const char *path = cli_opt(cli, "state");
	struct diag d = { 0 };
	uint8_t *text = NULL;
	size_t len = 0;

	if (path && file_read(path, 63, &text, &len, &d) == RC_OK)
		(void)snprintf(
			position, 64, "%.*s", (int)strcspn((char *)text, "\n"), (char *)text);
	free(text);
}

static int run_feed(struct cli *cli)
{
	const char *after = cli_opt(cli, "after"), *epp = cli_opt(cli, "epp");
	char position[64] = "";
	json_t *answer = NULL;
	int code;

	if (epp)
		return set_epp(cli, epp);
	load_state(cli, position);
	if (after)
		(void)snprintf(position, sizeof(position), "%s", after);
	if (cli_opt(cli, "follow"))
		return follow(cli, position);
	code = *position ? cli_call(cli, "GET", NULL, &answer, "/v1/feed?after=%s", position)
			 : cli_call(cli, "GET", NULL, &answer, "/v1/feed");
	if (code == EXIT_DONE)
		out_list(cli, answer, "events", event_cols);
	if (code == EXIT_DONE)
		out_say(cli, "go on with --after %s",
			json_string_value(json_object_get(answer, "position")));
	json_decref(answer);
	return code;
}

/* ---- the services of the middleware --------------------------------------------------------- */

int asp_error(enum attest_error e, const char *error)
{
	switch (e) {
	case ATTEST_SUCCESS: return EXIT_DONE;
	case ATTEST_EREFUSED:
	case ATTEST_EUNTRUSTED: return cli_error(EXIT_REFUSED, "%s", error);
	case ATTEST_EUNREACHABLE: return cli_error(EXIT_UNAVAILABLE, "%s", error);
	case ATTEST_EINVAL:
	case ATTEST_ENOMEM:
	case ATTEST_ESYSTEM: break;
	}
	return cli_error(EXIT_USAGE, "%s", error);
}

int asp_login(struct cli *cli, struct attest_registry **out)
{
	struct cli_access *a = calloc(1, sizeof(*a));
	char error[ATTEST_TEXT_MAX] = "out of memory";
	int code = a ? cli_access(cli, a) : cli_error(EXIT_USAGE, "%s", error);

	if (code == EXIT_DONE) {
		struct attest_login login = { a->url, a->ca, a->cert, a->key };

		code = asp_error(attest_registry_new(&login, out, error), error);
	}
	free(a);
	return code;
}

int asp_number(struct cli *cli, const char *opt, unsigned *out)
{
	const char *text = cli_opt(cli, opt);
	uint64_t n = 0;

	if (text && u64_read(text, 1, INT32_MAX, &n) != RC_OK)
		return cli_usage(cli, "--%s: must be a number from 1 on", opt);
	*out = (unsigned)n;
	return EXIT_DONE;
}

int asp_show(struct cli *cli, json_t *take, const struct out_col *cols)
{
	json_t *answer = json_pack("{s:o}", "it", take);

	if (cli->json)
		out_json(json_object_get(answer, "it"));
	else
		out_object(cli, answer, "it", cols);
	json_decref(answer);
	return EXIT_DONE;
}

#define EST_OPTS                                                                                \
	{ "est", "URL", "have a CA certify it that speaks EST (RFC 7030)" },                    \
		{ "est-ca", "FILE", "whom to trust as that CA's server, PEM" },                 \
		{ "est-cert", "FILE", "our login there, PEM" },                                 \
		{ "est-key", "FILE", "and its key" }, { "est-user", "NAME", "or by password" }, \
	{                                                                                       \
		"est-password-file", "FILE", "its first line; mode 0600"                        \
	}

const struct cmd asp_cmds[] = {
	{ "asp", "feed", "", 0, 0, "parkoserv", 0, run_feed,
		"what concerns a provider's names: activated, superseded, withdrawn",
		"attestry asp feed --follow --after head --lab /tmp/lab",
		{ { "after", "POSITION", "go on after this; \"head\": only what comes" },
			{ "follow", NULL, "wait for more, a line per event" },
			{ "state", "FILE", "keep the position there, and go on from it" },
			{ "epp", "on|off", "tell the same as poll messages, or not" } } },
	{ "asp", "card", "status|write|block|unblock|wipe NAME", 2, 2, "parkoserv", 0, asp_card,
		"card provisioning service: what a SIM's applet holds for a name, and what it is "
		"to do (write: certificate and payload once more)",
		"attestry asp card status 1.8912230200031010008F --lab /tmp/lab", { { 0 } } },
	{ "asp", "credential", "show|issue|renew|rotate|revoke NAME", 2, 2, "parkoserv", 0,
		asp_credential,
		"credential management service, devices: issue registers where needed; rotate "
		"makes a new key; revoke takes the records back",
		"attestry asp credential issue 1.8912230200031010008F --service parkoserv "
		"--claim-file claim --wait 60 --lab /tmp/lab",
		{ { "service", "HANDLE", "issue: whose device it is to be" },
			{ "claim-file", "FILE",
				"issue, rotate: the SIM's claim code; - is standard input" },
			{ "csr", "FILE",
				"issue: a request of the device's own, PEM: we are its "
				"registration authority" },
			{ "wait", "SECONDS", "until the card has what stands" },
			{ "for-good", NULL, "revoke: destroy the key, delete the name" },
			{ "out", "FILE", "write the certificate there, PEM" } } },
	{ "asp", "server", "show|issue|renew|rotate|finish|revoke SERVICE DIR", 3, 3, "parkoserv",
		0, asp_server,
		"credential management service, the provider's own server: key and certificate in "
		"DIR, pins at the registry; rotate names the next key, finish changes over",
		"attestry asp server rotate parkoserv /etc/parkoserv/tls --lab /tmp/lab",
		{ { "days", "N", "life of a certificate that signs itself (365)" },
			{ "wait", "SECONDS",
				"finish: how long the next key has to be known (600)" },
			EST_OPTS } },
	{ "asp", "trust", "show|init|update|follow|pins DIR", 2, 2, "parkoserv", 0, asp_trust,
		"trust store service: the registry's roots and anchors, resolvers, own pins; "
		"update takes a signed text, follow is RFC 5011",
		"attestry asp trust follow /etc/parkoserv/trust",
		{ { "file", "FILE", "update: the signed text; - is standard input" },
			{ "hold-down", "SECONDS",
				"follow: a new key is trusted after so long (30 days)" } } },
	{ "asp", "certificate", "CSR", 1, 1, "parkoserv", CMD_LOCAL, asp_certificate,
		"CA certificate request service: send a request (PEM) to a CA, get certificate "
		"and chain",
		"attestry asp certificate server.csr --est https://ca.example --est-ca ca.pem "
		"--out "
		"server.pem",
		{ { "out", "FILE", "write them there instead of to standard output" },
			{ "renew", NULL,
				"for a certificate that is to be replaced (simplereenroll)" },
			EST_OPTS } },
	{ 0 },
};
