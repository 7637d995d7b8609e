/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/queue.h"
#include "../unit.h"

#include <stdio.h>

static void test_order_and_sharing(void **state)
{
	struct asp_queue q;
	struct asp_lookup *a, *b;

	(void)state;
	asp__queue_init(&q);
	assert_null(asp__queue_take(&q));
	a = asp__queue_add(&q, "a", 37, 1);
	b = asp__queue_add(&q, "b", 37, 2);
	assert_ptr_equal(b, asp__queue_find(&q, "b", 37, true));
	assert_null(asp__queue_find(&q, "b", 52, false));
	assert_ptr_equal(a, asp__queue_take(&q));
	q.running[3] = a;
	assert_ptr_equal(a, asp__queue_find(&q, "a", 37, false));
	assert_null(asp__queue_find(&q, "a", 37, true)); /* fresh: not one that has begun */
	q.running[3] = NULL;
	asp__lookup_unref(a);
	asp__queue_fini(&q);
}

static void test_full(void **state)
{
	struct asp_queue q;
	char name[16];

	(void)state;
	asp__queue_init(&q);
	for (int i = 0; i < QUEUE_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_non_null(asp__queue_add(&q, name, 37, 0));
	}
	assert_null(asp__queue_add(&q, "more", 37, 0));
	asp__queue_fini(&q);
}

static void test_later(void **state)
{
	static const uint64_t due[] = { 300, 100, 200, 100 };
	const struct asp_lookup from = { .name = "a", .type = 37 };
	uint64_t moved = 0;
	struct asp_queue q;
	char name[2] = "a";

	(void)state;
	asp__queue_init(&q);
	for (size_t i = 0; i < ARRAY_LEN(due); i++) {
		struct asp_lookup one = from;

		one.name[0] = (char)('a' + i);
		asp__queue_later(&q, &one, due[i]);
	}
	assert_int_equal(100, asp__queue_due(&q, 99, &moved));
	assert_int_equal(0, moved);
	assert_int_equal(200, asp__queue_due(&q, 100, &moved));
	assert_int_equal(2, moved);
	assert_int_equal(UINT64_MAX, asp__queue_due(&q, 300, &moved));
	assert_int_equal(4, moved);
	for (const char *want = "bdca"; *want; want++) {
		struct asp_lookup *l = asp__queue_take(&q);

		name[0] = *want;
		assert_string_equal(name, l->name);
		asp__lookup_unref(l);
	}
	asp__queue_later(&q, &from, 1);
	asp__queue_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_order_and_sharing),
		cmocka_unit_test(test_full), cmocka_unit_test(test_later) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
