/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"
#include "../unit.h"

#include <string.h>

#define NS    DANE_TYPE_NS
#define SOA   DANE_TYPE_SOA
#define CERT  DANE_TYPE_CERT
#define CNAME DANE_TYPE_CNAME
#define DNAME DANE_TYPE_DNAME
#define DS    DANE_TYPE_DS

struct nsec {
	const char *owner, *next;
	uint16_t types[4]; /* below 64, 0 ends */
};

static struct dane_name name(const char *text)
{
	struct dane_name n;

	assert_rc(RC_OK, dane__name_parse(text, &n));
	return n;
}

/* Builds the RDATA of a record that verified. */
static struct dane_rec record(const struct nsec *n, uint8_t buf[300])
{
	struct dane_name next = name(n->next);
	struct dane_rec r = { .owner = name(n->owner), .type = DANE_TYPE_NSEC, .rdata = buf };
	struct put p = put_init(buf, 300);
	uint8_t bits[8] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(n->types) && n->types[i]; i++)
		bits[n->types[i] / 8] |= (uint8_t)(0x80 >> (n->types[i] % 8));
	put_bytes(&p, next.wire, next.len);
	put_u8(&p, 0);
	put_u8(&p, sizeof(bits));
	put_bytes(&p, bits, sizeof(bits));
	r.len = (uint16_t)p.len;
	return r;
}

static enum dane_denial proves(const struct nsec *n, size_t count, const char *ask, uint16_t type)
{
	struct dane_name zone = name("z.example"), asked = name(ask);
	struct dane_rec recs[4];
	const struct dane_rec *at[4];
	uint8_t buf[4][300];

	for (size_t i = 0; i < count; i++) {
		recs[i] = record(&n[i], buf[i]);
		at[i] = &recs[i];
	}
	return dane__nsec_proves(at, count, &zone, &asked, type);
}

static void test_rows(void **state)
{
	static const struct {
		enum dane_denial want;
		const char *ask;
		uint16_t type;
		size_t n;
		struct nsec nsecs[2];
	} rows[] = {
		/* the name, and the wildcard that could have made it, are covered by one record */
		{ DANE_DENIES_NAME, "m.z.example", CERT, 1,
			{ { "z.example", "t.z.example", { NS, SOA } } } },
		/* the wildcard's denial is another record, and it is missing */
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "a.z.example", "t.z.example", { CERT } } } },
		{ DANE_DENIES_NAME, "m.z.example", CERT, 2,
			{ { "a.z.example", "t.z.example", { CERT } },
				{ "z.example", "a.z.example", { NS, SOA } } } },
		/* the last record wraps to the apex */
		{ DANE_DENIES_NAME, "x.z.example", CERT, 2,
			{ { "t.z.example", "z.example", { CERT } },
				{ "z.example", "t.z.example", { NS, SOA } } } },
		/* an empty non-terminal */
		{ DANE_DENIES_TYPE, "m.z.example", CERT, 1,
			{ { "a.z.example", "1.m.z.example", { CERT } } } },
		/* the name is there, the type is not */
		{ DANE_DENIES_TYPE, "m.z.example", CERT, 1,
			{ { "m.z.example", "t.z.example", { DS } } } },
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "m.z.example", "t.z.example", { CERT } } } },
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "m.z.example", "t.z.example", { CNAME } } } },
		/* a delegation says nothing about what lies below, nor about other types */
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "m.z.example", "t.z.example", { NS } } } },
		{ DANE_DENIES_TYPE, "m.z.example", DS, 1,
			{ { "m.z.example", "t.z.example", { NS } } } },
		{ DANE_DENIES_NOTHING, "m.z.example", DS, 1,
			{ { "m.z.example", "t.z.example", { NS, SOA } } } },
		{ DANE_DENIES_NOTHING, "x.m.z.example", CERT, 2,
			{ { "m.z.example", "t.z.example", { NS } },
				{ "z.example", "m.z.example", { NS, SOA } } } },
		{ DANE_DENIES_NOTHING, "x.m.z.example", CERT, 2,
			{ { "m.z.example", "t.z.example", { DNAME } },
				{ "z.example", "m.z.example", { NS, SOA } } } },
		/* spans that do not hold the name */
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "n.z.example", "t.z.example", { CERT } } } },
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "a.z.example", "c.z.example", { CERT } } } },
		/* another zone's record */
		{ DANE_DENIES_NOTHING, "m.z.example", CERT, 1,
			{ { "a.y.example", "z.z.example", { CERT } } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (proves(rows[i].nsecs, rows[i].n, rows[i].ask, rows[i].type) != rows[i].want)
			fail_msg("row %zu", i);
}

/* A bitmap that does not parse proves no absence. */
static void test_bad_bitmaps(void **state)
{
	static const uint8_t bitmaps[][4] = { { 0, 0, 0, 0 }, { 0, 33, 0, 0 }, { 0, 5, 0, 0 } };
	struct dane_name zone = name("z.example"), asked = name("m.z.example");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bitmaps); i++) {
		struct dane_rec r = { .owner = asked, .type = DANE_TYPE_NSEC };
		const struct dane_rec *at = &r;
		uint8_t buf[64];
		struct put p = put_init(buf, sizeof(buf));

		put_bytes(&p, zone.wire, zone.len);
		put_bytes(&p, bitmaps[i], sizeof(bitmaps[i]));
		r.rdata = buf;
		r.len = (uint16_t)p.len;
		assert_int_equal(
			DANE_DENIES_NOTHING, dane__nsec_proves(&at, 1, &zone, &asked, CERT));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bad_bitmaps) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
