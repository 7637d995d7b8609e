/* SPDX-License-Identifier: Apache-2.0 */
/* attestry counts: what each party has and did, for chargeback. */
#include "cli.h"

#include "base/str.h"

#include <string.h>
#include <time.h>

static const struct out_col count_cols[] = {
	{ "party", "party", OUT_TEXT },
	{ "role", "as", OUT_TEXT },
	{ "what", "what", OUT_TEXT },
	{ "of", "of", OUT_TEXT },
	{ "n", "count", OUT_TEXT },
	{ 0 },
};

/* "2026-11-01" (UTC) or seconds since 1970. */
static int read_time(struct cli *cli, const char *opt, uint64_t *out)
{
	const char *text = cli_opt(cli, opt);
	struct tm tm = { 0 };
	const char *end;

	*out = 0;
	if (!text || u64_read(text, 0, INT64_MAX, out) == RC_OK)
		return EXIT_DONE;
	end = strptime(text, "%Y-%m-%d", &tm);
	if (!end || *end)
		return cli_usage(
			cli, "--%s: must be a day like 2026-11-01, or seconds since 1970", opt);
	*out = (uint64_t)timegm(&tm);
	return EXIT_DONE;
}

/* RFC 4180; ids, handles and words of ours hold no commas, quotes or line ends. */
static void write_csv(const json_t *answer)
{
	const json_t *one;
	size_t i;

	puts("party,role,what,of,count");
	json_array_foreach(json_object_get(answer, "counts"), i, one)
	{
		for (const struct out_col *c = count_cols; c->member; c++) {
			const json_t *v = json_object_get(one, c->member);

			if (json_is_integer(v))
				printf("%lld\n", (long long)json_integer_value(v));
			else
				printf("%s,", json_is_string(v) ? json_string_value(v) : "");
		}
	}
}

static int run_counts(struct cli *cli)
{
	char from_text[24], to_text[24];
	json_t *answer = NULL;
	uint64_t from, to;
	int code = read_time(cli, "from", &from);

	if (code == EXIT_DONE)
		code = read_time(cli, "to", &to);
	if (code != EXIT_DONE)
		return code;
	(void)snprintf(from_text, sizeof(from_text), "%llu", (unsigned long long)from);
	(void)snprintf(to_text, sizeof(to_text), "%llu", (unsigned long long)to);
	code = cli_call(cli, "GET", NULL, &answer, "/v1/counts?from=%s&to=%s", from_text, to_text);
	if (code == EXIT_DONE && cli_opt(cli, "csv"))
		write_csv(answer);
	else if (code == EXIT_DONE)
		out_list(cli, answer, "counts", count_cols);
	json_decref(answer);
	return code;
}

const struct cmd counts_cmds[] = {
	{ "counts", NULL, "", 0, 0, "operator", 0, run_counts,
		"what each party has now, and what it did in a time",
		"attestry counts --from 2026-11-01 --to 2026-12-01 --csv --lab /tmp/lab --as "
		"operator",
		{ { "from", "DAY", "operations from this day on (UTC), or seconds since 1970" },
			{ "to", "DAY", "and before this one" },
			{ "csv", NULL, "CSV instead of a table" } } },
	{ 0 },
};
