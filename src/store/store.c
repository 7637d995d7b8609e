/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* ---- running a statement ---------------------------------------------------------------- */

struct st__q st__start(struct store *s, enum st__sql id)
{
	s->engine->start(s, id);
	return (struct st__q){ .s = s, .rc = RC_OK };
}

void st__int(struct st__q *q, int64_t v)
{
	q->s->engine->bind_int(q->s, ++q->bound, v);
}

void st__text(struct st__q *q, const char *v)
{
	q->s->engine->bind_text(q->s, ++q->bound, v);
}

void st__text_or_null(struct st__q *q, const char *v)
{
	q->s->engine->bind_text(q->s, ++q->bound, v && *v ? v : NULL);
}

void st__blob(struct st__q *q, const void *v, size_t len)
{
	q->s->engine->bind_blob(q->s, ++q->bound, v, len);
}

bool st__row(struct st__q *q)
{
	enum rc rc;

	if (q->rc != RC_OK)
		return false;
	rc = q->s->engine->step(q->s);
	if (rc == RC_OK)
		return true;
	if (rc != RC_NOT_FOUND)
		q->rc = rc;
	return false;
}

enum rc st__end(struct st__q *q)
{
	q->s->engine->end(q->s);
	return q->rc;
}

enum rc st__end_one(struct st__q *q, bool found)
{
	enum rc rc = st__end(q);

	return rc == RC_OK && !found ? RC_NOT_FOUND : rc;
}

enum rc st__run(struct st__q *q)
{
	while (st__row(q))
		;
	return st__end(q);
}

enum rc st__ids(struct st__q *q, size_t limit, int64_t *out, size_t *n)
{
	size_t got = 0;

	while (got < limit && st__row(q))
		out[got++] = st__col_int(q, 0);
	*n = got;
	return st__end(q);
}

enum rc st__run_int(struct st__q *q, int64_t *out)
{
	bool found = false;
	int64_t v = 0;
	enum rc rc;

	while (st__row(q)) {
		v = st__col_int(q, 0);
		found = true;
	}
	rc = st__end(q);
	if (rc == RC_OK && !found)
		rc = RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = v;
	return rc;
}

int64_t st__col_int(struct st__q *q, int col)
{
	return q->s->engine->col_int(q->s, col);
}

void st__col_text(struct st__q *q, int col, char *out, size_t cap)
{
	size_t len = 0;
	const void *v = q->s->engine->col_bytes(q->s, col, &len);

	out[0] = '\0';
	if (!v)
		return;
	if (len >= cap) {
		q->rc = RC_INTERNAL;
		return;
	}
	memcpy(out, v, len);
	out[len] = '\0';
}

bool st__col_fixed(struct st__q *q, int col, uint8_t *out, size_t len)
{
	size_t have = 0;
	const void *v = q->s->engine->col_bytes(q->s, col, &have);

	memset(out, 0, len);
	if (!v)
		return false;
	if (have != len) {
		q->rc = RC_INTERNAL;
		return false;
	}
	memcpy(out, v, len);
	return true;
}

struct store_blob st__col_blob(struct st__q *q, int col, struct arena *a)
{
	struct store_blob out = { 0 };
	size_t len = 0;
	const void *v = q->s->engine->col_bytes(q->s, col, &len);

	if (!v || !a)
		return out;
	out.bytes = arena_dup(a, v, len);
	if (!out.bytes) {
		q->rc = RC_NOMEM;
		return out;
	}
	out.len = len;
	return out;
}

const char *st__col_dup(struct st__q *q, int col, struct arena *a)
{
	size_t len = 0;
	const void *v = q->s->engine->col_bytes(q->s, col, &len);
	char *out = arena_alloc(a, len + 1);

	if (!out) {
		q->rc = RC_NOMEM;
		return "";
	}
	if (v)
		memcpy(out, v, len);
	return out;
}

void *st__list_add(struct st__list *l, size_t size, struct arena *a, struct st__q *q)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 8;
		char *items = arena_array(a, cap, size);

		if (!items) {
			q->rc = RC_NOMEM;
			return NULL;
		}
		if (l->n)
			memcpy(items, l->items, l->n * size);
		l->items = items;
		l->cap = cap;
	}
	return l->items + l->n++ * size;
}

/* ---- life ------------------------------------------------------------------------------- */

enum rc st__init(struct store *s)
{
	s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->md = EVP_MD_CTX_new();
	return s->sha256 && s->md ? RC_OK : RC_CRYPTO;
}

void st__fini(struct store *s)
{
	EVP_MD_CTX_free(s->md);
	EVP_MD_free(s->sha256);
}

enum rc st__load_marks(struct store *s)
{
	struct st__q q = st__start(s, ST__COUNTER_GET);
	int64_t change = 0;
	enum rc rc;

	st__text(&q, "change");
	rc = st__run_int(&q, &change);
	if (rc != RC_OK)
		return rc;
	s->now.change = (uint64_t)change;
	s->now.audit = 0;
	memset(s->now.head, 0, sizeof(s->now.head));
	q = st__start(s, ST__AUDIT_HEAD);
	st__text(&q, s->node);
	if (st__row(&q)) {
		s->now.audit = (uint64_t)st__col_int(&q, 0);
		st__col_fixed(&q, 1, s->now.head, sizeof(s->now.head));
	}
	return st__end(&q);
}

void store_close(struct store *s)
{
	if (s)
		s->engine->close(s);
}

bool store_is_url(const char *database)
{
	return strncmp(database, "postgresql://", 13) == 0 ||
	       strncmp(database, "postgres://", 11) == 0;
}

enum rc store_open(const char *database, bool writable, struct store **out, struct diag *d)
{
	return store_is_url(database) ? store_postgres_open(database, writable, out, d)
				      : store_sqlite_open(database, writable, out, d);
}

bool store_may_retry(const struct store *s)
{
	return s->retry;
}

bool store_connected(const struct store *s)
{
	return !s->down;
}

uint64_t store_lost(const struct store *s)
{
	return s->losses;
}

const char *store_why(const struct store *s)
{
	return s->why;
}

int store_wal_pages(const struct store *s)
{
	return s->engine->wal_pages(s);
}

/* ---- transactions ----------------------------------------------------------------------- */

enum rc store_begin(struct store *s)
{
	enum rc rc = s->engine->command(s, ST__BEGIN);

	if (rc != RC_OK)
		return rc;
	s->in_txn = true;
	s->at_begin = s->now;
	return RC_OK;
}

enum rc store_commit(struct store *s)
{
	enum rc rc = RC_OK;

	/* The counter is one row: written once for all that the batch took. */
	if (s->now.change != s->at_begin.change) {
		struct st__q q = st__start(s, ST__COUNTER_SET);

		st__text(&q, "change");
		st__int(&q, (int64_t)s->now.change);
		rc = st__run(&q);
	}
	if (rc == RC_OK && s->node[0])
		rc = s->engine->command(s, ST__NOTIFY);
	if (rc == RC_OK)
		rc = s->engine->command(s, ST__COMMIT);
	if (rc != RC_OK) {
		store_rollback(s);
		return rc;
	}
	s->in_txn = false;
	return RC_OK;
}

void store_rollback(struct store *s)
{
	if (!s->in_txn)
		return;
	/* The engine may have rolled back by itself (disk full): the error is of no use here. */
	if (s->engine->command(s, ST__ROLLBACK) != RC_OK)
		s->in_txn = false;
	s->in_txn = false;
	s->now = s->at_begin;
}

enum rc store_savepoint(struct store *s)
{
	s->at_savepoint = s->now;
	return s->engine->command(s, ST__SAVEPOINT);
}

enum rc store_savepoint_release(struct store *s)
{
	return s->engine->command(s, ST__RELEASE);
}

enum rc store_savepoint_rollback(struct store *s)
{
	enum rc rc = s->engine->command(s, ST__ROLLBACK_TO);

	if (rc == RC_OK)
		rc = s->engine->command(s, ST__RELEASE);
	s->now = s->at_savepoint;
	return rc;
}

enum rc store_read_begin(struct store *s)
{
	enum rc rc = s->engine->command(s, ST__READ_BEGIN);

	if (rc != RC_OK)
		return rc;
	/* The snapshot begins with the first read, which also brings our counters up to it. */
	rc = st__load_marks(s);
	if (rc != RC_OK)
		store_read_end(s);
	return rc;
}

void store_read_end(struct store *s)
{
	if (s->engine->command(s, ST__ROLLBACK) != RC_OK)
		return;
}

/* ---- settings --------------------------------------------------------------------------- */

enum rc store_setting_get(
	struct store *s, const char *name, struct arena *a, struct store_blob *out)
{
	struct st__q q = st__start(s, ST__SETTING_GET);
	bool found = false;

	st__text(&q, name);
	if (st__row(&q)) {
		*out = st__col_blob(&q, 0, a);
		found = true;
	}
	return st__end_one(&q, found);
}

enum rc store_setting_put(struct store *s, const char *name, struct store_blob value)
{
	struct st__q q = st__start(s, ST__SETTING_PUT);

	st__text(&q, name);
	st__blob(&q, value.bytes, value.len);
	return st__run(&q);
}
