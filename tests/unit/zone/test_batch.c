/* SPDX-License-Identifier: Apache-2.0 */
/* The zone after any sequence of batches is the zone that a rebuild of the same content makes: same
 * names, same records, same NSEC chain. A "signature" here is a digest of what is signed, so a
 * chain that points elsewhere shows. */
#include "unit.h"

#include "zone/batch.h"
#include "zone/bulk.h"
#include "zone/rebuild.h"
#include "zone/sweep.h"

#include <openssl/ec.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES	40u
#define SERVICE 36u /* names from here on are services */
#define ROUNDS	400u
#define NOW	1795456836

/* What every transaction signs: the SOA, by each algorithm. */
#define SOA_SETS(form) ((form) == 3 ? 2u : 1u)

static const struct work_tags some_tags = { { 1, 3 }, { 2, 4 } };

struct model {
	bool there[NAMES];
	uint8_t content[NAMES];
};

struct world {
	char dir[2][64];
	struct zone_db *db[2]; /* batches; rebuilds */
	struct bulk bulk;
	struct model model;
};

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 33) % below;
}

static void name_key(unsigned i, struct zone_key *key)
{
	char text[64];
	struct zone_name name;

	if (i < SERVICE)
		snprintf(text, sizeof(text), "%u.8912230200%09uf", 1 + i % 3, i / 3 * 7);
	else
		snprintf(text, sizeof(text), "_%u._tcp.s%u._service", 400 + i, i % 2);
	assert_rc(RC_OK, zone_name_from_text(text, &name));
	zone_key_write(name.wire, name.len - 1u, key);
}

static uint8_t *digests(const struct work *w)
{
	uint8_t *sigs = calloc(w->count ? w->count : 1, RR_SIG_LEN);

	for (size_t i = 0; i < w->count; i++) {
		const struct sign_set *s = &w->sets[i];
		uint8_t buf[4096];
		size_t n = 0;

		memcpy(buf, s->owner, s->owner_len);
		n += s->owner_len;
		rec_put16(buf + n, s->type);
		rec_put32(buf + n + 2, s->ttl);
		buf[n + 6] = s->alg;
		n += 7;
		for (unsigned k = 0; k < s->count; k++) {
			memcpy(buf + n, s->rdata[k], s->rdata_len[k]);
			n += s->rdata_len[k];
		}
		SHA256(buf, n, sigs + i * RR_SIG_LEN);
	}
	return sigs;
}

static void service_set(uint8_t content, uint8_t rdata[RR_TLSA_LEN], struct work_set *out,
	const uint8_t **list, uint16_t *len)
{
	memset(rdata, content, RR_TLSA_LEN);
	list[0] = rdata;
	len[0] = RR_TLSA_LEN;
	*out = (struct work_set){ RR_TLSA, 1, list, len };
}

static void change(struct world *w, struct batch *b, unsigned i)
{
	uint8_t hash[RR_HASH_LEN];
	uint8_t rdata[RR_TLSA_LEN];
	const uint8_t *list[1];
	uint16_t len[1];
	struct work_set set;
	struct zone_key key;

	name_key(i, &key);
	switch (rnd(5)) {
	case 0: assert_rc(RC_OK, batch_refresh(b, &key)); return;
	case 1:
	case 2:
		w->model.there[i] = false;
		assert_rc(RC_OK, batch_withdraw(b, &key));
		return;
	default: break;
	}
	w->model.there[i] = true;
	w->model.content[i] = (uint8_t)(1 + rnd(200));
	memset(hash, w->model.content[i], sizeof(hash));
	service_set(w->model.content[i], rdata, &set, list, len);
	if (i < SERVICE)
		assert_rc(RC_OK, batch_device(b, &key, hash, hash, NOW + 90 * 86400));
	else
		assert_rc(RC_OK, batch_sets(b, &key, &set, 1));
}

static void run_batch(struct world *w)
{
	unsigned n = rnd(4) ? 1 + rnd(6) : 1 + rnd(60);
	const struct work *work;
	struct batch *b;
	uint32_t serial;
	uint8_t *sigs;

	assert_rc(RC_OK, batch_new(w->db[0], &w->bulk.policy, NOW, &b));
	for (unsigned i = 0; i < n; i++)
		change(w, b, rnd(NAMES));
	assert_rc(RC_OK, batch_prepare(b, &work, NULL));
	sigs = digests(work);
	assert_rc(RC_OK, batch_commit(b, sigs, &some_tags, 1, &serial, NULL));
	free(sigs);
	batch_free(b);
}

static void sign_rebuild(struct rebuild *r)
{
	const struct work *work;
	uint64_t done;
	uint64_t names;
	uint64_t before = 0;
	uint32_t serial;

	assert_rc(RC_OK, rebuild_flush(r, NULL));
	for (;;) {
		uint8_t *sigs;

		assert_rc(RC_OK, rebuild_step(r, 7, &work, NULL));
		if (work->count == 0)
			break;
		sigs = digests(work);
		assert_rc(RC_OK, rebuild_place(r, sigs, &some_tags, NULL));
		free(sigs);
		rebuild_progress(r, &done, &names);
		assert_true(done > before && done <= names);
		before = done;
	}
	assert_true(before == names && names > 0);
	assert_rc(RC_OK, rebuild_finish(r, 1, &serial, NULL));
}

static void rebuild_all(struct world *w, unsigned at)
{
	struct rebuild *r;

	assert_rc(RC_OK, rebuild_new(w->db[at], &w->bulk.policy, NOW, &r, NULL));
	for (unsigned i = 0; i < NAMES; i++) {
		uint8_t hash[RR_HASH_LEN];
		uint8_t rdata[RR_TLSA_LEN];
		const uint8_t *list[1];
		uint16_t len[1];
		struct work_set set;
		struct zone_key key;

		if (!w->model.there[i])
			continue;
		name_key(i, &key);
		memset(hash, w->model.content[i], sizeof(hash));
		service_set(w->model.content[i], rdata, &set, list, len);
		if (i < SERVICE)
			assert_rc(RC_OK, rebuild_device(r, &key, hash, hash, NOW + 90 * 86400));
		else
			assert_rc(RC_OK, rebuild_sets(r, &key, &set, 1));
	}
	sign_rebuild(r);
	rebuild_free(r);
}

/* A value without what depends on when it was signed. */
static void comparable(uint8_t *v, size_t len)
{
	for (unsigned a = 0; a < REC_ALGS; a++) {
		if (!rec_form_has(rec_form(v), a))
			continue;
		memset(v + rec_nsec_at(v, a).span, 0, RR_SPAN_LEN);
		if (v[REC_KIND] == REC_DEVICE)
			memset(v + rec_data_at(v, a, RR_CERT).span, 0, RR_SPAN_LEN);
	}
	if (v[REC_KIND] == REC_GENERAL) {
		struct rec_node node;

		assert_rc(RC_OK, rec_node_parse(v, len, &node));
		for (unsigned i = 0; i < node.count; i++)
			for (unsigned a = 0; a < REC_ALGS; a++)
				if (node.set[i].sig[a])
					memset(node.set[i].sig[a], 0,
						RR_SPAN_LEN + (node.set[i].type == RR_SOA
									      ? RR_SIG_LEN
									      : 0));
		/* The serial is the first of the SOA's last five numbers. */
		for (unsigned i = 0; i < node.count; i++)
			if (node.set[i].type == RR_SOA)
				memset((uint8_t *)(uintptr_t)node.set[i].rdata[0] +
						node.set[i].rdata_len[0] - 20,
					0, 4);
	}
}

static void assert_same(struct world *w)
{
	MDB_txn *txn[2];
	MDB_cursor *c[2];
	MDB_val k[2], v[2];
	struct zone_state s[2];
	int r[2];

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(0, mdb_txn_begin(w->db[i]->env, NULL, MDB_RDONLY, &txn[i]));
		assert_rc(RC_OK, zone_db_state_get(w->db[i], txn[i], &s[i]));
		assert_int_equal(0, mdb_cursor_open(txn[i], w->db[i]->names[s[i].active], &c[i]));
	}
	do {
		uint8_t copy[2][REC_VALUE_MAX];

		for (unsigned i = 0; i < 2; i++)
			r[i] = mdb_cursor_get(c[i], &k[i], &v[i], MDB_NEXT);
		assert_int_equal(r[0], r[1]);
		if (r[0])
			break;
		assert_int_equal(k[0].mv_size, k[1].mv_size);
		assert_memory_equal(k[0].mv_data, k[1].mv_data, k[0].mv_size);
		assert_int_equal(v[0].mv_size, v[1].mv_size);
		for (unsigned i = 0; i < 2; i++) {
			memcpy(copy[i], v[i].mv_data, v[i].mv_size);
			comparable(copy[i], v[i].mv_size);
		}
		assert_memory_equal(copy[0], copy[1], v[0].mv_size);
	} while (1);
	for (unsigned i = 0; i < 2; i++) {
		mdb_cursor_close(c[i]);
		mdb_txn_abort(txn[i]);
	}
}

static void test_batches_equal_rebuild(void **state)
{
	struct world *w = *state;

	seed = 0x20261123u;
	printf("seed %llx\n", (unsigned long long)seed);
	for (unsigned i = 0; i < ROUNDS; i++) {
		run_batch(w);
		if (i % 4 == 0) {
			rebuild_all(w, 1);
			assert_same(w);
		}
	}
}

static size_t sweep_at(struct world *w, int64_t now, unsigned *ended, unsigned *due)
{
	struct sweep_limits limits = { .look = 1000, .take = 1000 };
	struct work_tags tags = some_tags;
	struct sweep s = { 0 };
	const struct work *work;
	struct batch *b;
	uint32_t serial;
	uint8_t *sigs;
	size_t n;

	assert_rc(RC_OK, batch_new(w->db[0], &w->bulk.policy, now, &b));
	assert_rc(RC_OK, sweep_ended(w->db[0], now, 1000, b, ended));
	assert_rc(RC_OK, sweep_step(&s, w->db[0], &w->bulk.policy, now, &limits, b, due));
	assert_rc(RC_OK, batch_prepare(b, &work, NULL));
	n = work->count;
	sigs = digests(work);
	tags.zsk[0] = w->bulk.policy.tags.zsk[0] ? w->bulk.policy.tags.zsk[0] : 1;
	assert_rc(RC_OK, batch_commit(b, sigs, &tags, 0, &serial, NULL));
	free(sigs);
	batch_free(b);
	return n;
}

/* Every name is looked at, as a sweep does when another set of algorithms signs. */
static void refresh_all(struct world *w)
{
	const struct work *work;
	struct zone_key key;
	struct batch *b;
	uint32_t serial;
	uint8_t *sigs;

	assert_rc(RC_OK, batch_new(w->db[0], &w->bulk.policy, NOW, &b));
	assert_rc(RC_OK, batch_infra(b));
	for (unsigned i = 0; i < NAMES; i++) {
		name_key(i, &key);
		assert_rc(RC_OK, batch_refresh(b, &key));
	}
	assert_rc(RC_OK, batch_prepare(b, &work, NULL));
	sigs = digests(work);
	assert_rc(RC_OK, batch_commit(b, sigs, &some_tags, 1, &serial, NULL));
	free(sigs);
	batch_free(b);
}

/* One algorithm, both, the other, both, the one: changes on the way and a rebuild at each end come
 * to the same, and what takes away signatures makes none. */
static void test_algorithms(void **state)
{
	static const unsigned forms[] = { 1, 3, 2, 3, 1 };
	struct world *w = *state;
	unsigned due;
	unsigned ended;

	seed = 0x8624u;
	w->bulk.policy.tags = some_tags;
	for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
		w->bulk.policy.form = forms[i];
		for (unsigned k = 0; k < 10; k++)
			run_batch(w);
		refresh_all(w);
		rebuild_all(w, 1);
		assert_same(w);
		/* Nothing is due any more. */
		assert_int_equal(0, sweep_at(w, NOW, &ended, &due) - SOA_SETS(forms[i]));
		assert_int_equal(0, due);
	}
	w->bulk.policy.tags = (struct work_tags){ { 0 }, { 0 } };
	w->bulk.policy.form = 0;
}

static uint32_t serial_of(struct zone_db *db)
{
	struct zone_state s;
	MDB_txn *txn;

	assert_int_equal(0, mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));
	assert_rc(RC_OK, zone_db_state_get(db, txn, &s));
	mdb_txn_abort(txn);
	return s.serial;
}

/* One transaction, one serial; a withdrawal of nothing is a transaction too. */
static void test_serial(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 20; i++) {
		uint32_t before = serial_of(w->db[0]);

		run_batch(w);
		assert_int_equal(before + 1, serial_of(w->db[0]));
	}
}

/* Nothing is due at once; at half their life all signatures are; at notAfter devices go. */
static void test_sweep(void **state)
{
	struct world *w = *state;
	unsigned ended, due;

	for (unsigned i = 0; i < NAMES; i++)
		w->model.there[i] = i % 2 == 0;
	rebuild_all(w, 0);
	sweep_at(w, NOW + 60, &ended, &due);
	assert_int_equal(0, ended);
	assert_int_equal(0, due);
	sweep_at(w, NOW + 8 * 86400, &ended, &due);
	assert_int_equal(0, ended);
	assert_int_equal(NAMES / 2 + 2, due); /* and the apex and the name server */
	sweep_at(w, NOW + 8 * 86400 + 60, &ended, &due);
	assert_int_equal(0, due);
	/* Close to the end the names are noted, and gone after it. */
	sweep_at(w, NOW + 80 * 86400, &ended, &due);
	sweep_at(w, NOW + 90 * 86400 + 1, &ended, &due);
	assert_int_equal(SERVICE / 2, ended);
	for (unsigned i = 0; i < SERVICE; i++)
		w->model.there[i] = false;
	rebuild_all(w, 1);
	assert_same(w);
}

/* Another ZSK signs: every signature of the old one is made anew once, whatever its age. What was
 * signed while the clock ran a year ahead is made anew when it is back. */
static void test_other_key_and_clock(void **state)
{
	struct world *w = *state;
	unsigned ended, due;

	for (unsigned i = 0; i < NAMES; i++)
		w->model.there[i] = i % 2 == 0;
	rebuild_all(w, 0);
	w->bulk.policy.tags.ksk[0] = 2;
	w->bulk.policy.tags.zsk[0] = 7;
	sweep_at(w, NOW + 60, &ended, &due);
	assert_int_equal(NAMES / 2 + 2, due);
	sweep_at(w, NOW + 120, &ended, &due);
	assert_int_equal(0, due);
	sweep_at(w, NOW + 60 * 86400, &ended, &due);
	assert_int_equal(NAMES / 2 + 2, due);
	sweep_at(w, NOW + 180, &ended, &due);
	assert_int_equal(NAMES / 2 + 2, due);
	sweep_at(w, NOW + 240, &ended, &due);
	assert_int_equal(0, due);
	w->bulk.policy.tags = (struct work_tags){ { 0 }, { 0 } };
}

static int setup(void **state)
{
	static struct world w;

	w.bulk.threads = 1;
	w.bulk.ksk = EVP_EC_gen("P-256");
	w.bulk.zsk = EVP_EC_gen("P-256");
	assert_rc(RC_OK, bulk_policy(&w.bulk, "iotregistry.example", 14 * 86400));
	for (unsigned i = 0; i < 2; i++) {
		snprintf(w.dir[i], sizeof(w.dir[i]), "/tmp/test-batch-XXXXXX");
		assert_non_null(mkdtemp(w.dir[i]));
		assert_rc(RC_OK, zone_db_open(w.dir[i], ZONE_DB_BULK, 0, &w.db[i], NULL));
		rebuild_all(&w, i);
	}
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < 2; i++) {
		char path[96];

		zone_db_close(w->db[i]);
		snprintf(path, sizeof(path), "%s/data.mdb", w->dir[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/lock.mdb", w->dir[i]);
		unlink(path);
		rmdir(w->dir[i]);
	}
	EVP_PKEY_free(w->bulk.ksk);
	EVP_PKEY_free(w->bulk.zsk);
	return 0;
}

/* Signatures that are made together do not end together: their ends fill the last eighth of a life
 * evenly, so the work of making them anew is spread as evenly. In doubt about the clock they are
 * good by both times. */
static void test_ends_are_spread(void **state)
{
	enum { COUNT = 8000, PARTS = 8, LIFE = 86400, DAY = 86400 };
	struct world *w = *state;
	struct zone_policy policy = w->bulk.policy;
	unsigned in[PARTS] = { 0 };
	uint8_t value[REC_DEVICE_LEN];
	uint8_t hash[RR_HASH_LEN] = { 1 };

	policy.infra_signature_s = LIFE;
	for (int64_t doubt = -DAY; doubt <= DAY; doubt += DAY) {
		struct work work;

		policy.doubt_s = doubt;
		work_init(&work, &policy, NOW);
		work_device(value, hash, hash, NOW + 365 * DAY);
		for (unsigned i = 0; i < (unsigned)COUNT; i++) {
			struct zone_key key;
			struct zone_name name;
			char text[64];

			snprintf(text, sizeof(text), "1.8912230200%09uf", i);
			assert_rc(RC_OK, zone_name_from_text(text, &name));
			zone_key_write(name.wire, name.len - 1u, &key);
			assert_rc(RC_OK, work_sign_nsec(&work, key.bytes, key.len, value,
						 sizeof(value), NULL, 0));
		}
		for (size_t i = 0; i < work.count; i++) {
			const struct sign_set *s = &work.sets[i];
			int64_t end = (int64_t)s->expiration - NOW - (doubt > 0 ? doubt : 0);

			assert_in_range(end, LIFE - LIFE / 8 + 1, LIFE);
			assert_int_equal(NOW - WORK_SKEW_S + (doubt < 0 ? doubt : 0), s->inception);
			in[(LIFE - end) * PARTS / (LIFE / 8)]++;
		}
		work_fini(&work);
	}
	for (size_t i = 0; i < PARTS; i++)
		assert_in_range(in[i], 3 * COUNT / PARTS * 8 / 10, 3 * COUNT / PARTS * 12 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_equal_rebuild),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_serial),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_other_key_and_clock),
		cmocka_unit_test(test_ends_are_spread),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
