/* SPDX-License-Identifier: Apache-2.0 */
/* attestry node: several nodes on one PostgreSQL database. */
#include "cli.h"

#include "base/clock.h"
#include "base/str.h"
#include "ca/keyfile.h"
#include "node_files.h"
#include "store/node.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POINT_HEX (2 * CA_POINT_LEN)

struct place {
	struct config config;
	struct store *store;
};

static enum rc open_place(struct cli *cli, struct place *p, struct diag *d)
{
	char path[PATH_MAX], database[CONFIG_DATABASE_MAX];
	enum rc rc;

	*p = (struct place){ .store = NULL };
	if (!cli_config_path(cli, path))
		return diag_set(d, RC_MALFORMED, "--dir DIR is missing (or --lab)");
	rc = config_read(path, &p->config, d);
	if (rc == RC_OK && !config_is_postgres(&p->config))
		rc = diag_set(d, RC_STATE,
			"several nodes want PostgreSQL: see attestry migrate sqlite-to-postgresql");
	if (rc == RC_OK)
		rc = config_database(&p->config, database, sizeof(database), d);
	return rc == RC_OK ? store_open(database, true, &p->store, d) : rc;
}

static void close_place(struct place *p)
{
	store_close(p->store);
	config_free(&p->config);
}

static int end(struct place *p, enum rc rc, const struct diag *d)
{
	close_place(p);
	return rc == RC_OK ? EXIT_DONE
			   : cli_error(EXIT_REFUSED, "%s", *d->text ? d->text : rc_text(rc));
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= CA_NODE_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* Vouches for a node's key and makes it known. */
static enum rc make_known(
	struct place *p, const char *name, const uint8_t point[CA_POINT_LEN], struct diag *d)
{
	struct store_node n = { .added = clock_system()->unix_s(clock_system()) };
	uint8_t proof[CA_NODE_PROOF_LEN];
	struct ca_key party = { 0 };
	char path[PATH_MAX];
	enum rc rc = str_format(path, sizeof(path), "%s/party.key", p->config.keys.folder);

	if (rc == RC_OK)
		rc = ca_key_load(&party, path, d);
	if (rc == RC_OK)
		rc = ca_node_prove(&party, name, point, proof, d);
	ca_key_free(&party);
	if (rc != RC_OK)
		return rc;
	memcpy(n.name, name, strlen(name) + 1);
	memcpy(n.point, point, sizeof(n.point));
	n.proof = (struct store_blob){ proof, sizeof(proof) };
	rc = store_node_add(p->store, &n);
	if (rc == RC_EXISTS)
		return diag_set(d, rc, "there is a node %s already", name);
	return rc == RC_OK ? rc : diag_set(d, rc, "database: %s", store_why(p->store));
}

/* ---- init ------------------------------------------------------------------------------------ */

static enum rc init_node(struct place *p, const char *name, struct diag *d)
{
	struct ca_key key = { 0 };
	char path[PATH_MAX];
	enum rc rc;

	if (*p->config.node.name)
		return diag_set(d, RC_STATE, "this is node %s already", p->config.node.name);
	rc = str_format(path, sizeof(path), "%s/" CA_NODE_KEY_FILE, p->config.keys.folder);
	if (rc == RC_OK)
		rc = ca_key_new(&key, d);
	if (rc == RC_OK)
		(void)unlink(path); /* of an attempt that did not come to its end */
	if (rc == RC_OK)
		rc = ca_key_store(&key, path, d);
	if (rc == RC_OK)
		rc = make_known(p, name, key.point, d);
	if (rc == RC_OK)
		rc = node_conf_set(p->config.file, "node", "name", name, d);
	ca_key_free(&key);
	return rc;
}

static int run_init(struct cli *cli)
{
	struct diag d = { "" };
	struct place p;
	enum rc rc;

	if (!name_ok(cli->args[0]))
		return cli_usage(cli, "NAME: 1-32 lower-case letters, digits, hyphens");
	rc = open_place(cli, &p, &d);
	if (rc == RC_OK)
		rc = init_node(&p, cli->args[0], &d);
	if (rc == RC_OK)
		out_say(cli,
			"node %s; start attestryd again, then: attestry node add NAME --to DIR",
			cli->args[0]);
	return end(&p, rc, &d);
}

/* ---- key, add, join ---------------------------------------------------------------------------
 */

static enum rc write_request(
	const char *to, const char *name, const uint8_t point[CA_POINT_LEN], struct diag *d)
{
	char path[PATH_MAX], hex[POINT_HEX + 1];
	FILE *f;
	enum rc rc = str_format(path, sizeof(path), "%s/node.request", to);

	if (rc != RC_OK)
		return rc;
	hex_write(point, CA_POINT_LEN, hex);
	f = fopen(path, "w");
	if (!f)
		return diag_errno(d, RC_IO, "%s", path);
	fprintf(f, "attestry-node-request-1 %s %s\n", name, hex);
	return fclose(f) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", path);
}

static enum rc read_request(
	const char *path, const char *name, uint8_t point[CA_POINT_LEN], struct diag *d)
{
	char who[CA_NODE_NAME_MAX + 1] = "", hex[POINT_HEX + 1] = "";
	FILE *f = fopen(path, "r");
	int n;

	if (!f)
		return diag_errno(d, RC_IO, "%s", path);
	n = fscanf(f, "attestry-node-request-1 %32s %130s", who, hex);
	fclose(f);
	if (n != 2 || strlen(hex) != POINT_HEX || hex_read(hex, point, CA_POINT_LEN) != RC_OK ||
		point[0] != 0x04)
		return diag_set(d, RC_MALFORMED, "%s: not a node's request", path);
	if (strcmp(who, name) != 0)
		return diag_set(d, RC_CONFLICT, "%s: the request of node %s", path, who);
	return RC_OK;
}

static int run_key(struct cli *cli)
{
	const char *to = cli_opt(cli, "to");
	uint8_t point[CA_POINT_LEN];
	struct diag d = { "" };
	enum rc rc;

	if (!to || !name_ok(cli->args[0]))
		return cli_usage(cli, to ? "NAME: 1-32 lower-case letters, digits, hyphens"
					 : "--to DIR is missing");
	rc = node_folder_make(to, point, &d);
	if (rc == RC_OK)
		rc = write_request(to, cli->args[0], point, &d);
	if (rc != RC_OK)
		return cli_error(EXIT_REFUSED, "%s", *d.text ? d.text : rc_text(rc));
	out_say(cli,
		"%s/node.request is not secret. On a node: attestry node add %s --dir DIR "
		"--request node.request --out BUNDLE",
		to, cli->args[0]);
	return EXIT_DONE;
}

/* --set section.name=value, for the addresses of the new one. */
static enum rc apply_sets(struct cli *cli, const char *to, struct diag *d)
{
	char conf[PATH_MAX], section[64], name[64];
	struct config config = { 0 };
	const char *text;
	enum rc rc = str_format(conf, sizeof(conf), "%s/attestry.conf", to);

	for (size_t i = 0; rc == RC_OK && (text = cli_opt_nth(cli, "set", i)); i++) {
		const char *dot = strchr(text, '.'), *eq = strchr(text, '=');

		if (!dot || !eq || dot > eq)
			return diag_set(
				d, RC_MALFORMED, "--set \"%s\": must be section.name=value", text);
		rc = str_format(section, sizeof(section), "%.*s", (int)(dot - text), text);
		if (rc == RC_OK)
			rc = str_format(name, sizeof(name), "%.*s", (int)(eq - dot - 1), dot + 1);
		if (rc == RC_OK)
			rc = node_conf_set(conf, section, name, eq + 1, d);
	}
	if (rc == RC_OK)
		rc = config_read(conf, &config, d);
	config_free(&config);
	return rc;
}

static enum rc take_bundle(
	struct cli *cli, const char *from, const char *to, const char *name, struct diag *d)
{
	enum rc rc = node_bundle_take(from, to, name, d);

	return rc == RC_OK ? apply_sets(cli, to, d) : rc;
}

static int run_join(struct cli *cli)
{
	const char *to = cli_opt(cli, "to");
	char conf[PATH_MAX];
	struct config config = { 0 };
	struct diag d = { "" };
	enum rc rc;

	if (!to)
		return cli_usage(cli, "--to DIR is missing");
	rc = str_format(conf, sizeof(conf), "%s/attestry.conf", cli->args[0]);
	if (rc == RC_OK)
		rc = config_read(conf, &config, &d);
	if (rc == RC_OK)
		rc = take_bundle(cli, cli->args[0], to, config.node.name, &d);
	config_free(&config);
	if (rc != RC_OK)
		return cli_error(EXIT_REFUSED, "%s", *d.text ? d.text : rc_text(rc));
	out_say(cli, "next: attestryd --config %s/attestry.conf", to);
	return EXIT_DONE;
}

static void remove_bundle(const char *dir)
{
	char cmd_path[PATH_MAX];
	static const char *const files[] = { "keys.sealed", "tls.sealed", "attestry.conf" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (str_format(cmd_path, sizeof(cmd_path), "%s/%s", dir, files[i]) == RC_OK)
			(void)unlink(cmd_path);
}

/* All three steps on one machine. */
static enum rc add_here(
	struct cli *cli, struct place *p, const char *name, const char *to, struct diag *d)
{
	char bundle[PATH_MAX];
	uint8_t point[CA_POINT_LEN];
	enum rc rc = node_folder_make(to, point, d);

	if (rc == RC_OK)
		rc = str_format(bundle, sizeof(bundle), "%s/bundle", to);
	if (rc == RC_OK)
		rc = node_bundle_write(&p->config, bundle, name, point, d);
	if (rc == RC_OK)
		rc = take_bundle(cli, bundle, to, name, d);
	if (rc == RC_OK)
		remove_bundle(bundle);
	/* Last: a node that nobody knows does nothing. */
	return rc == RC_OK ? make_known(p, name, point, d) : rc;
}

static enum rc add_elsewhere(
	struct place *p, const char *name, const char *request, const char *out, struct diag *d)
{
	uint8_t point[CA_POINT_LEN];
	enum rc rc = read_request(request, name, point, d);

	if (rc == RC_OK)
		rc = node_bundle_write(&p->config, out, name, point, d);
	return rc == RC_OK ? make_known(p, name, point, d) : rc;
}

static int run_add(struct cli *cli)
{
	const char *name = cli->args[0], *to = cli_opt(cli, "to"), *out = cli_opt(cli, "out"),
		   *request = cli_opt(cli, "request");
	struct diag d = { "" };
	struct place p;
	enum rc rc;

	if (!name_ok(name))
		return cli_usage(cli, "NAME: 1-32 lower-case letters, digits, hyphens");
	if (!to == !(out && request))
		return cli_usage(cli, "either --to DIR, or --request FILE and --out DIR");
	rc = open_place(cli, &p, &d);
	if (rc == RC_OK && !*p.config.node.name)
		rc = diag_set(&d, RC_STATE,
			"this registry has no nodes yet: first attestry node init NAME");
	if (rc == RC_OK)
		rc = to ? add_here(cli, &p, name, to, &d)
			: add_elsewhere(&p, name, request, out, &d);
	if (rc == RC_OK && to)
		out_say(cli,
			"next: attestryd --config %s/attestry.conf; it copies the zone, then "
			"follows",
			to);
	else if (rc == RC_OK)
		out_say(cli,
			"%s: its keys are sealed to node %s. There: attestry node join DIR --to "
			"DIR",
			out, name);
	return end(&p, rc, &d);
}

/* ---- list, remove ------------------------------------------------------------------------------
 */

static const struct out_col node_cols[] = {
	{ "name", "node", OUT_TEXT },
	{ "signs", "signs", OUT_BOOL },
	{ "serial", "serial", OUT_TEXT },
	{ "applied", "change", OUT_TEXT },
	{ "behind", "behind", OUT_TEXT },
	{ "silent_ms", "silent ms", OUT_TEXT },
	{ "skew_ms", "clock off ms", OUT_TEXT },
	{ "schema", "schema", OUT_TEXT },
	{ 0 },
};

static enum rc list(struct cli *cli, struct place *p)
{
	struct arena a = arena_init(1u << 20);
	struct store_head head;
	struct store_node *nodes = NULL;
	json_t *rows = json_array(), *all;
	size_t n = 0;
	enum rc rc = store_head_get(p->store, &head);

	if (rc == RC_OK)
		rc = store_node_list(p->store, &a, &nodes, &n);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		json_array_append_new(rows,
			json_pack("{s:s,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "name", nodes[i].name,
				"signs", head.left_ms > 0 && !strcmp(head.holder, nodes[i].name),
				"serial", (json_int_t)nodes[i].serial, "applied",
				(json_int_t)nodes[i].seq, "behind",
				(json_int_t)(store_change_last(p->store) > nodes[i].seq
						     ? store_change_last(p->store) - nodes[i].seq
						     : 0),
				"silent_ms", (json_int_t)nodes[i].silent_ms, "skew_ms",
				(json_int_t)nodes[i].skew_ms, "schema",
				(json_int_t)nodes[i].schema_version, "added",
				(json_int_t)nodes[i].added));
	all = json_pack("{s:o,s:I,s:I,s:I,s:I}", "nodes", rows, "serial", (json_int_t)head.serial,
		"token", (json_int_t)head.token, "lease_left_ms", (json_int_t)head.left_ms,
		"deltas", (json_int_t)head.n);
	if (rc == RC_OK)
		out_list(cli, all, "nodes", node_cols);
	json_decref(all);
	arena_fini(&a);
	return rc;
}

static int run_list(struct cli *cli)
{
	struct diag d = { "" };
	struct place p;
	enum rc rc = open_place(cli, &p, &d);

	if (rc == RC_OK)
		rc = list(cli, &p);
	return end(&p, rc, &d);
}

static int run_remove(struct cli *cli)
{
	struct diag d = { "" };
	struct place p;
	enum rc rc = open_place(cli, &p, &d);

	if (rc == RC_OK)
		rc = store_node_remove(p.store, cli->args[0]);
	if (rc == RC_NOT_FOUND)
		diag_set(&d, rc, "there is no node %s", cli->args[0]);
	if (rc == RC_OK)
		out_say(cli,
			"node %s may do nothing any more; stop its attestryd and destroy its keys",
			cli->args[0]);
	return end(&p, rc, &d);
}

#define SET_OPT                                                                 \
	{                                                                       \
		"set", "SECTION.NAME=VALUE",                                    \
			"a setting of its own, its addresses first; repeatable" \
	}

const struct cmd node_cmds[] = {
	{ "node", "init", "NAME", 1, 1, "operator", CMD_LOCAL, run_init,
		"make a registry on PostgreSQL the first of several nodes",
		"attestry node init a --dir /srv/registry", { { 0 } } },
	{ "node", "add", "NAME", 1, 1, "operator", CMD_LOCAL, run_add,
		"make a further node: its configuration, certificates and sealed keys",
		"attestry node add b --dir /srv/a --to /srv/b --set https.listen=127.0.0.1:8444",
		{ { "to", "DIR", "its folder, on this machine" },
			{ "request", "FILE", "what `node key` wrote on its machine" },
			{ "out", "DIR", "where to put what goes there; nothing in it is in clear" },
			SET_OPT } },
	{ "node", "key", "NAME", 1, 1, "operator", CMD_LOCAL, run_key,
		"on the new machine: make the folder and the node's own key",
		"attestry node key b --to /srv/registry", { { "to", "DIR", "absent or empty" } } },
	{ "node", "join", "BUNDLE", 1, 1, "operator", CMD_LOCAL, run_join,
		"on the new machine: take what `node add --out` wrote",
		"attestry node join bundle --to /srv/registry",
		{ { "to", "DIR", "as with `node key`" }, SET_OPT } },
	{ "node", "list", "", 0, 0, "operator", CMD_LOCAL, run_list,
		"the nodes: who signs, how far each is, whose clock is off",
		"attestry node list --dir /srv/registry", { { 0 } } },
	{ "node", "remove", "NAME", 1, 1, "operator", CMD_LOCAL, run_remove,
		"a node may do nothing any more, from now on",
		"attestry node remove b --dir /srv/registry", { { 0 } } },
	{ 0 },
};
