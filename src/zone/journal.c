/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/journal.h"

#include "zone/rec.h"

#include <stdlib.h>
#include <string.h>

#define NAME_HEAD 6u

void journal_begin(struct journal *j, uint32_t from, uint32_t to)
{
	memset(j, 0, sizeof(*j));
	j->to = to;
	j->cap = 8192;
	j->buf = malloc(j->cap);
	j->overflow = j->buf == NULL;
	if (j->buf) {
		rec_put32(j->buf, from);
		j->len = 4;
	}
}

enum rc journal_add(struct journal *j, const uint8_t *key, size_t key_len, const uint8_t *old,
	size_t old_len, const uint8_t *new, size_t new_len)
{
	size_t was = old ? old_len : 0;
	size_t is = new ? new_len : 0;
	size_t need = j->len + NAME_HEAD + key_len + was + is;
	uint8_t *p;

	if (j->overflow)
		return RC_OK;
	if (need > JOURNAL_ENTRY_MAX || was > UINT16_MAX || is > UINT16_MAX) {
		j->overflow = true;
		return RC_OK;
	}
	if (need > j->cap) {
		size_t cap = 2 * need;

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
	j->len = need;
	return RC_OK;
}

/* Keeps the newest JOURNAL_SERIALS; at most two go at a time, so that a commit stays short. */
static int prune(struct zone_db *db, MDB_txn *txn, uint32_t to)
{
	MDB_cursor *c = NULL;
	MDB_val k, v;
	int r = mdb_cursor_open(txn, db->journal, &c);

	for (int i = 0; r == 0 && i < 2; i++) {
		r = mdb_cursor_get(c, &k, &v, MDB_FIRST);
		if (r == 0 && k.mv_size == 4 && to - rec_get32(k.mv_data) < JOURNAL_SERIALS)
			break;
		if (r == 0)
			r = mdb_cursor_del(c, 0);
	}
	if (c)
		mdb_cursor_close(c);
	return r == MDB_NOTFOUND ? 0 : r;
}

enum rc journal_write(struct journal *j, struct zone_db *db, MDB_txn *txn, struct diag *d)
{
	uint8_t serial[4];
	MDB_val k = { sizeof(serial), serial };
	MDB_val v = { j->len, j->buf };
	int r;

	if (j->overflow)
		return zone_db_error(mdb_drop(txn, db->journal, 0), d, "journal");
	rec_put32(serial, j->to);
	r = mdb_put(txn, db->journal, &k, &v, 0);
	if (r == 0)
		r = prune(db, txn, j->to);
	return zone_db_error(r, d, "journal");
}

void journal_end(struct journal *j)
{
	free(j->buf);
	memset(j, 0, sizeof(*j));
}
