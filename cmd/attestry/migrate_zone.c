/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate_zone.h"

#include "zone/db.h"
#include "zone/rec.h"

#include <string.h>

#define PAGE 1000

struct looking {
	struct zone_db *db;
	MDB_txn *txn;
	struct zone_state state;
	uint64_t found; /* names of the database that the zone has too */
};

static bool view_has(const struct rec_view *view, const uint8_t hash[RR_HASH_LEN])
{
	const uint8_t *p = view->rdata;

	for (unsigned i = 0; i < view->count; i++, p += 2 + rec_get16(p))
		if (rec_get16(p) == RR_CERT_LEN && memcmp(p + 2 + 5, hash, RR_HASH_LEN) == 0)
			return true;
	return false;
}

/* Whether a record publishes a certificate; `hash` NULL: any. */
static bool has_cert(const MDB_val *v, const uint8_t *hash)
{
	const uint8_t *value = v->mv_data;
	uint8_t cert[RR_CERT_LEN];
	struct rec_iter it;
	struct rec_view view;

	if (!rec_is_sane(value, v->mv_size))
		return false;
	if (value[REC_KIND] == REC_DEVICE) {
		rec_device_cert(value, cert);
		return !hash || memcmp(cert + 5, hash, RR_HASH_LEN) == 0;
	}
	it = rec_iter_init(value, v->mv_size);
	while (rec_iter_next(&it, &view))
		if (view.type == RR_CERT)
			return !hash || view_has(&view, hash);
	return false;
}

static enum rc look(struct looking *l, const struct store_change *c, int64_t now, struct diag *d)
{
	struct zone_name name;
	struct zone_key key;
	MDB_val k, v;
	enum rc rc = zone_name_from_text(c->name, &name);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: not a name", c->name);
	zone_key_write(name.wire, name.len - 1u, &key);
	k = (MDB_val){ key.len, key.bytes };
	if (mdb_get(l->txn, l->db->names[l->state.active], &k, &v) == 0)
		l->found++;
	else if (c->not_after > now)
		return diag_set(d, RC_CONFLICT, "zone: %s is not there", c->name);
	else
		return RC_OK;
	/* What has come to its end is taken out by each in its own time. */
	if (c->not_after <= now)
		return RC_OK;
	if (!has_cert(&v, c->cert_sha256) || (c->has_previous && !has_cert(&v, c->previous)))
		return diag_set(d, RC_CONFLICT, "zone: %s has another certificate", c->name);
	return RC_OK;
}

static enum rc look_at_all(struct looking *l, struct store *s, int64_t now, struct diag *d)
{
	struct store_change *list = NULL;
	int64_t after = 0;
	size_t n = PAGE;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n == PAGE) {
		struct arena a = arena_init(8u << 20);

		rc = store_zone_page(s, after, PAGE, &a, &list, &n, &after);
		for (size_t i = 0; rc == RC_OK && i < n; i++)
			rc = look(l, &list[i], now, d);
		arena_fini(&a);
	}
	return rc;
}

/* The apex, whose key is one octet, has certificates too: the registry's own. */
static enum rc count_devices(struct looking *l, uint64_t *out, struct diag *d)
{
	MDB_cursor *c = NULL;
	MDB_val k, v;
	uint64_t n = 0;
	enum rc rc = zone_db_error(
		mdb_cursor_open(l->txn, l->db->names[l->state.active], &c), d, "cursor");
	int r = rc == RC_OK ? mdb_cursor_get(c, &k, &v, MDB_FIRST) : MDB_NOTFOUND;

	for (; r == 0; r = mdb_cursor_get(c, &k, &v, MDB_NEXT))
		n += k.mv_size > 1 && has_cert(&v, NULL);
	if (c)
		mdb_cursor_close(c);
	if (rc == RC_OK && r != MDB_NOTFOUND)
		rc = zone_db_error(r, d, "read");
	*out = n;
	return rc;
}

static enum rc compare(
	struct looking *l, struct store *s, int64_t now, struct zone_compared *out, struct diag *d)
{
	uint64_t last = store_change_last(s), devices = 0;
	enum rc rc = zone_db_state_get(l->db, l->txn, &l->state);

	if (rc == RC_NOT_FOUND || (rc == RC_OK && !l->state.have))
		return RC_OK;
	if (rc != RC_OK)
		return diag_set(d, rc, "zone: %s", rc_text(rc));
	out->have = true;
	if (l->state.applied_seq < last) {
		out->behind = last - l->state.applied_seq;
		return RC_OK;
	}
	rc = look_at_all(l, s, now, d);
	if (rc == RC_OK)
		rc = count_devices(l, &devices, d);
	if (rc == RC_OK && devices != l->found)
		rc = diag_set(d, RC_CONFLICT, "zone: %llu devices, in the database %llu of them",
			(unsigned long long)devices, (unsigned long long)l->found);
	out->names = devices;
	return rc;
}

enum rc migrate_zone_compare(
	const char *folder, struct store *s, int64_t now, struct zone_compared *out, struct diag *d)
{
	struct looking l = { .db = NULL };
	enum rc rc = zone_db_open(folder, ZONE_DB_READ, 0, &l.db, d);

	*out = (struct zone_compared){ .have = false };
	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc == RC_OK)
		rc = zone_db_error(mdb_txn_begin(l.db->env, NULL, MDB_RDONLY, &l.txn), d, "zone");
	if (rc == RC_OK)
		rc = compare(&l, s, now, out, d);
	if (l.txn)
		mdb_txn_abort(l.txn);
	zone_db_close(l.db);
	return rc;
}
