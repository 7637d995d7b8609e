/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the PostgreSQL engine share. The connection is always in pipeline mode: what a
 * transaction writes is sent without waiting, and its results are read when an answer is needed
 * anyway. Every wait has an end, so that a server that is gone cannot hold the caller. */

#include "store/engine.h"

#include <libpq-fe.h>

#define PG_PARAMS_MAX 32
#define PG_WAIT_MS    5000 /* for one answer of the server; a lock is given up before that */

struct pg_statement {
	int params;
	bool rows;	/* it answers with rows */
	bool may_exist; /* an INSERT whose caller wants to hear RC_EXISTS and go on */
	bool reads;	/* harmless to repeat on another connection */
	Oid types[PG_PARAMS_MAX];
};

struct pg_store {
	struct store base;
	char *conninfo;
	char *user; /* looked up once: a confined process cannot */
	PGconn *conn;
	bool writable;
	bool described;
	bool open;	   /* a transaction has begun on this connection */
	bool snapshot;	   /* ... that only reads */
	enum rc lost;	   /* the transaction cannot go on: why, until it is rolled back */
	unsigned pending;  /* statements whose results nobody has read yet */
	unsigned syncs;	   /* ends of the pipeline that are still to come */
	int64_t xid;	   /* of the transaction */
	uint32_t timeline; /* of the server: a standby that takes over begins another one */

	/* The one running statement. */
	enum st__sql current;
	bool ran;
	PGresult *result;
	int row;
	const char *values[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX];
	uint8_t ints[PG_PARAMS_MAX][8];

	unsigned defined; /* texts put into free slots so far */
	struct pg_statement statements[ST__SLOTS];
};

/* ---- postgres_conn.c ---- */

/* Connects, brings the schema up to date (the first time, when writable), prepares. */
enum rc st__pg_connect(struct pg_store *s, struct diag *d) ATT_MUST_CHECK;
/* A bare connection. */
enum rc st__pg_open(struct pg_store *s, struct diag *d) ATT_MUST_CHECK;
void st__pg_disconnect(struct pg_store *s);
/* Prepares and describes one more. */
enum rc st__pg_define(struct store *base, enum st__sql slot, const char *sql) ATT_MUST_CHECK;

/* ---- postgres_wire.c ---- */

/* Notes why a statement or the connection failed; *retry of the store when it may pass. */
enum rc st__pg_failed(struct pg_store *s, const PGresult *res);
enum rc st__pg_broken(struct pg_store *s);
/* Sends a prepared statement with binary parameters. */
bool st__pg_send(struct pg_store *s, const char *name, int params);
/* The next result of the pipeline (PQclear), or NULL when the connection is of no use any more. */
PGresult *st__pg_take(struct pg_store *s);
/* Ends a piece of the pipeline: the server answers all of it, and is idle until the next one. Only
 * then does it count the time that a transaction stands still. */
bool st__pg_sync(struct pg_store *s);
/* Reads that end; false (and disconnected) when something else comes. */
bool st__pg_synced(struct pg_store *s);
/* Throws away all that is still to come. False: connection gone. */
bool st__pg_resync(struct pg_store *s);
/* Reads the results of all pending statements: the first that failed makes the transaction lost,
 * and what follows is thrown away. */
enum rc st__pg_drain(struct pg_store *s) ATT_MUST_CHECK;
int64_t st__pg_int(const PGresult *res, int row, int col);
