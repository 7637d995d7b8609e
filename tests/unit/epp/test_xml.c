/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "epp/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct xml *reader;

static int open_reader(void **state)
{
	(void)state;
	return xml_new(&reader, 7) == RC_OK ? 0 : -1;
}

static int close_reader(void **state)
{
	(void)state;
	xml_free(reader);
	return 0;
}

static struct xml_node *good(const char *text)
{
	struct xml_node *root = NULL;
	struct xml_fault fault = { 0 };

	if (xml_read(reader, text, strlen(text), &root, &fault) != RC_OK)
		fail_msg("%s: %s", text, fault.why);
	return root;
}

static void test_names_text_and_places(void **state)
{
	struct xml_node *root = good("<a:r xmlns:a=\"urn:x\" b=\"1\" a:c=\"2\">\n "
				     "t<a:k>o<![CDATA[<n>]]>e&amp;</a:k><a:k/></a:r>");

	(void)state;
	assert_string_equal("urn:x", root->ns);
	assert_string_equal("r", root->name);
	assert_string_equal("1", xml_attr(root, "b"));
	assert_null(xml_attr(root, "c"));
	assert_string_equal("o<n>e&", xml_child_text(root, "k"));
	assert_int_equal(2, root->first->line);
	assert_int_equal(3, root->first->column);
	assert_non_null(xml_next_same(root->first));
	assert_null(xml_child(root, "z"));
}

static void test_text_in_many_pieces(void **state)
{
	char text[40000] = "<r>";

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		memcpy(text + 3 + i * 6, "a&amp;", 7);
	memcpy(text + 3 + 30000, "</r>", 5);
	assert_int_equal(10000, good(text)->text_len);
}

static void test_refused(void **state)
{
	static const char *const rows[] = { "", " ", "x", "<a>", "<a></b>", "<a/><b/>",
		"<a b='1' b='2'/>", "<x:a/>", "<a>&x;</a>", "<!DOCTYPE a><a/>",
		"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a>\x01</a>", "<a>\xff</a>",
		"<a>\xc0\xaf</a>", "<a>\xed\xa0\x80</a>",
		"<?xml version='1.0' encoding='x-none'?><a/>" };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct xml_node *root = NULL;
		struct xml_fault fault = { 0 };

		assert_rc(RC_MALFORMED, xml_read(reader, rows[i], strlen(rows[i]), &root, &fault));
		assert_non_null(fault.why);
		assert_true(fault.line >= 1 && fault.column >= 1);
	}
}

static char *repeat(const char *open, const char *one, size_t n, const char *close)
{
	size_t cap = strlen(open) + strlen(close) + n * (strlen(one) + 8) + 1, at;
	char *text = malloc(cap);

	assert_non_null(text);
	at = (size_t)snprintf(text, cap, "%s", open);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, cap - at, one, i);
	(void)snprintf(text + at, cap - at, "%s", close);
	return text;
}

static void bounded(const char *open, const char *one, size_t max, const char *close)
{
	struct xml_node *root;
	struct xml_fault fault;
	char *within = repeat(open, one, max, close), *over = repeat(open, one, max + 1, close);

	assert_rc(RC_OK, xml_read(reader, within, strlen(within), &root, &fault));
	assert_rc(RC_MALFORMED, xml_read(reader, over, strlen(over), &root, &fault));
	free(within);
	free(over);
}

static void test_bounds(void **state)
{
	char deep[8 * XML_DEPTH_MAX + 20] = "";
	struct xml_node *root;
	struct xml_fault fault;

	(void)state;
	bounded("<a>", "<b/>", XML_ELEMENTS_MAX - 1, "</a>");
	bounded("<a", " a%zu='1'", XML_ATTRS_MAX, "/>");
	for (int over = 0; over < 2; over++) {
		deep[0] = '\0';
		for (int i = 0; i < XML_DEPTH_MAX + over; i++)
			memcpy(deep + strlen(deep), "<a>", 4);
		for (int i = 0; i < XML_DEPTH_MAX + over; i++)
			memcpy(deep + strlen(deep), "</a>", 5);
		assert_rc(over ? RC_MALFORMED : RC_OK,
			xml_read(reader, deep, strlen(deep), &root, &fault));
	}
}

static void test_every_truncation_is_refused(void **state)
{
	static const char text[] =
		"<?xml version=\"1.0\"?><e:epp xmlns:e=\"urn:x\"><e:c a=\"1\">text"
		"<![CDATA[x]]><!-- y --></e:c></e:epp>";
	struct xml_node *root;
	struct xml_fault fault;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_rc(RC_MALFORMED, xml_read(reader, text, n, &root, &fault));
	assert_rc(RC_OK, xml_read(reader, text, sizeof(text) - 1, &root, &fault));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_text_and_places),
		cmocka_unit_test(test_text_in_many_pieces),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_every_truncation_is_refused),
	};

	return cmocka_run_group_tests(tests, open_reader, close_reader);
}
