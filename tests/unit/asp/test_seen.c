/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"
#include "../unit.h"

#include <string.h>

static void test_only_while_it_holds(void **state)
{
	struct asp_cert a = { .name = "a", .sha256 = { 1 } }, b = { .name = "b", .sha256 = { 2 } };
	struct asp_cert got;
	struct asp_seen *s = NULL;

	(void)state;
	assert_rc(RC_RANGE, asp__seen_new(0, &s));
	assert_rc(RC_OK, asp__seen_new(1, &s)); /* all meet in one place */
	assert_false(asp__seen_get(s, (uint8_t[32]){ 0 }, 100, &got));
	asp__seen_put(s, &a, 100, 200);
	assert_true(asp__seen_get(s, a.sha256, 100, &got));
	assert_string_equal("a", got.name);
	assert_true(asp__seen_get(s, a.sha256, 199, &got));
	assert_false(asp__seen_get(s, a.sha256, 200, &got)); /* expired */
	assert_false(asp__seen_get(s, a.sha256, 99, &got));  /* the clock was set back */
	assert_false(asp__seen_get(s, b.sha256, 100, &got));
	asp__seen_put(s, &b, 100, 200);
	assert_true(asp__seen_get(s, b.sha256, 100, &got));
	assert_false(asp__seen_get(s, a.sha256, 100, &got));
	asp__seen_free(s);
	asp__seen_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_only_while_it_holds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
