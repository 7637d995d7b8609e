/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"
#include "../unit.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>

#define ZONE "iotregistry.example"
#define NAME "1.8912230200031010008f." ZONE

static void load(const char *file, uint8_t **der, size_t *len)
{
	char path[512];

	assert_rc(RC_OK, str_format(path, sizeof(path), "%s/%s", DATA_DIR, file));
	assert_rc(RC_OK, file_read(path, 65536, der, len, NULL));
}

static void test_rows(void **state)
{
	static const struct {
		enum rc rc;
		const char *file, *zone, *name;
	} rows[] = {
		{ RC_OK, "san.der", ZONE, NAME },
		{ RC_OK, "cn.der", ZONE, NAME }, /* its CN has an upper-case F */
		{ RC_MALFORMED, "san.der", "other.example", NULL },
		{ RC_MALFORMED, "san.der", "example", NULL },
		{ RC_MALFORMED, "other.der", ZONE, NULL },
		{ RC_MALFORMED, "ca.der", ZONE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct asp_cert c = { 0 };
		struct diag d = { 0 };
		uint8_t *der = NULL;
		size_t len;

		load(rows[i].file, &der, &len);
		assert_rc(rows[i].rc, asp__cert_read(der, len, rows[i].zone, &c, &d));
		if (rows[i].name) {
			assert_string_equal(rows[i].name, c.name);
			assert_string_equal("own", c.service);
		} else {
			assert_true(d.text[0] != '\0');
		}
		free(der);
	}
}

static void test_truncated_and_followed(void **state)
{
	struct asp_cert c;
	uint8_t *der = NULL, *more;
	size_t len;

	(void)state;
	load("san.der", &der, &len);
	for (size_t n = 0; n < len; n++)
		assert_rc(RC_MALFORMED, asp__cert_read(der, n, ZONE, &c, NULL));
	more = realloc(der, len + 1);
	assert_non_null(more);
	more[len] = 0;
	assert_rc(RC_OK, asp__cert_read(more, len, ZONE, &c, NULL));
	assert_rc(RC_MALFORMED, asp__cert_read(more, len + 1, ZONE, &c, NULL));
	free(more);
}

static void test_reasons_have_their_names(void **state)
{
	static const char *const names[] = { "ok", "unauthenticated", "unknown", "bound_elsewhere",
		"absent", "superseded", "cannot_tell" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_string_equal(names[i], attest_reason_text((enum attest_reason)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
		cmocka_unit_test(test_truncated_and_followed),
		cmocka_unit_test(test_reasons_have_their_names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
