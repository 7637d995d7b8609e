/* SPDX-License-Identifier: Apache-2.0 */
/* attestry audit: who did what, and whether anyone has touched the record since. */
#include "cli.h"

#include "base/str.h"
#include "role/config.h"
#include "store/audit.h"

#include <string.h>

static const struct out_col audit_cols[] = {
	{ "seq", "row", OUT_TEXT },
	{ "time", "time", OUT_TIME },
	{ "party", "party", OUT_TEXT },
	{ "operation", "operation", OUT_TEXT },
	{ "object", "object", OUT_TEXT },
	{ "detail", "detail", OUT_TEXT },
	{ 0 },
};

static int run_list(struct cli *cli)
{
	const char *after = cli_opt(cli, "after"), *limit = cli_opt(cli, "limit");
	json_t *answer = NULL;
	int code = cli_call(cli, "GET", NULL, &answer, "/v1/audit?after=%s&limit=%s",
		after ? after : "0", limit ? limit : "100");

	if (code == EXIT_DONE)
		out_list(cli, answer, "rows", audit_cols);
	json_decref(answer);
	return code;
}

/* --db, or the database of the lab or of --dir. */
static int db_path(struct cli *cli, char out[PATH_MAX])
{
	const char *given = cli_opt(cli, "db");
	struct config config = { 0 };
	struct diag d = { 0 };
	char path[PATH_MAX];
	enum rc rc;

	if (given)
		return str_copy(out, PATH_MAX, given) == RC_OK ? EXIT_DONE : EXIT_USAGE;
	if (!cli_config_path(cli, path))
		return cli_usage(cli, "--db FILE is missing (or --lab, or --dir)");
	rc = config_read(path, &config, &d);
	if (rc == RC_OK)
		rc = config_database(&config, out, PATH_MAX, &d);
	config_free(&config);
	return rc == RC_OK ? EXIT_DONE : cli_error(EXIT_USAGE, "%s", d.text);
}

static int run_verify(struct cli *cli)
{
	struct store_audit_report report = { 0 };
	struct store *store = NULL;
	struct diag d = { 0 };
	char path[PATH_MAX], head[2 * STORE_SHA256 + 1];
	int code = db_path(cli, path);
	enum rc rc;

	if (code != EXIT_DONE)
		return code;
	if (store_open(path, false, &store, &d) != RC_OK)
		return cli_error(EXIT_USAGE, "%s: %s", path, d.text);
	rc = store_audit_verify(store, &report, &d);
	store_close(store);
	hex_write(report.head, sizeof(report.head), head);
	if (cli->json) {
		json_t *json = json_pack("{s:b,s:I,s:I,s:s}", "ok", rc == RC_OK, "rows",
			(json_int_t)report.rows, "broken_at", (json_int_t)report.broken_at, "head",
			head);
		out_json(json);
		json_decref(json);
	}
	if (rc == RC_OK) {
		out_say(cli, "%llu rows, unbroken\nhead  %s", (unsigned long long)report.rows,
			head);
		return EXIT_DONE;
	}
	return cli_error(rc == RC_CONFLICT ? EXIT_REFUSED : EXIT_USAGE, "%s", d.text);
}

const struct cmd audit_cmds[] = {
	{ "audit", "list", "", 0, 0, "operator", 0, run_list, "what was done, oldest first",
		"attestry audit list --lab /tmp/lab",
		{ { "after", "ROW", "only rows after this one" },
			{ "limit", "N", "at most so many (default 100)" } } },
	{ "audit", "verify", "", 0, 0, "operator", CMD_LOCAL, run_verify,
		"recompute the chain over the audit: was a row changed, removed or put in",
		"attestry audit verify --db var/db/registry.db",
		{ { "db", "FILE|URL", "the registry's SQLite file, or its postgresql:// URL" } } },
	{ 0 },
};
