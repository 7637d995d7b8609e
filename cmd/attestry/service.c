/* SPDX-License-Identifier: Apache-2.0 */
/* attestry service: what a provider offers to devices. */
#include "cli.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "ca/keyfile.h"
#include "http/td.h"

#include <stdlib.h>
#include <string.h>

static const struct out_col service_cols[] = {
	{ "handle", "handle", OUT_TEXT },
	{ "asp", "provider", OUT_TEXT },
	{ "fqdn", "FQDN", OUT_TEXT },
	{ "port", "port", OUT_TEXT },
	{ "url", "URL", OUT_TEXT },
	{ "td_url", "description", OUT_TEXT },
	{ "td_stored", "kept here", OUT_BOOL },
	{ "wifi_set", "Wi-Fi", OUT_BOOL },
	{ "tlsa", "TLSA", OUT_TEXT },
	{ "tlsa_why", "that is", OUT_TEXT },
	{ "tlsa_checked", "looked at", OUT_TIME },
	{ "created", "created", OUT_TIME },
	{ 0 },
};

static void set_text(json_t *body, const char *member, const char *value)
{
	if (value)
		json_object_set_new(body, member, *value ? json_string(value) : json_null());
}

/* "3 1 1 HEX", as a TLSA record reads; colons as spaces do, for the shell's sake. */
static int add_pins(struct cli *cli, json_t *body)
{
	const char *text;
	json_t *pins = json_array();
	int code = EXIT_DONE;

	for (size_t i = 0; (text = cli_opt_nth(cli, "pin", i)) && code == EXIT_DONE; i++) {
		unsigned usage, selector, matching;
		char hex[2 * 512 + 1], base64[B64_LEN(512)];
		uint8_t data[512];
		size_t len = 0;

		if (sscanf(text, "%u%*[ :]%u%*[ :]%u%*[ :]%1024[0-9A-Fa-f]", &usage, &selector,
			    &matching, hex) != 4 ||
			hex_read_upto(hex, data, sizeof(data), &len) != RC_OK) {
			code = cli_usage(cli, "--pin \"%s\": must be like \"3 1 1 HEX\"", text);
			break;
		}
		b64_write(data, len, base64);
		json_array_append_new(
			pins, json_pack("{s:i,s:i,s:i,s:s}", "usage", (int)usage, "selector",
				      (int)selector, "matching", (int)matching, "data", base64));
	}
	if (code == EXIT_DONE && json_array_size(pins))
		json_object_set(body, "pins", pins);
	json_decref(pins);
	return code;
}

static int add_cert(struct cli *cli, json_t *body)
{
	const char *path = cli_opt(cli, "cert-file");
	struct diag d = { 0 };
	uint8_t der[8192];
	char base64[B64_LEN(sizeof(der))];
	size_t len = 0;

	if (!path)
		return EXIT_DONE;
	if (ca_pem_load(path, "CERTIFICATE", der, sizeof(der), &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	b64_write(der, len, base64);
	json_object_set_new(body, "asp_cert", json_string(base64));
	return EXIT_DONE;
}

/* The passphrase comes from a file, never from the command line, which others can see. */
static int add_wifi(struct cli *cli, json_t *body)
{
	const char *ssid = cli_opt(cli, "wifi-ssid"), *file = cli_opt(cli, "wifi-passphrase-file");
	struct secret s = { 0 };
	json_t *wifi;
	size_t len = 0;

	if (!ssid)
		return file ? cli_usage(cli, "--wifi-ssid is missing") : EXIT_DONE;
	if (!*ssid) {
		json_object_set_new(body, "wifi", json_null());
		return EXIT_DONE;
	}
	wifi = json_pack("{s:s,s:s}", "ssid", ssid, "security", file ? "wpa2" : "open");
	if (!wifi)
		return cli_usage(cli, "--wifi-ssid is not UTF-8");
	if (file) {
		enum rc rc = secret_read_file(&s, file, 128);
		if (rc != RC_OK) {
			json_decref(wifi);
			return cli_error(EXIT_USAGE, "%s: %s%s", file, rc_text(rc),
				rc == RC_DENIED ? "; chmod 600 it" : "");
		}
		while (len < s.len && s.bytes[len] != '\n')
			len++;
		json_object_set_new(wifi, "passphrase", json_stringn((const char *)s.bytes, len));
		secret_free(&s);
	}
	json_object_set_new(body, "wifi", wifi);
	return EXIT_DONE;
}

/* Checked here too, so that what is wrong is said with the file's name. */
static int add_td(struct cli *cli, json_t *body)
{
	const char *path = cli_opt(cli, "td-file");
	struct diag d = { 0 };
	uint8_t *text = NULL;
	char *base64 = NULL;
	size_t len = 0;
	int code = EXIT_DONE;

	if (!path)
		return EXIT_DONE;
	if (!*path) {
		json_object_set_new(body, "td", json_null());
		return EXIT_DONE;
	}
	if (file_read(path, TD_MAX + 1, &text, &len, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s", d.text);
	else if (td_check(text, len, &d) != RC_OK)
		code = cli_error(EXIT_USAGE, "%s: %s", path, d.text);
	base64 = code == EXIT_DONE ? malloc(B64_LEN(len)) : NULL;
	if (base64) {
		b64_write(text, len, base64);
		json_object_set_new(body, "td", json_string(base64));
	}
	free(base64);
	free(text);
	return code;
}

static int make_body(struct cli *cli, json_t **out)
{
	const char *port = cli_opt(cli, "port"), *tlsa = cli_opt(cli, "publish-tlsa");
	json_t *body = json_object();
	uint64_t number = 0;
	int code = EXIT_DONE;

	set_text(body, "fqdn", cli_opt(cli, "fqdn"));
	set_text(body, "url", cli_opt(cli, "service-url"));
	set_text(body, "td_url", cli_opt(cli, "td-url"));
	if (port && u64_read(port, 1, 65535, &number) != RC_OK)
		code = cli_usage(cli, "--port: must be 1 to 65535");
	else if (port)
		json_object_set_new(body, "port", json_integer((json_int_t)number));
	if (tlsa && strcmp(tlsa, "yes") != 0 && strcmp(tlsa, "no") != 0)
		code = cli_usage(cli, "--publish-tlsa: must be yes or no");
	else if (tlsa)
		json_object_set_new(body, "publish_tlsa", json_boolean(*tlsa == 'y'));
	if (code == EXIT_DONE)
		code = add_pins(cli, body);
	if (code == EXIT_DONE)
		code = add_cert(cli, body);
	if (code == EXIT_DONE)
		code = add_td(cli, body);
	if (code == EXIT_DONE)
		code = add_wifi(cli, body);
	if (code == EXIT_DONE)
		*out = body;
	else
		json_decref(body);
	return code;
}

static int show(struct cli *cli, int code, json_t *answer)
{
	if (code == EXIT_DONE)
		out_object(cli, answer, "service", service_cols);
	json_decref(answer);
	return code;
}

static int run_add(struct cli *cli)
{
	json_t *body = NULL, *answer = NULL;
	int code = make_body(cli, &body);

	if (code != EXIT_DONE)
		return code;
	json_object_set_new(body, "handle", json_string(cli->args[0]));
	code = cli_call(cli, "POST", body, &answer, "/v1/services");
	return show(cli, code, answer);
}

static int run_set(struct cli *cli)
{
	json_t *body = NULL, *answer = NULL;
	int code = make_body(cli, &body);

	if (code == EXIT_DONE)
		code = cli_call(cli, "PATCH", body, &answer, "/v1/services/%s", cli->args[0]);
	return show(cli, code, answer);
}

static int run_show(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/services/%s", cli->args[0]);

	return show(cli, code, answer);
}

static int run_list(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call_list(cli, "/v1/services", "services", &answer);

	if (code == EXIT_DONE)
		out_list(cli, answer, "services", service_cols);
	json_decref(answer);
	return code;
}

static int run_delete(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "DELETE", NULL, &answer, "/v1/services/%s", cli->args[0]);

	json_decref(answer);
	if (code == EXIT_DONE)
		out_say(cli, "service %s is deleted; its handle does not come back", cli->args[0]);
	return code;
}

#define SERVICE_OPTS                                                                               \
	{                                                                                          \
		{ "fqdn", "NAME", "where devices connect to" },                                    \
			{ "port", "N", "and at which port" },                                      \
			{ "service-url", "URL",                                                    \
				"when FQDN and port do not suffice; '' takes it away" },           \
			{ "pin", "\"3 1 1 HEX\"",                                                  \
				"TLSA of the service's certificate; repeatable" },                 \
			{ "publish-tlsa", "yes|no", "TLSA in the registry's zone" },               \
			{ "cert-file", "FILE", "the service's certificate, PEM (kind devkit)" },   \
			{ "td-url", "URL", "where devices fetch its Thing Description" },          \
			{ "td-file", "FILE", "the Thing Description, JSON-LD; '' takes it away" }, \
			{ "wifi-ssid", "SSID", "Wi-Fi that devices may use; '' takes it away" },   \
		{                                                                                  \
			"wifi-passphrase-file", "FILE", "its passphrase (first line; mode 0600)"   \
		}                                                                                  \
	}

const struct cmd service_cmds[] = {
	{ "service", "add", "HANDLE", 1, 1, "parkoserv", 0, run_add, "create a service",
		"attestry service add parkoserv --fqdn mqtt.parkoserv.example --port 8883 "
		"--lab /tmp/lab --as parkoserv",
		SERVICE_OPTS },
	{ "service", "set", "HANDLE", 1, 1, "parkoserv", 0, run_set, "change a service",
		"attestry service set parkoserv --port 8884 --lab /tmp/lab", SERVICE_OPTS },
	{ "service", "show", "HANDLE", 1, 1, "parkoserv", 0, run_show, "show a service",
		"attestry service show parkoserv --lab /tmp/lab", { { 0 } } },
	{ "service", "delete", "HANDLE", 1, 1, "parkoserv", 0, run_delete,
		"delete a service that no profile is bound to",
		"attestry service delete winter --lab /tmp/lab", { { 0 } } },
	{ "service", "list", "", 0, 0, "parkoserv", 0, run_list, "list services",
		"attestry service list --lab /tmp/lab", { { 0 } } },
	{ 0 },
};
