/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_POSTED 10000 /* results remembered for repeats */

struct mno_state {
	sqlite3 *db;
	bool open; /* a transaction is */
};

static const char schema[] =
	"PRAGMA journal_mode = WAL;"
	"PRAGMA synchronous = FULL;"
	"CREATE TABLE IF NOT EXISTS card (iccid TEXT PRIMARY KEY, counter INTEGER NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS job (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL "
	"UNIQUE,"
	" attempt INTEGER NOT NULL, state INTEGER NOT NULL, job TEXT, progress TEXT, result TEXT,"
	" tries INTEGER NOT NULL DEFAULT 1, at INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX IF NOT EXISTS job_state ON job (state, seq);";

/* Files of before: two columns more. Those that have them refuse, and that is well. */
static const char *const later[] = {
	"ALTER TABLE job ADD COLUMN tries INTEGER NOT NULL DEFAULT 1",
	"ALTER TABLE job ADD COLUMN at INTEGER NOT NULL DEFAULT 0",
};

static enum rc fault(struct mno_state *s, struct diag *d)
{
	return diag_set(d, RC_IO, "state file: %s", sqlite3_errmsg(s->db));
}

enum rc mno__state_open(const char *path, struct mno_state **out, struct diag *d)
{
	struct mno_state *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (!s)
		return diag_set(d, RC_NOMEM, "state file: no memory");
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) ==
			SQLITE_OK &&
		sqlite3_busy_timeout(s->db, 5000) == SQLITE_OK &&
		sqlite3_exec(s->db, schema, NULL, NULL, NULL) == SQLITE_OK) {
		for (size_t i = 0; i < ARRAY_LEN(later); i++)
			(void)sqlite3_exec(s->db, later[i], NULL, NULL, NULL);
		*out = s;
		return RC_OK;
	}
	rc = fault(s, d);
	mno__state_close(s);
	return rc;
}

void mno__state_close(struct mno_state *s)
{
	if (!s)
		return;
	sqlite3_close_v2(s->db); /* what is not committed never happened */
	free(s);
}

/* One statement with text parameters ?1 and ?2; a NULL stays NULL. */
static sqlite3_stmt *prepare(struct mno_state *s, const char *sql, const char *a, const char *b)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return NULL;
	if (sqlite3_bind_text(st, 1, a, -1, SQLITE_TRANSIENT) != SQLITE_OK ||
		(b && sqlite3_bind_text(st, 2, b, -1, SQLITE_TRANSIENT) != SQLITE_OK)) {
		sqlite3_finalize(st);
		return NULL;
	}
	return st;
}

static enum rc finish(struct mno_state *s, sqlite3_stmt *st, struct diag *d)
{
	bool ok = st && sqlite3_step(st) == SQLITE_DONE;

	sqlite3_finalize(st);
	return ok ? RC_OK : fault(s, d);
}

/* The first change since the last commit opens a transaction. */
static enum rc begin(struct mno_state *s, struct diag *d)
{
	if (s->open)
		return RC_OK;
	if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return fault(s, d);
	s->open = true;
	return RC_OK;
}

enum rc mno__state_commit(struct mno_state *s, struct diag *d)
{
	if (!s->open)
		return RC_OK;
	s->open = false;
	return sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? RC_OK : fault(s, d);
}

enum rc mno__state_counters(
	struct mno_state *s, const char *iccid, uint64_t n, uint64_t *first, struct diag *d)
{
	sqlite3_stmt *st =
		begin(s, d) != RC_OK
			? NULL
			: prepare(s,
				  "INSERT INTO card (iccid, counter) VALUES (?1, ?2) ON CONFLICT "
				  "(iccid)"
				  " DO UPDATE SET counter = counter + ?2 RETURNING counter",
				  iccid, NULL);
	uint64_t last = 0;
	bool ok = st && sqlite3_bind_int64(st, 2, (sqlite3_int64)n) == SQLITE_OK &&
		  sqlite3_step(st) == SQLITE_ROW;

	if (ok) {
		last = (uint64_t)sqlite3_column_int64(st, 0);
		ok = sqlite3_step(st) == SQLITE_DONE;
	}
	sqlite3_finalize(st);
	if (!ok)
		return fault(s, d);
	if (last > SCP80_COUNTER_MAX)
		return diag_set(d, RC_RANGE, "card %s: its counter is used up", iccid);
	*first = last - n + 1;
	return RC_OK;
}

enum rc mno__state_job_add(struct mno_state *s, const struct mno_task *t, struct diag *d)
{
	char *text = json_dumps(t->source, JSON_COMPACT);
	sqlite3_stmt *st =
		text && begin(s, d) == RC_OK
			? prepare(s,
				  "INSERT INTO job (id, job, attempt, state, at) VALUES (?1, ?2, "
				  "?3, 0, unixepoch())"
				  " ON CONFLICT (id) DO UPDATE SET job = ?2, attempt = ?3, state = "
				  "0,"
				  " progress = NULL, result = NULL, tries = 1, at = unixepoch()",
				  t->id, text)
			: NULL;
	enum rc rc;

	if (st)
		(void)sqlite3_bind_int64(st, 3, t->attempt);
	rc = finish(s, st, d);
	free(text);
	return rc;
}

static enum rc set_text(
	struct mno_state *s, const char *sql, const char *id, json_t *take_json, struct diag *d)
{
	char *text = take_json ? json_dumps(take_json, JSON_COMPACT) : NULL;
	enum rc rc = text && begin(s, d) != RC_OK ? RC_IO
		     : text			  ? finish(s, prepare(s, sql, id, text), d)
						  : diag_set(d, RC_NOMEM, "state file: no memory");

	json_decref(take_json);
	free(text);
	return rc;
}

enum rc mno__state_job_progress(struct mno_state *s, const struct mno_task *t, struct diag *d)
{
	return set_text(s,
		"UPDATE job SET progress = ?2, tries = 1, at = unixepoch() WHERE id = ?1 AND state "
		"= 0",
		t->id, mno__task_progress(t), d);
}

enum rc mno__state_job_tries(struct mno_state *s, const char *id, unsigned tries, struct diag *d)
{
	sqlite3_stmt *st =
		begin(s, d) == RC_OK
			? prepare(s, "UPDATE job SET tries = ?2 WHERE id = ?1 AND state = 0", id,
				  NULL)
			: NULL;

	if (st)
		(void)sqlite3_bind_int64(st, 2, tries);
	return finish(s, st, d);
}

enum rc mno__state_job_done(
	struct mno_state *s, const char *id, const json_t *result, struct diag *d)
{
	return set_text(s,
		"UPDATE job SET state = 1, result = ?2, job = NULL, progress = NULL WHERE id = ?1",
		id, json_deep_copy(result), d);
}

enum rc mno__state_job_posted(struct mno_state *s, const char *id, struct diag *d)
{
	enum rc rc = begin(s, d);

	if (rc == RC_OK)
		rc = finish(s,
			prepare(s, "UPDATE job SET state = 2 WHERE id = ?1 AND state = 1", id,
				NULL),
			d);

	if (rc == RC_OK && sqlite3_last_insert_rowid(s->db) % 100 == 0) {
		sqlite3_stmt *st = NULL;

		if (sqlite3_prepare_v2(s->db,
			    "DELETE FROM job WHERE state = 2 AND seq < (SELECT max(seq) FROM job) "
			    "- ?1",
			    -1, &st, NULL) == SQLITE_OK)
			(void)sqlite3_bind_int64(st, 1, KEEP_POSTED);
		rc = finish(s, st, d);
	}
	return rc;
}

static json_t *column_json(sqlite3_stmt *st, int i)
{
	const char *text = (const char *)sqlite3_column_text(st, i);

	return text ? json_loads(text, 0, NULL) : NULL;
}

enum rc mno__state_job_find(struct mno_state *s, const char *id, enum mno_job_state *state,
	unsigned *attempt, json_t **result, struct diag *d)
{
	sqlite3_stmt *st =
		prepare(s, "SELECT state, attempt, result FROM job WHERE id = ?1", id, NULL);
	int step = st ? sqlite3_step(st) : SQLITE_ERROR;
	enum rc rc = RC_NOT_FOUND;

	if (step == SQLITE_ROW) {
		*state = (enum mno_job_state)sqlite3_column_int(st, 0);
		*attempt = (unsigned)sqlite3_column_int(st, 1);
		if (result)
			*result = column_json(st, 2);
		rc = RC_OK;
	} else if (step != SQLITE_DONE) {
		rc = fault(s, d);
	}
	sqlite3_finalize(st);
	return rc;
}

enum rc mno__state_each(struct mno_state *s, mno_state_each *each, void *user, struct diag *d)
{
	sqlite3_stmt *st = NULL;
	int step = SQLITE_ERROR;

	if (sqlite3_prepare_v2(s->db,
		    "SELECT id, state, job, progress, result, tries, max(unixepoch() - at, 0)"
		    " FROM job WHERE state < 2 ORDER BY seq",
		    -1, &st, NULL) == SQLITE_OK)
		while ((step = sqlite3_step(st)) == SQLITE_ROW) {
			json_t *job = column_json(st, 2), *progress = column_json(st, 3);
			json_t *result = column_json(st, 4);
			struct mno_kept kept = { .id = (const char *)sqlite3_column_text(st, 0),
				.state = (enum mno_job_state)sqlite3_column_int(st, 1),
				.job = job,
				.progress = progress,
				.result = result,
				.tries = (unsigned)sqlite3_column_int(st, 5),
				.since_s = sqlite3_column_int64(st, 6) };

			each(user, &kept);
			json_decref(job);
			json_decref(progress);
			json_decref(result);
		}
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? RC_OK : fault(s, d);
}

enum rc mno__state_counts(struct mno_state *s, uint64_t counts[3], struct diag *d)
{
	sqlite3_stmt *st = NULL;
	int step = SQLITE_ERROR;

	memset(counts, 0, 3 * sizeof(counts[0]));
	if (sqlite3_prepare_v2(s->db, "SELECT state, count(*) FROM job GROUP BY state", -1, &st,
		    NULL) == SQLITE_OK)
		while ((step = sqlite3_step(st)) == SQLITE_ROW) {
			int state = sqlite3_column_int(st, 0);

			if (state >= 0 && state < 3)
				counts[state] = (uint64_t)sqlite3_column_int64(st, 1);
		}
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? RC_OK : fault(s, d);
}
