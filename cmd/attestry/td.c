/* SPDX-License-Identifier: Apache-2.0 */
/* attestry td: Thing Descriptions (W3C WoT TD 1.1) of services. */
#include "cli.h"

#include "base/file.h"
#include "base/str.h"
#include "http/td.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run_check(struct cli *cli)
{
	struct diag d = { 0 };
	uint8_t *text = NULL;
	size_t len = 0;
	int code = EXIT_DONE;

	if (file_read(cli->args[0], TD_MAX + 1, &text, &len, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s", d.text);
	if (td_check(text, len, &d) != RC_OK)
		code = cli_error(EXIT_REFUSED, "%s: %s", cli->args[0], d.text);
	else
		out_say(cli, "a Thing Description 1.1, %zu bytes", len);
	free(text);
	return code;
}

static int run_templates(struct cli *cli)
{
	json_t *list = json_array();
	static const struct out_col cols[] = { { "name", "name", OUT_TEXT },
		{ "help", "describes", OUT_TEXT }, { 0 } };
	const struct td_template *t;
	json_t *answer;

	for (size_t n = 0; (t = td_template(n)); n++)
		json_array_append_new(
			list, json_pack("{s:s,s:s}", "name", t->name, "help", t->help));
	answer = json_pack("{s:o}", "templates", list);
	out_list(cli, answer, "templates", cols);
	json_decref(answer);
	return EXIT_DONE;
}

static int run_template(struct cli *cli)
{
	const struct td_template *t;

	for (size_t n = 0; (t = td_template(n)); n++)
		if (strcmp(t->name, cli->args[0]) == 0) {
			fputs(t->text, stdout);
			return EXIT_DONE;
		}
	return cli_error(EXIT_USAGE, "no template \"%s\": see attestry td templates", cli->args[0]);
}

/* The very bytes, so that they may be published at the URL that devices are told. */
static int run_show(struct cli *cli)
{
	json_t *answer = NULL;
	const char *base64;
	uint8_t *text = NULL;
	size_t len = 0;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/services/%s/td", cli->args[0]);

	if (code != EXIT_DONE)
		return code;
	if (cli->json) {
		out_json(answer);
	} else {
		base64 = json_string_value(json_object_get(json_object_get(answer, "td"), "td"));
		if (!base64)
			base64 = json_string_value(json_object_get(answer, "td"));
		text = malloc(TD_MAX + 3);
		if (text && base64 &&
			b64_read(base64, strlen(base64), text, TD_MAX + 3, &len) == RC_OK)
			fwrite(text, 1, len, stdout);
		else
			code = cli_error(EXIT_UNAVAILABLE, "the answer holds no description");
	}
	free(text);
	json_decref(answer);
	return code;
}

const struct cmd td_cmds[] = {
	{ "td", "check", "FILE", 1, 1, "parkoserv", CMD_LOCAL, run_check,
		"is a file a Thing Description that a service may have",
		"attestry td check meter.jsonld", { { 0 } } },
	{ "td", "templates", "", 0, 0, "parkoserv", CMD_LOCAL, run_templates,
		"list descriptions to begin with", "attestry td templates", { { 0 } } },
	{ "td", "template", "NAME", 1, 1, "parkoserv", CMD_LOCAL, run_template, "print one of them",
		"attestry td template parking-meter > meter.jsonld", { { 0 } } },
	{ "td", "show", "SERVICE", 1, 1, "parkoserv", 0, run_show,
		"print a service's Thing Description, byte for byte",
		"attestry td show parkoserv --lab /tmp/lab", { { 0 } } },
	{ 0 },
};
