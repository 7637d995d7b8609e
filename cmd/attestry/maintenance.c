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

static int run_add(struct cli *cli)
{
	const char *impact = cli_opt(cli, "impact"), *text = cli_opt(cli, "text");
	json_int_t start = 0, end = 0;
	json_t *answer = NULL, *body;
	int code;

	if (!read_time(cli_opt(cli, "start"), &start) || !read_time(cli_opt(cli, "end"), &end))
		return cli_usage(cli, "--start and --end: 2026-12-24T02:00:00Z");
	body = json_pack("{s:s, s:s, s:I, s:I, s:b, s:s}", "system", cli->args[0], "impact",
		impact ? impact : "partial", "start", start, "end", end, "emergency",
		cli_opt(cli, "emergency") != NULL, "description", text ? text : "");
	code = cli_call(cli, "POST", body, &answer, "/v1/maintenance");
	if (code == EXIT_DONE)
		out_list(cli, answer, "items", cols);
	json_decref(answer);
	return code;
}

static int run_list(struct cli *cli)
{
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/maintenance");

	if (code == EXIT_DONE)
		out_list(cli, answer, "items", cols);
	json_decref(answer);
	return code;
}

const struct cmd maintenance_cmds[] = {
	{ "maintenance", "add", "SYSTEM", 1, 1, "operator", 0, run_add,
		"announce maintenance to every party",
		"attestry maintenance add EPP --start 2026-12-24T02:00:00Z --end "
		"2026-12-24T03:00:00Z",
		{ { "start", "TIME", "in UTC, 2026-12-24T02:00:00Z" },
			{ "end", "TIME", "the same" }, { "impact", "HOW", "none, partial or full" },
			{ "text", "TEXT", "in words" }, { "emergency", NULL, "not planned" },
			{ 0 } } },
	{ "maintenance", "list", "", 0, 0, "operator", 0, run_list,
		"what is announced and not over", "attestry maintenance list --lab /tmp/lab",
		{ { 0 } } },
	{ 0 },
};
