/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/due.h"

#include "zone/rec.h"

#include <string.h>

#define TIME_LEN 8

enum rc due_note(struct zone_db *db, MDB_txn *txn, const uint8_t *key, size_t key_len,
	int64_t not_after, int64_t horizon)
{
	uint8_t buf[TIME_LEN + ZONE_KEY_MAX];
	MDB_val k = { TIME_LEN + key_len, buf };
	MDB_val v = { 0, buf };

	if (not_after > horizon)
		return RC_OK;
	/* A key that leaves no room for the time cannot be a device's (at most 64 octets). */
	if (TIME_LEN + key_len > ZONE_KEY_MAX)
		return RC_RANGE;
	rec_put64(buf, (uint64_t)not_after);
	memcpy(buf + TIME_LEN, key, key_len);
	return mdb_put(txn, db->due, &k, &v, 0) == 0 ? RC_OK : RC_IO;
}

enum rc due_each(
	struct zone_db *db, MDB_txn *txn, int64_t now, unsigned max, due_fn *fn, void *user)
{
	MDB_cursor *c = NULL;
	MDB_val k, v;
	enum rc rc = RC_OK;
	int r = mdb_cursor_open(txn, db->due, &c);

	if (r)
		return RC_IO;
	for (r = mdb_cursor_get(c, &k, &v, MDB_FIRST); r == 0 && rc == RC_OK && max > 0;
		r = mdb_cursor_get(c, &k, &v, MDB_NEXT), max--) {
		const uint8_t *p = k.mv_data;
		struct zone_key key;
		int64_t when;

		if (k.mv_size <= TIME_LEN || k.mv_size > TIME_LEN + ZONE_KEY_MAX)
			break;
		when = (int64_t)rec_get64(p);
		if (when > now)
			break;
		key.len = (uint16_t)(k.mv_size - TIME_LEN);
		memcpy(key.bytes, p + TIME_LEN, key.len);
		rc = fn(&key, when, user);
	}
	mdb_cursor_close(c);
	return rc == RC_OK && r != 0 && r != MDB_NOTFOUND ? RC_IO : rc;
}

enum rc due_forget(struct zone_db *db, MDB_txn *txn, int64_t now, unsigned max)
{
	MDB_cursor *c = NULL;
	MDB_val k, v;
	int r = mdb_cursor_open(txn, db->due, &c);

	if (r)
		return RC_IO;
	while (max-- > 0 && (r = mdb_cursor_get(c, &k, &v, MDB_FIRST)) == 0) {
		if (k.mv_size >= TIME_LEN && (int64_t)rec_get64(k.mv_data) > now)
			break;
		r = mdb_cursor_del(c, 0);
		if (r)
			break;
	}
	mdb_cursor_close(c);
	return r == 0 || r == MDB_NOTFOUND ? RC_OK : RC_IO;
}
