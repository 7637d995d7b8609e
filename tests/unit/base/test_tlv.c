/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "base/tlv.h"

#include <string.h>

static void lengths_by_rules(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len;
		bool iso, shortest;
	} rows[] = {
		{ { 0x84, 0x01, 0x01 }, 3, true, true },
		{ { 0x84, 0x00 }, 2, true, true },
		{ { 0x84, 0x81, 0x01, 0x01 }, 4, true, false },
		{ { 0x84, 0x82, 0x00, 0x01, 0x01 }, 5, true, false },
		{ { 0x84, 0x83, 0x00, 0x00, 0x01, 0x01 }, 6, true, false },
		{ { 0x9f, 0x01, 0x01 }, 3, true, true },
		{ { 0x84, 0x80 }, 2, false, false },
		{ { 0x84, 0x84, 0, 0, 0, 0 }, 6, false, false },
		{ { 0x84, 0xff }, 2, false, false },
		{ { 0x84, 0x02, 0x01 }, 3, false, false },
		{ { 0x84, 0x81 }, 2, false, false },
		{ { 0x84, 0x82, 0x01 }, 3, false, false },
		{ { 0x84 }, 1, false, false },
		{ { 0 }, 0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const bool want[] = { rows[i].iso, rows[i].shortest };

		for (size_t r = 0; r < ARRAY_LEN(want); r++) {
			struct cur c = cur_init(rows[i].bytes, rows[i].len);
			struct tlv t;

			assert_int_equal(tlv_read(&c, (enum tlv_rules)r, &t), want[r]);
			assert_int_equal(c.bad, !want[r]);
			if (want[r])
				assert_true(cur_done(&c));
		}
	}
}

static void expects_a_tag(void **state)
{
	static const uint8_t b[] = { 0x84, 0x01, 0x07, 0x85, 0x00 };
	struct cur c = cur_init(b, sizeof(b)), v;

	(void)state;
	v = tlv_expect(&c, TLV_ISO, 0x84);
	assert_int_equal(cur_u8(&v), 7);
	assert_true(cur_done(&v));
	v = tlv_expect(&c, TLV_ISO, 0x84);
	assert_true(v.bad && c.bad);
}

static void writes_what_it_reads(void **state)
{
	static const size_t sizes[] = { 0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000 };
	static uint8_t value[0x10000], out[0x10000 + 5];

	(void)state;
	memset(value, 0x5a, sizeof(value));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct put p = put_init(out, sizeof(out));
		struct cur c;
		struct tlv t;

		tlv_put(&p, 0x30, value, sizes[i]);
		assert_true(put_ok(&p));
		assert_int_equal(p.len, tlv_size(sizes[i]));
		c = cur_init(out, p.len);
		assert_true(tlv_read(&c, TLV_SHORTEST, &t));
		assert_int_equal(t.value.left, sizes[i]);
		assert_true(cur_done(&c));
		for (size_t cut = 0; cut < p.len && cut < 300; cut++) {
			c = cur_init(out, cut);
			assert_false(tlv_read(&c, TLV_SHORTEST, &t));
		}
	}
}

static void nests(void **state)
{
	static const uint8_t inner[200];
	uint8_t out[256];
	struct put p = put_init(out, sizeof(out));
	size_t a, b;

	(void)state;
	a = tlv_open(&p, 0x30);
	b = tlv_open(&p, 0xa0);
	tlv_put(&p, 0x04, inner, sizeof(inner));
	tlv_close(&p, b);
	tlv_put(&p, 0x05, NULL, 0);
	tlv_close(&p, a);
	assert_true(put_ok(&p));
	assert_int_equal(p.len, 3 + 3 + 3 + 200 + 2);
	assert_memory_equal(out, "\x30\x81\xd0\xa0\x81\xcb\x04\x81\xc8", 9);
	assert_memory_equal(out + p.len - 2, "\x05\x00", 2);
	p = put_init(out, 3 + 200 + 2);
	a = tlv_open(&p, 0x30);
	tlv_put(&p, 0x04, inner, sizeof(inner));
	tlv_close(&p, a);
	assert_false(put_ok(&p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_by_rules),
		cmocka_unit_test(expects_a_tag),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(nests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
