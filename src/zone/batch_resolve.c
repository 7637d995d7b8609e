/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/batch_internal.h"

#include <stdlib.h>
#include <string.h>

/* What each changed name holds afterwards. */

static int by_key(const void *x, const void *y)
{
	const struct entry *a = x;
	const struct entry *b = y;
	int d = zone_key_cmp(a->key, a->key_len, b->key, b->key_len);

	return d ? d : (a->order > b->order) - (a->order < b->order);
}

static bool same_key(const struct entry *a, const struct entry *b)
{
	return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* Sorts and keeps the last change of each name. */
static void net(struct entries *list)
{
	size_t n = 0;

	qsort(list->at, list->count, sizeof(list->at[0]), by_key);
	for (size_t i = 0; i < list->count; i++) {
		struct entry *e = &list->at[i];

		if (n == 0 || !same_key(&list->at[n - 1], e))
			list->at[n++] = *e;
		else if (e->what != ENTRY_REFRESH)
			list->at[n - 1] = *e;
	}
	list->count = n;
}

/* The names that the zone itself keeps: the apex always (its SOA changes), the name server when
 * the policy is written. */
static enum rc add_own(struct batch *b)
{
	const struct zone_policy *p = b->work.policy;
	struct zone_key key;
	struct entry *e;
	int rel = zone_name_below(p->ns_name.wire, p->ns_name.len, &p->origin);

	e = batch__add(&b->change);
	if (!e)
		return RC_NOMEM;
	e->key = (const uint8_t *)"";
	e->key_len = 1;
	e->what = ENTRY_REFRESH;
	if (!b->infra || rel <= 0)
		return RC_OK;
	zone_key_write(p->ns_name.wire, (size_t)rel, &key);
	e = batch__add(&b->change);
	if (!e)
		return RC_NOMEM;
	e->key = zone__arena_dup(&b->work.arena, key.bytes, key.len);
	e->key_len = key.len;
	e->what = ENTRY_REFRESH;
	return e->key ? RC_OK : RC_NOMEM;
}

static bool is_ns_host(const struct batch *b, const struct entry *e)
{
	const struct zone_policy *p = b->work.policy;
	struct zone_key key;
	int rel = zone_name_below(p->ns_name.wire, p->ns_name.len, &p->origin);

	if (rel <= 0)
		return false;
	zone_key_write(p->ns_name.wire, (size_t)rel, &key);
	return key.len == e->key_len && memcmp(key.bytes, e->key, key.len) == 0;
}

static enum rc load_old(struct batch *b, struct entry *e)
{
	MDB_val k = { e->key_len, (void *)(uintptr_t)e->key };
	MDB_val v;
	int r = mdb_cursor_get(b->cursor, &k, &v, MDB_SET);

	if (r == MDB_NOTFOUND)
		return RC_OK;
	if (r || !rec_is_sane(v.mv_data, v.mv_size))
		return RC_IO;
	e->old = zone__arena_dup(&b->work.arena, v.mv_data, v.mv_size);
	e->old_len = v.mv_size;
	return e->old ? RC_OK : RC_NOMEM;
}

static enum rc keep_old(struct batch *b, struct entry *e)
{
	enum rc rc = RC_OK;

	e->value = e->old ? zone__arena_dup(&b->work.arena, e->old, e->old_len) : NULL;
	e->value_len = e->old_len;
	if (e->old && !e->value)
		return RC_NOMEM;
	if (e->value)
		rc = work_reform(&b->work, &e->value, &e->value_len);
	e->nsec = rc == RC_OK && e->value && work_nsec_is_due(&b->work, e->value);
	return rc;
}

static enum rc resolve_device(struct batch *b, struct entry *e)
{
	enum rc rc;

	e->value = zone__arena_dup(&b->work.arena, e->device, REC_DEVICE_LEN);
	if (!e->value)
		return RC_NOMEM;
	e->value_len = REC_DEVICE_LEN;
	rc = work_reform(&b->work, &e->value, &e->value_len);
	if (rc != RC_OK)
		return rc;
	e->sign_all = true;
	/* The NSEC of a name that stays with the same types stays too. */
	if (e->old && e->old[REC_KIND] == REC_DEVICE) {
		rec_copy_nsec(e->value, e->old);
		e->nsec = work_nsec_is_due(&b->work, e->value);
	} else {
		e->nsec = true;
	}
	return RC_OK;
}

/* Folds a node, keeping the NSEC's signature where the types did not change. */
static enum rc fold_node(struct batch *b, struct entry *e, struct rec_node *node)
{
	uint8_t was[REC_BITMAP_MAX];
	uint8_t is[REC_BITMAP_MAX];
	size_t was_len;
	size_t is_len;
	enum rc rc;

	if (node->count == 0) {
		e->value = NULL;
		return RC_OK;
	}
	rc = work_node_value(&b->work, node, &e->value, &e->value_len);
	if (rc != RC_OK)
		return rc;
	e->nsec = true;
	if (!e->old)
		return RC_OK;
	was_len = rec_bitmap(e->old, e->old_len, was);
	is_len = rec_bitmap(e->value, e->value_len, is);
	if (was_len == is_len && memcmp(was, is, is_len) == 0) {
		rec_copy_nsec(e->value, e->old);
		e->nsec = work_nsec_is_due(&b->work, e->value);
	}
	return RC_OK;
}

static enum rc resolve_sets(struct batch *b, struct entry *e, struct rec_node *node)
{
	enum rc rc = RC_OK;

	for (unsigned i = 0; rc == RC_OK && i < e->set_count; i++)
		rc = work_node_set(&b->work, node, &e->sets[i]);
	return rc;
}

static enum rc resolve_apex(struct batch *b, struct entry *e)
{
	struct rec_node node = { 0 };
	enum rc rc = RC_OK;

	/* A copy of the old value: its signatures are kept by sets that do not change. */
	if (e->old) {
		uint8_t *copy = zone__arena_dup(&b->work.arena, e->old, e->old_len);

		rc = copy ? rec_node_parse(copy, e->old_len, &node) : RC_NOMEM;
	}
	if (rc == RC_OK && (b->infra || !e->old))
		rc = work_apex_infra(&b->work, &node);
	if (rc == RC_OK && e->what == ENTRY_SETS)
		rc = resolve_sets(b, e, &node);
	if (rc == RC_OK)
		rc = work_apex_soa(&b->work, &node, b->serial);
	/* New sets have no signature yet, which counts as due. */
	return rc == RC_OK ? fold_node(b, e, &node) : rc;
}

static enum rc resolve_one(struct batch *b, struct entry *e)
{
	struct rec_node node = { 0 };
	enum rc rc = load_old(b, e);

	if (rc != RC_OK)
		return rc;
	if (e->key_len == 1)
		return resolve_apex(b, e);
	if (is_ns_host(b, e)) {
		/* Nobody outside may change it. */
		if (!b->infra)
			return keep_old(b, e);
		rc = work_ns_host(&b->work, &node);
		e->sign_all = true;
		return rc == RC_OK ? fold_node(b, e, &node) : rc;
	}
	switch (e->what) {
	case ENTRY_WITHDRAW: e->value = NULL; return RC_OK;
	case ENTRY_DEVICE: return resolve_device(b, e);
	case ENTRY_SETS:
		e->sign_all = true;
		rc = resolve_sets(b, e, &node);
		return rc == RC_OK ? fold_node(b, e, &node) : rc;
	case ENTRY_REFRESH:
	case ENTRY_NEIGHBOUR: break;
	}
	return keep_old(b, e);
}

enum rc batch__resolve(struct batch *b, struct diag *d)
{
	size_t n = 0;
	enum rc rc = add_own(b);

	if (rc != RC_OK)
		return rc;
	net(&b->change);
	for (size_t i = 0; i < b->change.count; i++) {
		struct entry *e = &b->change.at[i];

		rc = resolve_one(b, e);
		if (rc != RC_OK)
			return diag_set(d, rc, "zone: a record could not be built");
		/* A withdrawal of what is not there changes nothing. */
		if (e->old || e->value)
			b->change.at[n++] = *e;
	}
	b->change.count = n;
	return RC_OK;
}
