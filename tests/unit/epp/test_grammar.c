/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "epp/grammar.h"

#include <string.h>

static const char *const colours[] = { "red", "blue", NULL };
static const struct gram_type token = { .kind = GRAM_TOKEN, .min = 2, .max = 4 };
static const struct gram_type colour = { .kind = GRAM_TOKEN, .min = 1, .values = colours };
static const struct gram_type number = { .kind = GRAM_UINT, .min = 5, .max = 50 };
static const struct gram_type flag = { .kind = GRAM_BOOL };
static const struct gram_type bytes = { .kind = GRAM_B64, .min = 1, .max = 3 };
static const struct gram_type hex = { .kind = GRAM_HEX, .min = 1, .max = 2 };
static const struct gram_type when = { .kind = GRAM_DATETIME };
static const struct gram_attr attrs[] = { { "c", false, colours }, { 0 } };
static const struct gram_type empty = { .kind = GRAM_EMPTY, .attrs = attrs };
static const struct gram_part parts[] = { { "t", &token, 1, 1 }, { "c", &colour, 0, 1 },
	{ "n", &number, 0, 2 }, { "f", &flag, 0, 1 }, { "b", &bytes, 0, 1 }, { "h", &hex, 0, 1 },
	{ "w", &when, 0, 1 }, { "e", &empty, 0, 1 }, { 0 } };
static const struct gram_type seq = { .kind = GRAM_SEQ, .parts = parts };

static const struct {
	const char *text;
	unsigned code; /* 0: good */
	const char *at;
} rows[] = {
	{ "<r><t>ab</t></r>", 0, NULL },
	{ "<r> <t> a  b </t> </r>", 0, NULL },
	{ "<r><t>\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4</t></r>", 0, NULL },
	{ "<r><t>a</t></r>", 2005, "t" },
	{ "<r><t>abcde</t></r>", 2005, "t" },
	{ "<r><t/></r>", 2003, "t" },
	{ "<r/>", 2003, "r" },
	{ "<r>x<t>ab</t></r>", 2001, "r" },
	{ "<r><t>ab</t><t>ab</t></r>", 2001, "t" },
	{ "<r><c>red</c><t>ab</t></r>", 2001, "t" },
	{ "<r><z/></r>", 2001, "z" },
	{ "<r><t>ab</t><z/></r>", 2001, "z" },
	{ "<r a='1'><t>ab</t></r>", 2001, "r" },
	{ "<r><t>ab</t><c>green</c></r>", 2004, "c" },
	{ "<r><t>ab</t><n>5</n><n>50</n></r>", 0, NULL },
	{ "<r><t>ab</t><n>5</n><n>5</n><n>5</n></r>", 2306, "n" },
	{ "<r><t>ab</t><n>4</n></r>", 2004, "n" },
	{ "<r><t>ab</t><n>51</n></r>", 2004, "n" },
	{ "<r><t>ab</t><n>99999999999999</n></r>", 2004, "n" },
	{ "<r><t>ab</t><n>-5</n></r>", 2005, "n" },
	{ "<r><t>ab</t><n>5.5</n></r>", 2005, "n" },
	{ "<r><t>ab</t><f>true</f></r>", 0, NULL },
	{ "<r><t>ab</t><f>yes</f></r>", 2005, "f" },
	{ "<r><t>ab</t><b>A A\n==</b></r>", 0, NULL },
	{ "<r><t>ab</t><b>AA=</b></r>", 2005, "b" },
	{ "<r><t>ab</t><b>=AAA</b></r>", 2005, "b" },
	{ "<r><t>ab</t><b>AAAAAA==</b></r>", 2004, "b" },
	{ "<r><t>ab</t><b/></r>", 2004, "b" },
	{ "<r><t>ab</t><h>0aF1</h></r>", 0, NULL },
	{ "<r><t>ab</t><h>0</h></r>", 2005, "h" },
	{ "<r><t>ab</t><h>000000</h></r>", 2004, "h" },
	{ "<r><t>ab</t><w>2026-11-23T18:00:00.5Z</w></r>", 0, NULL },
	{ "<r><t>ab</t><w>2026-11-23</w></r>", 2005, "w" },
	{ "<r><t>ab</t><w>2026-13-23T18:00:00Z</w></r>", 2005, "w" },
	{ "<r><t>ab</t><e/></r>", 0, NULL },
	{ "<r><t>ab</t><e c='blue'/></r>", 0, NULL },
	{ "<r><t>ab</t><e c='green'/></r>", 2004, "e" },
	{ "<r><t>ab</t><e>x</e></r>", 2001, "e" },
	{ "<r><t>ab</t><e><z/></e></r>", 2001, "z" },
};

static void test_rows(void **state)
{
	struct xml *x = NULL;

	(void)state;
	assert_rc(RC_OK, xml_new(&x, 7));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xml_node *root = NULL;
		struct xml_fault bad;
		struct gram_fault fault;

		assert_rc(RC_OK, xml_read(x, rows[i].text, strlen(rows[i].text), &root, &bad));
		if (gram_check(root, &seq, &fault) != !rows[i].code || fault.code != rows[i].code)
			fail_msg("%s: %u %s", rows[i].text, fault.code, fault.why);
		if (rows[i].at)
			assert_string_equal(rows[i].at, fault.node->name);
	}
	xml_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
