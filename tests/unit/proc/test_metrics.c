/* SPDX-License-Identifier: Apache-2.0 */
/* The text format: a name stands once, with its type, and a broken role cannot break the file. */
#include "proc/metrics.h"
#include "../unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "requests_total", true },
		{ "a1", true },
		{ "", false },
		{ "1a", false },
		{ "a b", false },
		{ "a{x=\"y\"}", false },
		{ "a\nb", false },
		{ "A", false },
		{ "x23456789012345678901234567890123456789012345678", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(metrics_name_ok(rows[i].name), rows[i].ok);
}

static size_t times(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void test_text(void **state)
{
	static const struct metric core[] = { { "requests_total", 12, "" }, { "lag", 0.5, "" },
		{ "late", 3, "knot-1" }, { "late", 4, "ns.2" } };
	static const struct metric dns[] = { { "lag", 1, "" }, { "bad name", 3, "" } };
	const struct metrics_role roles[] = {
		{ "core", getpid(), true, 2, core, ARRAY_LEN(core) },
		{ "dns/0", 0, false, 0, dns, ARRAY_LEN(dns) },
	};
	char *text = NULL;
	size_t len = 0;

	(void)state;
	assert_rc(RC_OK, metrics_write(roles, ARRAY_LEN(roles), &text, &len));
	assert_int_equal(strlen(text), len);
	assert_int_equal(times(text, "# TYPE attestry_lag gauge\n"), 1);
	assert_int_equal(times(text, "# TYPE attestry_requests_total counter\n"), 1);
	assert_non_null(strstr(text, "attestry_lag{role=\"core\"} 0.5\n"
				     "attestry_lag{role=\"dns/0\"} 1\n"));
	assert_non_null(strstr(text, "attestry_late{role=\"core\",name=\"knot-1\"} 3\n"
				     "attestry_late{role=\"core\",name=\"ns.2\"} 4\n"));
	assert_true(metrics_of_ok("") && metrics_of_ok("ns-1.example_x"));
	assert_false(metrics_of_ok("a\"b") || metrics_of_ok("a b") || metrics_of_ok("a\nb"));
	assert_non_null(strstr(text, "attestry_up{role=\"core\"} 1\n"));
	assert_non_null(strstr(text, "attestry_up{role=\"dns/0\"} 0\n"));
	assert_non_null(strstr(text, "attestry_restarts_total{role=\"core\"} 2\n"));
	assert_null(strstr(text, "bad name"));
	/* Our own process has memory. */
	assert_null(strstr(text, "attestry_resident_bytes{role=\"core\"} 0\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
