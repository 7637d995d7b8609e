/* SPDX-License-Identifier: Apache-2.0 */
/* attestry audit: who did what, and whether anyone has touched the record since. */
#include "cli.h"

#include "base/str.h"
#include "ca/node.h"
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

/* What nodes have said of their chains, and others kept: "row=N hash=HEX signature=HEX". */
struct heads {
	struct store *store;
	struct store_node *nodes;
	size_t count;
	struct arena arena;
	uint64_t said, anchors, unknown; /* unknown: of nodes that are no more */
};

static enum rc read_head(
	const char *detail, uint64_t *row, uint8_t hash[STORE_SHA256], uint8_t sig[64])
{
	unsigned long long n = 0;
	char hash_hex[65] = "", sig_hex[129] = "";
	int used = 0;

	if (sscanf(detail, "row=%llu hash=%64[0-9a-f] signature=%128[0-9a-f]%n", &n, hash_hex,
		    sig_hex, &used) != 3 ||
		detail[used] || strlen(hash_hex) != 64 || strlen(sig_hex) != 128)
		return RC_MALFORMED;
	*row = n;
	return hex_read(hash_hex, hash, STORE_SHA256) == RC_OK ? hex_read(sig_hex, sig, 64)
							       : RC_MALFORMED;
}

/* The row that is spoken of is before this one, and was found good. */
static enum rc check_said(
	struct heads *h, const struct store_audit *row, const char *node, struct diag *d)
{
	struct arena a = arena_init(1u << 20);
	struct store_audit *said = NULL;
	uint8_t hash[STORE_SHA256], sig[64];
	uint64_t seq = 0;
	size_t n = 0;
	enum rc rc = read_head(row->detail, &seq, hash, sig);

	if (rc == RC_OK && (seq == 0 || seq >= row->seq))
		rc = RC_CONFLICT;
	if (rc == RC_OK)
		rc = store_audit_list(h->store, seq - 1, 1, &a, &said, &n);
	if (rc == RC_OK && (n != 1 || said->seq != seq || strcmp(said->node, node) != 0 ||
				   memcmp(said->hash, hash, sizeof(hash)) != 0))
		rc = RC_CONFLICT;
	arena_fini(&a);
	for (size_t i = 0; rc == RC_OK && i < h->count; i++)
		if (strcmp(h->nodes[i].name, node) == 0)
			return ca_node_check_head(h->nodes[i].point, node, seq, hash, sig, 64) ==
					       RC_OK
				       ? RC_OK
				       : diag_set(d, RC_CONFLICT,
						 "audit: row %llu: not signed by node %s",
						 (unsigned long long)row->seq, node);
	if (rc == RC_OK)
		h->unknown++;
	return rc == RC_OK
		       ? rc
		       : diag_set(d, RC_CONFLICT,
				 "audit: row %llu: the chain of node %s is not what it was then",
				 (unsigned long long)row->seq, node);
}

static enum rc on_row(const struct store_audit *row, const struct store_audit_chain *chain,
	void *user, struct diag *d)
{
	struct heads *h = user;

	(void)chain;
	if (*row->node && strcmp(row->operation, "audit.head") == 0) {
		h->said++;
		return check_said(h, row, row->node, d);
	}
	if (*row->node && strcmp(row->operation, "audit.anchor") == 0) {
		h->anchors++;
		return check_said(h, row, row->object, d);
	}
	return RC_OK;
}

static json_t *chains_json(const struct store_audit_report *r)
{
	json_t *out = json_array();
	char head[2 * STORE_SHA256 + 1];

	for (size_t i = 0; i < r->chains; i++) {
		hex_write(r->chain[i].head, STORE_SHA256, head);
		json_array_append_new(out, json_pack("{s:s,s:I,s:I,s:s}", "node", r->chain[i].node,
						   "rows", (json_int_t)r->chain[i].rows, "last",
						   (json_int_t)r->chain[i].last, "head", head));
	}
	return out;
}

static int run_verify(struct cli *cli)
{
	struct heads heads = { .arena = arena_init(1u << 20) };
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
	heads.store = store;
	if (store_is_url(path) &&
		store_node_list(store, &heads.arena, &heads.nodes, &heads.count) != RC_OK)
		heads.count = 0;
	rc = store_audit_walk(store, on_row, &heads, &report, &d);
	store_close(store);
	arena_fini(&heads.arena);
	hex_write(report.head, sizeof(report.head), head);
	if (cli->json) {
		json_t *json = json_pack("{s:b,s:o,s:I,s:I,s:I,s:I,s:s}", "ok", rc == RC_OK,
			"chains", chains_json(&report), "heads", (json_int_t)heads.said, "anchors",
			(json_int_t)heads.anchors, "rows", (json_int_t)report.rows, "broken_at",
			(json_int_t)report.broken_at, "head", head);
		out_json(json);
		json_decref(json);
	}
	if (rc == RC_OK) {
		out_say(cli, "%llu rows, unbroken\nhead  %s", (unsigned long long)report.rows,
			head);
		for (size_t i = 0; i < report.chains && *report.chain[report.chains - 1].node; i++)
			out_say(cli, "node %-8s %llu rows, the last is %llu",
				*report.chain[i].node ? report.chain[i].node : "-",
				(unsigned long long)report.chain[i].rows,
				(unsigned long long)report.chain[i].last);
		if (heads.said)
			out_say(cli, "%llu chain ends signed, %llu kept by other nodes",
				(unsigned long long)heads.said, (unsigned long long)heads.anchors);
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
