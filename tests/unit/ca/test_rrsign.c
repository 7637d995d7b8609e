/* SPDX-License-Identifier: Apache-2.0 */
#include "base/der.h"
#include "base/str.h"
#include "ca/rrsign.h"
#include "fixture.h"

#include <string.h>

#define NOW ((uint32_t)TEST_NOW)

/* Wire names of the zone iot.example. */
#define APEX          \
	"\x03iot\x07" \
	"example"
#define OWNER   \
	"\x01"  \
	"1\x14" \
	"8912230200031010008f" APEX
#define OTHER         \
	"\x03iot\x07" \
	"exampl3"

static struct ca_bytes wire(const char *s, size_t len)
{
	return (struct ca_bytes){ (const uint8_t *)s, len };
}
#define WIRE(s) wire(s, sizeof(s)) /* with the root's octet */
#define RAW(s)	wire(s, sizeof(s) - 1)

/* The vector of RFC 6605 section 6.1: key tag and DS of a P-256 key. */
static void key_tag_of_rfc6605(void **state)
{
	static const char key[] = "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb"
				  "krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
	uint8_t rdata[CA_DNSKEY_LEN] = { 0x01, 0x01, 3, 13 };
	size_t len;

	(void)state;
	assert_rc(RC_OK, b64_read(key, strlen(key), rdata + 4, 64, &len));
	assert_int_equal(len, 64);
	assert_int_equal(ca_key_tag(rdata, sizeof(rdata)), 55648);
}

static struct ca_rrset good(const struct ca_bytes *rdata, size_t count, uint16_t type)
{
	return (struct ca_rrset){ .owner = WIRE(APEX),
		.type = type,
		.ttl = 300,
		.rdata = rdata,
		.rdata_count = count,
		.inception = NOW - 3600,
		.expiration = NOW + 86400 };
}

static enum rc sign(struct fixture *f, const struct ca_rrset *set, struct diag *d)
{
	uint8_t sig[64];

	return ca_rrset_sign(f->x, &f->ring.zone, set, TEST_NOW, sig, d);
}

/* The signed bytes, built by hand for one RRset (RFC 4034 section 3.1.8.1). */
static void signature_covers_the_canonical_form(void **state)
{
	struct fixture *f = *state;
	struct ca_bytes rdata[] = { RAW("\x7f\0\0\1"), RAW("\x7f\0\0\2") };
	struct ca_rrset set = good(rdata, 2, 1);
	uint8_t sig[64], buf[256], digest[32], der[DER_ECDSA_MAX], point[CA_POINT_LEN] = { 4 };
	struct put p = put_init(buf, sizeof(buf));
	struct diag d = { 0 };

	set.owner = WIRE(OWNER);
	assert_rc(RC_OK, ca_rrset_sign(f->x, &f->ring.zone, &set, TEST_NOW, sig, &d));
	put_u16(&p, 1);	  /* type covered */
	put_u8(&p, 13);	  /* algorithm */
	put_u8(&p, 4);	  /* labels */
	put_u32(&p, 300); /* original TTL */
	put_u32(&p, NOW + 86400);
	put_u32(&p, NOW - 3600);
	put_u16(&p, f->ring.zone.zsk_tag);
	put_bytes(&p, APEX, sizeof(APEX));
	for (uint8_t i = 1; i <= 2; i++) {
		put_bytes(&p, OWNER, sizeof(OWNER));
		put_u16(&p, 1);
		put_u16(&p, 1);
		put_u32(&p, 300);
		put_u16(&p, 4);
		put_u32(&p, 0x7f000000u + i);
	}
	assert_true(put_ok(&p));
	memcpy(point + 1, f->ring.zone.sign[CA_P256][false].pub, CA_POINT_LEN - 1);
	assert_rc(RC_OK, ca_sha256(f->x, buf, p.len, digest));
	assert_rc(RC_OK, ca_verify(f->x, point, digest, der, der_ecdsa_write(sig, der)));
}

static void every_type_of_the_zone(void **state)
{
	struct fixture *f = *state;
	const struct ca_zone *z = &f->ring.zone;
	uint8_t cds[36] = { (uint8_t)(z->ksk_tag >> 8), (uint8_t)z->ksk_tag, 13, 2 };
	uint8_t soa[2 * sizeof(APEX) + 20], nsec[sizeof(OWNER) + 8];
	memcpy(cds + 4, z->ksk_ds_sha256, 32);
	memset(soa, 0, sizeof(soa));
	memcpy(soa, APEX, sizeof(APEX));
	memcpy(soa + sizeof(APEX), APEX, sizeof(APEX));
	memcpy(nsec, OWNER, sizeof(OWNER));
	memcpy(nsec + sizeof(OWNER), "\0\6\0\0\0\0\0\3", 8);
	const struct ca_bytes ksk = { z->ksk_rdata, CA_DNSKEY_LEN };
	const struct ca_bytes keys_a[] = { { z->zsk_rdata, CA_DNSKEY_LEN }, ksk };
	const struct {
		uint16_t type;
		struct ca_bytes rdata;
		bool ksk;
	} rows[] = {
		{ 1, RAW("\x7f\0\0\1"), false },
		{ 2, WIRE("\x03ns1" APEX), false },
		{ 2, WIRE("\x02ns\x03net"), false },
		{ 6, { soa, sizeof(soa) }, false },
		{ 28, RAW("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), false },
		{ 37, RAW("\0\1\0\1\0hash"), false },
		{ 47, { nsec, sizeof(nsec) }, false },
		{ 48, ksk, true },
		{ 52,
			RAW("\3\0\1"
			    "12345678901234567890123456789012"),
			false },
		{ 59, { cds, sizeof(cds) }, true },
		{ 59, RAW("\0\0\0\0\0"), true },
		{ 60, ksk, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ca_rrset set = good(&rows[i].rdata, 1, rows[i].type);
		struct diag d = { 0 };
		set.ksk = rows[i].ksk;
		if (sign(f, &set, &d) != RC_OK)
			fail_msg("row %zu: %s", i, d.text);
		set.ksk = !rows[i].ksk;
		assert_rc(RC_DENIED, sign(f, &set, &d));
	}
	struct ca_rrset set = good(keys_a, 2, 48);
	struct diag d;
	set.ksk = true;
	assert_rc(RC_OK, sign(f, &set, &d)); /* 256 sorts before 257 */
}

static void refusals(void **state)
{
	struct fixture *f = *state;
	struct ca_bytes a = RAW("\x7f\0\0\1"), b = RAW("\x7f\0\0\2");
	struct ca_bytes sorted[] = { a, b }, unsorted[] = { b, a }, twice[] = { a, a };
	uint8_t foreign[CA_DNSKEY_LEN];
	memcpy(foreign, f->ring.zone.ksk_rdata, sizeof(foreign));
	foreign[67] ^= 1;
	struct ca_bytes alien = { foreign, sizeof(foreign) };
	struct ca_bytes bad_tlsa = RAW("\3\1\1short"), bad_ns = RAW("\3ns"), txt = RAW("\1x");
	struct ca_bytes upper_ns = WIRE("\3NS1"), cert = RAW("\0\1\0\1\0");
	struct ca_bytes nsec_out = RAW(OTHER "\0\0\1\x40");
	struct ca_bytes nsec_map = RAW(APEX "\0\0\1\0"), soa_short = WIRE(APEX);
	struct {
		enum rc rc;
		const char *text;
		struct ca_rrset set;
	} rows[] = {
		{ RC_DENIED, "not in the zone", good(&a, 1, 1) },
		{ RC_DENIED, "not in the zone", good(&a, 1, 1) },
		{ RC_MALFORMED, "lower-case wire name", good(&a, 1, 1) },
		{ RC_MALFORMED, "lower-case wire name", good(&a, 1, 1) },
		{ RC_MALFORMED, "lower-case wire name", good(&a, 1, 1) },
		{ RC_MALFORMED, "canonical order", good(unsorted, 2, 1) },
		{ RC_MALFORMED, "canonical order", good(twice, 2, 1) },
		{ RC_RANGE, "0 records", good(&a, 0, 1) },
		{ RC_DENIED, "type 16", good(&txt, 1, 16) },
		{ RC_DENIED, "not a key of this zone", good(&alien, 1, 48) },
		{ RC_DENIED, "not a key of this zone", good(&alien, 1, 60) },
		{ RC_DENIED, "not a key of this zone", good(&alien, 1, 59) },
		{ RC_MALFORMED, "type 52", good(&bad_tlsa, 1, 52) },
		{ RC_MALFORMED, "type 2:", good(&bad_ns, 1, 2) },
		{ RC_MALFORMED, "type 2:", good(&upper_ns, 1, 2) },
		{ RC_MALFORMED, "type 37", good(&cert, 1, 37) },
		{ RC_MALFORMED, "type 47", good(&nsec_out, 1, 47) },
		{ RC_MALFORMED, "type 47", good(&nsec_map, 1, 47) },
		{ RC_MALFORMED, "type 6:", good(&soa_short, 1, 6) },
		{ RC_MALFORMED, "type 28", good(&a, 1, 28) },
		{ RC_RANGE, "validity", good(sorted, 2, 1) },
		{ RC_RANGE, "validity", good(sorted, 2, 1) },
		{ RC_RANGE, "validity", good(sorted, 2, 1) },
		{ RC_RANGE, "validity", good(sorted, 2, 1) },
		{ RC_DENIED, "apex only", good(&a, 1, 2) },
	};
	rows[0].set.owner = WIRE(OTHER);
	rows[1].set.owner = WIRE("\x07"
				 "example");
	rows[2].set.owner = WIRE("\x03IOT\x07"
				 "example");
	rows[3].set.owner = RAW(APEX); /* no root */
	rows[4].set.owner = RAW("\xc0\x0c");
	rows[9].set.ksk = rows[10].set.ksk = rows[11].set.ksk = true;
	rows[20].set.expiration = rows[20].set.inception;
	rows[21].set.inception = NOW - 30 * 86400;
	rows[22].set.expiration = NOW - 1;
	rows[23].set.inception = NOW + 20 * 86400;
	rows[23].set.expiration = NOW + 40 * 86400;
	rows[24].set.owner = WIRE(OWNER);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct diag d = { 0 };
		enum rc rc = sign(f, &rows[i].set, &d);
		if (rc != rows[i].rc || !strstr(d.text, rows[i].text))
			fail_msg("row %zu: %s: %s", i, rc_text(rc), d.text);
	}
}

static void zone_names(void **state)
{
	static const char *const bad[] = { "", ".", "a.", ".a", "a..b", "A.b", "a_b.c", "-a.b",
		"a-.b", "a b",
		"a234567890123456789012345678901234567890123456789012345678901234.b" };
	uint8_t out[CA_NAME_WIRE_MAX];
	struct diag d;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_RANGE, ca_name_to_wire(bad[i], out, &len, &d));
	assert_rc(RC_OK, ca_name_to_wire("iot.example", out, &len, &d));
	assert_int_equal(len, sizeof(APEX));
	assert_memory_equal(out, APEX, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_tag_of_rfc6605),
		cmocka_unit_test(signature_covers_the_canonical_form),
		cmocka_unit_test(every_type_of_the_zone),
		cmocka_unit_test(refusals),
		cmocka_unit_test(zone_names),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
