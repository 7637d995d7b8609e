/* SPDX-License-Identifier: Apache-2.0 */
/* attestry backup, restore, migrate: a registry's content and files, kept, brought back, moved. A
 * backup's database is an SQLite file whatever the registry runs on. */
#include "cli.h"

#include "backup.h"
#include "migrate_zone.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "role/config.h"
#include "store/audit.h"
#include "store/copy.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST     "manifest.json"
#define MANIFEST_MAX (4u << 20)
#define CONF_NAME    "attestry.conf"

/* A line when a table begins, and every hundred thousand rows. */
struct progress {
	const struct cli *cli;
	const char *table;
	uint64_t told;
};

static void show_progress(const char *table, uint64_t rows, void *user)
{
	struct progress *p = user;

	if (p->cli->json || (p->table && strcmp(p->table, table) == 0 && rows - p->told < 100000))
		return;
	fprintf(stderr, "%s: %llu rows in all\n", table, (unsigned long long)rows);
	p->table = table;
	p->told = rows;
}

/* {"party": {"rows": n, "sha256": hex}, ...} */
static json_t *digests_json(const struct store_digest *digests, size_t n)
{
	json_t *out = json_object();

	for (size_t i = 0; i < n; i++) {
		char hex[2 * STORE_SHA256 + 1];

		hex_write(digests[i].sha256, STORE_SHA256, hex);
		json_object_set_new(out, digests[i].table,
			json_pack("{s:I,s:s}", "rows", (json_int_t)digests[i].rows, "sha256", hex));
	}
	return out;
}

static enum rc digest_of(struct store *s, json_t **out, uint64_t *rows, struct diag *d)
{
	struct store_digest digests[STORE_TABLES_MAX];
	size_t n = 0;
	enum rc rc = store_digest(s, digests, &n, d);

	if (rc != RC_OK)
		return rc;
	*rows = 0;
	for (size_t i = 0; i < n; i++)
		*rows += digests[i].rows;
	*out = digests_json(digests, n);
	return RC_OK;
}

/* Copies one state of `from` and shows that the copy is equal; *out are the digests of both. */
static enum rc copy_and_compare(struct cli *cli, struct store *from, struct store *to, json_t **out,
	uint64_t *rows, struct diag *d)
{
	struct progress progress = { .cli = cli };
	json_t *a = NULL, *b = NULL;
	enum rc rc = store_copy(from, to, show_progress, &progress, d);

	if (rc == RC_OK)
		rc = digest_of(from, &a, rows, d);
	if (rc == RC_OK)
		rc = digest_of(to, &b, rows, d);
	if (rc == RC_OK && !json_equal(a, b))
		rc = diag_set(d, RC_CONFLICT, "the copy is not equal to the original");
	json_decref(b);
	if (rc == RC_OK)
		*out = a;
	else
		json_decref(a);
	return rc;
}

static enum rc check_audit(struct store *s, struct diag *d)
{
	struct store_audit_report report;

	return store_audit_verify(s, &report, d);
}

/* ---- backup ------------------------------------------------------------------------------ */

static enum rc backup_database(
	struct cli *cli, const char *database, const char *dir, json_t *manifest, struct diag *d)
{
	struct store *from = NULL, *to = NULL;
	char path[PATH_MAX];
	json_t *tables = NULL;
	uint64_t rows = 0;
	enum rc rc = str_format(path, sizeof(path), "%s/registry.db", dir);

	if (rc == RC_OK)
		rc = store_open(database, false, &from, d);
	if (rc == RC_OK)
		rc = store_sqlite_open(path, true, &to, d);
	if (rc == RC_OK)
		rc = store_read_begin(from);
	if (rc == RC_OK) {
		rc = copy_and_compare(cli, from, to, &tables, &rows, d);
		store_read_end(from);
	}
	if (rc == RC_OK)
		rc = check_audit(to, d);
	store_close(to);
	store_close(from);
	if (rc != RC_OK)
		return rc;
	json_object_set_new(manifest, "tables", tables);
	json_object_set_new(manifest, "rows", json_integer((json_int_t)rows));
	return chmod(path, 0600) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", path);
}

static enum rc make_backup(
	struct cli *cli, const struct config *config, const char *dir, bool keys, struct diag *d)
{
	char database[CONFIG_DATABASE_MAX], path[PATH_MAX];
	json_t *manifest = json_pack("{s:s,s:s,s:I,s:b}", "format", "attestry-backup-1", "zone",
		config->registry.zone, "created",
		(json_int_t)clock_system()->unix_s(clock_system()), "keys", keys);
	json_t *files = json_object();
	char *text;
	enum rc rc = manifest && files ? config_database(config, database, sizeof(database), d)
				       : RC_NOMEM;

	if (rc == RC_OK)
		rc = backup_database(cli, database, dir, manifest, d);
	/* After the database: every certificate in it is then in the issue log too. */
	if (rc == RC_OK)
		rc = backup_files(config->dir, dir, keys, files, d);
	json_object_set(manifest, "files", files);
	json_decref(files);
	text = rc == RC_OK ? json_dumps(manifest, JSON_INDENT(2)) : NULL;
	/* Last: a folder without it is no backup. */
	if (rc == RC_OK)
		rc = str_format(path, sizeof(path), "%s/" MANIFEST, dir);
	if (rc == RC_OK)
		rc = text ? file_write_atomic(path, text, strlen(text), 0600, d) : RC_NOMEM;
	if (rc == RC_OK && cli->json)
		out_json(manifest);
	else if (rc == RC_OK)
		printf("%s rows=%lld files=%zu%s\n", dir,
			(long long)json_integer_value(json_object_get(manifest, "rows")),
			json_object_size(json_object_get(manifest, "files")),
			keys ? " with private keys: keep it as you keep them"
			     : " without the registry's keys");
	free(text);
	json_decref(manifest);
	return rc;
}

static int run_backup(struct cli *cli)
{
	struct config config = { 0 };
	struct diag d = { "" };
	char path[PATH_MAX];
	enum rc rc;

	if (!cli_config_path(cli, path))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	rc = config_read(path, &config, &d);
	if (rc == RC_OK && mkdir(cli->args[0], 0700) != 0)
		rc = diag_errno(&d, RC_IO, "%s", cli->args[0]);
	if (rc == RC_OK)
		rc = make_backup(cli, &config, cli->args[0], cli_opt(cli, "keys") != NULL, &d);
	config_free(&config);
	return rc == RC_OK ? EXIT_DONE
			   : cli_error(EXIT_REFUSED, "%s", *d.text ? d.text : rc_text(rc));
}

/* ---- restore ----------------------------------------------------------------------------- */

static enum rc read_manifest(const char *dir, json_t **out, struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc = str_format(path, sizeof(path), "%s/" MANIFEST, dir);

	if (rc == RC_OK)
		rc = file_read(path, MANIFEST_MAX, &text, &len, d);
	if (rc != RC_OK)
		return rc;
	*out = json_loadb((const char *)text, len, 0, NULL);
	free(text);
	if (!*out || strcmp(json_string_value(json_object_get(*out, "format"))
				     ? json_string_value(json_object_get(*out, "format"))
				     : "",
			     "attestry-backup-1") != 0) {
		json_decref(*out);
		*out = NULL;
		return diag_set(d, RC_MALFORMED, "%s: not a backup's manifest", path);
	}
	return RC_OK;
}

static enum rc restore_database(struct cli *cli, const char *from_dir, const char *database,
	json_t *manifest, struct diag *d)
{
	struct store *from = NULL, *to = NULL;
	char path[PATH_MAX];
	json_t *tables = NULL;
	uint64_t rows = 0;
	enum rc rc = str_format(path, sizeof(path), "%s/registry.db", from_dir);

	if (rc == RC_OK)
		rc = store_open(path, false, &from, d);
	if (rc == RC_OK)
		rc = store_open(database, true, &to, d);
	if (rc == RC_OK)
		rc = store_read_begin(from);
	if (rc == RC_OK) {
		rc = copy_and_compare(cli, from, to, &tables, &rows, d);
		store_read_end(from);
	}
	if (rc == RC_OK && !json_equal(tables, json_object_get(manifest, "tables")))
		rc = diag_set(d, RC_CONFLICT, "%s is not what its manifest says", path);
	if (rc == RC_OK)
		rc = check_audit(to, d);
	json_decref(tables);
	store_close(to);
	store_close(from);
	return rc;
}

static enum rc restore(
	struct cli *cli, const char *from, const char *dir, json_t *manifest, struct diag *d)
{
	const char *url = cli_opt(cli, "database");
	char conf[PATH_MAX], database[CONFIG_DATABASE_MAX];
	struct config config = { 0 };
	enum rc rc = restore_files(from, dir, json_object_get(manifest, "files"), d);

	if (rc == RC_OK)
		rc = str_format(conf, sizeof(conf), "%s/" CONF_NAME, dir);
	if (rc == RC_OK && url)
		rc = backup_set_database(conf, url, d);
	if (rc == RC_OK)
		rc = config_read(conf, &config, d);
	if (rc == RC_OK)
		rc = config_database(&config, database, sizeof(database), d);
	if (rc == RC_OK)
		rc = restore_database(cli, from, database, manifest, d);
	config_free(&config);
	return rc;
}

static int run_restore(struct cli *cli)
{
	const char *from = cli->args[0], *dir = cli->args[1];
	struct diag d = { "" };
	json_t *manifest = NULL;
	enum rc rc = read_manifest(from, &manifest, &d);
	bool keys;

	if (rc == RC_OK)
		rc = restore(cli, from, dir, manifest, &d);
	keys = json_is_true(json_object_get(manifest, "keys"));
	if (rc == RC_OK && !cli->json)
		printf("%s rows=%lld, equal to the backup\n\nnext: %sattestryd --config "
		       "%s/" CONF_NAME "\n",
			dir, (long long)json_integer_value(json_object_get(manifest, "rows")),
			keys ? "" : "put the keys folder back, then ", dir);
	json_decref(manifest);
	return rc == RC_OK ? EXIT_DONE
			   : cli_error(EXIT_REFUSED, "%s", *d.text ? d.text : rc_text(rc));
}

/* ---- migrate ----------------------------------------------------------------------------- */

/* A registry that runs would go on writing to the old place. */
static enum rc check_stopped(const struct config *config, struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	uint64_t pid = 0;
	enum rc rc =
		str_format(path, sizeof(path), "%s/attestryd.pid", config->supervisor.run_folder);

	if (rc != RC_OK)
		return rc;
	if (file_read(path, 64, &text, &len, NULL) != RC_OK)
		return RC_OK;
	text[strcspn((const char *)text, "\n")] = '\0';
	rc = u64_read((const char *)text, 1, 1u << 30, &pid);
	free(text);
	if (rc == RC_OK && (kill((pid_t)pid, 0) == 0 || errno == EPERM))
		return diag_set(d, RC_STATE, "stop attestryd first (process %llu)",
			(unsigned long long)pid);
	return RC_OK;
}

static enum rc migrate(struct cli *cli, const struct config *config, const char *url,
	uint64_t *rows, struct zone_compared *zone, struct diag *d)
{
	char database[CONFIG_DATABASE_MAX];
	struct store *from = NULL, *to = NULL;
	json_t *tables = NULL;
	enum rc rc;

	if (config_is_postgres(config))
		return diag_set(d, RC_STATE, "the registry is on PostgreSQL already");
	if (!store_is_url(url))
		return diag_set(d, RC_MALFORMED, "--to: not a postgresql:// URL");
	rc = check_stopped(config, d);
	if (rc == RC_OK)
		rc = config_database(config, database, sizeof(database), d);
	if (rc == RC_OK)
		rc = store_open(database, true, &from, d);
	if (rc == RC_OK)
		rc = store_open(url, true, &to, d);
	/* The write lock: nothing changes on either side from here on. */
	if (rc == RC_OK)
		rc = store_begin(from);
	if (rc == RC_OK) {
		rc = copy_and_compare(cli, from, to, &tables, rows, d);
		store_rollback(from);
	}
	if (rc == RC_OK)
		rc = check_audit(to, d);
	if (rc == RC_OK)
		rc = migrate_zone_compare(
			config->zone.folder, to, clock_system()->unix_s(clock_system()), zone, d);
	json_decref(tables);
	store_close(to);
	store_close(from);
	/* Last: until here the registry is where it was. */
	return rc == RC_OK ? backup_set_database(config->file, url, d) : rc;
}

static int run_migrate(struct cli *cli)
{
	const char *url = cli_opt(cli, "to");
	struct config config = { 0 };
	struct diag d = { "" };
	char path[PATH_MAX];
	struct zone_compared zone = { .have = false };
	char said[120] = "there is no zone yet";
	uint64_t rows = 0;
	enum rc rc;

	if (!url)
		return cli_usage(cli, "--to URL is missing");
	if (!cli_config_path(cli, path))
		return cli_usage(cli, "--dir DIR is missing (or --lab)");
	rc = config_read(path, &config, &d);
	if (rc == RC_OK)
		rc = migrate(cli, &config, url, &rows, &zone, &d);
	config_free(&config);
	if (rc != RC_OK)
		return cli_error(EXIT_REFUSED, "%s", *d.text ? d.text : rc_text(rc));
	if (zone.behind)
		snprintf(said, sizeof(said),
			"the zone was %llu changes behind and was not compared",
			(unsigned long long)zone.behind);
	else if (zone.have)
		snprintf(said, sizeof(said), "the zone serves its %llu devices and no other",
			(unsigned long long)zone.names);
	out_say(cli, "rows=%llu, every table and the audit chain equal; %s; %s now names %s",
		(unsigned long long)rows, said, path, url);
	return EXIT_DONE;
}

const struct cmd backup_cmds[] = {
	{ "backup", NULL, "FOLDER", 1, 1, "operator", CMD_LOCAL, run_backup,
		"copy one state of a running registry, compared and complete",
		"attestry backup /backup/monday --dir /srv/registry --keys",
		{ { "keys", NULL, "the private keys too, the root's not" } } },
	{ "restore", NULL, "FOLDER DIR", 2, 2, "operator", CMD_LOCAL, run_restore,
		"make a registry from a backup, in an absent or empty folder",
		"attestry restore /backup/monday /srv/registry",
		{ { "database", "URL", "into an empty PostgreSQL database, or another one" } } },
	{ "migrate", "sqlite-to-postgresql", "", 0, 0, "operator", CMD_LOCAL, run_migrate,
		"move a stopped registry's content to PostgreSQL and compare it",
		"attestry migrate sqlite-to-postgresql --dir /srv/registry "
		"--to 'postgresql:///attestry?host=/run/postgresql'",
		{ { "to", "URL", "an empty PostgreSQL database" } } },
	{ 0 },
};
