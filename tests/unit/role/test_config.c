/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/file.h"
#include "role/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum rc read_text(const char *text, struct config *out, struct diag *d)
{
	char path[] = "/tmp/attestry-config-XXXXXX";
	int fd = mkstemp(path);
	enum rc rc;

	assert_true(fd >= 0);
	assert_int_equal(strlen(text), write(fd, text, strlen(text)));
	close(fd);
	*d = (struct diag){ 0 };
	rc = config_read(path, out, d);
	unlink(path);
	return rc;
}

static void test_a_zone_is_enough(void **state)
{
	struct config c;
	struct diag d;
	char path[128];

	(void)state;
	assert_rc(RC_OK, read_text("[registry]\nzone = iotregistry.example\n", &c, &d));
	assert_string_equal("iotregistry.example", c.registry.zone);
	assert_int_equal(90, c.registry.cert_days);
	assert_int_equal(300, c.zone.ttl_s);
	assert_int_equal(60, c.zone.minimum_s);
	assert_string_equal("/tmp", c.dir);
	assert_string_equal("/tmp/keys", c.keys.folder);
	assert_int_equal(CONFIG_LANDLOCK_REQUIRE, c.supervisor.landlock);
	assert_rc(RC_OK, config_sqlite_path(&c, path, sizeof(path), &d));
	assert_string_equal("/tmp/db/registry.db", path);
	config_free(&c);
}

static void test_what_does_not_fit_together_is_refused(void **state)
{
#define ZONE "[registry]\nzone = a.example\n"
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "[registry]\nzone = A.example\n", "not a lower-case name" },
		{ "[registry]\nzone = a.example.\n", "not a lower-case name" },
		{ "[registry]\nzone = a..example\n", "not a lower-case name" },
		{ "[registry]\nzone = a-.example\n", "not a lower-case name" },
		{ "[registry]\nzone = -a.example\n", "not a lower-case name" },
		{ "[registry]\nzone = a.eight45678901234567890123456789.example.x\n", "1 to 41" },
		{ ZONE "database = postgres:x\n", "not sqlite:PATH" },
		{ ZONE "[dns]\nlisten =\n", "[dns] listen: is empty" },
		{ ZONE "[https]\nlisten =\n", "[https] listen: is empty" },
		{ ZONE "[supervisor]\nheartbeat = 1s\nheartbeat_timeout = 1s\n", "twice" },
		{ ZONE "[resolver]\nname = r.example\n", "needs addr and pin" },
		{ ZONE "ranges = mno1\n", "\"mno1\" is not an operator's id" },
		{ ZONE "ranges = mno1/89x\n", "\"mno1/89x\" is not" },
		{ ZONE "ranges = m/89\n", "\"m/89\" is not" },
		{ ZONE "ranges = mno1/8912, mno2/89122\n", "mno2/89122 overlaps mno1/8912" },
		{ ZONE "ranges = mno1/89122, mno1/8912, mno2/8912\n", "mno2/8912 overlaps" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct config c;
		struct diag d;
		assert_true(read_text(rows[i].text, &c, &d) != RC_OK);
		if (!strstr(d.text, rows[i].why))
			fail_msg("row %zu says: %s", i, d.text);
	}
}

/* The written template says the defaults, and every default is itself good. */
static void test_the_template_is_a_configuration(void **state)
{
	static const struct conf_value values[] = { { "registry", "zone", "a.example" } };
	struct config c;
	struct diag d = { 0 };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	assert_rc(RC_OK, conf_write(config_table(), values, 1, f, &d));
	assert_int_equal(0, fclose(f));
	assert_rc(RC_OK, read_text(text, &c, &d));
	config_free(&c);
	free(text);
}

static void test_every_section_has_rows_and_every_row_a_section(void **state)
{
	const struct conf_table *t = config_table();

	(void)state;
	for (size_t i = 0; i < t->row_count; i++) {
		size_t found = 0;
		for (size_t s = 0; s < t->section_count; s++)
			found += strcmp(t->rows[i].section, t->sections[s].name) == 0;
		assert_int_equal(1, found);
		assert_non_null(t->rows[i].help);
		if (t->rows[i].type == CONF_DURATION || t->rows[i].type == CONF_CHOICE)
			assert_non_null(t->rows[i].unit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_zone_is_enough),
		cmocka_unit_test(test_what_does_not_fit_together_is_refused),
		cmocka_unit_test(test_the_template_is_a_configuration),
		cmocka_unit_test(test_every_section_has_rows_and_every_row_a_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
