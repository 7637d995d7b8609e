/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/db.h"

#include "base/cur.h"
#include "base/put.h"
#include "zone/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The form of everything below; another form is rebuilt from core. */
#define FORM 1

#define STATE_LEN_MAX (27 + ZONE_NAME_MAX)

static const char state_key[] = "state";

enum rc zone_db_error(int mdb_rc, struct diag *d, const char *what)
{
	enum rc rc = RC_IO;

	if (mdb_rc == MDB_SUCCESS)
		return RC_OK;
	if (mdb_rc == MDB_NOTFOUND || mdb_rc == ENOENT)
		rc = RC_NOT_FOUND;
	else if (mdb_rc == ENOMEM)
		rc = RC_NOMEM;
	else if (mdb_rc == MDB_CORRUPTED || mdb_rc == MDB_INVALID || mdb_rc == MDB_PAGE_NOTFOUND ||
		 mdb_rc == MDB_VERSION_MISMATCH)
		rc = RC_MALFORMED;
	return diag_set(d, rc, "zone store: %s: %s%s", what, mdb_strerror(mdb_rc),
		mdb_rc == MDB_MAP_FULL ? ": raise [zone] map_mib" : "");
}

static int open_tables(struct zone_db *db, bool create)
{
	unsigned flags = create ? MDB_CREATE : 0;
	MDB_txn *txn = NULL;
	int r = mdb_txn_begin(db->env, NULL, create ? 0 : MDB_RDONLY, &txn);

	if (r)
		return r;
	if ((r = mdb_dbi_open(txn, "meta", flags, &db->meta)) ||
		(r = mdb_dbi_open(txn, "names.0", flags, &db->names[0])) ||
		(r = mdb_dbi_open(txn, "names.1", flags, &db->names[1])) ||
		(r = mdb_dbi_open(txn, "due", flags, &db->due)) ||
		(r = mdb_dbi_open(txn, "deltas", flags, &db->journal))) {
		mdb_txn_abort(txn);
		return r;
	}
	return mdb_txn_commit(txn);
}

enum rc zone_db_open(
	const char *dir, enum zone_db_mode mode, size_t map, struct zone_db **out, struct diag *d)
{
	static const unsigned mode_flags[] = {
		[ZONE_DB_WRITE] = MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD,
		[ZONE_DB_READ] = MDB_RDONLY | MDB_NOTLS | MDB_NORDAHEAD,
		[ZONE_DB_SERVE] = MDB_RDONLY | MDB_NOTLS | MDB_NOLOCK | MDB_NORDAHEAD,
		[ZONE_DB_BULK] = MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD,
	};
	struct zone_db *db = calloc(1, sizeof(*db));
	enum rc rc;
	int r;

	if (!db)
		return RC_NOMEM;
	db->journal_max = JOURNAL_PRESET;
	if ((r = mdb_env_create(&db->env)) || (r = mdb_env_set_maxdbs(db->env, 8)) ||
		(r = mdb_env_set_mapsize(db->env, map ? map : ZONE_MAP_PRESET)) ||
		(r = mdb_env_open(db->env, dir, mode_flags[mode], 0640)) ||
		(r = open_tables(db, mode == ZONE_DB_WRITE || mode == ZONE_DB_BULK))) {
		rc = zone_db_error(r, d, dir);
		zone_db_close(db);
		return rc;
	}
	*out = db;
	return RC_OK;
}

void zone_db_close(struct zone_db *db)
{
	if (!db)
		return;
	if (db->env)
		mdb_env_close(db->env);
	free(db);
}

bool zone_db_usable(struct zone_db *db)
{
	MDB_txn *txn = NULL;
	int r = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (r == 0)
		mdb_txn_abort(txn);
	return r != MDB_PANIC;
}

void zone_db_size(struct zone_db *db, struct zone_db_size *out)
{
	MDB_envinfo info = { 0 };
	MDB_stat stat = { 0 };

	(void)mdb_env_info(db->env, &info);
	(void)mdb_env_stat(db->env, &stat);
	*out = (struct zone_db_size){ ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize,
		info.me_mapsize };
}

enum rc zone_db_state_get(struct zone_db *db, MDB_txn *txn, struct zone_state *out)
{
	MDB_val k = { sizeof(state_key), (void *)(uintptr_t)state_key };
	struct zone_state s = { 0 };
	struct cur c;
	MDB_val v;
	int r = mdb_get(txn, db->meta, &k, &v);

	if (r)
		return r == MDB_NOTFOUND ? RC_NOT_FOUND : RC_IO;
	c = cur_init(v.mv_data, v.mv_size);
	if (cur_u8(&c) != FORM)
		return RC_STATE;
	s.have = cur_u8(&c) != 0;
	s.active = cur_u8(&c) & 1;
	s.serial = cur_u32(&c);
	s.applied_seq = cur_u64(&c);
	s.ttl = cur_u32(&c);
	s.minimum = cur_u32(&c);
	if (zone_name_parse(&c, &s.origin) != RC_OK || !cur_done(&c))
		return RC_MALFORMED;
	*out = s;
	return RC_OK;
}

enum rc zone_db_state_put(struct zone_db *db, MDB_txn *txn, const struct zone_state *s)
{
	MDB_val k = { sizeof(state_key), (void *)(uintptr_t)state_key };
	uint8_t buf[STATE_LEN_MAX];
	struct put p = put_init(buf, sizeof(buf));
	MDB_val v;

	put_u8(&p, FORM);
	put_u8(&p, s->have);
	put_u8(&p, s->active);
	put_u32(&p, s->serial);
	put_u64(&p, s->applied_seq);
	put_u32(&p, s->ttl);
	put_u32(&p, s->minimum);
	put_bytes(&p, s->origin.wire, s->origin.len);
	v = (MDB_val){ p.len, buf };
	return mdb_put(txn, db->meta, &k, &v, 0) ? RC_IO : RC_OK;
}

enum rc zone_db_note_get(struct zone_db *db, const char *name, void *out, size_t *len)
{
	MDB_val k = { strlen(name), (void *)(uintptr_t)name };
	MDB_txn *txn = NULL;
	MDB_val v;
	int r = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);

	if (r == 0)
		r = mdb_get(txn, db->meta, &k, &v);
	if (r == 0 && v.mv_size > *len)
		r = MDB_CORRUPTED;
	if (r == 0) {
		memcpy(out, v.mv_data, v.mv_size);
		*len = v.mv_size;
	}
	if (txn)
		mdb_txn_abort(txn);
	return r == 0 ? RC_OK : r == MDB_NOTFOUND ? RC_NOT_FOUND : RC_IO;
}

enum rc zone_db_note_put(struct zone_db *db, const char *name, const void *bytes, size_t len)
{
	MDB_val k = { strlen(name), (void *)(uintptr_t)name };
	MDB_val v = { len, (void *)(uintptr_t)bytes };
	MDB_txn *txn = NULL;
	int r = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (r == 0)
		r = mdb_put(txn, db->meta, &k, &v, 0);
	if (r == 0)
		r = mdb_txn_commit(txn);
	else if (txn)
		mdb_txn_abort(txn);
	return r == 0 ? RC_OK : RC_IO;
}
