/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/batch_internal.h"

#include <string.h>

/* The NSEC chain (RFC 4034 section 4): each name's record names the next one. A name that comes or
 * goes changes the record of its predecessor. The old zone is read through the cursor; the sorted
 * changes lie over it. */

struct place {
	const uint8_t *key;
	size_t len;
	const uint8_t *value;
	size_t value_len;
};

static int cmp(const struct place *a, const uint8_t *key, size_t len)
{
	return zone_key_cmp(a->key, a->len, key, len);
}

/* The old zone's name before `key`; the apex is before all. */
static enum rc old_before(struct batch *b, const uint8_t *key, size_t len, struct place *out)
{
	MDB_val k = { len, (void *)(uintptr_t)key };
	MDB_val v;
	int r = mdb_cursor_get(b->cursor, &k, &v, MDB_SET_RANGE);

	r = mdb_cursor_get(b->cursor, &k, &v, r == 0 ? MDB_PREV : MDB_LAST);
	if (r != 0)
		return RC_IO;
	*out = (struct place){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	return RC_OK;
}

/* The old zone's name behind `key`; key NULL at the end. */
static enum rc old_after(struct batch *b, const uint8_t *key, size_t len, struct place *out)
{
	MDB_val k = { len, (void *)(uintptr_t)key };
	MDB_val v;
	int r = mdb_cursor_get(b->cursor, &k, &v, MDB_SET_RANGE);

	if (r == 0 && k.mv_size == len && memcmp(k.mv_data, key, len) == 0)
		r = mdb_cursor_get(b->cursor, &k, &v, MDB_NEXT);
	*out = (struct place){ 0 };
	if (r == 0)
		*out = (struct place){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	return r == 0 || r == MDB_NOTFOUND ? RC_OK : RC_IO;
}

/* Copies an unchanged name whose NSEC changes; once. */
static enum rc add_neighbour(struct batch *b, const struct place *p)
{
	struct zone__arena *a = &b->work.arena;
	struct entry *last = b->neighbour.count ? &b->neighbour.at[b->neighbour.count - 1] : NULL;
	struct entry *e;

	if (last && cmp(p, last->key, last->key_len) == 0)
		return RC_OK;
	e = batch__add(&b->neighbour);
	if (!e)
		return RC_NOMEM;
	e->what = ENTRY_NEIGHBOUR;
	e->key = zone__arena_dup(a, p->key, p->len);
	e->key_len = p->len;
	e->old = zone__arena_dup(a, p->value, p->value_len);
	e->old_len = p->value_len;
	e->value = zone__arena_dup(a, p->value, p->value_len);
	e->value_len = p->value_len;
	e->nsec = true;
	if (!e->key || !e->old || !e->value)
		return RC_NOMEM;
	e->reformed = rec_form(e->value) != work_form(b->work.policy);
	return work_reform(&b->work, &e->value, &e->value_len);
}

/* Marks the predecessors of names that came or went. Going upwards, `before` is the predecessor
 * (in the new zone) of the place just behind change i - 1: a changed entry that is there, or an
 * unchanged name. */
static enum rc mark_predecessors(struct batch *b)
{
	struct entry *standing = NULL; /* nearest changed name below that is there */
	struct place kept = { 0 };     /* or the unchanged name, when nearer */

	for (size_t i = 0; i < b->change.count; i++) {
		struct entry *e = &b->change.at[i];
		bool moved = !e->old != !e->value;

		if (moved && i > 0) {
			const struct entry *prev = e - 1;
			struct place p;
			enum rc rc = old_before(b, e->key, e->key_len, &p);

			if (rc != RC_OK)
				return rc;
			/* Nearer than the change before: an unchanged name. Otherwise nothing
			 * unchanged lies between, and what held there holds here. */
			if (cmp(&p, prev->key, prev->key_len) > 0) {
				kept = p;
				standing = NULL;
			}
			if (standing)
				standing->nsec = true;
			else if ((rc = add_neighbour(b, &kept)) != RC_OK)
				return rc;
		}
		if (e->value) {
			standing = e;
			kept = (struct place){ 0 };
		}
	}
	return RC_OK;
}

/* First change behind `key`. */
static size_t change_after(const struct batch *b, const uint8_t *key, size_t len)
{
	size_t lo = 0;
	size_t hi = b->change.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct entry *e = &b->change.at[mid];

		if (zone_key_cmp(e->key, e->key_len, key, len) > 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* The new zone's name behind `key`; key NULL at the end. */
static enum rc new_after(struct batch *b, const uint8_t *key, size_t len, struct place *out)
{
	size_t i = change_after(b, key, len);

	for (;;) {
		struct place old;
		const struct entry *e = i < b->change.count ? &b->change.at[i] : NULL;
		enum rc rc = old_after(b, key, len, &old);

		if (rc != RC_OK)
			return rc;
		if (!e || (old.key && cmp(&old, e->key, e->key_len) < 0)) {
			*out = old;
			return RC_OK;
		}
		if (e->value) {
			*out = (struct place){ e->key, e->key_len, e->value, e->value_len };
			return RC_OK;
		}
		key = e->key;
		len = e->key_len;
		i++;
	}
}

static enum rc sign_entry(struct batch *b, struct entry *e)
{
	struct work *w = &b->work;
	struct place next;
	enum rc rc = RC_OK;

	if (!e->value)
		return RC_OK;
	if (e->what != ENTRY_NEIGHBOUR || e->reformed) {
		enum work_which which = e->sign_all ? WORK_ALL : WORK_DUE;

		rc = e->value[REC_KIND] == REC_DEVICE
			     ? work_sign_device(w, e->key, e->key_len, e->value, which)
			     : work_sign_general(
				       w, e->key, e->key_len, e->value, e->value_len, which);
	}
	if (rc != RC_OK || !e->nsec)
		return rc;
	rc = new_after(b, e->key, e->key_len, &next);
	return rc == RC_OK ? work_sign_nsec(w, e->key, e->key_len, e->value, e->value_len, next.key,
				     next.len)
			   : rc;
}

enum rc batch__chain(struct batch *b)
{
	enum rc rc = mark_predecessors(b);

	for (size_t i = 0; rc == RC_OK && i < b->change.count; i++)
		rc = sign_entry(b, &b->change.at[i]);
	for (size_t i = 0; rc == RC_OK && i < b->neighbour.count; i++)
		rc = sign_entry(b, &b->neighbour.at[i]);
	return rc;
}
