/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/batch_internal.h"

#include "zone/due.h"
#include "zone/journal.h"

#include <stdlib.h>
#include <string.h>

enum rc batch_new(
	struct zone_db *db, const struct zone_policy *policy, int64_t now, struct batch **out)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		return RC_NOMEM;
	b->db = db;
	work_init(&b->work, policy, now);
	*out = b;
	return RC_OK;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	work_fini(&b->work);
	free(b->change.at);
	free(b->neighbour.at);
	free(b);
}

struct entry *batch__add(struct entries *list)
{
	struct entry *e;

	if (list->count == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct entry *at = realloc(list->at, cap * sizeof(*at));

		if (!at)
			return NULL;
		list->at = at;
		list->cap = cap;
	}
	e = &list->at[list->count];
	memset(e, 0, sizeof(*e));
	e->order = list->count++;
	return e;
}

static enum rc add_change(
	struct batch *b, const struct zone_key *key, enum entry_what what, struct entry **out)
{
	const uint8_t *copy = zone__arena_dup(&b->work.arena, key->bytes, key->len);
	struct entry *e = copy ? batch__add(&b->change) : NULL;

	if (!e)
		return RC_NOMEM;
	e->key = copy;
	e->key_len = key->len;
	e->what = what;
	*out = e;
	return RC_OK;
}

size_t batch_changes(const struct batch *b)
{
	return b->change.count + b->infra;
}

enum rc batch_device(struct batch *b, const struct zone_key *key, const uint8_t cert[RR_HASH_LEN],
	const uint8_t spki[RR_HASH_LEN], int64_t not_after)
{
	uint8_t *value = zone__arena_alloc(&b->work.arena, REC_DEVICE_LEN);
	struct entry *e;
	enum rc rc;

	if (key->len <= 1)
		return RC_RANGE;
	/* What has ended already is as good as withdrawn. */
	if (not_after <= b->work.now)
		return batch_withdraw(b, key);
	if (!value)
		return RC_NOMEM;
	rc = add_change(b, key, ENTRY_DEVICE, &e);
	if (rc != RC_OK)
		return rc;
	work_device(value, cert, spki, not_after);
	e->device = value;
	return RC_OK;
}

enum rc batch_withdraw(struct batch *b, const struct zone_key *key)
{
	struct entry *e;

	return key->len <= 1 ? RC_RANGE : add_change(b, key, ENTRY_WITHDRAW, &e);
}

enum rc batch_sets(
	struct batch *b, const struct zone_key *key, const struct work_set *sets, unsigned count)
{
	struct zone__arena *a = &b->work.arena;
	struct work_set *copy = zone__arena_dup(a, sets, count * sizeof(*sets));
	struct entry *e;
	enum rc rc;

	if (!copy)
		return RC_NOMEM;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t **rdata =
			zone__arena_dup(a, sets[i].rdata, sets[i].count * sizeof(*sets[i].rdata));

		copy[i].rdata = rdata;
		copy[i].rdata_len = zone__arena_dup(
			a, sets[i].rdata_len, sets[i].count * sizeof(*sets[i].rdata_len));
		if (!rdata || !copy[i].rdata_len)
			return RC_NOMEM;
		for (unsigned k = 0; k < sets[i].count; k++) {
			rdata[k] = zone__arena_dup(a, sets[i].rdata[k], sets[i].rdata_len[k]);
			if (!rdata[k])
				return RC_NOMEM;
		}
	}
	rc = add_change(b, key, ENTRY_SETS, &e);
	if (rc != RC_OK)
		return rc;
	e->sets = copy;
	e->set_count = count;
	return RC_OK;
}

enum rc batch_refresh(struct batch *b, const struct zone_key *key)
{
	struct entry *e;

	return add_change(b, key, ENTRY_REFRESH, &e);
}

enum rc batch_infra(struct batch *b)
{
	b->infra = true;
	return RC_OK;
}

enum rc batch_prepare(struct batch *b, const struct work **w, struct diag *d)
{
	MDB_txn *txn = NULL;
	enum rc rc;
	int r = mdb_txn_begin(b->db->env, NULL, MDB_RDONLY, &txn);

	if (r)
		return zone_db_error(r, d, "read");
	rc = zone_db_state_get(b->db, txn, &b->state);
	if (rc == RC_OK && !b->state.have)
		rc = diag_set(d, RC_STATE, "zone store: no content to change yet");
	/* RFC 1982: adding one is always an increase; 2^32 - 1 is followed by 0. */
	b->serial = b->state.serial + 1;
	if (b->floor && (int32_t)(b->floor - b->state.serial) > 0)
		b->serial = b->floor + 1;
	if (rc == RC_OK) {
		r = mdb_cursor_open(txn, b->db->names[b->state.active], &b->cursor);
		rc = zone_db_error(r, d, "cursor");
	}
	if (rc == RC_OK)
		rc = batch__resolve(b, d);
	if (rc == RC_OK)
		rc = batch__chain(b);
	if (b->cursor)
		mdb_cursor_close(b->cursor);
	b->cursor = NULL;
	mdb_txn_abort(txn);
	if (rc == RC_OK)
		*w = &b->work;
	return rc;
}

static enum rc write_entries(struct batch *b, MDB_txn *txn, struct journal *j,
	const struct entries *list, struct diag *d)
{
	MDB_dbi dbi = b->db->names[b->state.active];

	for (size_t i = 0; i < list->count; i++) {
		const struct entry *e = &list->at[i];
		MDB_val k = { e->key_len, (void *)(uintptr_t)e->key };
		MDB_val v = { e->value_len, e->value };
		enum rc rc = RC_OK;
		int r = e->value ? mdb_put(txn, dbi, &k, &v, 0) : mdb_del(txn, dbi, &k, NULL);

		if (r)
			return zone_db_error(r, d, e->value ? "put" : "delete");
		if (e->value && e->value[REC_KIND] == REC_DEVICE)
			rc = due_note(b->db, txn, e->key, e->key_len,
				(int64_t)rec_get64(e->value + REC_NOT_AFTER),
				b->work.now + b->work.policy->signature_s);
		if (rc == RC_OK)
			rc = journal_add(
				j, e->key, e->key_len, e->old, e->old_len, e->value, e->value_len);
		if (rc != RC_OK)
			return diag_set(d, rc, "zone store: note of a change");
	}
	return RC_OK;
}

enum rc batch_commit(struct batch *b, const uint8_t *sigs, const struct work_tags *tags,
	uint64_t applied_seq, uint32_t *serial, struct diag *d)
{
	struct zone_state next = b->state;
	struct journal j = { 0 };
	MDB_txn *txn = NULL;
	enum rc rc;
	int r;

	work_place(&b->work, sigs, tags);
	next.serial = b->serial;
	if (applied_seq)
		next.applied_seq = applied_seq;
	r = mdb_txn_begin(b->db->env, NULL, 0, &txn);
	if (r)
		return zone_db_error(r, d, "begin");
	journal_begin(&j, b->state.serial, b->serial, b->db->journal_max);
	rc = write_entries(b, txn, &j, &b->change, d);
	if (rc == RC_OK)
		rc = write_entries(b, txn, &j, &b->neighbour, d);
	if (rc == RC_OK)
		rc = journal_write(&j, b->db, txn, d);
	if (rc == RC_OK)
		rc = zone_db_state_put(b->db, txn, &next);
	journal_end(&j);
	if (rc != RC_OK) {
		mdb_txn_abort(txn);
		return rc;
	}
	r = mdb_txn_commit(txn);
	if (r)
		return zone_db_error(r, d, "commit");
	*serial = b->serial;
	return RC_OK;
}
