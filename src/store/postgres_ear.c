/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that only listens: for commits of other nodes. What it misses while it is not
 * connected, the heartbeat finds. */
#include "store/postgres__.h"

#include <stdlib.h>
#include <string.h>

struct store_ear {
	struct pg_store base; /* only how to connect */
};

enum rc store_ear_again(struct store_ear *e, struct diag *d)
{
	PGresult *res;
	enum rc rc;
	bool ok;

	st__pg_disconnect(&e->base);
	rc = st__pg_open(&e->base, d);
	if (rc != RC_OK)
		goto out;
	res = PQexec(e->base.conn, "LISTEN attestry");
	ok = PQresultStatus(res) == PGRES_COMMAND_OK;
	PQclear(res);
	if (!ok || PQsetnonblocking(e->base.conn, 1) != 0)
		rc = diag_set(d, RC_UNAVAILABLE, "database: %s", PQerrorMessage(e->base.conn));
out:
	if (rc != RC_OK)
		st__pg_disconnect(&e->base);
	return rc;
}

enum rc store_ear_open(const char *url, struct store_ear **out, struct diag *d)
{
	struct store_ear *e = calloc(1, sizeof(*e));
	enum rc rc = RC_NOMEM;

	if (!e)
		return rc;
	e->base.conninfo = strdup(url);
	if (e->base.conninfo)
		rc = store_ear_again(e, d);
	if (rc != RC_OK) {
		store_ear_close(e);
		return rc;
	}
	*out = e;
	return RC_OK;
}

void store_ear_close(struct store_ear *e)
{
	if (!e)
		return;
	st__pg_disconnect(&e->base);
	free(e->base.conninfo);
	free(e->base.user);
	free(e);
}

int store_ear_fd(const struct store_ear *e)
{
	return e && e->base.conn ? PQsocket(e->base.conn) : -1;
}

bool store_ear_heard(struct store_ear *e, const struct store *ours, bool *lost)
{
	const struct pg_store *s = (const struct pg_store *)ours;
	int own = s && s->conn ? PQbackendPID(s->conn) : 0;
	bool heard = false;
	PGnotify *n;

	*lost = !e->base.conn || PQconsumeInput(e->base.conn) != 1;
	while (e->base.conn && (n = PQnotifies(e->base.conn)) != NULL) {
		heard = heard || n->be_pid != own;
		PQfreemem(n);
	}
	if (*lost)
		st__pg_disconnect(&e->base);
	return heard;
}
