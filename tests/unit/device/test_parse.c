/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/compiler.h"
#include "base/str.h"
#include "device/device__.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *line;
	enum iotsafe_line kind;
	size_t len;
} LINES[] = {
	{ "OK", IOTSAFE_LINE_OK, 0 },
	{ "OK ", IOTSAFE_LINE_NOISE, 0 },
	{ "ERROR", IOTSAFE_LINE_ERROR, 0 },
	{ "+CME ERROR: 13", IOTSAFE_LINE_ERROR, 0 },
	{ "+CREG: 1,1", IOTSAFE_LINE_NOISE, 0 },
	{ "AT+CSIM=10,\"0070000001\"", IOTSAFE_LINE_NOISE, 0 },
	{ "+CSIM: 4,\"9000\"", IOTSAFE_LINE_CSIM, 2 },
	{ "+CSIM: 4,9000", IOTSAFE_LINE_CSIM, 2 },
	{ "+CSIM:6, \"019000\"", IOTSAFE_LINE_CSIM, 3 },
	{ "+CSIM: 4,\"90aF\"", IOTSAFE_LINE_CSIM, 2 },
	{ "+CSIM: 6,\"9000\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: 2,\"90\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: 5,\"90001\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: 4,\"90zz\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: 4,\"9000", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: 4,\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: 99999999999999999999,\"9000\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM: -4,\"9000\"", IOTSAFE_LINE_BAD_CSIM, 0 },
	{ "+CSIM:", IOTSAFE_LINE_BAD_CSIM, 0 },
};

static void lines(void **state)
{
	uint8_t reply[DEV_REPLY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(LINES); i++) {
		size_t len = 0, n = strlen(LINES[i].line);
		char *exact = malloc(n + 1);
		memcpy(exact, LINES[i].line, n);
		enum iotsafe_line kind = iotsafe_core_at_line(exact, n, reply, &len);
		if (kind != LINES[i].kind || (kind == IOTSAFE_LINE_CSIM && len != LINES[i].len))
			fail_msg("%s: %d, %zu bytes", LINES[i].line, kind, len);
		free(exact);
	}
}

static void iccids(void **state)
{
	static const struct {
		const char *line, *iccid;
	} rows[] = {
		{ "+CCID: 8912230200031010008f", "8912230200031010008f" },
		{ "+CCID: \"8912230200031010008\"", "8912230200031010008f" },
		{ "89882113203000000280", "89882113203000000280" },
		{ "+ICCID: 8912230200031010008F", "8912230200031010008f" },
		{ "+CREG: 1", NULL },
		{ "891223020003101000800000000000", NULL },
		{ "", NULL },
	};
	char out[IOTSAFE_ICCID_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = dev__line_iccid(rows[i].line, strlen(rows[i].line), out);
		assert_int_equal(ok, rows[i].iccid != NULL);
		if (ok)
			assert_string_equal(out, rows[i].iccid);
	}
}

/* Wrapped one by one, several in one wrapper, bare, id before label, and broken. */
static const struct {
	const char *hex;
	size_t count;
	const char *second; /* label of the second object */
	enum rc rc;
} LISTS[] = {
	{ "c105 740161 840101", 0, NULL, RC_MALFORMED },
	{ "c106 740161 840101 c206 750162 850101", 2, "b", RC_OK },
	{ "c10c 740161 840101 740162 840102", 2, "b", RC_OK },
	{ "c10c 840101 740161 840102 740162", 2, "b", RC_OK },
	{ "840101 740161 850101 750162", 2, "b", RC_OK },
	{ "c30a 830102 20020231 210102", 1, NULL, RC_OK },
	{ "c300", 0, NULL, RC_OK },
	{ "", 0, NULL, RC_OK },
	{ "c303 8300 00", 0, NULL, RC_MALFORMED },
	{ "c306 830102 4a02 0101", 0, NULL, RC_MALFORMED },
	{ "c37f 8301", 0, NULL, RC_MALFORMED },
};

static void lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
		struct iotsafe_object o[4];
		char hex[128];
		uint8_t bytes[64];
		size_t n = 0, len = 0, count = 0;
		for (const char *c = LISTS[i].hex; *c; c++)
			if (*c != ' ')
				hex[n++] = *c;
		hex[n] = '\0';
		assert_rc(RC_OK, hex_read_upto(hex, bytes, sizeof(bytes), &len));
		enum rc rc = dev__objects_parse(bytes, len, o, ARRAY_LEN(o), &count);
		if (rc != LISTS[i].rc || (rc == RC_OK && count != LISTS[i].count))
			fail_msg("%s: %s, %zu objects", LISTS[i].hex, rc_text(rc), count);
		if (rc == RC_OK && LISTS[i].second)
			assert_string_equal(o[1].label, LISTS[i].second);
	}
}

/* Both pairs of tags in which cards differ, any order, a tag of tomorrow; every cut is refused. */
static void what_an_applet_says(void **state)
{
	static const uint8_t said[] = { 0x11, 3, 'a', 'b', 'c', 0x10, 1, 0x14, 0xb1, 1, 0x0a, 0xb2,
		1, 2, 0xb3, 1, 3, 0xb4, 1, 4, 0x61, 1, 0x0f, 0x91, 2, 0, 7, 0x92, 1, 4, 0x6f, 1, 1,
		0x94, 1, 3, 0xb7, 1, 8, 0x7f, 1, 1 };
	static const uint8_t ends[] = { 5, 8, 11, 14, 17, 20, 23, 27, 30, 33, 36, 39, 42 };
	struct iotsafe_applet a;

	(void)state;
	for (size_t len = 1, next = 0; len <= sizeof(said); len++) {
		bool whole = len == ends[next];
		next += whole;
		assert_int_equal(dev__applet_parse(said, len, &a) == RC_OK, whole);
	}
	assert_int_equal(a.version, 0x14);
	assert_int_equal(a.identifier_len, 3);
	assert_memory_equal(a.identifier, "abc", 3);
	assert_int_equal(a.files, 10);
	assert_int_equal(a.secret_keys, 4);
	assert_int_equal(a.functions, 0x0f);
	assert_int_equal(a.hashes, 7);
	assert_int_equal(a.agreements, 1);
	assert_int_equal(a.sessions, 8);
	const uint8_t wrong[] = { 0x10, 2, 1, 1 };
	assert_rc(RC_MALFORMED, dev__applet_parse(wrong, sizeof(wrong), &a));
	uint8_t large[2 + IOTSAFE_APPLET_MAX + 1] = { 0x11, IOTSAFE_APPLET_MAX + 1 };
	assert_rc(RC_MALFORMED, dev__applet_parse(large, sizeof(large), &a));
	large[1] = IOTSAFE_APPLET_MAX;
	assert_rc(RC_OK, dev__applet_parse(large, sizeof(large) - 1, &a));
}

static void what_slots_hold(void **state)
{
	const struct iotsafe_object objects[] = {
		{ .type = IOTSAFE_PRIVATE_KEY, .id = { 0x01 }, .id_len = 1, .state = 1 },
		{ .type = IOTSAFE_FILE, .id = { 0x02 }, .id_len = 1, .size = 400 },
		{ .type = IOTSAFE_FILE, .id = { 0x0d }, .id_len = 1, .size = 400 },
		{ .type = IOTSAFE_PRIVATE_KEY, .id = { 0x31 }, .id_len = 1 },
		{ .type = IOTSAFE_FILE, .id = { 0x42 }, .id_len = 1 },		     /* empty */
		{ .type = IOTSAFE_FILE, .id = { 0x52, 0 }, .id_len = 2, .size = 1 }, /* another's */
		{ .type = IOTSAFE_FILE, .id = { 0xf2 }, .id_len = 1, .size = 1 }, /* the card's */
		{ .type = IOTSAFE_FILE, .id = { 0x12 }, .id_len = 1, .size = 1 }, /* no slot's */
		{ .type = IOTSAFE_PUBLIC_KEY, .id = { 0x91 }, .id_len = 1, .state = 1 },
		{ .type = IOTSAFE_FILE, .id = { 0x92 }, .id_len = 1, .size = 1 },
	};
	struct iotsafe_slot s[IOTSAFE_SLOTS_MAX];

	(void)state;
	assert_int_equal(iotsafe_slots(objects, ARRAY_LEN(objects), s), 3);
	assert_true(s[0].number == 1 && s[0].key == 2 && s[0].certificate && s[0].payload);
	assert_true(s[1].number == 3 && s[1].key == 1 && !s[1].certificate && !s[1].payload);
	assert_true(s[2].number == 9 && s[2].key == 0 && s[2].certificate);
	assert_int_equal(iotsafe_slots(objects, 0, s), 0);
}

static void signatures_and_points(void **state)
{
	uint8_t b[80] = { 0x33, 0x40 }, out[65];

	(void)state;
	for (size_t len = 0; len <= 67; len++)
		assert_int_equal(dev__signature_parse(b, len, out) == RC_OK, len == 66);
	b[1] = 0;
	b[2] = 0x40;
	for (size_t len = 0; len <= 68; len++)
		assert_int_equal(dev__signature_parse(b, len, out) == RC_OK, len == 67);
	static const uint8_t head[] = { 0x34, 0x45, 0x49, 0x43, 0x86, 0x41, 0x04 };
	memcpy(b, head, sizeof(head));
	for (size_t len = 1; len <= 72; len++)
		assert_int_equal(dev__point_parse(b, len, out) == RC_OK, len == 71);
	for (size_t len = 1; len <= 66; len++)
		assert_int_equal(dev__point_parse(b + 6, len, out) == RC_OK, len == 65);
	b[6] = 3;
	assert_rc(RC_MALFORMED, dev__point_parse(b, 71, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(iccids),
		cmocka_unit_test(lists),
		cmocka_unit_test(what_an_applet_says),
		cmocka_unit_test(what_slots_hold),
		cmocka_unit_test(signatures_and_points),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
