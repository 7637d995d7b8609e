/* SPDX-License-Identifier: Apache-2.0 */
/* attestry maintenance: what the operator announces. */
#include "cli.h"

#include "base/clock.h"
#include "base/str.h"

#include <string.h>
#include <time.h>

static const struct out_col cols[] = {
	{ "id", "id", OUT_TEXT },
	{ "system", "system", OUT_TEXT },
	{ "impact", "impact", OUT_TEXT },
	{ "start", "start", OUT_TIME },
	{ "end", "end", OUT_TIME },
	{ "description", "description", OUT_TEXT },
	{ 0 },
};

/* 2026-12-24T02:00:00Z */
static bool read_time(const char *text, json_int_t *out)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;

	if (!end || *end)
		return false;
	*out = (json_int_t)timegm(&tm);
	return true;
}

/* The members that options give; NULL: an option was wrong, and that was said. */
static json_t *body_of(const struct cli *cli)
{
	static const char *const times[] = { "start", "end" };
	const char *impact = cli_opt(cli, "impact"), *text = cli_opt(cli, "text");
	json_t *body = json_object();

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		json_int_t when = 0;

		if (cli_opt(cli, times[i]) && !read_time(cli_opt(cli, times[i]), &when)) {
			(void)cli_usage(cli, "--%s: 2026-12-24T02:00:00Z", times[i]);
			json_decref(body);
			return NULL;
		}
		if (when)
			(void)json_object_set_new(body, times[i], json_integer(when));
	}
	if (impact)
		(void)json_object_set_new(body, "impact", json_string(impact));
	if (text)
		(void)json_object_set_new(body, "description", json_string(text));
	if (cli_opt(cli, "emergency"))
		(void)json_object_set_new(body, "emergency", json_true());
	return body;
}

static int show(const struct cli *cli, int code, json_t *answer)
{
	if (code == EXIT_DONE)
		out_list(cli, answer, "items", cols);
	json_decref(answer);
	return code;
}

static int run_add(struct cli *cli)
{
	json_t *answer = NULL, *body = body_of(cli);

	if (!body)
		return EXIT_USAGE;
	(void)json_object_set_new(body, "system", json_string(cli->args[0]));
	if (!json_object_get(body, "impact"))
		(void)json_object_set_new(body, "impact", json_string("partial"));
	int code = cli_call(cli, "POST", body, &answer, "/v1/maintenance");
	return show(cli, code, answer);
}

static int run_set(struct cli *cli)
{
	json_t *answer = NULL, *body = body_of(cli);

	if (!body)
		return EXIT_USAGE;
	int code = cli_call(cli, "PATCH", body, &answer, "/v1/maintenance/%s", cli->args[0]);
	return show(cli, code, answer);
}

static int run_cancel(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "DELETE", NULL, &answer, "/v1/maintenance/%s", cli->args[0]);

	return show(cli, code, answer);
}

static int run_list(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/maintenance");

	return show(cli, code, answer);
}

#define MAINTENANCE_OPTS                                                                      \
	{                                                                                     \
		{ "start", "TIME", "in UTC, 2026-12-24T02:00:00Z" },                          \
			{ "end", "TIME", "the same" },                                        \
			{ "impact", "HOW", "none, partial or full" },                         \
			{ "text", "TEXT", "in words" }, { "emergency", NULL, "not planned" }, \
		{                                                                             \
			0                                                                     \
		}                                                                             \
	}

const struct cmd maintenance_cmds[] = {
	{ "maintenance", "add", "SYSTEM", 1, 1, "operator", 0, run_add,
		"announce maintenance to every party",
		"attestry maintenance add EPP --start 2026-12-24T02:00:00Z --end "
		"2026-12-24T03:00:00Z",
		MAINTENANCE_OPTS },
	{ "maintenance", "set", "ID", 1, 1, "operator", 0, run_set,
		"change what was announced; every party is told",
		"attestry maintenance set MNT-1 --impact full --lab /tmp/lab", MAINTENANCE_OPTS },
	{ "maintenance", "cancel", "ID", 1, 1, "operator", 0, run_cancel,
		"call it off; every party is told",
		"attestry maintenance cancel MNT-1 --lab /tmp/lab", { { 0 } } },
	{ "maintenance", "list", "", 0, 0, "operator", 0, run_list,
		"what is announced and not over", "attestry maintenance list --lab /tmp/lab",
		{ { 0 } } },
	{ 0 },
};
