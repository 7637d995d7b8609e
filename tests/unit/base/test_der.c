/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/der.h"

#include <string.h>

static void lengths_are_shortest(void **state)
{
	static const uint8_t good[] = { 0x04, 0x02, 1, 2 };
	static const uint8_t bad[][6] = {
		{ 0x04, 0x81, 0x02, 1, 2, 0 },	  /* long form for a short length */
		{ 0x04, 0x82, 0x00, 0x02, 1, 2 }, /* leading zero */
		{ 0x04, 0x80, 1, 2, 0, 0 },	  /* indefinite */
		{ 0x1f, 0x02, 1, 2, 0, 0 },	  /* multi-byte tag */
		{ 0x04, 0x7f, 1, 2, 0, 0 },	  /* past the end */
		{ 0x05, 0x02, 1, 2, 0, 0 },	  /* another tag */
	};
	struct cur c = cur_init(good, sizeof(good));
	struct cur v = der_take(&c, DER_OCTET_STRING);

	(void)state;
	assert_true(der_equal(&v, "\1\2", 2) && cur_done(&c));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c = cur_init(bad[i], sizeof(bad[i]));
		v = der_take(&c, DER_OCTET_STRING);
		assert_true(v.bad && c.bad);
	}
}

static void integers_are_positive_and_shortest(void **state)
{
	static const struct {
		uint8_t der[5];
		size_t len;
		bool ok;
	} rows[] = {
		{ { 2, 1, 0 }, 3, true },
		{ { 2, 1, 0x7f }, 3, true },
		{ { 2, 2, 0, 0x80 }, 4, true },
		{ { 2, 2, 0, 0x7f }, 4, false },
		{ { 2, 1, 0x80 }, 3, false },
		{ { 2, 0 }, 2, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cur c = cur_init(rows[i].der, rows[i].len);
		struct cur n = der_uint(&c);
		assert_int_equal(rows[i].ok, !n.bad && cur_done(&c));
	}
}

static void closes_shift_for_long_lengths(void **state)
{
	static const size_t sizes[] = { 0, 1, 127, 128, 255, 256, 1000, 65535, 65536 };
	static uint8_t buf[70000], body[65536];

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct put p = put_init(buf, sizeof(buf));
		size_t outer = der_open(&p, DER_SEQUENCE);
		der_put(&p, DER_OCTET_STRING, body, sizes[i]);
		der_close(&p, outer);
		assert_true(put_ok(&p));
		struct cur c = cur_init(buf, p.len);
		struct cur seq = der_take(&c, DER_SEQUENCE);
		struct cur v = der_take(&seq, DER_OCTET_STRING);
		assert_true(cur_done(&c) && cur_done(&seq) && der_equal(&v, body, sizes[i]));
		p = put_init(buf, p.len - 1); /* one octet short */
		outer = der_open(&p, DER_SEQUENCE);
		der_put(&p, DER_OCTET_STRING, body, sizes[i]);
		der_close(&p, outer);
		assert_false(put_ok(&p));
	}
}

static void times_both_ways(void **state)
{
	static const struct {
		int64_t t;
		const char *text;
		uint8_t tag;
	} rows[] = {
		{ 0, "700101000000Z", DER_UTCTIME },
		{ -631152000, "500101000000Z", DER_UTCTIME },
		{ 951782399, "000228235959Z", DER_UTCTIME },
		{ 951782400, "000229000000Z", DER_UTCTIME },
		{ 1795539600, "261124170000Z", DER_UTCTIME },
		{ 2524607999, "491231235959Z", DER_UTCTIME },
		{ 2524608000, "20500101000000Z", DER_GENTIME },
		{ 253402300799, "99991231235959Z", DER_GENTIME },
	};
	uint8_t buf[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct put p = put_init(buf, sizeof(buf));
		der_put_time(&p, rows[i].t);
		assert_int_equal(buf[0], rows[i].tag);
		assert_int_equal(p.len, strlen(rows[i].text) + 2);
		assert_memory_equal(buf + 2, rows[i].text, p.len - 2);
		struct cur c = cur_init(buf, p.len);
		assert_true(der_time(&c) == rows[i].t && cur_done(&c));
	}
}

static void times_refused(void **state)
{
	static const char *const rows[] = {
		"\x17\x0d"
		"260230000000Z",
		"\x17\x0d"
		"261301000000Z",
		"\x17\x0d"
		"260101240000Z",
		"\x17\x0d"
		"260101000060Z",
		"\x17\x0d"
		"26010100000aZ",
		"\x17\x0b"
		"2601010000Z",
		"\x18\x0f"
		"20260101000000Z", /* before 2050 it is UTCTime */
		"\x18\x11"
		"20600101000000.0Z",
		"\x16\x0d"
		"260101000000Z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cur c = cur_init(rows[i], strlen(rows[i]));
		(void)der_time(&c);
		assert_true(c.bad);
	}
	uint8_t buf[32];
	struct put p = put_init(buf, sizeof(buf));
	der_put_time(&p, 253402300800);
	assert_false(put_ok(&p));
}

static void ecdsa_both_ways(void **state)
{
	uint8_t raw[64], back[64], der[DER_ECDSA_MAX];

	(void)state;
	memset(raw, 0xff, sizeof(raw));
	for (size_t zeros = 0; zeros < 32; zeros++) {
		memset(raw, 0, zeros);
		size_t len = der_ecdsa_write(raw, der);
		assert_true(der_ecdsa_read(der, len, back));
		assert_memory_equal(raw, back, 64);
		for (size_t cut = 0; cut < len; cut++)
			assert_false(der_ecdsa_read(der, cut, back));
	}
	memset(raw, 0, 32);
	assert_false(der_ecdsa_read(der, der_ecdsa_write(raw, der), back)); /* r = 0 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_are_shortest),
		cmocka_unit_test(integers_are_positive_and_shortest),
		cmocka_unit_test(closes_shift_for_long_lengths),
		cmocka_unit_test(times_both_ways),
		cmocka_unit_test(times_refused),
		cmocka_unit_test(ecdsa_both_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
