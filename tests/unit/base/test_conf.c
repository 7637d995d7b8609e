/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
	bool on;
	int64_t count, wait_ms, life_s;
	char *name, *path;
	struct conf_addr listen;
	int mode;
	struct conf_list pin;
};

static const struct conf_section sections[] = { { "main", "Main things." },
	{ "other", "Other things." } };

static const struct conf_row rows[] = {
	{ "main", "on", CONF_BOOL, offsetof(struct settings, on), 0, 0, "no", NULL, "On." },
	{ "main", "count", CONF_INT, offsetof(struct settings, count), -5, 10, "3", "pieces",
		"Count." },
	{ "main", "wait", CONF_DURATION, offsetof(struct settings, wait_ms), 0, 60000, "500ms",
		"ms", "Wait." },
	{ "main", "life", CONF_DURATION, offsetof(struct settings, life_s), 1, 864000, "1d", "s",
		"Life." },
	{ "main", "name", CONF_STRING, offsetof(struct settings, name), 1, 8, NULL, NULL, "Name." },
	{ "other", "path", CONF_PATH, offsetof(struct settings, path), 0, 0, "run", NULL, "Path." },
	{ "other", "listen", CONF_ADDR, offsetof(struct settings, listen), 0, 0, "", NULL,
		"Listen." },
	{ "other", "mode", CONF_CHOICE, offsetof(struct settings, mode), 0, 0, "require",
		"require|warn", "Mode." },
	{ "other", "pin", CONF_LIST, offsetof(struct settings, pin), 0, 0, "", NULL, "Pins." },
};

static const struct conf_table table = { sections, ARRAY_LEN(sections), rows, ARRAY_LEN(rows) };

static void test_defaults_stand(void **state)
{
	struct settings s = { 0 };
	struct diag d = { 0 };

	(void)state;
	assert_rc(RC_OK, conf_read_text(&table, "[main]\nname = x\n", "/etc/a", &s, &d));
	assert_false(s.on);
	assert_int_equal(3, s.count);
	assert_int_equal(500, s.wait_ms);
	assert_int_equal(86400, s.life_s);
	assert_string_equal("x", s.name);
	assert_string_equal("/etc/a/run", s.path);
	assert_int_equal(0, s.listen.len);
	assert_int_equal(0, s.mode);
	assert_int_equal(0, s.pin.count);
	conf_free(&table, &s);
	assert_null(s.name);
}

static void test_every_type_is_read(void **state)
{
	static const char text[] = "# a comment\n"
				   "[main]\n"
				   "on = Yes\n"
				   "count = -5 ; as low as it goes\n"
				   "wait = 1m\n"
				   "life = 36h\n"
				   "name: eightchr\n"
				   "\n"
				   "[other]\n"
				   "path = /abs/olute\n"
				   "listen = [::1]:853\n"
				   "mode = warn\n"
				   "pin = a=, b\n"
				   "pin1 = c\n"
				   "pin2 = d";
	struct settings s = { 0 };
	struct diag d = { 0 };
	char addr[CONF_ADDR_TEXT];

	(void)state;
	assert_rc(RC_OK, conf_read_text(&table, text, "/etc/a", &s, &d));
	assert_true(s.on);
	assert_int_equal(-5, s.count);
	assert_int_equal(60000, s.wait_ms);
	assert_int_equal(36 * 3600, s.life_s);
	assert_string_equal("eightchr", s.name);
	assert_string_equal("/abs/olute", s.path);
	conf_addr_write(&s.listen, addr);
	assert_string_equal("[::1]:853", addr);
	assert_int_equal(1, s.mode);
	assert_int_equal(4, s.pin.count);
	assert_string_equal("a=", s.pin.items[0]);
	assert_string_equal("b", s.pin.items[1]);
	assert_string_equal("d", s.pin.items[3]);
	conf_free(&table, &s);
}

static void test_refusals_name_the_line(void **state)
{
	static const struct {
		const char *text;
		enum rc rc;
		const char *why;
	} refused[] = {
		{ "", RC_MALFORMED, "[main] name is missing" },
		{ "[main]\nnmae = x\n", RC_MALFORMED, "line 2: unknown setting nmae in [main]" },
		{ "\n[mian]\nname = x\n", RC_MALFORMED, "line 3: unknown section [mian]" },
		{ "name = x\n", RC_MALFORMED, "line 1: unknown section []" },
		{ "[other]\nname = x\n", RC_MALFORMED, "line 2: unknown setting name" },
		{ "[main]\nname = x\nname = y\n", RC_MALFORMED, "line 3: name is given twice" },
		{ "[main]\nname = x\n  more\n", RC_MALFORMED, "line 3: name is given twice" },
		{ "[main]\nname = x\nwhat\n", RC_MALFORMED, "line 3: neither" },
		{ "[main\n", RC_MALFORMED, "line 1: neither" },
		{ "[main]\nname =\n", RC_RANGE, "line 2: name: needs 1 to 8 characters" },
		{ "[main]\nname = ninechars\n", RC_RANGE, "line 2: name: needs 1 to 8" },
		{ "[main]\non = maybe\n", RC_MALFORMED, "line 2: on: \"maybe\" is not yes or no" },
		{ "[main]\ncount = 11\n", RC_RANGE, "count: 11 is not -5..10 pieces" },
		{ "[main]\ncount = -6\n", RC_RANGE, "count: -6 is not -5..10 pieces" },
		{ "[main]\ncount = 0x3\n", RC_MALFORMED, "count: \"0x3\" is not a number" },
		{ "[main]\ncount = 99999999999999999999\n", RC_MALFORMED, "is not a number" },
		{ "[main]\ncount =\n", RC_MALFORMED, "is not a number" },
		{ "[main]\nwait = 2m\n", RC_RANGE, "wait: 120000 is not 0..60000 ms" },
		{ "[main]\nwait = 5 minutes\n", RC_MALFORMED, "is not a duration" },
		{ "[main]\nwait = h\n", RC_MALFORMED, "is not a duration" },
		{ "[main]\nlife = 1500ms\n", RC_RANGE, "is not a whole number of s" },
		{ "[main]\nlife = 9223372036854775807d\n", RC_RANGE, "is too long" },
		{ "[other]\nlisten = 127.0.0.1\n", RC_MALFORMED, "is not an address and port" },
		{ "[other]\nlisten = localhost:53\n", RC_MALFORMED, "is not an address and port" },
		{ "[other]\nlisten = 127.0.0.1:65536\n", RC_MALFORMED, "is not an address" },
		{ "[other]\nlisten = ::1:53\n", RC_MALFORMED, "is not an address" },
		{ "[other]\nlisten = []:53\n", RC_MALFORMED, "is not an address" },
		{ "[other]\nmode = warnings\n", RC_MALFORMED, "is none of require|warn" },
		{ "[other]\nmode = req\n", RC_MALFORMED, "is none of require|warn" },
		{ "[other]\npin = a,,b\n", RC_MALFORMED, "an empty value" },
		{ "[other]\npin = a,\n", RC_MALFORMED, "an empty value" },
		{ "[other]\npin0 = a\n", RC_MALFORMED, "unknown setting pin0" },
		{ "[other]\npin12 = a\n", RC_MALFORMED, "unknown setting pin12" },
		{ "[other]\npath1 = a\n", RC_MALFORMED, "unknown setting path1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct settings s = { 0 };
		struct diag d = { 0 };
		assert_rc(refused[i].rc, conf_read_text(&table, refused[i].text, "/", &s, &d));
		if (!strstr(d.text, refused[i].why))
			fail_msg("row %zu says: %s", i, d.text);
		assert_null(s.name);
	}
}

/* inih alone would read the rest of a long line as a line of its own. */
static void test_a_long_line_is_refused_not_cut(void **state)
{
	char text[400] = "[main]\nname = x ;";
	struct settings s = { 0 };
	struct diag d = { 0 };
	size_t len = strlen(text);

	(void)state;
	memset(text + len, ' ', 300);
	memcpy(text + 190, "\0on = yes", 9);
	text[190] = 'x';
	assert_rc(RC_TOO_LARGE, conf_read_text(&table, text, "/", &s, &d));
	assert_non_null(strstr(d.text, "line 2: longer than"));
}

static void test_what_is_written_can_be_read(void **state)
{
	static const struct conf_value values[] = { { "main", "name", "zone" },
		{ "other", "pin1", "aaa=" }, { "other", "pin2", "bbb=" },
		{ "other", "listen", "127.0.0.1:0" } };
	static const struct conf_value bad[][1] = { { { "main", "nmae", "zone" } },
		{ { "main", "name", "a\nb" } }, { { "other", "path", "a ; b" } } };
	struct settings s = { 0 };
	struct diag d = { 0 };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	assert_rc(RC_OK, conf_write(&table, values, ARRAY_LEN(values), f, &d));
	assert_int_equal(0, fclose(f));
	assert_non_null(strstr(text, "\n# Wait. (duration, 0ms..1m)\n#wait = 500ms\n"));
	assert_rc(RC_OK, conf_read_text(&table, text, "/", &s, &d));
	assert_string_equal("zone", s.name);
	assert_int_equal(2, s.pin.count);
	assert_int_equal(sizeof(struct sockaddr_in), s.listen.len);
	conf_free(&table, &s);
	free(text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		f = open_memstream(&text, &len);
		assert_non_null(f);
		assert_true(conf_write(&table, bad[i], 1, f, &d) != RC_OK);
		fclose(f);
		free(text);
	}
}

static void test_help_has_every_row(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	conf_help(&table, f);
	assert_int_equal(0, fclose(f));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_non_null(strstr(text, rows[i].help));
	assert_non_null(strstr(text, "name (text, 1..8 characters; must be given)"));
	free(text);
}

static void test_paths_count_from_the_file(void **state)
{
	char path[] = "/tmp/attestry-conf-XXXXXX";
	static const char text[] = "[main]\nname = x\n[other]\npath = sub/dir\n";
	struct settings s = { 0 };
	struct diag d = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sizeof(text) - 1, write(fd, text, sizeof(text) - 1));
	assert_rc(RC_OK, conf_read_file(&table, path, &s, &d));
	assert_string_equal("/tmp/sub/dir", s.path);
	conf_free(&table, &s);
	/* A NUL would hide what follows it. */
	assert_int_equal(1, write(fd, "\0", 1));
	assert_rc(RC_MALFORMED, conf_read_file(&table, path, &s, &d));
	close(fd);
	unlink(path);
	assert_rc(RC_NOT_FOUND, conf_read_file(&table, path, &s, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_stand),
		cmocka_unit_test(test_every_type_is_read),
		cmocka_unit_test(test_refusals_name_the_line),
		cmocka_unit_test(test_a_long_line_is_refused_not_cut),
		cmocka_unit_test(test_what_is_written_can_be_read),
		cmocka_unit_test(test_help_has_every_row),
		cmocka_unit_test(test_paths_count_from_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
