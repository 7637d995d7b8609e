/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/str.h"

#include <string.h>

static void base64_rfc4648(void **state)
{
	static const char *const rows[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	char text[16];
	uint8_t back[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		b64_write(rows[i][0], strlen(rows[i][0]), text);
		assert_string_equal(text, rows[i][1]);
		assert_rc(RC_OK, b64_read(text, strlen(text), back, sizeof(back), &len));
		assert_int_equal(len, strlen(rows[i][0]));
		assert_memory_equal(back, rows[i][0], len);
	}
}

static void base64_refuses(void **state)
{
	static const char *const bad[] = { "Z", "Zg=", "Zg",
		"Zh==", "Zm9=", "Z===", "====", "Zm 9v", "Zg==Zg==", "Zm9v\n" };
	uint8_t back[16];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_rc(RC_MALFORMED, b64_read(bad[i], strlen(bad[i]), back, sizeof(back), &len));
	assert_rc(RC_TOO_LARGE, b64_read("Zm9v", 4, back, 2, &len));
}

static void numbers_are_strict(void **state)
{
	static const char *const bad[] = { "", "01", "+1", " 1", "1 ", "0x1", "-0",
		"18446744073709551616" };
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_not_equal(RC_OK, u64_read(bad[i], 0, UINT64_MAX, &v));
	assert_rc(RC_OK, u64_read("18446744073709551615", 0, UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_rc(RC_RANGE, u64_read("10", 1, 9, &v));
}

static void hex_both_ways(void **state)
{
	uint8_t b[2];
	char text[5];

	(void)state;
	assert_rc(RC_OK, hex_read("A0fe", b, 2));
	hex_write(b, 2, text);
	assert_string_equal(text, "a0fe");
	assert_rc(RC_MALFORMED, hex_read("A0f", b, 2));
	assert_rc(RC_MALFORMED, hex_read("A0fg", b, 2));
}

static void copies_fit_or_say_so(void **state)
{
	char s[4];

	(void)state;
	assert_rc(RC_OK, str_copy(s, sizeof(s), "abc"));
	assert_rc(RC_TOO_LARGE, str_copy(s, sizeof(s), "abcd"));
	assert_string_equal(s, "");
	assert_rc(RC_TOO_LARGE, str_format(s, sizeof(s), "%d", 1234));
	assert_true(str_equal_nocase("8F", "8f"));
	assert_false(str_equal_nocase("8F", "8f1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_rfc4648),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(hex_both_ways),
		cmocka_unit_test(copies_fit_or_say_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
