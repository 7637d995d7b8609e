/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/delta.h"

#include "base/cur.h"
#include "zone/batch_internal.h"
#include "zone/due.h"
#include "zone/journal.h"

#include <stdlib.h>
#include <string.h>

#define HEAD 4u

enum rc delta_each(const uint8_t *body, size_t len, delta_fn *fn, void *user)
{
	struct cur c = cur_init(body, len);
	enum rc rc = RC_OK;

	while (c.left > 0 && rc == RC_OK) {
		struct delta_item it;

		it.key_len = cur_u16(&c);
		it.value_len = cur_u16(&c);
		it.key = cur_bytes(&c, it.key_len);
		it.value = cur_bytes(&c, it.value_len);
		if (c.bad || it.key_len == 0 || it.key_len > ZONE_KEY_MAX ||
			(it.value_len && !rec_is_sane(it.value, it.value_len)) ||
			(it.key_len == 1 && it.value_len == 0))
			return RC_MALFORMED;
		it.value = it.value_len ? it.value : NULL;
		rc = fn(&it, user);
	}
	return rc;
}

static uint8_t *put_item(
	uint8_t *p, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len)
{
	rec_put16(p, (uint16_t)key_len);
	rec_put16(p + 2, (uint16_t)value_len);
	memcpy(p + HEAD, key, key_len);
	if (value_len)
		memcpy(p + HEAD + key_len, value, value_len);
	return p + HEAD + key_len + value_len;
}

/* ---- making */

static size_t size_of(const struct entries *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count; i++)
		n += HEAD + list->at[i].key_len + (list->at[i].value ? list->at[i].value_len : 0);
	return n;
}

static uint8_t *put_entries(uint8_t *p, const struct entries *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct entry *e = &list->at[i];

		p = put_item(p, e->key, e->key_len, e->value, e->value ? e->value_len : 0);
	}
	return p;
}

enum rc batch_delta(struct batch *b, const uint8_t *sigs, const struct work_tags *tags,
	struct delta *out, uint8_t **body)
{
	size_t len = size_of(&b->change) + size_of(&b->neighbour);
	uint8_t *p;

	if (len > DELTA_BODY_MAX)
		return RC_TOO_LARGE;
	p = malloc(len ? len : 1);
	if (!p)
		return RC_NOMEM;
	work_place(&b->work, sigs, tags);
	put_entries(put_entries(p, &b->change), &b->neighbour);
	*out = (struct delta){
		.prev = b->state.serial, .serial = b->serial, .body = p, .len = len
	};
	*body = p;
	return RC_OK;
}

void batch_serial_above(struct batch *b, uint32_t floor)
{
	b->floor = floor;
}

/* ---- writing */

struct writing {
	struct zone_db *db;
	MDB_txn *txn;
	MDB_dbi dbi;
	struct journal *journal; /* NULL: none is kept */
	int64_t horizon;
};

static enum rc write_item(const struct delta_item *it, void *user)
{
	struct writing *w = user;
	MDB_val k = { it->key_len, (void *)(uintptr_t)it->key };
	MDB_val v = { it->value_len, (void *)(uintptr_t)it->value };
	MDB_val old = { 0, NULL };
	enum rc rc = RC_OK;

	if (w->journal && mdb_get(w->txn, w->dbi, &k, &old) != 0)
		old = (MDB_val){ 0, NULL };
	/* The journal copies before the record changes. */
	if (w->journal)
		rc = journal_add(w->journal, it->key, it->key_len, old.mv_data, old.mv_size,
			it->value, it->value_len);
	if (rc != RC_OK)
		return rc;
	if (!it->value)
		return mdb_del(w->txn, w->dbi, &k, NULL) == 0 ? RC_OK : RC_CONFLICT;
	if (mdb_put(w->txn, w->dbi, &k, &v, 0) != 0)
		return RC_IO;
	if (it->value[REC_KIND] == REC_DEVICE)
		rc = due_note(w->db, w->txn, it->key, it->key_len,
			(int64_t)rec_get64(it->value + REC_NOT_AFTER), w->horizon);
	return rc;
}

static enum rc apply_one(
	struct writing *w, struct zone_state *state, const struct delta *x, struct diag *d)
{
	struct journal j = { 0 };
	enum rc rc;

	if (!state->have || x->prev != state->serial)
		return diag_set(d, RC_CONFLICT, "zone: serial %u is behind %u, not behind %u",
			x->serial, x->prev, state->serial);
	journal_begin(&j, x->prev, x->serial, w->db->journal_max);
	w->journal = &j;
	rc = delta_each(x->body, x->len, write_item, w);
	if (rc == RC_OK)
		rc = journal_write(&j, w->db, w->txn, d);
	else
		diag_set(d, rc, "zone: serial %u cannot be written: %s", x->serial, rc_text(rc));
	journal_end(&j);
	state->serial = x->serial;
	state->applied_seq = x->seq;
	return rc;
}

enum rc delta_apply(
	struct zone_db *db, const struct delta *list, size_t count, int64_t horizon, struct diag *d)
{
	struct writing w = { .db = db, .horizon = horizon };
	struct zone_state state;
	enum rc rc = zone_db_error(mdb_txn_begin(db->env, NULL, 0, &w.txn), d, "begin");

	if (rc != RC_OK)
		return rc;
	rc = zone_db_state_get(db, w.txn, &state);
	if (rc != RC_OK)
		diag_set(d, rc, "zone store: state");
	w.dbi = db->names[state.active & 1];
	for (size_t i = 0; rc == RC_OK && i < count; i++)
		rc = apply_one(&w, &state, &list[i], d);
	if (rc == RC_OK)
		rc = zone_db_state_put(db, w.txn, &state);
	if (rc != RC_OK) {
		mdb_txn_abort(w.txn);
		return rc;
	}
	return zone_db_error(mdb_txn_commit(w.txn), d, "commit");
}

/* ---- images */

static int seek(MDB_cursor *c, const struct zone_key *after, MDB_val *k, MDB_val *v)
{
	int e;

	if (after->len == 0)
		return mdb_cursor_get(c, k, v, MDB_FIRST);
	*k = (MDB_val){ after->len, (void *)(uintptr_t)after->bytes };
	e = mdb_cursor_get(c, k, v, MDB_SET_RANGE);
	if (e == 0 && k->mv_size == after->len && memcmp(k->mv_data, after->bytes, after->len) == 0)
		e = mdb_cursor_get(c, k, v, MDB_NEXT);
	return e;
}

enum rc image_part(struct zone_db *db, MDB_txn *txn, struct zone_key *after, size_t max,
	uint8_t **body, size_t *len, bool *last)
{
	size_t cap = max + HEAD + ZONE_KEY_MAX + REC_VALUE_MAX;
	uint8_t *buf = malloc(cap);
	uint8_t *p = buf;
	struct zone_state state;
	MDB_cursor *c = NULL;
	MDB_val k, v;
	int e;

	if (!buf)
		return RC_NOMEM;
	if (zone_db_state_get(db, txn, &state) != RC_OK ||
		mdb_cursor_open(txn, db->names[state.active], &c) != 0) {
		free(buf);
		return RC_IO;
	}
	e = seek(c, after, &k, &v);
	while (e == 0 && (size_t)(p - buf) < max) {
		if (k.mv_size > ZONE_KEY_MAX || v.mv_size > REC_VALUE_MAX)
			break;
		p = put_item(p, k.mv_data, k.mv_size, v.mv_data, v.mv_size);
		after->len = (uint16_t)k.mv_size;
		memcpy(after->bytes, k.mv_data, k.mv_size);
		e = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	if (e != 0 && e != MDB_NOTFOUND) {
		free(buf);
		return RC_IO;
	}
	*last = e == MDB_NOTFOUND;
	*body = buf;
	*len = (size_t)(p - buf);
	return RC_OK;
}

static enum rc spare_of(struct zone_db *db, MDB_txn *txn, struct zone_state *state)
{
	enum rc rc = zone_db_state_get(db, txn, state);

	if (rc == RC_NOT_FOUND) {
		memset(state, 0, sizeof(*state));
		rc = RC_OK;
	}
	state->active ^= 1u;
	return rc;
}

enum rc image_begin(struct zone_db *db, struct diag *d)
{
	struct zone_state state;
	MDB_txn *txn = NULL;
	enum rc rc = zone_db_error(mdb_txn_begin(db->env, NULL, 0, &txn), d, "begin");

	if (rc != RC_OK)
		return rc;
	rc = spare_of(db, txn, &state);
	if (rc == RC_OK)
		rc = zone_db_error(mdb_drop(txn, db->names[state.active], 0), d, "drop");
	if (rc != RC_OK) {
		mdb_txn_abort(txn);
		return rc;
	}
	return zone_db_error(mdb_txn_commit(txn), d, "commit");
}

enum rc image_take(
	struct zone_db *db, const uint8_t *body, size_t len, int64_t horizon, struct diag *d)
{
	struct writing w = { .db = db, .horizon = horizon };
	struct zone_state state;
	enum rc rc = zone_db_error(mdb_txn_begin(db->env, NULL, 0, &w.txn), d, "begin");

	if (rc != RC_OK)
		return rc;
	rc = spare_of(db, w.txn, &state);
	w.dbi = db->names[state.active];
	if (rc == RC_OK)
		rc = delta_each(body, len, write_item, &w);
	if (rc != RC_OK) {
		mdb_txn_abort(w.txn);
		return diag_set(d, rc, "zone: an image's part: %s", rc_text(rc));
	}
	return zone_db_error(mdb_txn_commit(w.txn), d, "commit");
}

enum rc image_end(struct zone_db *db, const struct zone_state *next, struct diag *d)
{
	struct zone_state state;
	MDB_txn *txn = NULL;
	MDB_val k = { 1, (void *)(uintptr_t) "" };
	MDB_val v;
	enum rc rc = zone_db_error(mdb_txn_begin(db->env, NULL, 0, &txn), d, "begin");

	if (rc != RC_OK)
		return rc;
	rc = spare_of(db, txn, &state);
	if (rc == RC_OK)
		rc = zone_db_error(
			mdb_get(txn, db->names[state.active], &k, &v), d, "the image has no apex");
	state.have = true;
	state.serial = next->serial;
	state.applied_seq = next->applied_seq;
	state.ttl = next->ttl;
	state.minimum = next->minimum;
	state.origin = next->origin;
	if (rc == RC_OK)
		rc = zone_db_state_put(db, txn, &state);
	if (rc == RC_OK)
		rc = journal_clear(db, txn, d);
	if (rc == RC_OK)
		rc = zone_db_error(mdb_drop(txn, db->names[state.active ^ 1u], 0), d, "drop");
	if (rc != RC_OK) {
		mdb_txn_abort(txn);
		return rc;
	}
	return zone_db_error(mdb_txn_commit(txn), d, "commit");
}
