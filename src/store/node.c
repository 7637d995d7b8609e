/* SPDX-License-Identifier: Apache-2.0 */
#include "store/node.h"
#include "store/engine.h"

#include <stdio.h>
#include <string.h>

enum rc store_node_set(struct store *s, const char *name)
{
	if (!s->engine->nodes)
		return RC_UNSUPPORTED;
	if (strlen(name) >= sizeof(s->node))
		return RC_TOO_LARGE;
	memcpy(s->node, name, strlen(name) + 1);
	return st__load_marks(s);
}

static enum rc start(struct store *s, enum st__sql id, struct st__q *q)
{
	if (!s->engine->nodes)
		return RC_UNSUPPORTED;
	*q = st__start(s, id);
	return RC_OK;
}

/* Runs one that answers a row with a number when it did what it should, and none when somebody else
 * was before it. */
static enum rc run_claim(struct st__q *q, uint64_t *out)
{
	int64_t v = 0;
	enum rc rc = st__run_int(q, &v);

	if (rc == RC_NOT_FOUND)
		return RC_CONFLICT;
	if (rc == RC_OK && out)
		*out = (uint64_t)v;
	return rc;
}

/* ---- the head ---------------------------------------------------------------------------- */

static enum rc take_head(struct st__q *q, bool beat, struct store_head *out)
{
	struct store *s = q->s;
	bool found = false;

	while (st__row(q)) {
		*out = (struct store_head){ .known = true };
		st__col_text(q, 0, out->holder, sizeof(out->holder));
		out->token = (uint64_t)st__col_int(q, 1);
		out->left_ms = st__col_int(q, 2);
		out->serial = (uint32_t)st__col_int(q, 3);
		out->reserved = (uint32_t)st__col_int(q, 4);
		out->seq = (uint64_t)st__col_int(q, 5);
		out->n = (uint64_t)st__col_int(q, 6);
		out->keys_version = (uint64_t)st__col_int(q, 7);
		if (!s->in_txn)
			s->now.change = (uint64_t)st__col_int(q, 8);
		if (beat) {
			out->known = st__col_int(q, 9) != 0;
			out->abreast = (uint32_t)st__col_int(q, 10);
			out->wanting = (uint32_t)st__col_int(q, 11);
			out->keyless = (uint32_t)st__col_int(q, 12);
		}
		found = true;
	}
	return st__end_one(q, found);
}

enum rc store_head_get(struct store *s, struct store_head *out)
{
	struct st__q q;
	enum rc rc = start(s, ST__HEAD_GET, &q);

	return rc == RC_OK ? take_head(&q, false, out) : rc;
}

enum rc store_beat(struct store *s, const struct store_beat *b, struct store_head *out)
{
	struct st__q q;
	enum rc rc = start(s, ST__NODE_BEAT, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, b->name);
	st__int(&q, b->serial);
	st__int(&q, (int64_t)b->seq);
	st__int(&q, b->wants_image);
	st__int(&q, b->now_ms);
	st__int(&q, st__schema_count);
	st__int(&q, (int64_t)b->keys_version);
	st__int(&q, b->alive_ms);
	return take_head(&q, true, out);
}

enum rc store_lease_take(
	struct store *s, const char *name, uint64_t token, int64_t ms, uint64_t *out)
{
	struct st__q q;
	enum rc rc = start(s, ST__LEASE_TAKE, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	st__int(&q, (int64_t)token);
	st__int(&q, ms);
	return run_claim(&q, out);
}

enum rc store_lease_leave(struct store *s, const char *name, uint64_t token)
{
	struct st__q q;
	enum rc rc = start(s, ST__LEASE_LEAVE, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	st__int(&q, (int64_t)token);
	return st__run(&q);
}

/* ---- deltas ------------------------------------------------------------------------------ */

static enum rc find_mine(struct store *s, uint64_t token, struct store_delta *d)
{
	struct st__q q = st__start(s, ST__DELTA_MINE);

	st__int(&q, d->serial);
	st__int(&q, d->prev);
	st__int(&q, (int64_t)token);
	return run_claim(&q, &d->n);
}

enum rc store_delta_add(
	struct store *s, const char *name, uint64_t token, int64_t lease_ms, struct store_delta *d)
{
	struct st__q q;
	enum rc rc = start(s, ST__DELTA_ADD, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	st__int(&q, (int64_t)token);
	st__int(&q, d->prev);
	st__int(&q, d->serial);
	st__int(&q, (int64_t)d->seq);
	st__blob(&q, d->body.bytes, d->body.len);
	st__int(&q, lease_ms);
	rc = run_claim(&q, &d->n);
	/* Perhaps it was stored by an attempt whose answer was lost. */
	if (rc == RC_CONFLICT || rc == RC_EXISTS)
		rc = find_mine(s, token, d);
	return rc;
}

enum rc store_serial_reserve(
	struct store *s, const char *name, uint64_t token, uint32_t was, uint32_t serial)
{
	struct st__q q;
	enum rc rc = start(s, ST__SERIAL_RESERVE, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	st__int(&q, (int64_t)token);
	st__int(&q, was);
	st__int(&q, serial);
	return run_claim(&q, NULL);
}

enum rc store_whole_add(
	struct store *s, const char *name, uint64_t token, const struct store_delta *d)
{
	struct st__q q;
	enum rc rc = start(s, ST__WHOLE_ADD, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	st__int(&q, (int64_t)token);
	st__int(&q, d->serial);
	st__int(&q, (int64_t)d->seq);
	return run_claim(&q, NULL);
}

enum rc store_delta_list(struct store *s, uint64_t n, size_t limit, size_t bytes, struct arena *a,
	struct store_delta **out, size_t *count)
{
	struct st__list l = { 0 };
	struct st__q q;
	enum rc rc = start(s, ST__DELTA_LIST, &q);
	size_t sum = 0;

	if (rc != RC_OK)
		return rc;
	st__int(&q, (int64_t)n);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_delta *d;

		if (l.n > 0 && sum >= bytes)
			continue;
		d = st__list_add(&l, sizeof(*d), a, &q);
		if (!d)
			continue;
		d->n = (uint64_t)st__col_int(&q, 0);
		d->serial = (uint32_t)st__col_int(&q, 1);
		d->prev = (uint32_t)st__col_int(&q, 2);
		d->seq = (uint64_t)st__col_int(&q, 3);
		d->whole = st__col_int(&q, 4) != 0;
		d->body = st__col_blob(&q, 5, a);
		sum += d->body.len;
	}
	*out = (struct store_delta *)(void *)l.items;
	*count = l.n;
	return st__end(&q);
}

enum rc store_delta_place(struct store *s, uint32_t serial, uint64_t *n)
{
	struct st__q q;
	int64_t place = 0;
	enum rc rc = start(s, ST__DELTA_PLACE, &q);

	if (rc != RC_OK)
		return rc;
	st__int(&q, serial);
	rc = st__run_int(&q, &place);
	*n = (uint64_t)place;
	return rc;
}

enum rc store_delta_prune(struct store *s, uint64_t upto)
{
	struct st__q q;
	enum rc rc = start(s, ST__DELTA_PRUNE, &q);

	if (rc != RC_OK)
		return rc;
	st__int(&q, (int64_t)upto);
	return st__run(&q);
}

/* ---- images ------------------------------------------------------------------------------ */

enum rc store_image_add(struct store *s, const struct store_image *i)
{
	struct st__q q;
	enum rc rc = start(s, ST__IMAGE_ADD, &q);

	if (rc != RC_OK)
		return rc;
	st__int(&q, i->serial);
	st__int(&q, i->part);
	st__int(&q, (int64_t)i->n);
	st__int(&q, (int64_t)i->seq);
	st__int(&q, i->last);
	st__blob(&q, i->body.bytes, i->body.len);
	return st__run(&q);
}

static enum rc take_image(struct st__q *q, struct arena *a, struct store_image *out)
{
	bool found = false;

	while (st__row(q)) {
		*out = (struct store_image){ .serial = (uint32_t)st__col_int(q, 0),
			.part = (uint32_t)st__col_int(q, 1),
			.n = (uint64_t)st__col_int(q, 2),
			.seq = (uint64_t)st__col_int(q, 3),
			.last = st__col_int(q, 4) != 0,
			.body = st__col_blob(q, 5, a) };
		found = true;
	}
	return st__end_one(q, found);
}

enum rc store_image_get(
	struct store *s, uint32_t serial, uint32_t part, struct arena *a, struct store_image *out)
{
	struct st__q q;
	enum rc rc = start(s, ST__IMAGE_GET, &q);

	if (rc != RC_OK)
		return rc;
	st__int(&q, serial);
	st__int(&q, part);
	return take_image(&q, a, out);
}

enum rc store_image_find(struct store *s, struct store_image *out)
{
	struct st__q q;
	enum rc rc = start(s, ST__IMAGE_FIND, &q);

	return rc == RC_OK ? take_image(&q, NULL, out) : rc;
}

enum rc store_image_drop(struct store *s, uint32_t but_serial)
{
	struct st__q q;
	enum rc rc = start(s, ST__IMAGE_DROP, &q);

	if (rc != RC_OK)
		return rc;
	st__int(&q, but_serial);
	return st__run(&q);
}

/* ---- nodes ------------------------------------------------------------------------------- */

enum rc store_node_add(struct store *s, const struct store_node *n)
{
	struct st__q q;
	enum rc rc = start(s, ST__NODE_ADD, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, n->name);
	st__blob(&q, n->point, sizeof(n->point));
	st__blob(&q, n->proof.bytes, n->proof.len);
	st__int(&q, n->added);
	return st__run(&q);
}

enum rc store_node_list(struct store *s, struct arena *a, struct store_node **out, size_t *n)
{
	struct st__list l = { 0 };
	struct st__q q;
	enum rc rc = start(s, ST__NODE_LIST, &q);

	if (rc != RC_OK)
		return rc;
	while (st__row(&q)) {
		struct store_node *r = st__list_add(&l, sizeof(*r), a, &q);

		if (!r)
			continue;
		st__col_text(&q, 0, r->name, sizeof(r->name));
		st__col_fixed(&q, 1, r->point, sizeof(r->point));
		r->proof = st__col_blob(&q, 2, a);
		r->added = st__col_int(&q, 3);
		r->silent_ms = st__col_int(&q, 4);
		r->serial = (uint32_t)st__col_int(&q, 5);
		r->seq = (uint64_t)st__col_int(&q, 6);
		r->wants_image = st__col_int(&q, 7) != 0;
		r->skew_ms = st__col_int(&q, 8);
		r->schema_version = st__col_int(&q, 9);
		r->keys_version = (uint64_t)st__col_int(&q, 10);
	}
	*out = (struct store_node *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_node_remove(struct store *s, const char *name)
{
	struct st__q q;
	bool found = false;
	enum rc rc = start(s, ST__NODE_REMOVE, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	while (st__row(&q))
		found = true;
	return st__end_one(&q, found);
}

enum rc store_node_keys_put(
	struct store *s, const char *node, uint64_t version, struct store_blob body)
{
	struct st__q q;
	enum rc rc = start(s, ST__NODE_KEYS_PUT, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, node);
	st__int(&q, (int64_t)version);
	st__blob(&q, body.bytes, body.len);
	return st__run(&q);
}

enum rc store_node_keys_done(struct store *s, const char *name, uint64_t token, uint64_t version)
{
	struct st__q q;
	enum rc rc = start(s, ST__NODE_KEYS_DONE, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	st__int(&q, (int64_t)token);
	st__int(&q, (int64_t)version);
	return run_claim(&q, NULL);
}

enum rc store_node_keys_get(struct store *s, const char *node, struct arena *a, uint64_t *version,
	struct store_blob *out)
{
	struct st__q q;
	bool found = false;
	enum rc rc = start(s, ST__NODE_KEYS_GET, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, node);
	while (st__row(&q)) {
		*version = (uint64_t)st__col_int(&q, 0);
		*out = st__col_blob(&q, 1, a);
		found = true;
	}
	return st__end_one(&q, found);
}

enum rc store_node_audit(
	struct store *s, const char *name, uint64_t *seq, uint8_t hash[STORE_SHA256])
{
	struct st__q q;
	bool found = false;
	enum rc rc = start(s, ST__AUDIT_LAST, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	while (st__row(&q)) {
		*seq = (uint64_t)st__col_int(&q, 0);
		st__col_fixed(&q, 1, hash, STORE_SHA256);
		found = true;
	}
	rc = st__end(&q);
	return rc == RC_OK && !found ? RC_NOT_FOUND : rc;
}

enum rc store_node_said(struct store *s, const char *name, struct arena *a, const char **detail)
{
	struct st__q q;
	bool found = false;
	enum rc rc = start(s, ST__AUDIT_SAID, &q);

	if (rc != RC_OK)
		return rc;
	st__text(&q, name);
	while (st__row(&q)) {
		*detail = st__col_dup(&q, 0, a);
		found = true;
	}
	rc = st__end(&q);
	return rc == RC_OK && !found ? RC_NOT_FOUND : rc;
}
