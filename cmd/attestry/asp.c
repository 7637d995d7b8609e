/* SPDX-License-Identifier: Apache-2.0 */
/* attestry asp: what a provider runs beside its servers. The services of its middleware have a
 * file each. */
#include "cli.h"

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

const struct cmd asp_cmds[] = {
	{ "asp", "feed", "", 0, 0, "parkoserv", 0, run_feed,
		"what concerns a provider's names: activated, superseded, withdrawn",
		"attestry asp feed --follow --after head --lab /tmp/lab",
		{ { "after", "POSITION", "go on after this; \"head\": only what comes" },
			{ "follow", NULL, "wait for more, a line per event" },
			{ "state", "FILE", "keep the position there, and go on from it" },
			{ "epp", "on|off", "tell the same as poll messages, or not" } } },
	{ 0 },
};
