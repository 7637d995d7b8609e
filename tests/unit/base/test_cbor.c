/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/cbor.h"
#include "base/compiler.h"
#include "base/str.h"

#include <string.h>

/* RFC 8949 appendix A, and forms that section 4.2.1 forbids. */
static const struct {
	const char *hex;
	bool good;
} ITEMS[] = {
	{ "00", true }, { "17", true }, { "1818", true }, { "1817", false }, { "190100", true },
	{ "1900ff", false }, { "1a00010000", true }, { "1a0000ffff", false },
	{ "1b0000000100000000", true }, { "1b00000000ffffffff", false },
	{ "1bffffffffffffffff", true }, { "3bffffffffffffffff", true }, { "20", true },
	{ "3863", true }, { "1c", false }, { "40", true }, { "4401020304", true },
	{ "58030102", false }, { "5801aa", false }, { "5f42010243030405ff", false }, { "60", true },
	{ "62c3bc", true }, { "62c0bc", false }, { "61ff", false }, { "63eda080", false },
	{ "64f4908080", false }, { "64f0908591", true }, { "80", true }, { "83010203", true },
	{ "8301820203820405", true }, { "9f018202039f0405ffff", false },
	{ "9b7fffffffffffffff", false }, { "a0", true }, { "a201020304", true },
	{ "a203040102", false }, { "a201020102", false }, { "a26161016162820203", true },
	{ "a26162016161820203", false }, { "a1a0a0", true }, { "a1a2020001000b", false },
	{ "bf6161019f0203ffff", false }, { "bbffffffffffffffff", false }, { "f4", true },
	{ "f7", true }, { "f0", true }, { "f818", false }, { "f8ff", true }, { "fc", false },
	{ "ff", false }, { "f93c00", true }, { "f97e00", true }, { "f97e01", false },
	{ "fa47c35000", true }, { "fa7f7fffff", true }, { "fa3fc00000", false },
	{ "fa33800000", false }, /* 2^-24: the least half-precision subnormal */
	{ "fa33000000", true }, { "fa7f800000", false }, { "fb3ff199999999999a", true },
	{ "fb7e37e43c8800759c", true }, { "fb3ff8000000000000", false },
	{ "fb36a0000000000000", false }, /* 2^-149: the least single subnormal */
	{ "fb3690000000000000", true }, { "fb7ff8000000000000", false }, { "c11a514b67b0", true },
	{ "c0", false }, { "d81801", true }, { "d80101", false }, { "8181818181818101", true },
	{ "818181818181818101", true },
	{ "81818181818181818101", false }, /* deeper than CBOR_DEPTH_MAX */
};

static void skip_takes_what_is_deterministic(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ITEMS); i++) {
		uint8_t buf[32];
		size_t len;
		assert_rc(RC_OK, hex_read_upto(ITEMS[i].hex, buf, sizeof(buf), &len));
		struct cur c = cur_init(buf, len);
		cbor_skip(&c);
		if (cur_done(&c) != ITEMS[i].good)
			fail_msg("%s: %s", ITEMS[i].hex, ITEMS[i].good ? "refused" : "taken");
		for (size_t cut = 0; cut < len; cut++) {
			c = cur_init(buf, cut);
			cbor_skip(&c);
			if (!c.bad)
				fail_msg("%s: taken when cut at %zu", ITEMS[i].hex, cut);
		}
	}
}

static const int64_t NUMBERS[] = { 0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX,
	(int64_t)UINT32_MAX + 1, INT64_MAX, -1, -24, -25, -256, -257, INT64_MIN };

static void numbers_come_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++) {
		uint8_t buf[9];
		struct put p = put_init(buf, sizeof(buf));
		cbor_put_int(&p, NUMBERS[i]);
		assert_true(put_ok(&p));
		struct cur c = cur_init(buf, p.len);
		assert_true(cbor_int(&c) == NUMBERS[i]);
		assert_true(cur_done(&c));
	}
}

static void types_are_kept_apart(void **state)
{
	uint8_t buf[32];
	struct put p = put_init(buf, sizeof(buf));
	struct cur c;

	(void)state;
	cbor_put_bytes(&p, "ab", 2);
	cbor_put_text(&p, "c", 1);
	cbor_put_bool(&p, true);
	cbor_put_null(&p);
	cbor_put_tag(&p, 18);
	cbor_put_array(&p, 0);
	c = cur_init(buf, p.len);
	assert_int_equal(cbor_peek(&c), CBOR_BYTES);
	assert_int_equal(cbor_bytes(&c).left, 2);
	assert_false(cbor_null(&c));
	assert_int_equal(cbor_text(&c).left, 1);
	assert_true(cbor_bool(&c));
	assert_true(cbor_null(&c));
	assert_int_equal(cbor_tag(&c), 18);
	assert_int_equal(cbor_array(&c), 0);
	assert_true(cur_done(&c));
	assert_int_equal(cbor_peek(&c), CBOR_END);
	c = cur_init(buf, p.len);
	(void)cbor_text(&c);
	assert_true(c.bad);
	/* A refused text does not leave its bytes behind. */
	static const uint8_t bad_text[] = { 0x61, 0xff };
	c = cur_init(bad_text, sizeof(bad_text));
	struct cur t = cbor_text(&c);
	assert_true(t.bad && c.bad && t.left == 0);
}

static void keys_must_rise(void **state)
{
	static const uint8_t falling[] = { 0x05, 0x01 }, negative[] = { 0x18, 0x20, 0x20 };
	struct cbor_keys keys = { 0 };
	struct cur c = cur_init(falling, sizeof(falling));

	(void)state;
	assert_int_equal(cbor_key(&c, &keys), 5);
	(void)cbor_key(&c, &keys);
	assert_true(c.bad);
	/* Bytewise: 32 (18 20) stands before -1 (20). */
	keys = (struct cbor_keys){ 0 };
	c = cur_init(negative, sizeof(negative));
	assert_int_equal(cbor_key(&c, &keys), 32);
	assert_int_equal(cbor_key(&c, &keys), -1);
	assert_true(cur_done(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(skip_takes_what_is_deterministic),
		cmocka_unit_test(numbers_come_back),
		cmocka_unit_test(types_are_kept_apart),
		cmocka_unit_test(keys_must_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
