/* SPDX-License-Identifier: Apache-2.0 */
/* attestry epp: a session of one command. Prints the server's frame; the exit code is its result.
 */
#include "cli.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "client/epp.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_CAP  (64 * 1024)
#define TIMEOUT_MS 30000
#define NS	   "urn:attestry:params:xml:ns:"

struct where {
	char host[256], ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX], id[32], password[80];
	uint16_t port;
};

static const struct {
	const char *kind, *uri, *id; /* the element that names the object */
} kinds[] = { { "profile", NS "profile-1.0", "name" }, { "device", NS "device-1.0", "iccid" },
	{ "service", NS "service-1.0", "handle" }, { "org", EPP_CLIENT_URNS "epp:org-1.0", "id" } };

/* ---- where to and as whom ---- */

static void take(char *out, size_t cap, const char *text)
{
	if (text && str_copy(out, cap, text) != RC_OK)
		out[0] = '\0';
}

static void of_lab(const struct cli *cli, struct where *w)
{
	const char *as = cli_opt(cli, "as") ? cli_opt(cli, "as") : cli->cmd->party;
	const json_t *party = json_object_get(json_object_get(cli->lab, "parties"), as);
	const json_t *epp = json_object_get(cli->lab, "epp");

	take(w->host, sizeof(w->host), json_string_value(json_object_get(epp, "addr")));
	take(w->ca, sizeof(w->ca), json_string_value(json_object_get(epp, "ca")));
	w->port = (uint16_t)json_integer_value(json_object_get(epp, "port"));
	take(w->cert, sizeof(w->cert), json_string_value(json_object_get(party, "cert")));
	take(w->key, sizeof(w->key), json_string_value(json_object_get(party, "key")));
	take(w->id, sizeof(w->id), json_string_value(json_object_get(party, "id")));
	take(w->password, sizeof(w->password),
		json_string_value(json_object_get(party, "password")));
}

static int of_options(const struct cli *cli, struct where *w)
{
	const char *server = cli_opt(cli, "server"), *file = cli_opt(cli, "password-file");
	struct secret s = { 0 };
	uint64_t port;

	if (server) {
		const char *colon = strrchr(server, ':');

		if (!colon || u64_read(colon + 1, 1, 65535, &port) != RC_OK ||
			str_format(w->host, sizeof(w->host), "%.*s", (int)(colon - server),
				server) != RC_OK)
			return cli_usage(cli, "--server: HOST:PORT");
		w->port = (uint16_t)port;
	}
	take(w->ca, sizeof(w->ca), cli_opt(cli, "ca"));
	take(w->cert, sizeof(w->cert), cli_opt(cli, "cert"));
	take(w->key, sizeof(w->key), cli_opt(cli, "key"));
	take(w->id, sizeof(w->id), cli_opt(cli, "id"));
	if (file) {
		enum rc rc = secret_read_file(&s, file, sizeof(w->password) - 1);
		size_t len = 0;

		if (rc != RC_OK)
			return cli_error(EXIT_USAGE, "%s: %s%s", file, rc_text(rc),
				rc == RC_DENIED ? "; chmod 600 it" : "");
		while (len < s.len && s.bytes[len] != '\n')
			len++;
		memcpy(w->password, s.bytes, len);
		w->password[len] = '\0';
		secret_free(&s);
	}
	if (!w->host[0] || !w->port || !w->ca[0] || !w->cert[0] || !w->key[0])
		return cli_usage(cli, "which registry, and as whom? give --lab DIR, or --server, "
				      "--ca, --cert, --key, --id and --password-file");
	return EXIT_DONE;
}

static int find(const struct cli *cli, struct where *w)
{
	if (cli->lab)
		of_lab(cli, w);
	return of_options(cli, w);
}

/* ---- one exchange ---- */

static int show(const struct cli *cli, const char *xml)
{
	unsigned code = epp_client_code(xml);

	if (cli->json) {
		json_t *o = json_pack("{s:i, s:s}", "code", (int)code, "xml", xml);

		out_json(o);
		json_decref(o);
	} else {
		printf("%s\n", xml);
	}
	return code >= 2000 ? EXIT_REFUSED : EXIT_DONE;
}

static int failed(enum rc rc, const struct diag *d)
{
	return cli_error(rc == RC_IO || rc == RC_TOO_LARGE ? EXIT_USAGE : EXIT_UNAVAILABLE, "%s",
		d->text[0] ? d->text : rc_text(rc));
}

/* All that there is to name. */
static const char services[] =
	"<objURI>" NS "device-1.0</objURI><objURI>" NS "profile-1.0</objURI><objURI>" NS
	"service-1.0</objURI><objURI>" EPP_CLIENT_URNS
	"epp:org-1.0</objURI><objURI>" EPP_CLIENT_URNS
	"epp:maintenance-1.0</objURI><svcExtension><extURI>" EPP_CLIENT_URNS
	"epp:loginSec-1.0</extURI><extURI>" EPP_CLIENT_URNS
	"epp:secure-authinfo-transfer-1.0</extURI><extURI>" EPP_CLIENT_URNS
	"epp:unhandled-namespaces-1.0</extURI><extURI>" EPP_CLIENT_URNS
	"changePoll-1.0</extURI></svcExtension>";

/* Greeting, login unless `anonymous`, the frame; prints the last answer. */
static int session(struct cli *cli, const char *xml, bool anonymous)
{
	struct where *w = calloc(1, sizeof(*w));
	struct epp_client *c = NULL;
	struct diag d = { 0 };
	char *answer = NULL;
	int code = w ? find(cli, w) : cli_error(EXIT_UNAVAILABLE, "out of memory");
	enum rc rc = RC_OK;

	if (code == EXIT_DONE) {
		rc = epp_client_open(&c, w->host, w->port, w->ca, w->cert, w->key, TIMEOUT_MS, &d);
		if (rc == RC_OK)
			rc = epp_client_ask(c, "", &answer, &d);
		if (rc == RC_OK && !anonymous)
			rc = epp_client_login(c, w->id, w->password, services, &answer, &d);
		if (rc == RC_OK && (anonymous || epp_client_code(answer) < 2000) && *xml)
			rc = epp_client_ask(c, xml, &answer, &d);
		code = rc == RC_OK ? show(cli, answer) : failed(rc, &d);
	}
	epp_client_close(c);
	free(answer);
	if (w)
		mem_wipe(w, sizeof(*w));
	free(w);
	return code;
}

/* ---- the commands ---- */

static int run_hello(struct cli *cli)
{
	return session(cli, "", true);
}

/* Standard input to its end; `cap` octets at most. */
static enum rc read_stdin(uint8_t **out, size_t cap, size_t *len)
{
	uint8_t *bytes = malloc(cap);

	if (!bytes)
		return RC_NOMEM;
	*len = fread(bytes, 1, cap, stdin);
	if (*len == cap || ferror(stdin)) {
		free(bytes);
		return *len == cap ? RC_TOO_LARGE : RC_IO;
	}
	*out = bytes;
	return RC_OK;
}

static int run_frame(struct cli *cli)
{
	const char *path = cli->args[0];
	uint8_t *bytes = NULL;
	struct diag d = { 0 };
	char *text = NULL;
	size_t len = 0;
	int code;
	enum rc rc = strcmp(path, "-") == 0 ? read_stdin(&bytes, FRAME_CAP, &len)
					    : file_read(path, FRAME_CAP, &bytes, &len, &d);

	if (rc != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text[0] ? d.text : rc_text(rc));
	text = strndup((const char *)bytes, len);
	free(bytes);
	if (!text)
		return cli_error(EXIT_UNAVAILABLE, "out of memory");
	code = session(cli, text, cli_opt(cli, "no-login") != NULL);
	mem_wipe(text, strlen(text));
	free(text);
	return code;
}

/* A word of the shell as character data; "" when it holds markup, which no id does. */
static bool plain(const char *text)
{
	return *text && !strpbrk(text, "<>&\"'");
}

static int command(struct cli *cli, const char *fmt, ...) ATT_PRINTF(2, 3);
static int command(struct cli *cli, const char *fmt, ...)
{
	char *inner = NULL, *xml = NULL;
	va_list ap;
	int code = EXIT_UNAVAILABLE, n;

	va_start(ap, fmt);
	n = vasprintf(&inner, fmt, ap);
	va_end(ap);
	if (n >= 0 &&
		asprintf(&xml,
			"<epp xmlns=\"" EPP_CLIENT_URNS "epp-1.0\"><command>%s</command></epp>",
			inner) >= 0) {
		code = session(cli, xml, false);
		free(xml);
	}
	if (n >= 0)
		free(inner);
	return code;
}

static int run_object(struct cli *cli)
{
	const char *verb = cli->cmd->verb;
	char ids[2048] = "";
	size_t k = 0, len = 0;

	while (k < ARRAY_LEN(kinds) && strcmp(kinds[k].kind, cli->args[0]) != 0)
		k++;
	if (k == ARRAY_LEN(kinds))
		return cli_usage(cli, "the kind is profile, device, service or org");
	for (unsigned i = 1; i < cli->arg_count; i++) {
		if (!plain(cli->args[i]) ||
			str_format(ids + len, sizeof(ids) - len, "<o:%s>%s</o:%s>", kinds[k].id,
				cli->args[i], kinds[k].id) != RC_OK)
			return cli_usage(cli, "%s: not an id", cli->args[i]);
		len = strlen(ids);
	}
	return command(cli, "<%s><o:%s xmlns:o=\"%s\">%s</o:%s></%s>", verb, verb, kinds[k].uri,
		ids, verb, verb);
}

static int run_poll(struct cli *cli)
{
	if (!cli->arg_count)
		return command(cli, "<poll op=\"req\"/>");
	if (!plain(cli->args[0]))
		return cli_usage(cli, "%s: not an id", cli->args[0]);
	return command(cli, "<poll op=\"ack\" msgID=\"%s\"/>", cli->args[0]);
}

static int run_state(struct cli *cli)
{
	if (!plain(cli->args[0]))
		return cli_usage(cli, "%s: not a name", cli->args[0]);
	return command(cli,
		"<update><o:update xmlns:o=\"" NS
		"profile-1.0\"><o:name>%s</o:name><o:chg><o:state>%sd"
		"</o:state></o:chg></o:update></update>",
		cli->args[0], cli->cmd->verb);
}

#define SERVER_OPTS                                                             \
	{ "server", "HOST:PORT", "the EPP server, when there is no lab" },      \
		{ "id", "ID", "the login" },                                    \
	{                                                                       \
		"password-file", "FILE", "its password (first line; mode 0600)" \
	}

const struct cmd epp_cmds[] = {
	{ "epp", "hello", "", 0, 0, "parkoserv", CMD_LOCAL, run_hello, "show the server's greeting",
		"attestry epp hello --lab /tmp/lab", { SERVER_OPTS, { 0 } } },
	{ "epp", "frame", "FILE", 1, 1, "parkoserv", CMD_LOCAL, run_frame,
		"log in, send a frame as it is (- from standard input), show the answer",
		"attestry epp frame info.xml --lab /tmp/lab --as parkoserv",
		{ SERVER_OPTS, { "no-login", NULL, "send it without a login" }, { 0 } } },
	{ "epp", "check", "KIND ID...", 2, CLI_ARGS_MAX, "parkoserv", CMD_LOCAL, run_object,
		"which ids are free (kind: profile, device, service, org)",
		"attestry epp check profile 2.8912230200031010008f --lab /tmp/lab",
		{ SERVER_OPTS, { 0 } } },
	{ "epp", "info", "KIND ID", 2, 2, "parkoserv", CMD_LOCAL, run_object, "show an object",
		"attestry epp info profile 1.8912230200031010008f --lab /tmp/lab",
		{ SERVER_OPTS, { 0 } } },
	{ "epp", "delete", "KIND ID", 2, 2, "parkoserv", CMD_LOCAL, run_object, "delete an object",
		"attestry epp delete profile 1.8912230200031010008f --lab /tmp/lab",
		{ SERVER_OPTS, { 0 } } },
	{ "epp", "activate", "NAME", 1, 1, "parkoserv", CMD_LOCAL, run_state, "activate a profile",
		"attestry epp activate 1.8912230200031010008f --lab /tmp/lab",
		{ SERVER_OPTS, { 0 } } },
	{ "epp", "deactivate", "NAME", 1, 1, "parkoserv", CMD_LOCAL, run_state,
		"deactivate a profile",
		"attestry epp deactivate 1.8912230200031010008f --lab /tmp/lab",
		{ SERVER_OPTS, { 0 } } },
	{ "epp", "poll", "[ID]", 0, 1, "parkoserv", CMD_LOCAL, run_poll,
		"the oldest message; with ID: acknowledge that one",
		"attestry epp poll --lab /tmp/lab --as carparkserv", { SERVER_OPTS, { 0 } } },
	{ 0 },
};
