/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/rebuild.h"

#include "zone/due.h"
#include "zone/journal.h"

#include <stdlib.h>
#include <string.h>

struct item {
	const uint8_t *key;
	size_t key_len;
	uint8_t *value;
	size_t value_len;
};

struct rebuild {
	struct zone_db *db;
	const struct zone_policy *policy;
	int64_t now;
	struct zone_state next; /* as it will be */
	MDB_dbi tree;
	MDB_txn *txn; /* open between an add and its flush */
	unsigned put_flags;
	bool host_written;
	bool begins;	    /* there was no zone: its last serial is not known here */
	struct work work;   /* of one step */
	struct item *items; /* of one step */
	size_t count;
	size_t cap;
	struct zone_key last; /* last key of the step before; len 0 at the start */
	uint64_t names;	      /* in the new tree */
	uint64_t done;	      /* of them signed */
};

static enum rc txn_need(struct rebuild *r, struct diag *d)
{
	if (r->txn)
		return RC_OK;
	return zone_db_error(mdb_txn_begin(r->db->env, NULL, 0, &r->txn), d, "begin");
}

enum rc rebuild_flush(struct rebuild *r, struct diag *d)
{
	MDB_txn *txn = r->txn;

	if (!txn)
		return RC_OK;
	r->txn = NULL;
	return zone_db_error(mdb_txn_commit(txn), d, "commit");
}

static enum rc put_value(struct rebuild *r, const uint8_t *key, size_t key_len,
	const uint8_t *value, size_t len, unsigned flags)
{
	MDB_val k = { key_len, (void *)(uintptr_t)key };
	MDB_val v = { len, (void *)(uintptr_t)value };
	enum rc rc = txn_need(r, NULL);
	int e;

	if (rc != RC_OK)
		return rc;
	e = mdb_put(r->txn, r->tree, &k, &v, flags);
	if (e == MDB_KEYEXIST && flags)
		e = mdb_put(r->txn, r->tree, &k, &v, 0);
	return e == 0 ? RC_OK : RC_IO;
}

static enum rc put_node(
	struct rebuild *r, const struct zone_key *key, struct rec_node *node, unsigned flags)
{
	uint8_t *value;
	size_t len;
	enum rc rc;

	if (node->count == 0)
		return RC_OK;
	rc = work_node_value(&r->work, node, &value, &len);
	return rc == RC_OK ? put_value(r, key->bytes, key->len, value, len, flags) : rc;
}

static const struct zone_key apex_key = { .len = 1 };

static bool ns_host_key(const struct rebuild *r, struct zone_key *key)
{
	const struct zone_policy *p = r->policy;
	int rel = zone_name_below(p->ns_name.wire, p->ns_name.len, &p->origin);

	if (rel <= 0)
		return false;
	zone_key_write(p->ns_name.wire, (size_t)rel, key);
	return true;
}

static enum rc put_apex(struct rebuild *r)
{
	struct rec_node apex = { 0 };
	enum rc rc = work_apex_infra(&r->work, &apex);

	if (rc == RC_OK)
		rc = work_apex_soa(&r->work, &apex, r->next.serial);
	return rc == RC_OK ? put_node(r, &apex_key, &apex, 0) : rc;
}

/* Last, so that a loader whose names come sorted may append all of them. */
static enum rc put_ns_host(struct rebuild *r, struct diag *d)
{
	struct rec_node host = { 0 };
	struct zone_key key;
	enum rc rc;

	if (r->host_written || !ns_host_key(r, &key))
		return RC_OK;
	r->host_written = true;
	rc = work_ns_host(&r->work, &host);
	if (rc == RC_OK)
		rc = put_node(r, &key, &host, 0);
	return rc == RC_OK ? rebuild_flush(r, d) : rc;
}

static enum rc start(struct rebuild *r, struct diag *d)
{
	enum rc rc = txn_need(r, d);

	if (rc != RC_OK)
		return rc;
	rc = zone_db_state_get(r->db, r->txn, &r->next);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return diag_set(d, rc, "zone store: state");
	/* A zone that begins takes the time as its serial: one that was deleted and rebuilt then
	 * goes on above its old numbers, or its secondaries would not follow. */
	r->begins = rc == RC_NOT_FOUND || !r->next.have;
	if (r->begins) {
		memset(&r->next, 0, sizeof(r->next));
		r->next.serial = (uint32_t)r->now;
	} else {
		r->next.serial++;
	}
	r->next.origin = r->policy->origin;
	r->next.ttl = r->policy->ttl;
	r->next.minimum = r->policy->minimum;
	r->next.active ^= 1u;
	r->next.have = true;
	r->tree = r->db->names[r->next.active];
	rc = zone_db_error(mdb_drop(r->txn, r->tree, 0), d, "drop");
	if (rc == RC_OK)
		rc = put_apex(r);
	return rc == RC_OK ? rebuild_flush(r, d) : rc;
}

enum rc rebuild_new(struct zone_db *db, const struct zone_policy *policy, int64_t now,
	struct rebuild **out, struct diag *d)
{
	struct rebuild *r = calloc(1, sizeof(*r));
	enum rc rc;

	if (!r)
		return RC_NOMEM;
	r->db = db;
	r->policy = policy;
	r->now = now;
	work_init(&r->work, policy, now);
	rc = start(r, d);
	if (rc != RC_OK) {
		rebuild_free(r);
		return rc;
	}
	*out = r;
	return RC_OK;
}

enum rc rebuild_serial_min(struct rebuild *r, uint32_t serial, struct diag *d)
{
	return r->begins ? rebuild_serial_from(r, serial, d) : RC_OK;
}

enum rc rebuild_serial_from(struct rebuild *r, uint32_t serial, struct diag *d)
{
	enum rc rc;

	if (serial == 0 || (int32_t)(serial - r->next.serial) <= 0)
		return RC_OK;
	r->next.serial = serial;
	rc = txn_need(r, d);
	if (rc == RC_OK)
		rc = put_apex(r);
	return rc == RC_OK ? rebuild_flush(r, d) : diag_set(d, rc, "zone store: serial");
}

uint32_t rebuild_serial(const struct rebuild *r)
{
	return r->next.serial;
}

void rebuild_free(struct rebuild *r)
{
	if (!r)
		return;
	if (r->txn)
		mdb_txn_abort(r->txn);
	work_fini(&r->work);
	free(r->items);
	free(r);
}

void rebuild_expect_sorted(struct rebuild *r)
{
	r->put_flags = MDB_APPEND;
}

enum rc rebuild_device(struct rebuild *r, const struct zone_key *key,
	const uint8_t cert[RR_HASH_LEN], const uint8_t spki[RR_HASH_LEN], int64_t not_after)
{
	uint8_t value[REC_DEVICE_LEN];

	if (key->len <= 1)
		return RC_RANGE;
	if (not_after <= r->now)
		return RC_OK;
	work_device(value, cert, spki, not_after);
	return put_value(r, key->bytes, key->len, value, sizeof(value), r->put_flags);
}

enum rc rebuild_sets(
	struct rebuild *r, const struct zone_key *key, const struct work_set *sets, unsigned count)
{
	struct rec_node node = { 0 };
	struct zone_key ns;
	uint8_t *copy;
	enum rc rc = txn_need(r, NULL);

	if (rc != RC_OK)
		return rc;
	if (ns_host_key(r, &ns) && ns.len == key->len && !memcmp(ns.bytes, key->bytes, ns.len))
		return RC_OK;
	if (key->len == 1) {
		MDB_val k = { 1, (void *)(uintptr_t) "" };
		MDB_val v;

		if (mdb_get(r->txn, r->tree, &k, &v) != 0)
			return RC_IO;
		copy = zone__arena_dup(&r->work.arena, v.mv_data, v.mv_size);
		rc = copy ? rec_node_parse(copy, v.mv_size, &node) : RC_NOMEM;
	}
	for (unsigned i = 0; rc == RC_OK && i < count; i++)
		rc = work_node_set(&r->work, &node, &sets[i]);
	return rc == RC_OK ? put_node(r, key, &node, 0) : rc;
}

/* ---- signing in order */

static enum rc take_item(struct rebuild *r, const MDB_val *k, const MDB_val *v)
{
	struct item *it;

	if (!rec_is_sane(v->mv_data, v->mv_size))
		return RC_IO;
	if (r->count == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 256;
		struct item *items = realloc(r->items, cap * sizeof(*items));

		if (!items)
			return RC_NOMEM;
		r->items = items;
		r->cap = cap;
	}
	it = &r->items[r->count++];
	it->key = zone__arena_dup(&r->work.arena, k->mv_data, k->mv_size);
	it->key_len = k->mv_size;
	it->value = zone__arena_dup(&r->work.arena, v->mv_data, v->mv_size);
	it->value_len = v->mv_size;
	return it->key && it->value ? RC_OK : RC_NOMEM;
}

/* The next `max` records and the one behind them. */
static enum rc take_items(struct rebuild *r, MDB_txn *txn, unsigned max)
{
	MDB_cursor *c = NULL;
	MDB_val k = { r->last.len, r->last.bytes };
	MDB_val v;
	enum rc rc = RC_OK;
	int e = mdb_cursor_open(txn, r->tree, &c);

	if (e)
		return RC_IO;
	e = mdb_cursor_get(c, &k, &v, r->last.len ? MDB_SET_RANGE : MDB_FIRST);
	if (e == 0 && r->last.len && k.mv_size == r->last.len &&
		memcmp(k.mv_data, r->last.bytes, k.mv_size) == 0)
		e = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	while (e == 0 && rc == RC_OK && r->count <= max) {
		rc = take_item(r, &k, &v);
		e = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return rc;
}

static enum rc sign_item(struct rebuild *r, struct item *it, const struct item *next)
{
	enum rc rc = work_reform(&r->work, &it->value, &it->value_len);

	if (rc == RC_OK)
		rc = it->value[REC_KIND] == REC_DEVICE
			     ? work_sign_device(&r->work, it->key, it->key_len, it->value, WORK_ALL)
			     : work_sign_general(&r->work, it->key, it->key_len, it->value,
				       it->value_len, WORK_ALL);
	return rc == RC_OK
		       ? work_sign_nsec(&r->work, it->key, it->key_len, it->value, it->value_len,
				 next ? next->key : NULL, next ? next->key_len : 0)
		       : rc;
}

enum rc rebuild_step(struct rebuild *r, unsigned max, const struct work **w, struct diag *d)
{
	MDB_txn *txn = NULL;
	MDB_stat st;
	enum rc rc;
	size_t n;

	work_fini(&r->work);
	work_init(&r->work, r->policy, r->now);
	r->count = 0;
	rc = put_ns_host(r, d);
	if (rc == RC_OK)
		rc = zone_db_error(mdb_txn_begin(r->db->env, NULL, MDB_RDONLY, &txn), d, "read");
	if (rc != RC_OK)
		return rc;
	rc = take_items(r, txn, max);
	if (rc == RC_OK && mdb_stat(txn, r->tree, &st) == 0)
		r->names = st.ms_entries;
	mdb_txn_abort(txn);
	n = r->count > max ? max : r->count;
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = sign_item(r, &r->items[i], i + 1 < r->count ? &r->items[i + 1] : NULL);
	r->count = n;
	*w = &r->work;
	return rc == RC_OK ? RC_OK : diag_set(d, rc, "zone: a record could not be signed");
}

enum rc rebuild_place(
	struct rebuild *r, const uint8_t *sigs, const struct work_tags *tags, struct diag *d)
{
	enum rc rc = txn_need(r, d);

	work_place(&r->work, sigs, tags);
	for (size_t i = 0; rc == RC_OK && i < r->count; i++) {
		struct item *it = &r->items[i];

		rc = put_value(r, it->key, it->key_len, it->value, it->value_len, 0);
		if (rc == RC_OK && it->value[REC_KIND] == REC_DEVICE)
			rc = due_note(r->db, r->txn, it->key, it->key_len,
				(int64_t)rec_get64(it->value + REC_NOT_AFTER),
				r->now + r->policy->signature_s);
	}
	if (rc != RC_OK)
		return diag_set(d, rc, "zone store: put");
	if (r->count > 0) {
		const struct item *it = &r->items[r->count - 1];

		memcpy(r->last.bytes, it->key, it->key_len);
		r->last.len = (uint16_t)it->key_len;
	}
	r->done += r->count;
	return rebuild_flush(r, d);
}

void rebuild_progress(const struct rebuild *r, uint64_t *done, uint64_t *names)
{
	*done = r->done;
	*names = r->names;
}

enum rc rebuild_finish(struct rebuild *r, uint64_t applied_seq, uint32_t *serial, struct diag *d)
{
	enum rc rc = txn_need(r, d);

	if (rc != RC_OK)
		return rc;
	r->next.applied_seq = applied_seq;
	rc = zone_db_state_put(r->db, r->txn, &r->next);
	/* The journal does not lead to the new content. */
	if (rc == RC_OK)
		rc = journal_clear(r->db, r->txn, d);
	if (rc == RC_OK)
		rc = zone_db_error(
			mdb_drop(r->txn, r->db->names[r->next.active ^ 1u], 0), d, "drop");
	if (rc == RC_OK)
		rc = rebuild_flush(r, d);
	if (rc == RC_OK)
		*serial = r->next.serial;
	return rc;
}
