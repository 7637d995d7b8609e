/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "http/rows.h"

#include <stdlib.h>
#include <string.h>

#define CSV  "iccid,Slot,claim\r\n1,2,\"a \"\"b\"\", c\"\r\n\r\n# no row\n3,,\"two\nlines\"\n"
#define JSON "{\"a\":\"b\"}\n\n  \n{\"c\":1}"

/* All rows of a text, in one line each; a malformed one is "!". */
static char *all(const char *text, size_t len, bool csv)
{
	struct diag d = { 0 };
	struct rows r;
	char *out = NULL;
	size_t out_len;
	FILE *f = open_memstream(&out, &out_len);
	enum rc rc = rows_open(&r, text, len, csv, &d);

	if (rc != RC_OK) {
		fputs("?", f);
		rc = RC_NOT_FOUND;
	}
	while (rc != RC_NOT_FOUND) {
		json_t *row = NULL;

		rc = rows_next(&r, &row, &d);
		if (rc == RC_OK)
			json_dumpf(row, f, JSON_COMPACT | JSON_SORT_KEYS);
		else if (rc == RC_MALFORMED)
			fputs("!", f);
		json_decref(row);
	}
	fclose(f);
	return out;
}

static void check(const char *text, bool csv, const char *want)
{
	char *got = all(text, strlen(text), csv);

	assert_string_equal(got, want);
	free(got);
}

static void test_csv(void **state)
{
	(void)state;
	check(CSV, true,
		"{\"claim\":\"a \\\"b\\\", c\",\"iccid\":\"1\",\"slot\":\"2\"}"
		"{\"claim\":\"two\\nlines\",\"iccid\":\"3\"}");
	check("\xef\xbb\xbf"
	      "a , b\n 1 ,2\n",
		true, "{\"a\":\"1\",\"b\":\"2\"}");
	check("a,b\n1\n1,2,3\n1,2\n", true, "!!{\"a\":\"1\",\"b\":\"2\"}");
	check("a\n\"x\"y\nz\n", true, "!{\"a\":\"z\"}");
	check("a\n\xff\nz\n", true, "!{\"a\":\"z\"}");
	check("a,A\n1,2\n", true, "?");
	check("a,\n1,2\n", true, "?");
	check("", true, "?");
	check("a\n", true, "");
	check("a\n\"never closed\n1\n", true, "!");
}

static void test_ndjson(void **state)
{
	(void)state;
	check(JSON, false, "{\"a\":\"b\"}{\"c\":1}");
	check("[1]\n{}\n7\n{\"a\":1,\"a\":2}\n{", false, "!{}!!!");
	check("{\"a\":[[[[[1]]]]]}\n{\"a\":1}\n", false, "!{\"a\":1}");
}

static void test_long_rows(void **state)
{
	static char text[ROWS_LINE_MAX + 64];

	(void)state;
	memcpy(text, "a\n", 2);
	memset(text + 2, 'x', ROWS_LINE_MAX);
	strncat(text, "\n1\n", 4);
	check(text, true, "!{\"a\":\"1\"}");
}

/* Every truncation is read without going over its end, gives no row that the whole does not have,
 * and says so of the one that was cut. */
static void test_truncated(void **state)
{
	const struct {
		const char *text;
		bool csv;
	} rows[] = { { CSV, true }, { JSON, false } };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		size_t whole = strlen(rows[k].text);

		for (size_t n = 0; n <= whole; n++) {
			char *exact = malloc(n ? n : 1), *got;

			assert_non_null(exact);
			memcpy(exact, rows[k].text, n);
			got = all(exact, n, rows[k].csv);
			assert_non_null(got);
			free(got);
			free(exact);
		}
	}
	char *cut = all(JSON, strlen(JSON) - 1, false);
	assert_string_equal(cut, "{\"a\":\"b\"}!");
	free(cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_ndjson),
		cmocka_unit_test(test_long_rows),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
