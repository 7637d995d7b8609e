/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 24
#define ID_HEAD	   "INSERT INTO "
#define ID_TAIL	   " RETURNING id"
#define BUSY_MS	   5000 /* only another process's administration command can make us wait */

/* An INSERT that tells the row's id. SQLite's own RETURNING gathers rows in a table of its own: a
 * third of the statement's cost, for what the connection knows anyhow. */
enum id_row { ID_NONE, ID_DUE, ID_TOLD };

struct statement {
	sqlite3_stmt *stmt;
	enum id_row id_row;
	int8_t index[PARAMS_MAX + 1]; /* of $n; 0 = not in the text */
};

struct sqlite_store {
	struct store base;
	sqlite3 *db;
	bool writable;
	int wal_pages;
	struct statement *current;
	struct statement statements[ST__SLOTS];
	sqlite3_stmt *commands[ST__COMMAND_COUNT];
};

static struct sqlite_store *of(struct store *s)
{
	return (struct sqlite_store *)s;
}

static enum rc failed(struct sqlite_store *s)
{
	int code = sqlite3_extended_errcode(s->db);

	snprintf(s->base.why, sizeof(s->base.why), "sqlite: %s (%d)", sqlite3_errstr(code), code);
	switch (code) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY: return RC_EXISTS;
	case SQLITE_CONSTRAINT_FOREIGNKEY: return RC_CONFLICT;
	case SQLITE_NOMEM: return RC_NOMEM;
	default: break;
	}
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return RC_BUSY;
	default: return RC_IO;
	}
}

static void sq_start(struct store *base, enum st__sql id)
{
	struct sqlite_store *s = of(base);

	s->current = &s->statements[id];
}

static int index_of(const struct sqlite_store *s, int n)
{
	return n <= PARAMS_MAX ? s->current->index[n] : 0;
}

/* A failed bind shows as a failed step: SQLite refuses to run with a misused statement, and an
 * unbound parameter is NULL, which NOT NULL columns refuse. */
static void sq_bind_int(struct store *base, int n, int64_t v)
{
	struct sqlite_store *s = of(base);

	sqlite3_bind_int64(s->current->stmt, index_of(s, n), v);
}

static void sq_bind_text(struct store *base, int n, const char *v)
{
	struct sqlite_store *s = of(base);

	sqlite3_bind_text(s->current->stmt, index_of(s, n), v, -1, SQLITE_STATIC);
}

static void sq_bind_blob(struct store *base, int n, const void *v, size_t len)
{
	struct sqlite_store *s = of(base);

	sqlite3_bind_blob64(s->current->stmt, index_of(s, n), v, len, SQLITE_STATIC);
}

static enum rc sq_step(struct store *base)
{
	struct sqlite_store *s = of(base);

	if (s->current->id_row == ID_TOLD)
		return RC_NOT_FOUND;
	switch (sqlite3_step(s->current->stmt)) {
	case SQLITE_ROW: return RC_OK;
	case SQLITE_DONE: break;
	default: return failed(s);
	}
	if (s->current->id_row == ID_NONE)
		return RC_NOT_FOUND;
	s->current->id_row = ID_TOLD;
	return RC_OK;
}

static int64_t sq_col_int(struct store *base, int col)
{
	struct sqlite_store *s = of(base);

	if (s->current->id_row == ID_TOLD)
		return sqlite3_last_insert_rowid(s->db);
	return sqlite3_column_int64(s->current->stmt, col);
}

static const void *sq_col_bytes(struct store *base, int col, size_t *len)
{
	sqlite3_stmt *stmt = of(base)->current->stmt;
	const void *v;

	if (sqlite3_column_type(stmt, col) == SQLITE_NULL)
		return NULL;
	v = sqlite3_column_blob(stmt, col);
	*len = (size_t)sqlite3_column_bytes(stmt, col);
	return v ? v : ""; /* SQLite gives NULL for an empty value */
}

static void sq_end(struct store *base)
{
	struct sqlite_store *s = of(base);

	sqlite3_reset(s->current->stmt);
	sqlite3_clear_bindings(s->current->stmt);
	if (s->current->id_row == ID_TOLD)
		s->current->id_row = ID_DUE;
}

static enum rc sq_command(struct store *base, enum st__command c)
{
	struct sqlite_store *s = of(base);
	int rc = sqlite3_step(s->commands[c]);
	enum rc out = rc == SQLITE_DONE || rc == SQLITE_ROW ? RC_OK : failed(s);

	sqlite3_reset(s->commands[c]);
	return out;
}

static int sq_wal_pages(const struct store *base)
{
	return ((const struct sqlite_store *)base)->wal_pages;
}

/* A failure leaves the log as it is; the next attempt comes with the next commits. */
static void sq_checkpoint(struct store *base)
{
	sqlite3_wal_checkpoint_v2(of(base)->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static void sq_close(struct store *base)
{
	struct sqlite_store *s = of(base);

	for (int i = 0; i < ST__SLOTS; i++)
		sqlite3_finalize(s->statements[i].stmt);
	for (int i = 0; i < ST__COMMAND_COUNT; i++)
		sqlite3_finalize(s->commands[i]);
	sqlite3_close(s->db);
	st__fini(base);
	free(s);
}

static enum rc sq_define(struct store *base, enum st__sql slot, const char *sql);

static const struct st__engine engine = {
	.define = sq_define,
	.start = sq_start,
	.bind_int = sq_bind_int,
	.bind_text = sq_bind_text,
	.bind_blob = sq_bind_blob,
	.step = sq_step,
	.col_int = sq_col_int,
	.col_bytes = sq_col_bytes,
	.end = sq_end,
	.command = sq_command,
	.wal_pages = sq_wal_pages,
	.checkpoint = sq_checkpoint,
	.close = sq_close,
};

/* Keeps SQLite from checkpointing in the committing thread and tells how long the log is. */
static int on_wal(void *user, sqlite3 *db ATT_UNUSED, const char *name ATT_UNUSED, int pages)
{
	struct sqlite_store *s = user;

	s->wal_pages = pages;
	return SQLITE_OK;
}

static enum rc exec(struct sqlite_store *s, const char *sql, struct diag *d)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return RC_OK;
	return diag_set(d, failed(s), "database: %s", sqlite3_errmsg(s->db));
}

static enum rc user_version(struct sqlite_store *s, int *out, struct diag *d)
{
	sqlite3_stmt *stmt = NULL;
	enum rc rc = RC_OK;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW)
		rc = diag_set(d, failed(s), "database: %s", sqlite3_errmsg(s->db));
	else
		*out = sqlite3_column_int(stmt, 0);
	sqlite3_finalize(stmt);
	return rc;
}

/* Each migration and its number go in one transaction: a crash leaves the old or the new. */
static enum rc migrate(struct sqlite_store *s, struct diag *d)
{
	int version = 0;
	enum rc rc = user_version(s, &version, d);

	if (rc != RC_OK)
		return rc;
	if (version > st__schema_count)
		return diag_set(d, RC_UNSUPPORTED,
			"database: schema %d is newer than this program's %d", version,
			st__schema_count);
	if (version < st__schema_count && !s->writable)
		return diag_set(d, RC_UNSUPPORTED, "database: schema %d is older than %d", version,
			st__schema_count);
	for (; version < st__schema_count; version++) {
		char mark[64];

		snprintf(mark, sizeof(mark), "PRAGMA user_version = %d", version + 1);
		rc = exec(s, "BEGIN IMMEDIATE", d);
		if (rc == RC_OK)
			rc = exec(s, st__schema[version], d);
		if (rc == RC_OK)
			rc = exec(s, mark, d);
		if (rc == RC_OK)
			rc = exec(s, "COMMIT", d);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc prepare_one(
	struct sqlite_store *s, const char *sql, sqlite3_stmt **out, struct diag *d)
{
	if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK)
		return RC_OK;
	return diag_set(d, failed(s), "database: %s in: %s", sqlite3_errmsg(s->db), sql);
}

static enum rc prepare_statement(
	struct sqlite_store *s, enum st__sql id, const char *sql, struct diag *d)
{
	struct statement *st = &s->statements[id];
	size_t len = strlen(sql);
	size_t tail = strlen(ID_TAIL);
	char *plain = NULL;
	enum rc rc;

	/* One row for certain, whose id is its rowid: no SELECT, no conflict that is passed over.
	 */
	st->id_row = ID_NONE;
	if (strncmp(sql, ID_HEAD, strlen(ID_HEAD)) == 0 && len > tail &&
		strcmp(sql + len - tail, ID_TAIL) == 0 && !strstr(sql, "SELECT") &&
		!strstr(sql, "CONFLICT")) {
		plain = strndup(sql, len - tail);
		if (!plain)
			return RC_NOMEM;
		st->id_row = ID_DUE;
	}
	rc = prepare_one(s, plain ? plain : sql, &st->stmt, d);
	free(plain);

	for (int n = 1; n <= PARAMS_MAX && rc == RC_OK; n++) {
		char name[8];

		snprintf(name, sizeof(name), "$%d", n);
		st->index[n] = (int8_t)sqlite3_bind_parameter_index(st->stmt, name);
	}
	return rc;
}

static enum rc sq_define(struct store *base, enum st__sql slot, const char *sql)
{
	struct sqlite_store *s = of(base);
	struct diag d = { "" };

	sqlite3_finalize(s->statements[slot].stmt);
	s->statements[slot].stmt = NULL;
	return prepare_statement(s, slot, sql, &d);
}

static enum rc prepare(struct sqlite_store *s, struct diag *d)
{
#define SQL_TEXT(id, text) text,
	static const char *const texts[] = { ST__SQL_LIST(SQL_TEXT) };
#undef SQL_TEXT
	static const char *const commands[ST__COMMAND_COUNT] = {
		[ST__BEGIN] = "BEGIN IMMEDIATE",
		[ST__COMMIT] = "COMMIT",
		[ST__ROLLBACK] = "ROLLBACK",
		[ST__SAVEPOINT] = "SAVEPOINT one",
		[ST__RELEASE] = "RELEASE one",
		[ST__ROLLBACK_TO] = "ROLLBACK TO one",
		[ST__READ_BEGIN] = "BEGIN",
		[ST__NOTIFY] = "SELECT 1",
	};
	enum rc rc = RC_OK;

	for (int i = 0; i < ST__SQL_SHARED && rc == RC_OK; i++)
		rc = prepare_statement(s, (enum st__sql)i, texts[i], d);
	for (int i = 0; i < ST__COMMAND_COUNT && rc == RC_OK; i++)
		rc = prepare_one(s, commands[i], &s->commands[i], d);
	return rc;
}

static enum rc set_up(struct sqlite_store *s, struct diag *d)
{
	static const char *const pragmas[] = {
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA foreign_keys = ON",
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA cache_size = -65536",
	};
	enum rc rc = RC_OK;

	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	for (size_t i = s->writable ? 0 : 1; i < ARRAY_LEN(pragmas) && rc == RC_OK; i++)
		rc = exec(s, pragmas[i], d);
	if (rc == RC_OK)
		rc = migrate(s, d);
	if (rc == RC_OK)
		rc = prepare(s, d);
	if (rc == RC_OK)
		rc = st__load_marks(&s->base);
	sqlite3_wal_hook(s->db, on_wal, s);
	return rc;
}

enum rc store_sqlite_open(const char *path, bool writable, struct store **out, struct diag *d)
{
	struct sqlite_store *s = calloc(1, sizeof(*s));
	int flags = SQLITE_OPEN_NOMUTEX |
		    (writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
	enum rc rc;

	if (!s)
		return RC_NOMEM;
	/* Memory statistics cost a mutex per allocation; a refusal (too late in this process) costs
	 * only that. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	s->base.engine = &engine;
	s->writable = writable;
	rc = st__init(&s->base);
	if (rc == RC_OK && sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
		rc = diag_set(d, RC_IO, "database %s: %s", path,
			s->db ? sqlite3_errmsg(s->db) : "out of memory");
	if (rc == RC_OK)
		rc = set_up(s, d);
	if (rc != RC_OK) {
		sq_close(&s->base);
		return rc;
	}
	*out = &s->base;
	return RC_OK;
}
