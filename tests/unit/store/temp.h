/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A database of its own for a test, gone afterwards: an SQLite file, or, when the environment
 * names a PostgreSQL server (tests/lib/postgres.py), a schema there. */

#include "store/store.h"
#include "../unit.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct temp_db {
	char dir[64];
	char path[512]; /* what store_open takes */
	char schema[24];
};

static inline const char *temp_db_server(void)
{
	return getenv("ATTESTRY_TEST_DATABASE");
}

/* Several statements that nobody answers, behind the store's back. */
static inline void temp_db_exec(const struct temp_db *t, const char *sql)
{
	sqlite3 *db = NULL;

	if (store_is_url(t->path)) {
		PGconn *c = PQconnectdb(t->path);
		PGresult *r;

		assert_int_equal(PQstatus(c), CONNECTION_OK);
		r = PQexec(c, sql);
		if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
			fail_msg("%s", PQerrorMessage(c));
		PQclear(r);
		PQfinish(c);
		return;
	}
	assert_int_equal(sqlite3_open(t->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static inline void temp_db_make(struct temp_db *t)
{
	char sql[64];
	uint64_t r = 0;

	snprintf(t->dir, sizeof(t->dir), "/tmp/attestry-test-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	if (!temp_db_server()) {
		snprintf(t->path, sizeof(t->path), "%s/registry.db", t->dir);
		return;
	}
	assert_int_equal(getrandom(&r, sizeof(r), 0), sizeof(r));
	snprintf(t->schema, sizeof(t->schema), "t%016llx", (unsigned long long)r);
	snprintf(t->path, sizeof(t->path), "%s&options=-csearch_path%%3D%s", temp_db_server(),
		t->schema);
	snprintf(sql, sizeof(sql), "CREATE SCHEMA %s", t->schema);
	temp_db_exec(t, sql);
}

static inline struct store *temp_db_open(const struct temp_db *t, bool writable)
{
	struct store *s = NULL;
	struct diag d = { "" };

	if (store_open(t->path, writable, &s, &d) != RC_OK)
		fail_msg("%s", d.text);
	return s;
}

static inline void temp_db_remove(const struct temp_db *t)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[600];

	if (temp_db_server()) {
		snprintf(path, sizeof(path), "DROP SCHEMA %s CASCADE", t->schema);
		temp_db_exec(t, path);
	}
	for (size_t i = 0; i < ARRAY_LEN(ends) && !temp_db_server(); i++) {
		snprintf(path, sizeof(path), "%s%s", t->path, ends[i]);
		unlink(path);
	}
	rmdir(t->dir);
}
