/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"
#include "../unit.h"

#include <string.h>

static struct dane_name name(const char *text)
{
	struct dane_name n;

	assert_rc(RC_OK, dane__name_parse(text, &n));
	return n;
}

static void test_parse_and_text(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = { { "a.B.c", "a.b.c" }, { "a.b.c.", "a.b.c" }, { ".", "." },
		{ "_443._tcp.x-1.example", "_443._tcp.x-1.example" } };
	static const char *const bad[] = { "", "a..b", ".a", "a b", "a\\.b", "a*b", "\xc3\xa4.b",
		"0123456789012345678901234567890123456789012345678901234567890123.x", ".." };
	char text[DANE_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dane_name n = name(rows[i].in);

		dane__name_text(&n, text);
		assert_string_equal(rows[i].out, text);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct dane_name n;

		assert_rc(RC_MALFORMED, dane__name_parse(bad[i], &n));
	}
}

static void test_length_limit(void **state)
{
	char text[300];
	struct dane_name n;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '.' : 'a';
	text[253] = '\0'; /* 127 labels of one letter: 255 octets */
	assert_rc(RC_OK, dane__name_parse(text, &n));
	assert_int_equal(255, n.len);
	text[253] = '.';
	text[255] = '\0';
	assert_rc(RC_MALFORMED, dane__name_parse(text, &n));
}

/* RFC 4034 section 6.1's example, without the names that need escapes. */
static void test_canonical_order(void **state)
{
	static const char *const order[] = { "example", "a.example", "yljkjljk.a.example",
		"z.a.example", "zabc.a.example", "z.example" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t k = 0; k < ARRAY_LEN(order); k++) {
			struct dane_name a = name(order[i]), b = name(order[k]);
			int d = dane__name_cmp(&a, &b);

			assert_int_equal((i > k) - (i < k), (d > 0) - (d < 0));
		}
}

static void test_ancestors(void **state)
{
	struct dane_name a = name("x.b.example"), b = name("y.b.example"), c = name("b.example");
	struct dane_name root = name("."), other = name("xb.example"), up;

	(void)state;
	dane__name_common(&a, &b, &up);
	assert_true(dane__name_equal(&up, &c));
	assert_true(dane__name_within(&a, &c) && dane__name_within(&c, &c));
	assert_true(dane__name_within(&a, &root));
	assert_false(dane__name_within(&other, &c));
	assert_false(dane__name_within(&c, &a));
	assert_int_equal(3, dane__name_labels(&a));
	assert_int_equal(0, dane__name_labels(&root));
}

/* A pointer must go back to before its own name: loops and jumps ahead are refused. */
static void test_compression(void **state)
{
	static const uint8_t good[] = { 1, 'A', 0, 1, 'b', 0xc0, 0 };
	static const uint8_t self[] = { 0xc0, 0 };
	static const uint8_t ahead[] = { 0xc0, 2, 1, 'a', 0 };
	static const uint8_t loop[] = { 1, 'a', 0xc0, 0 };
	static const uint8_t reserved[] = { 0x41, 'a', 0 };
	struct cur c = cur_init(good + 3, sizeof(good) - 3);
	struct dane_name n, want = name("b.a");
	const struct {
		const uint8_t *bytes;
		size_t len;
	} bad[] = { { self, sizeof(self) }, { ahead, sizeof(ahead) }, { loop, sizeof(loop) },
		{ reserved, sizeof(reserved) }, { good, 2 } };

	(void)state;
	dane__name_read(&c, good, sizeof(good), &n);
	assert_true(cur_done(&c) && dane__name_equal(&n, &want));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		c = cur_init(bad[i].bytes, bad[i].len);
		dane__name_read(&c, bad[i].bytes, bad[i].len, &n);
		assert_true(c.bad);
		assert_int_equal(0, n.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse_and_text),
		cmocka_unit_test(test_length_limit), cmocka_unit_test(test_canonical_order),
		cmocka_unit_test(test_ancestors), cmocka_unit_test(test_compression) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
