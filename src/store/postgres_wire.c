/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: sending, waiting with an end, results in their order. */
#include "store/postgres__.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First line of a message of the server, which may carry values of rows in the next ("DETAIL"). */
static void note(struct pg_store *s, const char *text, const char *state)
{
	int len = (int)strcspn(text, "\n");

	snprintf(s->base.why, sizeof(s->base.why), "postgresql: %.*s (%s)", len, text, state);
}

/* SQLSTATE, PostgreSQL manual appendix A. */
enum rc st__pg_failed(struct pg_store *s, const PGresult *res)
{
	static const struct {
		const char *prefix;
		enum rc rc;
		bool retry;
	} rows[] = {
		{ "23505", RC_EXISTS, false },
		{ "23503", RC_CONFLICT, false },
		{ "40", RC_BUSY, true },	  /* serialization failure, deadlock */
		{ "55P03", RC_BUSY, true },	  /* lock not available in time */
		{ "57P0", RC_UNAVAILABLE, true }, /* shutting down or starting */
		{ "25P03", RC_BUSY, true },	  /* idle in the transaction for too long */
		{ "25006", RC_IO, true },	  /* this server is a standby now */
		{ "08", RC_UNAVAILABLE, true },
	};
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

	if (PQstatus(s->conn) != CONNECTION_OK)
		return st__pg_broken(s);
	note(s, text ? text : "failed", state ? state : "-");
	for (size_t i = 0; state && i < ARRAY_LEN(rows); i++) {
		if (strncmp(state, rows[i].prefix, strlen(rows[i].prefix)) != 0)
			continue;
		s->base.retry = rows[i].retry && s->writable;
		return rows[i].rc;
	}
	return RC_IO;
}

enum rc st__pg_broken(struct pg_store *s)
{
	if (s->conn)
		note(s, PQerrorMessage(s->conn), "connection");
	if (!s->base.down)
		s->base.losses++;
	s->base.down = true;
	st__pg_disconnect(s);
	s->base.retry = true;
	if (s->open)
		s->lost = RC_UNAVAILABLE;
	return RC_UNAVAILABLE;
}

bool st__pg_send(struct pg_store *s, const char *name, int params)
{
	static const int formats[PG_PARAMS_MAX] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };

	return s->conn &&
	       PQsendQueryPrepared(s->conn, name, params, s->values, s->lengths, formats, 1) == 1;
}

/* Until a result can be read without waiting. */
static bool wait_result(struct pg_store *s)
{
	while (PQisBusy(s->conn)) {
		int left = PQflush(s->conn);
		struct pollfd p = { .fd = PQsocket(s->conn),
			.events = left == 1 ? POLLIN | POLLOUT : POLLIN };
		int n = left < 0 ? -1 : poll(&p, 1, PG_WAIT_MS);

		if (n < 0 && left >= 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if ((p.revents & ~POLLOUT) && PQconsumeInput(s->conn) != 1)
			return false;
	}
	return true;
}

PGresult *st__pg_take(struct pg_store *s)
{
	PGresult *res = NULL;
	PGresult *end;

	if (!s->conn || !wait_result(s))
		return NULL;
	res = PQgetResult(s->conn);
	if (PQresultStatus(res) == PGRES_PIPELINE_SYNC)
		s->syncs--;
	if (!res || PQresultStatus(res) == PGRES_PIPELINE_SYNC)
		return res;
	/* A NULL stands between the results of two statements. */
	if (wait_result(s)) {
		end = PQgetResult(s->conn);
		if (!end)
			return res;
		PQclear(end);
	}
	PQclear(res);
	return NULL;
}

bool st__pg_sync(struct pg_store *s)
{
	if (!s->conn || PQpipelineSync(s->conn) != 1)
		return false;
	s->syncs++;
	return true;
}

bool st__pg_synced(struct pg_store *s)
{
	PGresult *res = st__pg_take(s);
	bool ok = PQresultStatus(res) == PGRES_PIPELINE_SYNC;

	PQclear(res);
	if (!ok)
		st__pg_broken(s);
	return ok;
}

bool st__pg_resync(struct pg_store *s)
{
	s->pending = 0;
	if (!st__pg_sync(s))
		return false;
	while (s->syncs) {
		PGresult *res = st__pg_take(s);

		if (!res)
			return false;
		PQclear(res);
	}
	return PQstatus(s->conn) == CONNECTION_OK;
}

enum rc st__pg_drain(struct pg_store *s)
{
	enum rc rc = RC_OK;

	if (!s->conn)
		return st__pg_broken(s);
	while (s->pending && rc == RC_OK) {
		PGresult *res = st__pg_take(s);
		ExecStatusType status = PQresultStatus(res);

		if (!res)
			return st__pg_broken(s);
		s->pending--;
		if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
			rc = st__pg_failed(s, res);
		PQclear(res);
	}
	if (rc == RC_OK)
		return RC_OK;
	/* What the caller believes to be written is not: nothing of this transaction may stay. */
	s->lost = rc == RC_EXISTS || rc == RC_CONFLICT ? RC_IO : rc;
	if (!st__pg_resync(s))
		return st__pg_broken(s);
	return s->lost;
}

int64_t st__pg_int(const PGresult *res, int row, int col)
{
	const uint8_t *p = (const uint8_t *)PQgetvalue(res, row, col);
	int len = PQgetlength(res, row, col);
	uint64_t v = len > 0 && p[0] & 0x80 ? UINT64_MAX : 0;

	for (int i = 0; i < len; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}
