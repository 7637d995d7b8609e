/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"
#include "../unit.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define ZONE "iotregistry.example"
#define LIVE "1.8912230200031010008f." ZONE

/* Answers recorded from Knot (tests/lib/record_dane.py), one of which may be changed. */
struct fake {
	int64_t now;
	struct clock clock;
	unsigned asked;
	const char *swap;   /* answers to this label ... */
	size_t len;	    /* ... are cut to this, */
	size_t flip;	    /* and have this byte changed */
	uint8_t flip_by;    /* unless 0 */
	uint8_t rcode_once; /* answer SERVFAIL until checking is disabled */
};

static int64_t fake_unix(const struct clock *c)
{
	return ((const struct fake *)c->user)->now;
}

static uint64_t fake_monotonic(const struct clock *c)
{
	(void)c;
	return 1000;
}

static void load(const char *label, uint8_t **bytes, size_t *len)
{
	char path[512];

	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", DATA_DIR, label));
	assert_rc(RC_OK, file_read(path, 65536, bytes, len, NULL));
}

static const char *label_of(const uint8_t *q, size_t q_len)
{
	static const struct {
		const char *name, *label;
		uint16_t type;
	} rows[] = { { LIVE, "cert.bin", DANE_TYPE_CERT }, { LIVE, "tlsa.bin", DANE_TYPE_TLSA },
		{ "2.8912230200031010008f." ZONE, "nxdomain.bin", DANE_TYPE_CERT },
		{ "8912230200031010008f." ZONE, "ent.bin", DANE_TYPE_CERT },
		{ "ns1." ZONE, "nodata.bin", DANE_TYPE_CERT },
		{ ZONE, "dnskey.bin", DANE_TYPE_DNSKEY } };
	struct cur c = cur_init(q, q_len);
	struct dane_name name, row;
	uint16_t type;

	cur_skip(&c, 12);
	dane__name_read(&c, q, q_len, &name);
	type = cur_u16(&c);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (dane__name_parse(rows[i].name, &row) == RC_OK &&
			dane__name_equal(&row, &name) && rows[i].type == type)
			return rows[i].label;
	return NULL;
}

static enum rc fake_ask(void *user, const uint8_t *q, size_t q_len, uint8_t **a, size_t *a_len)
{
	struct fake *f = user;
	const char *label = label_of(q, q_len);

	f->asked++;
	assert_int_equal(0, q_len % 128);
	if (!label)
		return RC_UNAVAILABLE;
	load(label, a, a_len);
	memcpy(*a, q, 2);
	if (f->rcode_once && !(q[3] & 0x10)) {
		(*a)[3] = (uint8_t)(((*a)[3] & 0xf0) | f->rcode_once);
		return RC_OK;
	}
	if (f->swap && strcmp(f->swap, label) == 0) {
		*a_len = f->len < *a_len ? f->len : *a_len;
		if (f->flip < *a_len)
			(*a)[f->flip] ^= f->flip_by;
	}
	return RC_OK;
}

static struct dane *make(struct fake *f)
{
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver r = { 0 };
	struct dane_options opt = { .anchors = anchors, .resolvers = &r, .n_resolvers = 1 };
	struct dane *dane = NULL;
	uint8_t *bytes = NULL;
	size_t len;
	uint64_t now;

	load("time", &bytes, &len);
	bytes[len - 1] = '\0';
	assert_rc(RC_OK, u64_read((char *)bytes, 0, INT64_MAX, &now));
	free(bytes);
	*f = (struct fake){ .now = (int64_t)now, .len = SIZE_MAX };
	f->clock = (struct clock){ fake_unix, fake_monotonic, f };
	opt.clock = &f->clock;
	assert_rc(RC_OK, dane_resolver_addr(&r, "192.0.2.1", 853));
	assert_rc(RC_OK, dane_resolver_pin(&r, "d4Ilb8GiSQX2txfOJdOqxuYcwD0O41BJ/ALRsSgBrB4="));
	assert_rc(RC_OK,
		dane_anchors_read_file(DATA_DIR "/anchor.ds", anchors, &opt.n_anchors, NULL));
	assert_rc(RC_OK, dane_new(&opt, &dane, NULL));
	dane->ask = fake_ask;
	dane->ask_user = f;
	return dane;
}

/* In the caller's memory: an answer's records point into itself. */
static struct dane_answer *lookup(
	struct dane *dane, const char *name, uint16_t type, struct dane_answer *a)
{
	dane_lookup(dane, name, type, a);
	return a;
}

static void test_proofs(void **state)
{
	static const struct {
		const char *name;
		uint16_t type;
		enum dane_status status;
		size_t n;
		uint32_t ttl;
	} rows[] = { { LIVE, DANE_TYPE_CERT, DANE_SECURE, 2, 300 },
		{ "1.8912230200031010008F." ZONE ".", DANE_TYPE_TLSA, DANE_SECURE, 2, 300 },
		{ "2.8912230200031010008f." ZONE, DANE_TYPE_CERT, DANE_NXDOMAIN, 0, 60 },
		{ "8912230200031010008f." ZONE, DANE_TYPE_CERT, DANE_NODATA, 0, 60 },
		{ "ns1." ZONE, DANE_TYPE_CERT, DANE_NODATA, 0, 60 },
		{ "3.8912230200031010008f." ZONE, DANE_TYPE_CERT, DANE_UNREACHABLE, 0, 0 },
		{ "www.example.net", DANE_TYPE_CERT, DANE_INSECURE, 0, 0 },
		{ "not a name", DANE_TYPE_CERT, DANE_UNREACHABLE, 0, 0 } };
	struct fake f;
	struct dane *dane = make(&f);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dane_answer a;

		lookup(dane, rows[i].name, rows[i].type, &a);

		if (a.status != rows[i].status || a.n_rrs != rows[i].n || a.ttl_s != rows[i].ttl)
			fail_msg("row %zu: %s %zu %u %s", i, dane_status_text(a.status), a.n_rrs,
				a.ttl_s, a.why);
	}
	assert_int_equal(7, f.asked); /* six answers and the keys, once */
	dane_free(dane);
}

static void test_records_match(void **state)
{
	uint8_t one[32], two[32], three[32];
	struct fake f;
	struct dane *dane = make(&f);
	struct dane_answer a;
	unsigned hits[3] = { 0 };
	struct dane_tlsa t;

	(void)state;
	lookup(dane, LIVE, DANE_TYPE_CERT, &a);
	for (uint8_t i = 0; i < 32; i++) {
		one[i] = i;
		two[i] = (uint8_t)(i + 32);
		three[i] = 7;
	}
	for (size_t i = 0; i < a.n_rrs; i++) {
		hits[0] += dane_cert_match(&a.rrs[i], one);
		hits[1] += dane_cert_match(&a.rrs[i], two);
		hits[2] += dane_cert_match(&a.rrs[i], three);
	}
	assert_int_equal(1, hits[0]);
	assert_int_equal(1, hits[1]);
	assert_int_equal(0, hits[2]);
	lookup(dane, LIVE, DANE_TYPE_TLSA, &a);
	assert_rc(RC_OK, dane_tlsa_parse(&a.rrs[0], &t));
	assert_int_equal(3, t.usage);
	assert_int_equal(32, t.len);
	a.rrs[0].len = 3;
	assert_rc(RC_MALFORMED, dane_tlsa_parse(&a.rrs[0], &t));
	dane_free(dane);
}

/* The answer is believed no longer than its signature lives, and not at all after or before. */
static void test_time(void **state)
{
	struct fake f;
	struct dane *dane = make(&f);
	int64_t recorded = f.now;
	struct dane_answer a;

	(void)state;
	f.now = recorded + 14 * 86400 - 100; /* Knot's policy: two weeks */
	lookup(dane, LIVE, DANE_TYPE_CERT, &a);
	assert_int_equal(DANE_SECURE, a.status);
	assert_true(a.ttl_s <= 100);
	f.now = recorded + 15 * 86400;
	lookup(dane, LIVE, DANE_TYPE_CERT, &a);
	assert_int_equal(DANE_BOGUS, a.status);
	assert_int_equal(0, a.n_rrs);
	f.now = recorded - 86400;
	assert_int_equal(DANE_BOGUS, lookup(dane, LIVE, DANE_TYPE_CERT, &a)->status);
	dane_free(dane);
}

static void test_servfail_is_asked_again_unchecked(void **state)
{
	struct fake f;
	struct dane *dane = make(&f);
	struct dane_answer a;

	(void)state;
	f.rcode_once = DANE_RCODE_SERVFAIL;
	assert_int_equal(DANE_SECURE, lookup(dane, LIVE, DANE_TYPE_CERT, &a)->status);
	assert_int_equal(4, f.asked);
	dane_free(dane);
}

/* Whatever is changed in an answer, what comes out is the recorded truth or no proof. */
static void changed(const char *label, const char *name, uint16_t type)
{
	struct fake f;
	struct dane *dane = make(&f);
	struct dane_answer good, a;
	uint8_t *bytes = NULL;
	size_t len;

	lookup(dane, name, type, &good);
	load(label, &bytes, &len);
	free(bytes);
	f.swap = label;
	for (f.len = 0; f.len < len; f.len++) {
		lookup(dane, name, type, &a);
		if (a.status <= DANE_NODATA && a.status != good.status)
			fail_msg("%s cut to %zu: %s", label, f.len, dane_status_text(a.status));
	}
	f.len = SIZE_MAX;
	for (f.flip = 2; f.flip < len; f.flip++)
		for (f.flip_by = 1; f.flip_by; f.flip_by = (uint8_t)(f.flip_by << 1)) {
			lookup(dane, name, type, &a);
			if (a.status > DANE_NODATA)
				continue;
			if (a.status != good.status || a.n_rrs != good.n_rrs ||
				memcmp(a.data, good.data, sizeof(a.data)) != 0 ||
				a.ttl_s > good.ttl_s)
				fail_msg("%s byte %zu ^ %02x: %s", label, f.flip, f.flip_by,
					dane_status_text(a.status));
		}
	dane_free(dane);
}

static void test_changes_prove_nothing(void **state)
{
	(void)state;
	changed("cert.bin", LIVE, DANE_TYPE_CERT);
	changed("nodata.bin", "ns1." ZONE, DANE_TYPE_CERT);
	changed("ent.bin", "8912230200031010008f." ZONE, DANE_TYPE_CERT);
}

/* The same for the keys, which are fetched anew for each try. */
static void test_changed_keys(void **state)
{
	struct fake f;
	struct dane *dane = make(&f);
	uint8_t *bytes = NULL;
	size_t len, secure = 0;

	(void)state;
	load("dnskey.bin", &bytes, &len);
	free(bytes);
	f.swap = "dnskey.bin";
	f.flip_by = 4;
	for (f.flip = 12; f.flip < len; f.flip++) {
		struct dane_answer a;

		for (size_t i = 0; i < DANE_ZONES_MAX; i++)
			dane__keys_free(&dane->zones[i]);
		lookup(dane, LIVE, DANE_TYPE_CERT, &a);
		secure += a.status == DANE_SECURE;
	}
	/* TTLs and the OPT record are not signed; all else is. */
	assert_true(secure < 40);
	dane_free(dane);
}

static void test_options(void **state)
{
	struct dane_anchor anchor = { .name = "z.example", .digest_type = 2, .digest_len = 32 };
	struct dane_resolver r = { .addr_len = 4 };
	struct dane_options opt = { .anchors = &anchor, .resolvers = &r };
	struct dane *dane = NULL;

	(void)state;
	assert_rc(RC_RANGE, dane_new(&opt, &dane, NULL));
	opt.n_anchors = 1;
	assert_rc(RC_RANGE, dane_new(&opt, &dane, NULL));
	opt.n_resolvers = 1; /* without a pin */
	assert_rc(RC_RANGE, dane_new(&opt, &dane, NULL));
	r.n_pins = 1;
	assert_rc(RC_OK, dane_new(&opt, &dane, NULL));
	dane_free(dane);
	dane_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_proofs),
		cmocka_unit_test(test_records_match), cmocka_unit_test(test_time),
		cmocka_unit_test(test_servfail_is_asked_again_unchecked),
		cmocka_unit_test(test_changes_prove_nothing), cmocka_unit_test(test_changed_keys),
		cmocka_unit_test(test_options) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
