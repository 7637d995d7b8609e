/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the registry, as whom, and what to say when it says no. */
#include "cli.h"

#include "base/ident.h"
#include "base/str.h"
#include "client/client.h"
#include "role/config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_TEXT_MAX = 512, PAGE_ROWS = 500 };

static bool set(char *out, size_t cap, const char *text)
{
	return text && str_copy(out, cap, text) == RC_OK;
}

static const char *opt_or_env(const struct cli *cli, const char *opt, const char *env)
{
	const char *value = cli_opt(cli, opt);

	return value ? value : getenv(env);
}

/* The operator's certificate lies with the registry, not with the parties. */
static bool operator_files(const char *config_path, struct cli_access *a)
{
	const char *slash = strrchr(config_path, '/');
	int len = slash ? (int)(slash - config_path) : 0;

	return slash &&
	       str_format(a->cert, sizeof(a->cert), "%.*s/operator/operator.pem", len,
		       config_path) == RC_OK &&
	       str_format(a->key, sizeof(a->key), "%.*s/operator/operator.key", len, config_path) ==
		       RC_OK;
}

static int access_of_lab(struct cli *cli, struct cli_access *a)
{
	const char *as = cli_opt(cli, "as");
	const json_t *party;
	char config[PATH_MAX];

	if (!as)
		as = cli->cmd->party;
	party = json_object_get(json_object_get(cli->lab, "parties"), as);
	if (!set(a->url, sizeof(a->url), cli_lab_text(cli, "https", "url")) ||
		!set(a->ca, sizeof(a->ca), cli_lab_text(cli, "https", "ca")))
		return cli_error(EXIT_USAGE, "lab.json says no https.url and https.ca");
	if (party &&
		set(a->cert, sizeof(a->cert), json_string_value(json_object_get(party, "cert"))) &&
		set(a->key, sizeof(a->key), json_string_value(json_object_get(party, "key"))))
		return EXIT_DONE;
	if (strcmp(as, "operator") == 0 && cli_config_path(cli, config) &&
		operator_files(config, a))
		return EXIT_DONE;
	return cli_error(EXIT_USAGE, "lab.json knows no party \"%s\"; see its \"parties\"", as);
}

/* A registry's folder: its own address, its own operator. */
static int access_of_dir(struct cli *cli, struct cli_access *a)
{
	struct config config = { 0 };
	struct diag d = { 0 };
	char path[PATH_MAX], addr[CONF_ADDR_TEXT], run[PATH_MAX];
	int code = EXIT_DONE;
	const char *port;

	if (!cli_config_path(cli, path) || config_read(path, &config, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s: %s", cli->dir, d.text);
	conf_addr_write(&config.https.listen, addr);
	port = strrchr(addr, ':');
	/* With port 0 only the running front knows. */
	if (port && strcmp(port, ":0") == 0 &&
		str_format(run, sizeof(run), "%s/front-api.addr", config.supervisor.run_folder) ==
			RC_OK) {
		FILE *f = fopen(run, "r");
		char host[64], number[8];
		if (f && fscanf(f, "%63s %7s", host, number) == 2 &&
			str_format(addr, sizeof(addr), ":%s", number) == RC_OK)
			port = addr;
		if (f)
			fclose(f);
	}
	if (!port || str_format(a->url, sizeof(a->url), "https://localhost%s", port) != RC_OK ||
		!set(a->ca, sizeof(a->ca), config.https.client_ca) || !operator_files(path, a))
		code = cli_error(EXIT_USAGE, "%s: the address cannot be told", path);
	config_free(&config);
	return code;
}

int cli_access(struct cli *cli, struct cli_access *a)
{
	int code = EXIT_DONE;

	if (cli->lab)
		code = access_of_lab(cli, a);
	else if (cli->dir)
		code = access_of_dir(cli, a);
	if (code != EXIT_DONE)
		return code;
	/* Single options go before the lab. */
	if (opt_or_env(cli, "url", "ATTESTRY_URL") && (!cli->lab || cli_opt(cli, "url")))
		(void)!set(a->url, sizeof(a->url), opt_or_env(cli, "url", "ATTESTRY_URL"));
	if (opt_or_env(cli, "ca", "ATTESTRY_CA") && (!cli->lab || cli_opt(cli, "ca")))
		(void)!set(a->ca, sizeof(a->ca), opt_or_env(cli, "ca", "ATTESTRY_CA"));
	if (opt_or_env(cli, "cert", "ATTESTRY_CERT") && (!cli->lab || cli_opt(cli, "cert")))
		(void)!set(a->cert, sizeof(a->cert), opt_or_env(cli, "cert", "ATTESTRY_CERT"));
	if (opt_or_env(cli, "key", "ATTESTRY_KEY") && (!cli->lab || cli_opt(cli, "key")))
		(void)!set(a->key, sizeof(a->key), opt_or_env(cli, "key", "ATTESTRY_KEY"));
	if (!a->url[0] || !a->ca[0] || !a->cert[0] || !a->key[0])
		return cli_usage(cli, "which registry, and as whom? give --lab DIR, or --dir DIR, "
				      "or --url, --ca, --cert and --key");
	return EXIT_DONE;
}

static int connect_once(struct cli *cli)
{
	struct cli_access *a = NULL;
	struct diag d = { 0 };
	int code = EXIT_DONE;

	if (cli->client)
		return EXIT_DONE;
	a = calloc(1, sizeof(*a));
	if (!a)
		return cli_error(EXIT_UNAVAILABLE, "out of memory");
	code = cli_access(cli, a);
	if (code == EXIT_DONE &&
		client_new(&cli->client, a->url, a->ca, a->cert, a->key, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text);
	free(a);
	if (code == EXIT_DONE && (cli_opt(cli, "case") || cli_opt(cli, "because")) &&
		client_set_cause(cli->client, cli_opt(cli, "case") ? cli_opt(cli, "case") : "",
			cli_opt(cli, "because") ? cli_opt(cli, "because") : "") != RC_OK)
		code = cli_usage(cli, "--case: up to 64 bytes; --because: up to 128");
	return code;
}

void cli_disconnect(struct cli *cli)
{
	client_free(cli->client);
	cli->client = NULL;
}

/* What a person can do about a refusal. */
static const char *hint(json_int_t code)
{
	static const struct {
		json_int_t code;
		const char *text;
	} hints[] = {
		{ 2200, "the registry does not know this certificate: attestry party show" },
		{ 2201, "another party may: --as PARTY, or --cert and --key" },
		{ 2202, "codes are used up by one transfer and expire: attestry profile auth "
			"NAME" },
		{ 2303, "see what there is: attestry device list, attestry profile list" },
		{ 2304, "see its state: attestry profile show NAME" },
		{ 2305, "something still depends on it; see: attestry profile list" },
		{ 2400, "repeat it later; see: attestry health" },
		{ 2502, "wait a moment and repeat it" },
	};

	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		if (hints[i].code == code)
			return hints[i].text;
	return NULL;
}

static int say_refusal(const struct cli *cli, const json_t *answer, int status)
{
	struct diag d = { 0 };
	const char *next = hint(json_integer_value(json_object_get(answer, "code")));

	client_refusal(answer, status, &d);
	if (cli->json && answer)
		out_json(answer);
	cli_error(0, "%s", d.text);
	if (next)
		fprintf(stderr, "  %s\n", next);
	return status == 503 || status == 429 ? EXIT_UNAVAILABLE : EXIT_REFUSED;
}

/* What came of a call, said where it was not good. */
static int outcome(struct cli *cli, enum rc rc, int status, json_t *take_answer,
	const struct diag *d, json_t **out)
{
	int code = EXIT_DONE;

	if (status >= 300)
		code = say_refusal(cli, take_answer, status);
	else if (rc == RC_AUTH)
		code = cli_error(EXIT_REFUSED, "%s\n  check --ca, --cert and --key", d->text);
	else if (rc == RC_UNAVAILABLE || rc == RC_TIMEOUT)
		code = cli_error(EXIT_UNAVAILABLE, "%s\n  is the registry running?", d->text);
	else if (rc != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d->text);
	if (code == EXIT_DONE)
		*out = take_answer;
	else
		json_decref(take_answer);
	return code;
}

static int call_path(
	struct cli *cli, const char *method, json_t *take_body, json_t **out, const char *path)
{
	struct diag d = { 0 };
	json_t *answer = NULL;
	int status = 0, code = connect_once(cli);
	enum rc rc;

	*out = NULL;
	if (code != EXIT_DONE) {
		json_decref(take_body);
		return code;
	}
	rc = client_call(cli->client, method, path, take_body, &answer, &status, &d);
	json_decref(take_body);
	return outcome(cli, rc, status, answer, &d, out);
}

int cli_call_text(struct cli *cli, const char *path, const char *type, const char *text, size_t len,
	json_t **out)
{
	struct diag d = { 0 };
	json_t *answer = NULL;
	int status = 0, code = connect_once(cli);
	enum rc rc;

	*out = NULL;
	if (code != EXIT_DONE)
		return code;
	rc = client_call_text(
		cli->client, "POST", path, NULL, type, text, len, &answer, &status, &d);
	return outcome(cli, rc, status, answer, &d, out);
}

/* Adds `text` to a path, everything but unreserved characters (RFC 3986 section 2.3) encoded. */
static bool add_encoded(char *out, size_t cap, const char *text)
{
	size_t n = strlen(out);

	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || strchr("-._~", ch);
		if (n + 4 > cap)
			return false;
		n += (size_t)snprintf(out + n, cap - n, plain ? "%c" : "%%%02X", ch);
	}
	return true;
}

int cli_call(
	struct cli *cli, const char *method, json_t *take_body, json_t **out, const char *fmt, ...)
{
	char path[PATH_TEXT_MAX] = "";
	bool ok = true;
	va_list ap;

	va_start(ap, fmt);
	for (const char *at = fmt; *at && ok;) {
		size_t n = strlen(path);
		if (at[0] == '%' && at[1] == 's') {
			ok = add_encoded(path, sizeof(path), va_arg(ap, const char *));
			at += 2;
		} else if (n + 2 > sizeof(path)) {
			ok = false;
		} else {
			path[n] = *at++;
			path[n + 1] = '\0';
		}
	}
	va_end(ap);
	if (!ok) {
		json_decref(take_body);
		*out = NULL;
		return cli_usage(cli, "that is too long");
	}
	return call_path(cli, method, take_body, out, path);
}

int cli_call_list(struct cli *cli, const char *path, const char *member, json_t **out)
{
	char page[PATH_TEXT_MAX], after[160] = "";
	json_t *all = json_array(), *answer = NULL;
	int code = EXIT_DONE;

	while (all && code == EXIT_DONE) {
		(void)snprintf(page, sizeof(page), "%s%climit=%d%s", path,
			strchr(path, '?') ? '&' : '?', PAGE_ROWS, *after ? "&after=" : "");
		if (!add_encoded(page, sizeof(page), after))
			code = cli_usage(cli, "that is too long");
		else
			code = call_path(cli, "GET", NULL, &answer, page);
		if (code != EXIT_DONE)
			break;
		const char *next = json_string_value(json_object_get(answer, "next"));
		(void)json_array_extend(all, json_object_get(answer, member));
		bool more = next && *next && str_copy(after, sizeof(after), next) == RC_OK;
		json_decref(answer);
		if (!more)
			break;
	}
	if (code == EXIT_DONE)
		*out = json_pack("{s:o}", member, all);
	else
		json_decref(all);
	return code;
}

int cli_iccid(const char *text, char out[32])
{
	uint8_t ef[IDENT_ICCID_LEN];
	char form[32];

	if (str_format(form, sizeof(form), "%s%s", text, strlen(text) == 19 ? "f" : "") != RC_OK ||
		ident_iccid_read(form, ef) != RC_OK || ident_iccid_write(ef, out) != RC_OK)
		return cli_error(EXIT_USAGE,
			"\"%s\" is no ICCID: 19 digits with or without F, or 20 digits", text);
	return EXIT_DONE;
}

int cli_profile_name(const struct cli *cli, const char *text, char out[64])
{
	const char *zone = cli_lab_text(cli, "zone", NULL);
	struct ident_owner owner;
	char whole[256];
	size_t dots = 0;

	for (const char *at = text; *at; at++)
		dots += *at == '.' && at[1];
	/* Without a zone any will do for taking the name apart. */
	if (str_format(whole, sizeof(whole), "%s%s", text,
		    dots == 1 ? (text[strlen(text) - 1] == '.' ? "x" : ".x") : "") != RC_OK ||
		ident_owner_parse(whole, NULL, &owner) != RC_OK)
		return cli_error(EXIT_USAGE,
			"\"%s\" is no name: it looks like 1.8912230200031010008f", text);
	if (dots > 1 && zone && !str_equal_nocase(owner.zone, zone))
		return cli_error(EXIT_USAGE, "\"%s\" is not in the zone %s", text, zone);
	return str_format(out, 64, "%u.%s", owner.slot, owner.iccid) == RC_OK ? EXIT_DONE
									      : EXIT_USAGE;
}
