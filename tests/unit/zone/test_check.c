/* SPDX-License-Identifier: Apache-2.0 */
/* A store with torn pages: whatever is torn, looking at it ends with a verdict; what the last
 * change wrote is never believed. */
#include "unit.h"

#include "zone/batch.h"
#include "zone/bulk.h"
#include "zone/check.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW	 1795456836
#define NAMES	 200u
#define CHANGES	 20u
#define PAGE	 4096u
#define SECTOR	 512u
#define FILE_MAX (8u << 20)

struct world {
	char dir[64], path[96];
	struct bulk bulk;
	uint8_t *before, *good; /* the file without and with the last change */
	size_t before_len, good_len;
};

static size_t read_store(const struct world *w, uint8_t *out)
{
	FILE *f = fopen(w->path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, FILE_MAX, f);
	fclose(f);
	return n;
}

static void write_store(const struct world *w, const uint8_t *bytes, size_t len)
{
	FILE *f = fopen(w->path, "wb");

	assert_non_null(f);
	assert_int_equal(len, fwrite(bytes, 1, len, f));
	fclose(f);
}

static void tear(uint8_t *page, unsigned number)
{
	size_t from = number < 2 ? 16 : SECTOR;

	assert_int_equal(1, RAND_bytes(page + from, (int)((number < 2 ? SECTOR : PAGE) - from)));
}

static enum rc check(const struct world *w, const uint8_t *bytes, size_t len)
{
	struct diag d = { 0 };
	enum rc rc;

	write_store(w, bytes, len);
	rc = zone_check(w->dir, FILE_MAX, &d);
	assert_true(rc == RC_OK || (rc == RC_MALFORMED && strstr(d.text, w->dir)));
	return rc;
}

static void test_whole(void **state)
{
	const struct world *w = *state;
	struct diag d;

	assert_rc(RC_OK, check(w, w->good, w->good_len));
	assert_rc(RC_OK, check(w, w->before, w->before_len));
	assert_rc(RC_OK, check(w, NULL, 0));
	unlink(w->path);
	assert_rc(RC_OK, zone_check(w->dir, FILE_MAX, &d));
	assert_rc(RC_OK, zone_check("/nonexistent", FILE_MAX, &d));
}

static void test_each_page(void **state)
{
	const struct world *w = *state;
	uint8_t *torn = malloc(w->good_len);
	unsigned found = 0;

	for (unsigned n = 0; n < w->good_len / PAGE; n++) {
		memcpy(torn, w->good, w->good_len);
		tear(torn + n * PAGE, n);
		found += check(w, torn, w->good_len) == RC_MALFORMED;
		if (n < 2)
			assert_int_equal(n + 1, found);
	}
	assert_in_range(found, 10, w->good_len / PAGE);
	free(torn);
}

static void test_last_write(void **state)
{
	const struct world *w = *state;
	uint8_t *torn = malloc(w->good_len);
	unsigned n = 0;

	memcpy(torn, w->good, w->good_len);
	for (size_t at = 2 * PAGE; at < w->good_len; at += PAGE)
		if (at >= w->before_len || memcmp(w->before + at, w->good + at, PAGE) != 0) {
			tear(torn + at, (unsigned)(at / PAGE));
			n++;
		}
	assert_in_range(n, 4, w->good_len / PAGE);
	assert_rc(RC_MALFORMED, check(w, torn, w->good_len));
	free(torn);
}

static void test_cut_short(void **state)
{
	const struct world *w = *state;
	struct diag d = { 0 };

	for (size_t len = PAGE / 2; len < w->good_len / 2; len += 3 * PAGE)
		assert_rc(RC_MALFORMED, check(w, w->good, len));
	assert_rc(RC_OK, zone_check_set_aside(w->dir, &d));
	assert_int_not_equal(0, access(w->path, F_OK));
}

static void key_of(unsigned i, struct zone_key *key)
{
	struct zone_name name;
	char text[64];

	snprintf(text, sizeof(text), "1.8912230200%09uf", i * 7);
	assert_rc(RC_OK, zone_name_from_text(text, &name));
	zone_key_write(name.wire, name.len - 1u, key);
}

static void fill(const struct world *w, struct zone_db *db)
{
	uint8_t hash[RR_HASH_LEN] = { 0 };
	struct rebuild *r;

	assert_rc(RC_OK, rebuild_new(db, &w->bulk.policy, NOW, &r, NULL));
	for (unsigned i = 0; i < NAMES; i++) {
		struct zone_key key;

		key_of(i, &key);
		assert_rc(RC_OK, rebuild_device(r, &key, hash, hash, NOW + 90 * 86400));
	}
	assert_rc(RC_OK, bulk_finish(&w->bulk, r, 1, NULL));
	rebuild_free(r);
}

static void change(const struct world *w, struct zone_db *db, unsigned i)
{
	const struct work_tags tags = { { bulk_tag(&w->bulk, false) },
		{ bulk_tag(&w->bulk, true) } };
	const struct work *work;
	struct zone_key key;
	struct batch *b;
	uint32_t serial;
	uint8_t *sigs;

	key_of(i * 5, &key);
	assert_rc(RC_OK, batch_new(db, &w->bulk.policy, NOW, &b));
	assert_rc(RC_OK, batch_withdraw(b, &key));
	assert_rc(RC_OK, batch_prepare(b, &work, NULL));
	sigs = calloc(work->count, RR_SIG_LEN);
	assert_rc(RC_OK, bulk_sign(&w->bulk, work, sigs));
	assert_rc(RC_OK, batch_commit(b, sigs, &tags, 2 + i, &serial, NULL));
	free(sigs);
	batch_free(b);
}

static int setup(void **state)
{
	static struct world w;
	struct zone_db *db;

	w.bulk.threads = 1;
	w.bulk.ksk = EVP_EC_gen("P-256");
	w.bulk.zsk = EVP_EC_gen("P-256");
	assert_rc(RC_OK, bulk_policy(&w.bulk, "iotregistry.example", 14 * 86400));
	snprintf(w.dir, sizeof(w.dir), "/tmp/test-check-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	snprintf(w.path, sizeof(w.path), "%s/data.mdb", w.dir);
	w.before = malloc(FILE_MAX);
	w.good = malloc(FILE_MAX);
	assert_rc(RC_OK, zone_db_open(w.dir, ZONE_DB_BULK, FILE_MAX, &db, NULL));
	fill(&w, db);
	for (unsigned i = 0; i < CHANGES; i++) {
		if (i == CHANGES - 1)
			w.before_len = read_store(&w, w.before);
		change(&w, db, i);
	}
	zone_db_close(db);
	w.good_len = read_store(&w, w.good);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	static const char *const files[] = { "data.mdb", "lock.mdb", "data.mdb.damaged" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(w->path, sizeof(w->path), "%s/%s", w->dir, files[i]);
		unlink(w->path);
	}
	rmdir(w->dir);
	free(w->before);
	free(w->good);
	EVP_PKEY_free(w->bulk.ksk);
	EVP_PKEY_free(w->bulk.zsk);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole),
		cmocka_unit_test(test_each_page), cmocka_unit_test(test_last_write),
		cmocka_unit_test(test_cut_short) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
