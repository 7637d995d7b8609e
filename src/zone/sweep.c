/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/sweep.h"

#include "zone/due.h"

#include <string.h>

struct ended {
	struct batch *b;
	MDB_txn *txn;
	struct zone_db *db;
	MDB_dbi tree;
	int64_t now;
	unsigned count;
};

static enum rc end_one(const struct zone_key *key, int64_t not_after, void *user)
{
	struct ended *e = user;
	MDB_val k = { key->len, (void *)(uintptr_t)key->bytes };
	MDB_val v;
	int r = mdb_get(e->txn, e->tree, &k, &v);

	(void)not_after;
	if (r != 0)
		return r == MDB_NOTFOUND ? RC_OK : RC_IO;
	if (!rec_is_sane(v.mv_data, v.mv_size))
		return RC_IO;
	/* Renewed since it was noted: it stays. */
	if (((const uint8_t *)v.mv_data)[REC_KIND] != REC_DEVICE ||
		(int64_t)rec_get64((const uint8_t *)v.mv_data + REC_NOT_AFTER) > e->now)
		return RC_OK;
	e->count++;
	return batch_withdraw(e->b, key);
}

enum rc sweep_ended(struct zone_db *db, int64_t now, unsigned max, struct batch *b, unsigned *count)
{
	struct ended e = { .b = b, .db = db, .now = now };
	struct zone_state state;
	enum rc rc;

	*count = 0;
	if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &e.txn))
		return RC_IO;
	rc = zone_db_state_get(db, e.txn, &state);
	if (rc == RC_OK) {
		e.tree = db->names[state.active];
		rc = due_each(db, e.txn, now, max, end_one, &e);
	}
	mdb_txn_abort(e.txn);
	*count = e.count;
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

void sweep_restart(struct sweep *s)
{
	*s = (struct sweep){ .names = s->names };
}

static void end_pass(struct sweep *s)
{
	s->at.len = 0;
	if (s->whole) {
		s->passes++;
		s->last = s->count;
	}
	s->count = (struct work_count){ 0 };
	s->whole = true;
}

static enum rc walk(struct sweep *s, MDB_cursor *c, const struct zone_policy *policy, int64_t now,
	const struct sweep_limits *limits, struct batch *b, unsigned *count)
{
	struct work probe = { .policy = policy, .now = now };
	MDB_val k = { s->at.len, s->at.bytes };
	MDB_val v;
	int r = mdb_cursor_get(c, &k, &v, s->at.len ? MDB_SET_RANGE : MDB_FIRST);

	if (r == 0 && s->at.len && k.mv_size == s->at.len &&
		memcmp(k.mv_data, s->at.bytes, k.mv_size) == 0)
		r = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	s->behind = false;
	s->looked = 0;
	if (s->at.len == 0) {
		s->whole = true;
		s->count = (struct work_count){ 0 };
	}
	for (unsigned seen = 0; r == 0 && seen < limits->look; seen++) {
		if (k.mv_size > ZONE_KEY_MAX || !rec_is_sane(v.mv_data, v.mv_size))
			return RC_IO;
		if (work_record_is_due(&probe, v.mv_data, v.mv_size)) {
			struct zone_key key;
			enum rc rc;

			if (*count == limits->take) {
				s->behind = true;
				return RC_OK;
			}
			key.len = (uint16_t)k.mv_size;
			memcpy(key.bytes, k.mv_data, k.mv_size);
			rc = batch_refresh(b, &key);
			if (rc != RC_OK)
				return rc;
			++*count;
		}
		work_record_count(&probe, v.mv_data, v.mv_size, &s->count);
		s->looked++;
		s->at.len = (uint16_t)k.mv_size;
		memcpy(s->at.bytes, k.mv_data, k.mv_size);
		r = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	if (r == MDB_NOTFOUND)
		end_pass(s);
	return r == 0 || r == MDB_NOTFOUND ? RC_OK : RC_IO;
}

enum rc sweep_step(struct sweep *s, struct zone_db *db, const struct zone_policy *policy,
	int64_t now, const struct sweep_limits *limits, struct batch *b, unsigned *count)
{
	struct zone_state state;
	MDB_cursor *c = NULL;
	MDB_txn *txn = NULL;
	MDB_stat stat;
	enum rc rc;

	*count = 0;
	if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn))
		return RC_IO;
	rc = zone_db_state_get(db, txn, &state);
	if (rc == RC_OK && mdb_stat(txn, db->names[state.active], &stat) == 0)
		s->names = stat.ms_entries;
	if (rc == RC_OK)
		rc = mdb_cursor_open(txn, db->names[state.active], &c) ? RC_IO : RC_OK;
	if (rc == RC_OK)
		rc = walk(s, c, policy, now, limits, b, count);
	if (c)
		mdb_cursor_close(c);
	mdb_txn_abort(txn);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}
