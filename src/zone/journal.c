/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/journal.h"

#include "base/cur.h"
#include "zone/rec.h"

#include <stdlib.h>
#include <string.h>

#define NAME_HEAD 6u
#define KEY_LEN	  6u
#define SPAN_LEN  16u
/* Entries that one commit may drop: it must stay short. */
#define PRUNE_MAX 64

static const char span_key[] = "journal";

void journal_begin(struct journal *j, uint32_t from, uint32_t to, size_t max)
{
	memset(j, 0, sizeof(*j));
	j->from = from;
	j->to = to;
	/* One change may take half: then the one before it stays. */
	j->max = max / 2;
	j->cap = 8192;
	j->buf = malloc(j->cap);
	/* Serials that somebody else may have used are left out: nothing leads over the gap. */
	j->overflow = j->buf == NULL || to != from + 1u;
	j->parts = 1;
}

static bool part_for(struct journal *j, size_t need)
{
	if (j->len - j->part_at[j->parts - 1] + need <= JOURNAL_PART_MAX)
		return true;
	if (j->parts == ARRAY_LEN(j->part_at))
		return false;
	j->part_at[j->parts++] = j->len;
	return true;
}

enum rc journal_add(struct journal *j, const uint8_t *key, size_t key_len, const uint8_t *old,
	size_t old_len, const uint8_t *new, size_t new_len)
{
	size_t was = old ? old_len : 0;
	size_t is = new ? new_len : 0;
	size_t need = NAME_HEAD + key_len + was + is;
	uint8_t *p;

	if (j->overflow)
		return RC_OK;
	if (j->len + need > j->max || was > UINT16_MAX || is > UINT16_MAX || !part_for(j, need)) {
		j->overflow = true;
		return RC_OK;
	}
	if (j->len + need > j->cap) {
		size_t cap = 2 * (j->len + need);

		p = realloc(j->buf, cap);
		if (!p)
			return RC_NOMEM;
		j->buf = p;
		j->cap = cap;
	}
	p = j->buf + j->len;
	rec_put16(p, (uint16_t)key_len);
	rec_put16(p + 2, (uint16_t)was);
	rec_put16(p + 4, (uint16_t)is);
	p += NAME_HEAD;
	memcpy(p, key, key_len);
	if (was)
		memcpy(p + key_len, old, was);
	if (is)
		memcpy(p + key_len + was, new, is);
	j->len += need;
	return RC_OK;
}

static MDB_val entry_key(uint8_t room[KEY_LEN], uint32_t serial, unsigned part)
{
	rec_put32(room, serial);
	rec_put16(room + 4, (uint16_t)part);
	return (MDB_val){ KEY_LEN, room };
}

enum rc journal_span(struct zone_db *db, MDB_txn *txn, struct journal_span *out)
{
	MDB_val k = { sizeof(span_key), (void *)(uintptr_t)span_key };
	MDB_val v;
	int r = mdb_get(txn, db->meta, &k, &v);
	const uint8_t *p = v.mv_data;

	if (r || v.mv_size != SPAN_LEN)
		return r == MDB_NOTFOUND ? RC_NOT_FOUND : RC_IO;
	*out = (struct journal_span){ rec_get32(p), rec_get32(p + 4), rec_get64(p + 8) };
	return RC_OK;
}

static int span_put(struct zone_db *db, MDB_txn *txn, const struct journal_span *s)
{
	uint8_t room[SPAN_LEN];
	MDB_val k = { sizeof(span_key), (void *)(uintptr_t)span_key };
	MDB_val v = { sizeof(room), room };

	rec_put32(room, s->first);
	rec_put32(room + 4, s->last);
	rec_put64(room + 8, s->octets);
	return mdb_put(txn, db->meta, &k, &v, 0);
}

/* Drops one serial. */
static int drop(struct zone_db *db, MDB_txn *txn, struct journal_span *s)
{
	uint8_t room[KEY_LEN];
	MDB_val v;
	int r = 0;

	for (unsigned part = 0; r == 0; part++) {
		MDB_val k = entry_key(room, s->first, part);

		r = mdb_get(txn, db->journal, &k, &v);
		if (r == 0) {
			s->octets -= v.mv_size;
			r = mdb_del(txn, db->journal, &k, NULL);
		}
	}
	s->first++;
	return r == MDB_NOTFOUND ? 0 : r;
}

enum rc journal_clear(struct zone_db *db, MDB_txn *txn, struct diag *d)
{
	MDB_val k = { sizeof(span_key), (void *)(uintptr_t)span_key };
	int r = mdb_drop(txn, db->journal, 0);

	if (r == 0)
		r = mdb_del(txn, db->meta, &k, NULL);
	return zone_db_error(r == MDB_NOTFOUND ? 0 : r, d, "journal");
}

enum rc journal_write(struct journal *j, struct zone_db *db, MDB_txn *txn, struct diag *d)
{
	struct journal_span s;
	uint8_t room[KEY_LEN];
	enum rc rc = journal_span(db, txn, &s);
	int r = 0;

	if (rc == RC_IO)
		return diag_set(d, rc, "journal");
	if (j->overflow || (rc == RC_OK && s.last != j->from)) {
		enum rc clear = journal_clear(db, txn, d);

		if (j->overflow || clear != RC_OK)
			return clear;
		rc = RC_NOT_FOUND;
	}
	if (rc != RC_OK)
		s = (struct journal_span){ j->to, j->to, 0 };
	s.last = j->to;
	for (unsigned i = 0; r == 0 && i < j->parts; i++) {
		size_t end = i + 1 < j->parts ? j->part_at[i + 1] : j->len;
		MDB_val k = entry_key(room, j->to, i);
		MDB_val v = { end - j->part_at[i], j->buf + j->part_at[i] };

		s.octets += v.mv_size;
		r = mdb_put(txn, db->journal, &k, &v, 0);
	}
	for (int i = 0; r == 0 && i < PRUNE_MAX && s.octets > 2 * j->max && s.first != s.last; i++)
		r = drop(db, txn, &s);
	if (r == 0)
		r = span_put(db, txn, &s);
	return zone_db_error(r, d, "journal");
}

void journal_end(struct journal *j)
{
	free(j->buf);
	memset(j, 0, sizeof(*j));
}

/* ---- reading */

bool journal_reaches(struct zone_db *db, MDB_txn *txn, uint32_t from, uint32_t to)
{
	struct journal_span s;

	if (journal_span(db, txn, &s) != RC_OK || s.last != to)
		return false;
	return to - from <= to - s.first + 1u;
}

static enum rc each_of_part(const MDB_val *v, journal_fn *fn, void *user)
{
	struct cur c = cur_init(v->mv_data, v->mv_size);
	enum rc rc = RC_OK;

	while (c.left > 0 && rc == RC_OK) {
		struct journal_item it;

		it.key_len = cur_u16(&c);
		it.old_len = cur_u16(&c);
		it.new_len = cur_u16(&c);
		it.key = cur_bytes(&c, it.key_len);
		it.old = cur_bytes(&c, it.old_len);
		it.new = cur_bytes(&c, it.new_len);
		if (c.bad || it.key_len == 0 || (it.old_len && !rec_is_sane(it.old, it.old_len)) ||
			(it.new_len && !rec_is_sane(it.new, it.new_len)))
			return RC_MALFORMED;
		it.old = it.old_len ? it.old : NULL;
		it.new = it.new_len ? it.new : NULL;
		rc = fn(&it, user);
	}
	return rc;
}

enum rc journal_each(struct zone_db *db, MDB_txn *txn, uint32_t to, journal_fn *fn, void *user)
{
	uint8_t room[KEY_LEN];
	enum rc rc = RC_OK;

	for (unsigned part = 0; rc == RC_OK; part++) {
		MDB_val k = entry_key(room, to, part);
		MDB_val v;
		int r = mdb_get(txn, db->journal, &k, &v);

		if (r == MDB_NOTFOUND)
			return part > 0 ? RC_OK : RC_NOT_FOUND;
		rc = r ? RC_IO : each_of_part(&v, fn, user);
	}
	return rc;
}
