/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/follow.h"

#include "zone/follow_node.h"
#include "zone/journal.h"

#include <stdlib.h>
#include <string.h>

/* Of the records of one difference; more is better fetched as a whole zone. */
#define DIFFERENCE_MAX ((size_t)256 << 20)
/* Names of a whole zone in one transaction. */
#define GROUP	    5000u
#define SOA_NUMBERS 20u

static const char confirmed_key[] = "confirmed";

struct item {
	struct incoming_record r;
	size_t order; /* in which it came */
};

struct follow {
	struct zone_db *db;
	struct zone_name origin;
	bool whole;
	struct follow_hook hook;
	struct zone_state state; /* as it is, then as it will be */
	struct zone__arena arena;
	struct item *list; /* a difference, or one name of a whole zone */
	size_t count, cap, octets;
	struct follow_node *node; /* room for one name */
	uint8_t *value;		  /* likewise */
	/* a whole zone */
	MDB_txn *txn;
	MDB_dbi tree;
	unsigned in_txn;
	struct zone_key last;	  /* the name written before */
	struct zone_key expected; /* where its NSEC leads */
	uint64_t names;
};

enum rc follow_new(struct zone_db *db, const struct zone_name *origin, bool whole,
	const struct follow_hook *hook, struct follow **out, struct diag *d)
{
	struct follow *f = calloc(1, sizeof(*f));
	enum rc rc = RC_NOMEM;

	if (!f)
		return rc;
	f->db = db;
	f->origin = *origin;
	f->whole = whole;
	if (hook)
		f->hook = *hook;
	f->node = malloc(sizeof(*f->node));
	f->value = malloc(REC_VALUE_MAX);
	if (f->node && f->value)
		rc = zone_db_error(
			mdb_txn_begin(db->env, NULL, whole ? 0 : MDB_RDONLY, &f->txn), d, "begin");
	if (rc == RC_OK) {
		rc = zone_db_state_get(db, f->txn, &f->state);
		if (rc == RC_NOT_FOUND)
			rc = RC_OK;
	}
	if (rc == RC_OK && whole) {
		f->state.active ^= 1u;
		f->tree = db->names[f->state.active];
		rc = zone_db_error(mdb_drop(f->txn, f->tree, 0), d, "drop");
	} else if (rc == RC_OK) {
		mdb_txn_abort(f->txn);
		f->txn = NULL;
		if (!f->state.have)
			rc = diag_set(d, RC_STATE, "a difference, and nothing is here");
	}
	if (rc != RC_OK) {
		follow_free(f);
		return rc;
	}
	*out = f;
	return RC_OK;
}

void follow_free(struct follow *f)
{
	if (!f)
		return;
	if (f->txn)
		mdb_txn_abort(f->txn);
	zone__arena_free(&f->arena);
	free(f->list);
	free(f->node);
	free(f->value);
	free(f);
}

/* ---- records */

static enum rc keep(struct follow *f, const struct incoming_record *r)
{
	struct item *to;

	if (f->count == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 64;
		struct item *list = realloc(f->list, cap * sizeof(*list));

		if (!list)
			return RC_NOMEM;
		f->list = list;
		f->cap = cap;
	}
	to = &f->list[f->count];
	*to = (struct item){ *r, f->count };
	to->r.rdata = zone__arena_dup(&f->arena, r->rdata, r->len);
	if (!to->r.rdata)
		return RC_NOMEM;
	f->count++;
	f->octets += sizeof(*r) + r->len;
	return RC_OK;
}

/* Serial, minimum and TTL of the SOA in the node. */
static enum rc read_soa(struct follow *f, struct zone_state *s, struct diag *d)
{
	const struct follow_set *soa = follow_node_find(f->node, RR_SOA);
	const uint8_t *numbers;

	if (!soa || soa->count != 1 || soa->len[0] <= SOA_NUMBERS)
		return diag_set(d, RC_MALFORMED, "an apex without its SOA");
	numbers = soa->rdata[0] + soa->len[0] - SOA_NUMBERS;
	s->serial = rec_get32(numbers);
	s->minimum = rec_get32(numbers + 16);
	s->ttl = soa->ttl;
	return RC_OK;
}

static enum rc edit_all(struct follow *f, size_t from, size_t to, struct diag *d)
{
	enum rc rc = RC_OK;

	for (size_t i = from; rc == RC_OK && i < to; i++)
		rc = follow_node_edit(f->node, &f->list[i].r, d);
	return rc;
}

/* ---- a whole zone */

static bool same_key(const struct zone_key *a, const struct zone_key *b)
{
	return zone_key_cmp(a->bytes, a->len, b->bytes, b->len) == 0;
}

static enum rc commit(const struct follow *f, MDB_txn *txn, struct diag *d)
{
	enum rc rc = zone_db_error(mdb_txn_commit(txn), d, "commit");

	if (rc == RC_OK && f->hook.committed)
		rc = f->hook.committed(f->hook.user);
	return rc;
}

static enum rc whole_commit(struct follow *f, struct diag *d)
{
	MDB_txn *txn = f->txn;

	f->txn = NULL;
	f->in_txn = 0;
	return commit(f, txn, d);
}

static enum rc whole_store(struct follow *f, const struct zone_key *key, size_t len, struct diag *d)
{
	MDB_val k = { key->len, (void *)(uintptr_t)key->bytes };
	MDB_val v = { len, f->value };
	enum rc rc = RC_OK;

	if (!f->txn)
		rc = zone_db_error(mdb_txn_begin(f->db->env, NULL, 0, &f->txn), d, "begin");
	if (rc == RC_OK)
		rc = zone_db_error(mdb_put(f->txn, f->tree, &k, &v, MDB_APPEND), d, "put");
	if (rc == RC_OK && ++f->in_txn == GROUP)
		rc = whole_commit(f, d);
	return rc;
}

/* The gathered records are all of one name: its record goes into the tree. */
static enum rc whole_name(struct follow *f, struct diag *d)
{
	const struct zone_key *key = &f->list[0].r.key;
	size_t len = 0;
	enum rc rc = follow_node_read(f->node, &f->origin, key->bytes, key->len, NULL, 0, 0, 0, d);

	if (f->names > 0 && zone_key_cmp(key->bytes, key->len, f->last.bytes, f->last.len) <= 0)
		return diag_set(d, RC_MALFORMED, "names that do not come in canonical order");
	if (f->names > 0 && !same_key(key, &f->expected))
		return diag_set(d, RC_MALFORMED, "an NSEC that does not lead to the next name");
	if (rc == RC_OK)
		rc = edit_all(f, 0, f->count, d);
	if (rc == RC_OK && f->names == 0)
		rc = key->len == 1
			     ? read_soa(f, &f->state, d)
			     : diag_set(d, RC_MALFORMED, "a zone that does not begin at its apex");
	if (rc == RC_OK)
		rc = follow_node_write(f->node, f->state.ttl, f->state.minimum, f->value, &len, d);
	if (rc == RC_OK)
		rc = follow_node_next(f->node, f->value, len, &f->expected, d);
	if (rc == RC_OK)
		rc = whole_store(f, key, len, d);
	if (rc != RC_OK)
		return rc;
	f->last = *key;
	f->names++;
	f->count = f->octets = 0;
	zone__arena_free(&f->arena);
	return RC_OK;
}

static enum rc whole_end(struct follow *f, struct zone_state *out, struct diag *d)
{
	static const struct zone_key apex = { .len = 1 };
	enum rc rc = f->count ? whole_name(f, d) : RC_OK;

	if (rc == RC_OK && (f->names == 0 || !same_key(&f->expected, &apex)))
		rc = diag_set(d, RC_MALFORMED, "the last NSEC does not lead to the apex");
	if (rc == RC_OK && !f->txn)
		rc = zone_db_error(mdb_txn_begin(f->db->env, NULL, 0, &f->txn), d, "begin");
	if (rc != RC_OK)
		return rc;
	f->state.have = true;
	f->state.applied_seq = 0;
	f->state.origin = f->origin;
	rc = zone_db_state_put(f->db, f->txn, &f->state);
	/* The journal does not lead to the new content. */
	if (rc == RC_OK)
		rc = journal_clear(f->db, f->txn, d);
	if (rc == RC_OK)
		rc = zone_db_error(
			mdb_drop(f->txn, f->db->names[f->state.active ^ 1u], 0), d, "drop");
	if (rc == RC_OK)
		rc = whole_commit(f, d);
	if (rc == RC_OK)
		*out = f->state;
	return rc;
}

enum rc follow_record(struct follow *f, const struct incoming_record *r, struct diag *d)
{
	enum rc rc = RC_OK;

	if (f->whole && f->count > 0 && !same_key(&r->key, &f->list[0].r.key))
		rc = whole_name(f, d);
	if (rc == RC_OK &&
		f->octets + sizeof(*r) + r->len > (f->whole ? REC_VALUE_MAX * 16 : DIFFERENCE_MAX))
		rc = diag_set(d, RC_TOO_LARGE,
			f->whole ? "too much at one name" : "a difference that is too large");
	return rc == RC_OK ? keep(f, r) : rc;
}

/* ---- a difference */

/* One name of a difference. */
struct touched {
	size_t first, last; /* of its records */
	bool born, died;
	bool has_next;	      /* its NSEC came with the difference */
	struct zone_key next; /* where that leads */
};

static int by_key(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = zone_key_cmp(x->r.key.bytes, x->r.key.len, y->r.key.bytes, y->r.key.len);

	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static enum rc change_name(struct follow *f, MDB_txn *txn, struct journal *j, struct touched *t,
	struct zone_state *next, struct diag *d)
{
	const struct zone_key *key = &f->list[t->first].r.key;
	MDB_dbi tree = f->db->names[f->state.active];
	MDB_val k = { key->len, (void *)(uintptr_t)key->bytes };
	MDB_val v = { 0 };
	uint8_t *old = NULL;
	size_t old_len = 0, len = 0;
	int e = mdb_get(txn, tree, &k, &v);
	enum rc rc = e == MDB_NOTFOUND ? RC_OK : zone_db_error(e, d, "get");

	/* A copy: what is written next may move it. */
	if (rc == RC_OK && e == 0) {
		old_len = v.mv_size;
		old = zone__arena_dup(&f->arena, v.mv_data, old_len);
		rc = old ? RC_OK : RC_NOMEM;
	}
	if (rc == RC_OK)
		rc = follow_node_read(f->node, &f->origin, key->bytes, key->len, old, old_len,
			f->state.ttl, f->state.minimum, d);
	if (rc == RC_OK)
		rc = edit_all(f, t->first, t->last, d);
	if (rc == RC_OK && key->len == 1)
		rc = read_soa(f, next, d);
	if (rc == RC_OK && (next->ttl != f->state.ttl || next->minimum != f->state.minimum))
		rc = diag_set(d, RC_STATE, "the zone's TTLs are others now");
	if (rc == RC_OK)
		rc = follow_node_write(f->node, f->state.ttl, f->state.minimum, f->value, &len, d);
	if (rc != RC_OK)
		return rc;
	t->born = !old && len > 0;
	t->died = old && len == 0;
	t->has_next = len > 0 && !f->node->nsec_stored;
	if (t->has_next)
		rc = follow_node_next(f->node, f->value, len, &t->next, d);
	v = (MDB_val){ len, f->value };
	if (rc == RC_OK && (len > 0 || old))
		rc = zone_db_error(
			len > 0 ? mdb_put(txn, tree, &k, &v, 0) : mdb_del(txn, tree, &k, NULL), d,
			"put");
	if (rc == RC_OK)
		rc = journal_add(j, key->bytes, key->len, old, old_len, len ? f->value : NULL, len);
	return rc;
}

/* What stands behind (or before) a key; at the end the apex is next. */
static enum rc neighbour(
	MDB_cursor *c, const struct zone_key *key, bool behind, struct zone_key *out)
{
	MDB_val k = { key->len, (void *)(uintptr_t)key->bytes };
	MDB_val v;
	int e = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);

	if (behind) {
		if (e == 0 && k.mv_size == key->len && !memcmp(k.mv_data, key->bytes, key->len))
			e = mdb_cursor_get(c, &k, &v, MDB_NEXT);
		if (e == MDB_NOTFOUND) {
			*out = (struct zone_key){ .len = 1 };
			return RC_OK;
		}
	} else {
		e = mdb_cursor_get(c, &k, &v, e == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
	}
	if (e || k.mv_size > ZONE_KEY_MAX)
		return RC_IO;
	out->len = (uint16_t)k.mv_size;
	memcpy(out->bytes, k.mv_data, k.mv_size);
	return RC_OK;
}

static const struct touched *touched_of(
	const struct follow *f, const struct touched *list, size_t n, const struct zone_key *key)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;
		const struct zone_key *at = &f->list[list[mid].first].r.key;
		int order = zone_key_cmp(key->bytes, key->len, at->bytes, at->len);

		if (order == 0)
			return &list[mid];
		if (order < 0)
			n = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* Every NSEC that came leads to the name that now follows; and where a name came or went, the one
 * before it got a new NSEC. So the chain is whole when it was whole. */
static enum rc check_chain(
	struct follow *f, MDB_txn *txn, const struct touched *list, size_t n, struct diag *d)
{
	MDB_cursor *c = NULL;
	enum rc rc =
		zone_db_error(mdb_cursor_open(txn, f->db->names[f->state.active], &c), d, "cursor");

	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		const struct zone_key *key = &f->list[list[i].first].r.key;
		const struct touched *before = NULL;
		struct zone_key at;
		bool wrong = false;

		if (list[i].has_next) {
			rc = neighbour(c, key, true, &at);
			wrong = rc == RC_OK && !same_key(&at, &list[i].next);
		}
		if (rc == RC_OK && (list[i].born || list[i].died)) {
			rc = neighbour(c, key, false, &at);
			before = touched_of(f, list, n, &at);
			wrong = wrong || !before || !before->has_next;
		}
		if (rc == RC_OK && wrong)
			rc = diag_set(d, RC_STATE, "the chain of NSEC does not close");
	}
	if (c)
		mdb_cursor_close(c);
	return rc;
}

static enum rc group_names(const struct follow *f, struct touched **out, size_t *n)
{
	struct touched *list = calloc(f->count ? f->count : 1, sizeof(*list));
	size_t count = 0;

	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < f->count; i++) {
		if (i == 0 || !same_key(&f->list[i].r.key, &f->list[i - 1].r.key))
			list[count++].first = i;
		list[count - 1].last = i + 1;
	}
	*out = list;
	*n = count;
	return RC_OK;
}

/* Of the SOA that the apex ends with. */
static uint32_t last_serial(const struct follow *f, const struct touched *apex)
{
	uint32_t serial = f->state.serial;

	for (size_t i = apex->first; i < apex->last; i++) {
		const struct incoming_record *r = &f->list[i].r;

		if (r->type == RR_SOA && !r->gone && r->len > SOA_NUMBERS)
			serial = rec_get32(r->rdata + r->len - SOA_NUMBERS);
	}
	return serial;
}

static enum rc difference_end(struct follow *f, struct zone_state *out, struct diag *d)
{
	struct zone_state next = f->state;
	struct journal j = { 0 };
	struct touched *list = NULL;
	MDB_txn *txn = NULL;
	size_t n = 0;
	enum rc rc;

	qsort(f->list, f->count, sizeof(f->list[0]), by_key);
	rc = group_names(f, &list, &n);
	if (rc == RC_OK && (n == 0 || f->list[0].r.key.len != 1))
		rc = diag_set(d, RC_STATE, "a difference that leaves the SOA alone");
	if (rc == RC_OK)
		rc = zone_db_error(mdb_txn_begin(f->db->env, NULL, 0, &txn), d, "begin");
	if (rc == RC_OK)
		journal_begin(&j, f->state.serial, last_serial(f, &list[0]), f->db->journal_max);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = change_name(f, txn, &j, &list[i], &next, d);
	if (rc == RC_OK)
		rc = check_chain(f, txn, list, n, d);
	if (rc == RC_OK)
		rc = journal_write(&j, f->db, txn, d);
	if (rc == RC_OK)
		rc = zone_db_state_put(f->db, txn, &next);
	if (rc == RC_OK)
		rc = commit(f, txn, d);
	else if (txn)
		mdb_txn_abort(txn);
	journal_end(&j);
	free(list);
	if (rc == RC_OK)
		*out = next;
	return rc;
}

enum rc follow_end(struct follow *f, struct zone_state *out, struct diag *d)
{
	return f->whole ? whole_end(f, out, d) : difference_end(f, out, d);
}

/* ---- how fresh */

enum rc follow_confirm(struct zone_db *db, int64_t now, struct diag *d)
{
	uint8_t room[8];
	MDB_val k = { sizeof(confirmed_key), (void *)(uintptr_t)confirmed_key };
	MDB_val v = { sizeof(room), room };
	MDB_txn *txn = NULL;
	int e = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (e)
		return zone_db_error(e, d, "begin");
	rec_put64(room, (uint64_t)now);
	e = mdb_put(txn, db->meta, &k, &v, 0);
	if (e) {
		mdb_txn_abort(txn);
		return zone_db_error(e, d, "put");
	}
	return zone_db_error(mdb_txn_commit(txn), d, "commit");
}

int64_t follow_confirmed(struct zone_db *db)
{
	MDB_val k = { sizeof(confirmed_key), (void *)(uintptr_t)confirmed_key };
	MDB_val v;
	MDB_txn *txn = NULL;
	int64_t at = 0;

	if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	if (mdb_get(txn, db->meta, &k, &v) == 0 && v.mv_size == 8)
		at = (int64_t)rec_get64(v.mv_data);
	mdb_txn_abort(txn);
	return at;
}

uint32_t follow_expire(struct zone_db *db)
{
	MDB_val k = { 1, (void *)(uintptr_t) "" };
	struct zone_state state;
	struct rec_view view;
	struct rec_iter it;
	MDB_val v;
	MDB_txn *txn = NULL;
	uint32_t expire = 0;

	if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	if (zone_db_state_get(db, txn, &state) == RC_OK && state.have &&
		mdb_get(txn, db->names[state.active], &k, &v) == 0 &&
		rec_is_sane(v.mv_data, v.mv_size)) {
		it = rec_iter_init(v.mv_data, v.mv_size);
		while (rec_iter_next(&it, &view))
			if (view.type == RR_SOA && rec_get16(view.rdata) > SOA_NUMBERS)
				expire = rec_get32(view.rdata + 2 + rec_get16(view.rdata) - 8);
	}
	mdb_txn_abort(txn);
	return expire;
}
