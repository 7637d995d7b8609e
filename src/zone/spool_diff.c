/* SPDX-License-Identifier: Apache-2.0 */
/* The condensed difference between two serials (RFC 1995 section 5): of each touched name what it
 * was first and what it is now. An NSEC's next name is not stored; the successor that a name had
 * then follows from the tree as it is and from the names that came since. */
#include "zone/spool_internal.h"

#include <stdlib.h>
#include <string.h>

#define SERIALS_SLICE 32u
#define NAMES_SLICE   200u
/* More than this is quicker sent whole. */
#define CHANGES_MAX (1u << 20)

static enum rc gather(const struct journal_item *item, void *user)
{
	struct spool *s = user;

	if (s->change_count == s->change_cap) {
		size_t cap = s->change_cap ? 2 * s->change_cap : 1024;
		struct spool_change *list = realloc(s->changes, cap * sizeof(*list));

		if (!list)
			return RC_NOMEM;
		s->changes = list;
		s->change_cap = cap;
	}
	if (s->change_count == CHANGES_MAX)
		return RC_TOO_LARGE;
	s->changes[s->change_count] = (struct spool_change){ *item, (uint32_t)s->change_count };
	s->change_count++;
	return RC_OK;
}

static int by_key(const void *a, const void *b)
{
	const struct spool_change *x = a, *y = b;
	int r = zone_key_cmp(x->item.key, x->item.key_len, y->item.key, y->item.key_len);

	if (r)
		return r;
	return x->order < y->order ? -1 : x->order > y->order;
}

static bool same_key(const struct journal_item *a, const struct journal_item *b)
{
	return zone_key_cmp(a->key, a->key_len, b->key, b->key_len) == 0;
}

/* First old, last new; what came to nothing goes. */
static void condense(struct spool *s)
{
	struct spool_change *c = s->changes;
	size_t kept = 0;

	if (s->change_count > 0)
		qsort(c, s->change_count, sizeof(*c), by_key);
	for (size_t i = 0; i < s->change_count;) {
		struct journal_item it = c[i].item;
		size_t k = i;

		while (k + 1 < s->change_count && same_key(&it, &c[k + 1].item))
			k++;
		it.new = c[k].item.new;
		it.new_len = c[k].item.new_len;
		if (it.old || it.new)
			c[kept++].item = it;
		i = k + 1;
	}
	s->change_count = kept;
	s->change_at = 0;
}

/* The successor in the tree as it is. */
static bool next_in_tree(struct spool *s, const struct journal_item *it, bool first, MDB_val *k)
{
	MDB_val v;
	int e;

	if (!first)
		return mdb_cursor_get(s->cursor, k, &v, MDB_NEXT) == 0;
	*k = (MDB_val){ it->key_len, (void *)(uintptr_t)it->key };
	e = mdb_cursor_get(s->cursor, k, &v, MDB_SET_RANGE);
	if (e == 0 && zone_key_cmp(k->mv_data, k->mv_size, it->key, it->key_len) == 0)
		e = mdb_cursor_get(s->cursor, k, &v, MDB_NEXT);
	return e == 0;
}

static const uint8_t apex_key = 0;

static void new_next(struct spool *s, struct spool_item *out, const struct journal_item *it)
{
	MDB_val k;

	out->new_next = &apex_key;
	out->new_next_len = 1;
	if (next_in_tree(s, it, true, &k)) {
		out->new_next = k.mv_data;
		out->new_next_len = (uint16_t)k.mv_size;
	}
}

/* The first name behind change `at` that was there then: a changed one that had a record, or one in
 * the tree that did not change. */
static void old_next(struct spool *s, struct spool_item *out, size_t at)
{
	const struct spool_change *c = s->changes;
	size_t had = at + 1;
	size_t p = at + 1;
	MDB_val k;

	out->old_next = &apex_key;
	out->old_next_len = 1;
	while (had < s->change_count && !c[had].item.old)
		had++;
	if (had < s->change_count) {
		out->old_next = c[had].item.key;
		out->old_next_len = c[had].item.key_len;
	}
	for (bool first = true; next_in_tree(s, &c[at].item, first, &k); first = false) {
		int r = 1;

		if (had < s->change_count && zone_key_cmp(k.mv_data, k.mv_size, c[had].item.key,
						     c[had].item.key_len) >= 0)
			return;
		while (p < had && (r = zone_key_cmp(c[p].item.key, c[p].item.key_len, k.mv_data,
					   k.mv_size)) < 0)
			p++;
		if (p < had && r == 0)
			continue; /* came since */
		out->old_next = k.mv_data;
		out->old_next_len = (uint16_t)k.mv_size;
		return;
	}
}

static enum rc put_change(struct spool *s, size_t at)
{
	const struct journal_item *it = &s->changes[at].item;
	struct spool_region *r = s->making;
	struct spool_item out = { .key = it->key,
		.key_len = it->key_len,
		.old = it->old,
		.old_len = it->old_len,
		.new = it->new,
		.new_len = it->new_len };

	/* The apex changes with every serial: it tells the old SOA. */
	if (it->key_len == 1 && it->key[0] == 0 && it->old)
		if (!spool__soa(it->old, it->old_len, &r->soa_from))
			return RC_MALFORMED;
	if (it->old)
		old_next(s, &out, at);
	if (it->new)
		new_next(s, &out, it);
	return spool__put(s, &out);
}

enum rc spool__diff_slice(struct spool *s, bool *done)
{
	struct spool_region *r = s->making;
	MDB_txn *txn = snap_reader_txn(s->reader);
	enum rc rc = RC_OK;

	if (r->from == r->to) {
		*done = true;
		return RC_OK;
	}
	for (unsigned i = 0; rc == RC_OK && i < SERIALS_SLICE && s->serial != r->to; i++)
		rc = journal_each(s->reader->db, txn, ++s->serial, gather, s);
	if (rc == RC_TOO_LARGE) {
		r->whole = true;
		return mdb_cursor_get(s->cursor, &(MDB_val){ 0 }, &(MDB_val){ 0 }, MDB_FIRST) == 0
			       ? RC_OK
			       : RC_IO;
	}
	if (rc != RC_OK || s->serial != r->to)
		return rc;
	if (!s->sorted) {
		condense(s);
		s->sorted = true;
		return RC_OK;
	}
	for (unsigned i = 0; rc == RC_OK && i < NAMES_SLICE && s->change_at < s->change_count; i++)
		rc = put_change(s, s->change_at++);
	*done = s->change_at == s->change_count;
	if (rc == RC_OK && *done && r->soa_from.len == 0)
		rc = RC_MALFORMED;
	return rc;
}
