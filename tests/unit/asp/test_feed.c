/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "asp/internal.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE  "iotregistry.example"
#define AFTER "5-aaaaaaaaaaaaaaaa"

static enum rc read_text(
	const char *text, size_t len, const char *after, struct asp_feed_answer *out)
{
	struct diag d = { 0 };
	enum rc rc = asp__feed_read(text, len, after, ZONE, "parkoserv", out, &d);

	if (rc != RC_OK && rc != RC_NOMEM)
		assert_true(strlen(d.text) > 0);
	return rc;
}

static void test_good(void **state)
{
	struct asp_feed_answer a;
	struct diag d = { 0 };
	uint8_t *text = NULL;
	size_t len = 0;

	(void)state;
	assert_rc(RC_OK, file_read(DATA_DIR "/../feed/events.json", 10000, &text, &len, &d));
	assert_rc(RC_OK, read_text((char *)text, len, AFTER, &a));
	assert_int_equal(2, a.n);
	assert_int_equal(7, a.number);
	assert_string_equal("7-0123456789abcdef", a.position);
	assert_int_equal(ATTEST_NEWS_WITHDRAWN, a.events[0].what);
	assert_false(a.events[0].has_cert);
	assert_int_equal(ATTEST_NEWS_ACTIVATED, a.events[1].what);
	assert_true(a.events[1].has_cert);
	assert_int_equal(31, a.events[1].sha256[31]);
	assert_string_equal("1.8912230200031010008f." ZONE, a.events[1].name);
	free(a.events);
	for (size_t i = 0; i < len; i++)
		assert_int_not_equal(RC_OK, read_text((char *)text, i, AFTER, &a));
	/* The same answer to another question. */
	assert_rc(RC_CONFLICT, read_text((char *)text, len, "6-aaaaaaaaaaaaaaaa", &a));
	assert_rc(RC_CONFLICT, read_text((char *)text, len, "5-aaaaaaaaaaaaaaab", &a));
	free(text);
}

#define EVENT(n, what, name)                                                \
	"{\"position\":" n ",\"event\":\"" what "\",\"owner_name\":\"" name \
	"\",\"service\":\"other\"}"
#define HEAD(after, position) "{\"after\":\"" after "\",\"position\":\"" position "\",\"events\":["
#define SIX		      "6-0123456789abcdef"
#define NAME		      "1.8912230200031010008f." ZONE

static void test_rows(void **state)
{
	static const struct {
		enum rc rc;
		const char *text;
	} rows[] = {
		{ RC_OK, HEAD(AFTER, SIX) EVENT("6", "withdrawn", NAME) "]}" },
		{ RC_OK, HEAD(AFTER, AFTER) "]}" },
		{ RC_CONFLICT, HEAD(AFTER, SIX) "]}" },
		{ RC_CONFLICT, HEAD(AFTER, "5-bbbbbbbbbbbbbbbb") "]}" },
		{ RC_CONFLICT, HEAD(AFTER, SIX) EVENT("7", "withdrawn", NAME) "]}" },
		{ RC_CONFLICT, HEAD(AFTER, SIX) EVENT("5", "withdrawn", NAME) "]}" },
		{ RC_CONFLICT,
			HEAD("4-aaaaaaaaaaaaaaaa", AFTER) EVENT("5", "withdrawn", NAME) "]}" },
		{ RC_MALFORMED, HEAD(AFTER, SIX) EVENT("0", "withdrawn", NAME) "]}" },
		{ RC_MALFORMED, HEAD(AFTER, SIX) EVENT("-6", "withdrawn", NAME) "]}" },
		{ RC_MALFORMED, HEAD(AFTER, SIX) EVENT("6", "lost", NAME) "]}" },
		{ RC_MALFORMED, HEAD(AFTER, SIX) "7]}" },
		{ RC_MALFORMED, HEAD(AFTER, "6") "]}" },
		{ RC_MALFORMED, HEAD(AFTER, "6-0123456789abcdefa") "]}" },
		{ RC_MALFORMED, HEAD(AFTER, "99999999999999999999-0123456789abcdef") "]}" },
		{ RC_MALFORMED,
			"{\"after\":\"" AFTER "\",\"position\":\"" AFTER "\",\"events\":{}}" },
		{ RC_MALFORMED, "{}" },
		{ RC_MALFORMED, "[]" },
		{ RC_MALFORMED, "{\"after\":\"" AFTER "\",\"after\":\"" AFTER "\"}" },
	};
	struct asp_feed_answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum rc rc = read_text(rows[i].text, strlen(rows[i].text), AFTER, &a);

		if (rc != rows[i].rc)
			fail_msg("row %zu: %s", i, rc_text(rc));
		if (rc == RC_OK)
			free(a.events);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *known;
		const char *what;
	} rows[] = {
		{ "1.8912230200031010008F.IoTRegistry.example", NAME, "withdrawn" },
		/* The ICCID behind an opaque label: as given. */
		{ "2.mzxw6ytboi3dkmjsgm2tmnzy." ZONE, "2.mzxw6ytboi3dkmjsgm2tmnzy." ZONE,
			"withdrawn" },
		{ "0.mzxw6ytboi3dkmjsgm2tmnzy." ZONE, "", "withdrawn" },
		{ "2.a.b." ZONE, "", "withdrawn" },
		{ "2.a_b." ZONE, "", "withdrawn" },
		{ "1.8912230200031010008f.other.example", "", "withdrawn" },
		{ "", "", "withdrawn" },
	};
	struct asp_feed_answer a;
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int len = snprintf(text, sizeof(text),
			HEAD(AFTER, SIX) EVENT("6", "withdrawn", "%s") "]}", rows[i].name);

		assert_rc(RC_OK, read_text(text, (size_t)len, AFTER, &a));
		assert_string_equal(rows[i].known, a.events[0].name);
		free(a.events);
	}
	/* Active at another service is superseded here. */
	int len = snprintf(text, sizeof(text), HEAD(AFTER, SIX) EVENT("6", "activated", NAME) "]}");
	assert_rc(RC_OK, read_text(text, (size_t)len, AFTER, &a));
	assert_int_equal(ATTEST_NEWS_SUPERSEDED, a.events[0].what);
	free(a.events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
