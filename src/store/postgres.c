/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL behind store.h. In a transaction a statement without an answer is sent and not
 * waited for; its failure, which no rule of the registry expects, loses the whole transaction. */
#include "store/postgres__.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_TRIES 3
#define OUTCOME_MS    6000 /* shorter than any supervisor's patience with its caller */
#define INT8_OID      20
#define INT4_OID      23
#define INT2_OID      21

static struct pg_store *of(struct store *s)
{
	return (struct pg_store *)s;
}

/* ---- one statement ----------------------------------------------------------------------- */

static void pg_start(struct store *base, enum st__sql id)
{
	struct pg_store *s = of(base);

	s->current = id;
	s->ran = false;
	s->row = -1;
	memset(s->values, 0, sizeof(s->values));
}

/* As SQLite does, a parameter that the text does not name is left alone. */
static bool named(const struct pg_store *s, int n)
{
	return n <= s->statements[s->current].params;
}

static void pg_bind_int(struct store *base, int n, int64_t v)
{
	struct pg_store *s = of(base);
	uint64_t bits = (uint64_t)v;
	uint8_t *out;
	Oid type;

	if (!named(s, n))
		return;
	out = s->ints[n - 1];
	type = s->statements[s->current].types[n - 1];
	s->lengths[n - 1] = type == INT4_OID ? 4 : type == INT2_OID ? 2 : 8;
	for (int i = s->lengths[n - 1]; i-- > 0; bits >>= 8)
		out[i] = (uint8_t)bits;
	s->values[n - 1] = (const char *)out;
}

static void pg_bind_text(struct store *base, int n, const char *v)
{
	struct pg_store *s = of(base);

	if (!named(s, n))
		return;
	s->values[n - 1] = v;
	s->lengths[n - 1] = v ? (int)strlen(v) : 0;
}

static void pg_bind_blob(struct store *base, int n, const void *v, size_t len)
{
	struct pg_store *s = of(base);

	if (!named(s, n))
		return;
	s->values[n - 1] = v;
	s->lengths[n - 1] = (int)len;
}

static bool send_current(struct pg_store *s)
{
	char name[16];

	snprintf(name, sizeof(name), "s%d", (int)s->current);
	return st__pg_send(s, name, s->statements[s->current].params);
}

/* Takes the result of the current statement, after those of all before it. */
static enum rc own_result(struct pg_store *s)
{
	const struct pg_statement *st = &s->statements[s->current];
	enum rc rc = st__pg_drain(s);
	PGresult *res;

	if (rc != RC_OK)
		return rc;
	res = st__pg_take(s);
	if (!res)
		return st__pg_broken(s);
	if (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK) {
		s->result = res;
		if (st->may_exist && strcmp(PQcmdTuples(res), "0") == 0)
			return RC_EXISTS;
		return RC_OK;
	}
	rc = st__pg_failed(s, res);
	PQclear(res);
	return rc;
}

static enum rc run_in_transaction(struct pg_store *s)
{
	const struct pg_statement *st = &s->statements[s->current];
	enum rc rc;

	if (s->lost != RC_OK)
		return s->lost;
	if (!send_current(s))
		return st__pg_broken(s);
	if (!st->rows && !st->may_exist) {
		s->pending++;
		return RC_OK;
	}
	if (!st__pg_sync(s))
		return st__pg_broken(s);
	/* After a failure the transaction waits for a rollback to a savepoint, or altogether. */
	rc = own_result(s);
	if (s->lost == RC_OK && !st__pg_synced(s))
		rc = RC_UNAVAILABLE;
	return rc;
}

static enum rc connected(struct pg_store *s, struct diag *d)
{
	enum rc rc = RC_UNAVAILABLE;

	if (s->conn)
		return RC_OK;
	for (int i = 0; i < CONNECT_TRIES && rc == RC_UNAVAILABLE; i++) {
		struct timespec wait = { 0, 200 * 1000000l * i };

		nanosleep(&wait, NULL);
		rc = st__pg_connect(s, d);
	}
	if (rc != RC_OK)
		snprintf(s->base.why, sizeof(s->base.why), "%.200s", d->text);
	return rc;
}

/* A transaction of its own. */
static enum rc run_alone(struct pg_store *s)
{
	struct diag d = { "" };
	enum rc rc = connected(s, &d);

	if (rc != RC_OK)
		return rc;
	if (!send_current(s) || !st__pg_sync(s))
		return st__pg_broken(s);
	rc = own_result(s);
	if (s->conn && !st__pg_synced(s))
		rc = RC_UNAVAILABLE;
	return rc;
}

static enum rc run(struct pg_store *s)
{
	enum rc rc;

	if (s->open)
		return run_in_transaction(s);
	rc = run_alone(s);
	/* A question may be asked again; whether a write was done is not known here. */
	if (rc == RC_UNAVAILABLE && s->statements[s->current].reads)
		rc = run_alone(s);
	return rc;
}

static enum rc pg_step(struct store *base)
{
	struct pg_store *s = of(base);

	if (!s->ran) {
		enum rc rc = run(s);

		s->ran = true;
		if (rc != RC_OK)
			return rc;
	}
	return s->result && ++s->row < PQntuples(s->result) ? RC_OK : RC_NOT_FOUND;
}

static int64_t pg_col_int(struct store *base, int col)
{
	const struct pg_store *s = of(base);

	return st__pg_int(s->result, s->row, col);
}

static const void *pg_col_bytes(struct store *base, int col, size_t *len)
{
	const struct pg_store *s = of(base);

	if (PQgetisnull(s->result, s->row, col))
		return NULL;
	*len = (size_t)PQgetlength(s->result, s->row, col);
	return PQgetvalue(s->result, s->row, col);
}

static void pg_end(struct store *base)
{
	struct pg_store *s = of(base);

	PQclear(s->result);
	s->result = NULL;
}

/* ---- transactions ------------------------------------------------------------------------ */

static bool send_command(struct pg_store *s, enum st__command c)
{
	char name[16];

	snprintf(name, sizeof(name), "c%d", (int)c);
	return st__pg_send(s, name, 0);
}

/* The lock on the counter, with what other nodes have counted meanwhile. */
static enum rc take_lock(struct pg_store *s)
{
	PGresult *res;
	enum rc rc = st__pg_drain(s);

	if (rc != RC_OK)
		return rc;
	res = st__pg_take(s);
	if (!res)
		return st__pg_broken(s);
	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1) {
		s->base.now.change = (uint64_t)st__pg_int(res, 0, 0);
		s->xid = st__pg_int(res, 0, 1);
	} else {
		rc = st__pg_failed(s, res);
	}
	PQclear(res);
	return rc;
}

static enum rc take_head(struct pg_store *s)
{
	PGresult *res = st__pg_take(s);
	enum rc rc = RC_OK;

	if (!res)
		return st__pg_broken(s);
	s->base.now.audit = 0;
	memset(s->base.now.head, 0, sizeof(s->base.now.head));
	if (PQresultStatus(res) != PGRES_TUPLES_OK) {
		rc = st__pg_failed(s, res);
	} else if (PQntuples(res) == 1) {
		s->base.now.audit = (uint64_t)st__pg_int(res, 0, 0);
		if (PQgetlength(res, 0, 1) == STORE_SHA256)
			memcpy(s->base.now.head, PQgetvalue(res, 0, 1), STORE_SHA256);
	}
	PQclear(res);
	return rc;
}

static void forget(struct pg_store *s)
{
	s->open = false;
	s->snapshot = false;
	s->lost = RC_OK;
	s->xid = 0;
}

static void rollback(struct pg_store *s)
{
	/* An error that nobody has seen yet must not make the server skip the ROLLBACK. */
	bool clean = s->conn && (!(s->pending || s->syncs) || st__pg_resync(s));
	bool ok = clean && send_command(s, ST__ROLLBACK) && st__pg_resync(s);

	forget(s);
	if (!ok)
		st__pg_disconnect(s); /* the server rolls back when it notices */
}

static enum rc begin(struct pg_store *s)
{
	char head[16];
	enum rc rc;

	snprintf(head, sizeof(head), "s%d", (int)ST__AUDIT_HEAD);
	memset(s->values, 0, sizeof(s->values));
	s->values[0] = s->base.node;
	s->lengths[0] = (int)strlen(s->base.node);
	if (!send_command(s, ST__BEGIN) || !st__pg_send(s, "lock", 0) || !st__pg_send(s, head, 1) ||
		!st__pg_sync(s))
		return st__pg_broken(s);
	s->open = true;
	s->pending = 1;
	rc = take_lock(s);
	if (rc == RC_OK)
		rc = take_head(s);
	if (rc == RC_OK && !st__pg_synced(s))
		rc = RC_UNAVAILABLE;
	if (rc != RC_OK)
		rollback(s);
	return rc;
}

/* Somebody has held the lock for longer than any batch takes: a node that was paused or cut off in
 * the middle of sending. Its session ends, and with it what it had begun. */
static void fence(struct pg_store *s)
{
	static const char sql[] =
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
		"current_database() AND usename = current_user AND pid <> pg_backend_pid() AND "
		"backend_xid IS NOT NULL AND application_name = current_setting("
		"'application_name') AND xact_start < clock_timestamp() - interval '4 s'";

	if (s->conn && PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 0) == 1 &&
		st__pg_resync(s))
		return;
	st__pg_disconnect(s);
}

/* A connection that the server has closed since the last transaction shows here. */
static enum rc pg_begin(struct pg_store *s)
{
	struct diag d = { "" };
	enum rc rc;

	s->base.retry = false;
	for (int i = 0;; i++) {
		rc = connected(s, &d);
		if (rc == RC_OK)
			rc = begin(s);
		if ((rc != RC_UNAVAILABLE && rc != RC_BUSY) || i == 1)
			return rc;
		if (rc == RC_BUSY)
			fence(s);
	}
}

/* A transaction that was ended while it waited for a standby is committed here and perhaps nowhere
 * else: what commits after it waits for the standby to have both. */
static enum rc wait_replicated(struct pg_store *s)
{
	static const char sql[] = "UPDATE counter SET value = value WHERE name = 'change'";
	PGresult *res;
	enum rc rc;

	if (PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 0) != 1 || !st__pg_sync(s) ||
		!(res = st__pg_take(s)))
		return st__pg_broken(s);
	rc = PQresultStatus(res) == PGRES_COMMAND_OK ? RC_OK : RC_UNAVAILABLE;
	PQclear(res);
	return st__pg_synced(s) ? rc : RC_UNAVAILABLE;
}

/* The answer to COMMIT was lost: the server knows what became of the transaction. One that it has
 * not ended yet hangs on the old connection, which is made to end. RC_UNAVAILABLE: nobody to ask.
 * RC_CONFLICT: another server answers, a standby that took over and may have given the number to
 * another transaction. */
static enum rc ask_outcome(struct pg_store *s, int64_t xid, uint32_t timeline)
{
	char sql[256];
	struct diag d = { "" };
	PGresult *res;
	enum rc rc = RC_UNAVAILABLE;

	if (connected(s, &d) != RC_OK)
		return RC_UNAVAILABLE;
	if (s->timeline != timeline)
		return RC_CONFLICT;
	snprintf(sql, sizeof(sql),
		"SELECT pg_xact_status('%lld'::xid8), (SELECT count(pg_terminate_backend(pid)) "
		"FROM "
		"pg_stat_activity WHERE backend_xid = '%lld'::xid8::xid)",
		(long long)xid, (long long)xid);
	if (PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 0) != 1 || !st__pg_sync(s) ||
		!(res = st__pg_take(s)))
		return st__pg_broken(s);
	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1) {
		const char *status = PQgetvalue(res, 0, 0);

		if (strcmp(status, "committed") == 0)
			rc = RC_OK;
		else if (strcmp(status, "aborted") == 0)
			rc = RC_BUSY;
	}
	PQclear(res);
	if (!st__pg_synced(s))
		return RC_UNAVAILABLE;
	return rc == RC_OK ? wait_replicated(s) : rc;
}

static enum rc outcome(struct pg_store *s)
{
	static const struct timespec wait = { 0, 100000000l };
	const struct clock *clock = clock_system();
	uint64_t end = clock->monotonic_ms(clock) + OUTCOME_MS;
	uint32_t timeline = s->timeline;
	int64_t xid = s->xid;
	enum rc rc;

	forget(s);
	while ((rc = ask_outcome(s, xid, timeline)) == RC_UNAVAILABLE &&
		clock->monotonic_ms(clock) < end)
		nanosleep(&wait, NULL);
	s->base.retry = rc == RC_BUSY;
	/* Nobody can say: refused as "unavailable", and an idempotent repeat finds out. */
	return rc == RC_CONFLICT ? RC_UNAVAILABLE : rc;
}

static enum rc pg_commit(struct pg_store *s)
{
	PGresult *res;
	enum rc rc;

	if (s->lost != RC_OK)
		return s->lost;
	if (!send_command(s, ST__COMMIT) || !st__pg_sync(s))
		return st__pg_broken(s);
	/* From here on the server may commit whether we hear of it or not. */
	rc = st__pg_drain(s);
	if (rc == RC_UNAVAILABLE)
		return outcome(s);
	if (rc != RC_OK)
		return rc;
	res = st__pg_take(s);
	/* COMMIT of a transaction in which something failed answers ROLLBACK. */
	if (res && PQresultStatus(res) == PGRES_COMMAND_OK)
		rc = strcmp(PQcmdStatus(res), "COMMIT") == 0 ? RC_OK : RC_IO;
	else if (!res || PQstatus(s->conn) != CONNECTION_OK)
		rc = RC_UNAVAILABLE;
	else
		rc = st__pg_failed(s, res);
	PQclear(res);
	if (rc == RC_UNAVAILABLE) {
		st__pg_broken(s);
		return outcome(s);
	}
	forget(s);
	/* The answer stands, whatever comes of the connection. */
	if (!st__pg_synced(s))
		s->base.retry = false;
	return rc;
}

static enum rc read_begin(struct pg_store *s)
{
	struct diag d = { "" };
	enum rc rc = connected(s, &d);

	if (rc != RC_OK)
		return rc;
	if (!send_command(s, ST__READ_BEGIN))
		return st__pg_broken(s);
	s->pending++;
	s->open = true;
	s->snapshot = true;
	return RC_OK;
}

static enum rc pg_command(struct store *base, enum st__command c)
{
	struct pg_store *s = of(base);

	switch (c) {
	case ST__BEGIN: return pg_begin(s);
	case ST__READ_BEGIN: return read_begin(s);
	case ST__COMMIT: return pg_commit(s);
	case ST__ROLLBACK: rollback(s); return RC_OK;
	case ST__NOTIFY:
	case ST__SAVEPOINT:
	case ST__RELEASE:
	case ST__ROLLBACK_TO:
	case ST__COMMAND_COUNT:
	default: break;
	}
	if (s->lost != RC_OK)
		return s->lost;
	if (!send_command(s, c))
		return st__pg_broken(s);
	s->pending++;
	return RC_OK;
}

static int pg_wal_pages(const struct store *base ATT_UNUSED)
{
	return 0;
}

static void pg_checkpoint(struct store *base ATT_UNUSED)
{
}

static void pg_close(struct store *base)
{
	struct pg_store *s = of(base);

	PQclear(s->result);
	st__pg_disconnect(s);
	st__fini(base);
	free(s->conninfo);
	free(s->user);
	free(s);
}

static const struct st__engine engine = {
	.define = st__pg_define,
	.identity_sql = "SELECT setval(pg_get_serial_sequence('%1$s', '%2$s'), "
			"(SELECT greatest(max(%2$s), 1) FROM %1$s))",
	.nodes = true,
	.start = pg_start,
	.bind_int = pg_bind_int,
	.bind_text = pg_bind_text,
	.bind_blob = pg_bind_blob,
	.step = pg_step,
	.col_int = pg_col_int,
	.col_bytes = pg_col_bytes,
	.end = pg_end,
	.command = pg_command,
	.wal_pages = pg_wal_pages,
	.checkpoint = pg_checkpoint,
	.close = pg_close,
};

enum rc store_postgres_open(const char *url, bool writable, struct store **out, struct diag *d)
{
	struct pg_store *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (!s)
		return RC_NOMEM;
	s->base.engine = &engine;
	s->writable = writable;
	s->conninfo = strdup(url);
	rc = s->conninfo ? st__init(&s->base) : RC_NOMEM;
	if (rc == RC_OK)
		rc = st__pg_connect(s, d);
	if (rc == RC_OK)
		rc = st__load_marks(&s->base);
	if (rc != RC_OK) {
		pg_close(&s->base);
		return rc;
	}
	*out = &s->base;
	return RC_OK;
}
