/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"
#include "../unit.h"

#include <stdio.h>

static struct asp_answer answer(uint64_t until_ms, uint32_t ttl_s)
{
	return (struct asp_answer){ .status = DANE_SECURE, .until_ms = until_ms, .ttl_s = ttl_s };
}

static void test_until(void **state)
{
	struct asp_answer a = answer(1000, 7), got;
	struct asp_cache *c = NULL;

	(void)state;
	assert_rc(RC_OK, asp__cache_new(100, &c));
	assert_false(asp__cache_get(c, "a", 37, 0, &got));
	asp__cache_put(c, "a", 37, 0, &a);
	assert_true(asp__cache_get(c, "a", 37, 999, &got));
	assert_int_equal(7, got.ttl_s);
	assert_false(asp__cache_get(c, "b", 37, 0, &got));
	assert_false(asp__cache_get(c, "a", 37, 1000, &got));
	assert_false(asp__cache_get(c, "a", 37, 0, &got)); /* forgotten */
	asp__cache_free(c);
}

static void test_newest_counts(void **state)
{
	struct asp_answer a = answer(1000, 1), b = answer(2000, 2), got;
	struct asp_cache *c = NULL;

	(void)state;
	assert_rc(RC_OK, asp__cache_new(1, &c));
	asp__cache_put(c, "a", 37, 0, &a);
	asp__cache_put(c, "a", 37, 0, &b);
	assert_true(asp__cache_get(c, "a", 37, 1500, &got));
	assert_int_equal(2, got.ttl_s);
	asp__cache_free(c);
}

/* Full, it forgets what would be stale first; it never grows. */
static void test_full(void **state)
{
	struct asp_cache *c = NULL;
	struct asp_answer got;
	unsigned kept = 0;
	char name[16];

	(void)state;
	assert_rc(RC_OK, asp__cache_new(8, &c)); /* one set */
	for (unsigned i = 0; i < 20; i++) {
		struct asp_answer a = answer(1000 + i, i);

		(void)snprintf(name, sizeof(name), "n%u", i);
		asp__cache_put(c, name, 37, 0, &a);
	}
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		kept += asp__cache_get(c, name, 37, 0, &got);
		assert_int_equal(i >= 12, asp__cache_get(c, name, 37, 0, &got));
	}
	assert_int_equal(8, kept);
	asp__cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_until),
		cmocka_unit_test(test_newest_counts), cmocka_unit_test(test_full) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
