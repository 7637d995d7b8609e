/* SPDX-License-Identifier: Apache-2.0 */
/* A secondary is its primary: after any differences and whole transfers every record of every name
 * is the same. What does not fit is refused, and leaves the store as it was. */
#include "unit.h"

#include "zone/batch.h"
#include "zone/bulk.h"
#include "zone/follow.h"
#include "zone/rebuild.h"
#include "zone/rrs.h"
#include "zone/spool.h"
#include "zone/xfr.h"

#include <openssl/ec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAMES	 60u
#define ROUNDS	 120u
#define NOW	 1795456836
#define MESSAGES 64u

enum { PRIMARY, SECONDARY, STORES };

struct transfer {
	unsigned count;
	size_t len[MESSAGES];
	uint8_t *wire[MESSAGES];
	struct incoming in; /* as the request left it */
};

struct world {
	char dir[STORES][64];
	struct zone_db *db[STORES];
	struct bulk bulk;
	struct event_base *base;
	struct transfer t;
};

static uint64_t seed = 0x20261124u;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % below;
}

/* Devices, services, and labels that sort by escaped octets. */
static void name_key(unsigned i, struct zone_key *key)
{
	char text[64];
	struct zone_name name;

	if (i % 6 == 5)
		snprintf(text, sizeof(text), "_%u._tcp.s%u._service", 400 + i, i % 2);
	else if (i % 6 == 4)
		snprintf(text, sizeof(text), "\\%03u\\000x%u", i, i);
	else
		snprintf(text, sizeof(text), "%u.8912230200%09uf", 1 + i % 3, i / 3 * 7);
	assert_rc(RC_OK, zone_name_from_text(text, &name));
	zone_key_write(name.wire, name.len - 1u, key);
}

static void change(struct batch *b, unsigned i)
{
	uint8_t hash[2][RR_HASH_LEN], rdata[2][RR_TLSA_LEN];
	const uint8_t *list[2] = { rdata[0], rdata[1] };
	uint16_t len[2] = { RR_TLSA_LEN, RR_TLSA_LEN };
	struct work_set set = { RR_TLSA, (uint16_t)(1 + rnd(2)), list, len };
	struct zone_key key;

	name_key(i, &key);
	memset(hash[0], (int)rnd(256), RR_HASH_LEN);
	memset(hash[1], (int)rnd(256), RR_HASH_LEN);
	memset(rdata[0], (int)rnd(100), RR_TLSA_LEN);
	memset(rdata[1], 100 + (int)rnd(100), RR_TLSA_LEN);
	switch (rnd(4)) {
	case 0: assert_rc(RC_OK, batch_withdraw(b, &key)); return;
	case 1: assert_rc(RC_OK, batch_refresh(b, &key)); return;
	default: break;
	}
	if (i % 6 == 5)
		assert_rc(RC_OK, batch_sets(b, &key, &set, 1));
	else
		assert_rc(RC_OK, batch_device(b, &key, hash[0], hash[1], NOW + 90 * 86400));
}

static void run_batch(struct world *w, unsigned n)
{
	const struct work_tags tags = { { bulk_tag(&w->bulk, false) },
		{ bulk_tag(&w->bulk, true) } };
	const struct work *work;
	struct batch *b;
	uint32_t serial;
	uint8_t *sigs;

	assert_rc(RC_OK, batch_new(w->db[PRIMARY], &w->bulk.policy, NOW + rnd(100), &b));
	for (unsigned i = 0; i < n; i++)
		change(b, rnd(NAMES));
	assert_rc(RC_OK, batch_prepare(b, &work, NULL));
	sigs = calloc(work->count + 1, RR_SIG_LEN);
	assert_rc(RC_OK, bulk_sign(&w->bulk, work, sigs));
	assert_rc(RC_OK, batch_commit(b, sigs, &tags, 1, &serial, NULL));
	free(sigs);
	batch_free(b);
}

static struct zone_state state_of(struct zone_db *db)
{
	struct zone_state s = { 0 };
	MDB_txn *txn;

	assert_int_equal(0, mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));
	if (zone_db_state_get(db, txn, &s) != RC_OK)
		memset(&s, 0, sizeof(s));
	mdb_txn_abort(txn);
	return s;
}

/* ---- from the primary: the code that serves transfers */

static void nothing(void *user)
{
	(void)user;
}

static void forget(struct transfer *t)
{
	for (unsigned i = 0; i < t->count; i++)
		free(t->wire[i]);
	t->count = 0;
}

static void fetch(struct world *w, bool whole)
{
	static uint8_t message[65535];
	struct zone_state have = state_of(w->db[SECONDARY]);
	struct spool_wait wait = { .fn = nothing };
	struct xfr_desk *desk = calloc(1, sizeof(*desk));
	struct transfer *t = &w->t;
	uint8_t ask[INCOMING_ASK_MAX];
	struct snap_reader reader;
	struct xfr x = { 0 };
	struct spool *spool;
	struct query q;
	int fd = memfd_create("spool", MFD_CLOEXEC);

	forget(t);
	assert_rc(RC_OK,
		query_parse(ask,
			incoming_ask(&t->in, &w->bulk.policy.origin, 77, !whole, have.serial, ask),
			&q));
	assert_false(q.malformed);
	assert_int_equal(q.qtype, whole ? RR_AXFR : RR_IXFR);
	assert_true(whole || (q.has_serial && q.serial == have.serial));
	assert_rc(RC_OK, snap_reader_init(&reader, w->db[PRIMARY], NULL, NULL));
	assert_rc(RC_OK, spool_new(w->base, &reader, fd, &spool));
	assert_rc(RC_OK, spool_take(spool, whole, have.serial, &wait, &x.region));
	while (wait.queued)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(x.region->state, SPOOL_READY);
	x.ask.id = 77;
	x.ask.question_len = q.question_end - DNS_HEADER_LEN;
	memcpy(x.ask.question, ask + DNS_HEADER_LEN, x.ask.question_len);
	xfr_start(&x);
	for (;;) {
		size_t len;

		assert_rc(RC_OK, xfr_next(&x, desk, NOW, message, &len));
		if (len == 0)
			break;
		assert_true(t->count < MESSAGES);
		t->wire[t->count] = malloc(len);
		memcpy(t->wire[t->count], message, len);
		t->len[t->count++] = len;
	}
	spool_drop(x.region, &wait);
	spool_free(spool);
	snap_reader_fini(&reader);
	free(desk);
	close(fd);
}

/* ---- to the secondary */

/* What a test does to the records that pass. */
enum meddle { AS_IT_IS, LEAVE_OUT, SAY_TWICE, OTHER_TTL, OTHER_RDATA, ALIAS, MEDDLES };

struct sink {
	struct world *w;
	struct follow *follow;
	enum meddle meddle;
	unsigned at, record;
	struct diag d;
};

static enum rc on_begin(bool whole, void *user)
{
	struct sink *s = user;

	assert_null(s->follow);
	return follow_new(
		s->w->db[SECONDARY], &s->w->bulk.policy.origin, whole, NULL, &s->follow, &s->d);
}

static enum rc on_record(const struct incoming_record *r, void *user)
{
	struct sink *s = user;
	struct incoming_record other = *r;
	uint8_t rdata[65535];
	enum rc rc;

	if (s->record++ != s->at || s->meddle == AS_IT_IS)
		return follow_record(s->follow, r, &s->d);
	memcpy(rdata, r->rdata, r->len);
	switch (s->meddle) {
	case LEAVE_OUT:
		if (r->gone || r->type == RR_RRSIG || r->type == RR_NSEC || r->type == RR_SOA)
			return RC_OK;
		/* One record of several may be missing: as below, others vouch for that. */
		other.ttl++;
		break;
	case SAY_TWICE:
		rc = follow_record(s->follow, r, &s->d);
		return rc == RC_OK ? follow_record(s->follow, r, &s->d) : rc;
	case OTHER_TTL: other.ttl++; break;
	case OTHER_RDATA:
		/* New data are as the primary says; TSIG and TLS vouch for it. And where an old
		 * NSEC led is not stored. */
		if (r->type != RR_RRSIG && r->gone == (r->type == RR_NSEC))
			other.ttl++;
		rdata[r->type == RR_RRSIG ? 2 : r->len - 1] ^= 1;
		other.rdata = rdata;
		break;
	case ALIAS: other.type = 5; break;
	case AS_IT_IS:
	case MEDDLES:
	default: break;
	}
	return follow_record(s->follow, &other, &s->d);
}

static enum rc apply(struct world *w, enum meddle meddle, unsigned at, unsigned *records)
{
	struct sink s = { .w = w, .meddle = meddle, .at = at };
	struct incoming_sink sink = { on_begin, on_record, &s };
	struct incoming in = w->t.in;
	struct zone_state state;
	enum rc rc = RC_OK;

	for (unsigned i = 0; i < w->t.count && rc == RC_OK; i++)
		rc = incoming_message(&in, w->t.wire[i], w->t.len[i], &sink, &s.d);
	if (rc == RC_OK && in.state == INCOMING_DONE)
		rc = follow_end(s.follow, &state, &s.d);
	else if (rc == RC_OK)
		assert_int_equal(in.state, INCOMING_CURRENT);
	if (rc != RC_OK)
		assert_true(s.d.text[0]);
	follow_free(s.follow);
	*records = s.record;
	return rc;
}

static void unfold(MDB_cursor *c, const struct zone_state *s, MDB_val k, MDB_val v, struct rrs *out)
{
	static const uint8_t apex = 0;
	struct rrs_zone z = { &s->origin, s->ttl, s->minimum };
	MDB_val nk, nv;
	bool last = mdb_cursor_get(c, &nk, &nv, MDB_NEXT) != 0;

	if (!last)
		assert_int_equal(0, mdb_cursor_get(c, &nk, &nv, MDB_PREV));
	if (!last)
		assert_int_equal(0, mdb_cursor_get(c, &nk, &nv, MDB_NEXT));
	assert_rc(RC_OK, rrs_of(&z, k.mv_data, k.mv_size, v.mv_data, v.mv_size,
				 last ? &apex : nk.mv_data, last ? 1 : nk.mv_size, out));
	if (!last)
		assert_int_equal(0, mdb_cursor_get(c, &nk, &nv, MDB_PREV));
}

static bool same(struct world *w)
{
	static struct rrs rrs[STORES];
	MDB_txn *txn[STORES];
	MDB_cursor *c[STORES];
	MDB_val k[STORES], v[STORES];
	struct zone_state s[STORES];
	int r[STORES];
	bool is = true;

	for (unsigned i = 0; i < STORES; i++) {
		s[i] = state_of(w->db[i]);
		assert_int_equal(0, mdb_txn_begin(w->db[i]->env, NULL, MDB_RDONLY, &txn[i]));
		assert_int_equal(0, mdb_cursor_open(txn[i], w->db[i]->names[s[i].active], &c[i]));
	}
	is = s[0].serial == s[1].serial && s[0].ttl == s[1].ttl && s[0].minimum == s[1].minimum;
	while (is) {
		for (unsigned i = 0; i < STORES; i++)
			r[i] = mdb_cursor_get(c[i], &k[i], &v[i], MDB_NEXT);
		is = r[0] == r[1];
		if (r[0] || r[1])
			break;
		for (unsigned i = 0; i < STORES; i++)
			unfold(c[i], &s[i], k[i], v[i], &rrs[i]);
		is = k[0].mv_size == k[1].mv_size &&
		     !memcmp(k[0].mv_data, k[1].mv_data, k[0].mv_size) &&
		     rrs[0].count == rrs[1].count &&
		     ((uint8_t *)v[0].mv_data)[0] == ((uint8_t *)v[1].mv_data)[0];
		for (unsigned i = 0; is && i < rrs[0].count; i++)
			is = rrs_has(&rrs[1], &rrs[0].one[i]);
	}
	for (unsigned i = 0; i < STORES; i++) {
		mdb_cursor_close(c[i]);
		mdb_txn_abort(txn[i]);
	}
	return is;
}

/* Condensed differences over one to five serials, now and then a whole zone. */
static void test_same_as_the_primary(void **state)
{
	struct world *w = *state;
	unsigned n;

	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned k = 0; k <= rnd(5); k++)
			run_batch(w, rnd(4) ? 1 + rnd(4) : 1 + rnd(40));
		fetch(w, rnd(20) == 0);
		assert_rc(RC_OK, apply(w, AS_IT_IS, 0, &n));
		assert_true(same(w));
	}
	/* Nothing newer. */
	fetch(w, false);
	assert_int_equal(w->t.count, 1);
	assert_rc(RC_OK, apply(w, AS_IT_IS, 0, &n));
	assert_int_equal(n, 0);
}

/* Each record in turn left out, said twice, changed: whatever breaks the form is refused, and
 * leaves the store as it was. */
static void test_meddled(void **state)
{
	struct world *w = *state;
	unsigned refused = 0, records = 0, n;

	for (int whole = 0; whole < 2; whole++) {
		run_batch(w, 3);
		fetch(w, whole);
		for (unsigned at = 0; at == 0 || at < records; at++) {
			for (enum meddle m = LEAVE_OUT; m < MEDDLES; m++) {
				struct zone_state before = state_of(w->db[SECONDARY]);
				enum rc rc = apply(w, m, at, &n);

				if (rc == RC_OK)
					fail_msg("record %u meddle %d whole %d", at, (int)m, whole);
				assert_true(
					rc == RC_MALFORMED || rc == RC_STATE || rc == RC_TOO_LARGE);
				assert_int_equal(before.serial, state_of(w->db[SECONDARY]).serial);
				refused++;
				records = n > records ? n : records;
			}
			if (whole && at > 60)
				break;
		}
		assert_rc(RC_OK, apply(w, AS_IT_IS, 0, &n));
		assert_true(same(w));
	}
	assert_true(refused > 200);
}

/* From another serial than ours; of another zone. */
static void test_from_elsewhere(void **state)
{
	struct world *w = *state;
	unsigned n;

	run_batch(w, 2);
	fetch(w, false);
	w->t.in.have--;
	assert_rc(RC_MALFORMED, apply(w, AS_IT_IS, 0, &n));
	w->t.in.have++;
	w->t.in.id++;
	assert_rc(RC_MALFORMED, apply(w, AS_IT_IS, 0, &n));
	w->t.in.id--;
	w->t.in.origin.wire[1] ^= 1;
	assert_rc(RC_MALFORMED, apply(w, AS_IT_IS, 0, &n));
	w->t.in.origin.wire[1] ^= 1;
	assert_rc(RC_OK, apply(w, AS_IT_IS, 0, &n));
	/* The same again: its old SOA is not ours any more. */
	assert_rc(RC_STATE, apply(w, AS_IT_IS, 0, &n));
	assert_true(same(w));
}

static enum rc no_begin(bool whole, void *user)
{
	(void)whole;
	(void)user;
	return RC_OK;
}

static enum rc no_record(const struct incoming_record *r, void *user)
{
	(void)user;
	return r->len > 0 ? RC_OK : RC_MALFORMED;
}

/* Every truncation of a message is refused; every flipped octet is survived. */
static void test_cut_short(void **state)
{
	struct world *w = *state;
	struct incoming_sink sink = { no_begin, no_record, NULL };

	run_batch(w, 2);
	for (int whole = 0; whole < 2; whole++) {
		fetch(w, whole);
		for (size_t len = 0; len < w->t.len[0]; len++) {
			struct incoming in = w->t.in;
			uint8_t *copy = malloc(len ? len : 1);
			struct diag d = { 0 };
			size_t at;

			memcpy(copy, w->t.wire[0], len);
			assert_rc(RC_MALFORMED, incoming_message(&in, copy, len, &sink, &d));
			assert_true(d.text[0]);
			assert_rc(RC_MALFORMED, incoming_tsig_at(copy, len, &at));
			free(copy);
		}
		for (size_t at = 0; at < w->t.len[0]; at++) {
			struct incoming in = w->t.in;
			struct diag d = { 0 };

			w->t.wire[0][at] ^= 0xff;
			(void)!incoming_message(&in, w->t.wire[0], w->t.len[0], &sink, &d);
			w->t.wire[0][at] ^= 0xff;
		}
	}
}

static void test_confirmed(void **state)
{
	struct world *w = *state;

	assert_int_equal(follow_confirmed(w->db[SECONDARY]), 0);
	assert_rc(RC_OK, follow_confirm(w->db[SECONDARY], NOW, NULL));
	assert_int_equal(follow_confirmed(w->db[SECONDARY]), NOW);
	assert_int_equal(follow_expire(w->db[SECONDARY]), w->bulk.policy.expire);
}

static int setup(void **state)
{
	static struct world w;
	struct rebuild *r;
	unsigned n;

	w.bulk.threads = 1;
	w.bulk.ksk = EVP_EC_gen("P-256");
	w.bulk.zsk = EVP_EC_gen("P-256");
	w.base = event_base_new();
	assert_rc(RC_OK, bulk_policy(&w.bulk, "iotregistry.example", 14 * 86400));
	for (unsigned i = 0; i < STORES; i++) {
		snprintf(w.dir[i], sizeof(w.dir[i]), "/tmp/test-follow-XXXXXX");
		assert_non_null(mkdtemp(w.dir[i]));
		assert_rc(RC_OK, zone_db_open(w.dir[i], ZONE_DB_BULK, 0, &w.db[i], NULL));
	}
	assert_rc(RC_OK, rebuild_new(w.db[PRIMARY], &w.bulk.policy, NOW, &r, NULL));
	assert_rc(RC_OK, bulk_finish(&w.bulk, r, 1, NULL));
	rebuild_free(r);
	fetch(&w, true);
	assert_rc(RC_OK, apply(&w, AS_IT_IS, 0, &n));
	assert_true(same(&w));
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	forget(&w->t);
	for (unsigned i = 0; i < STORES; i++) {
		char path[96];

		zone_db_close(w->db[i]);
		snprintf(path, sizeof(path), "%s/data.mdb", w->dir[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/lock.mdb", w->dir[i]);
		unlink(path);
		rmdir(w->dir[i]);
	}
	event_base_free(w->base);
	EVP_PKEY_free(w->bulk.ksk);
	EVP_PKEY_free(w->bulk.zsk);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_the_primary),
		cmocka_unit_test(test_meddled),
		cmocka_unit_test(test_from_elsewhere),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_confirmed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
