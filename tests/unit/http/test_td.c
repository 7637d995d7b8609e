/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "http/td.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C   "\"@context\":\"https://www.w3.org/2022/wot/td/v1.1\""
#define T   "\"title\":\"Meter\""
#define D   "\"securityDefinitions\":{\"n\":{\"scheme\":\"nosec\"}}"
#define S   "\"security\":\"n\""
#define ALL C "," T "," D "," S
#define F   "\"forms\":[{\"href\":\"x\"}]"

static enum rc check(const char *text, struct diag *d)
{
	*d = (struct diag){ "" };
	return td_check((const uint8_t *)text, strlen(text), d);
}

static void test_good(void **state)
{
	static const char *const rows[] = {
		"{" ALL "}",
		"{\"@context\":[\"https://www.w3.org/2019/wot/td/v1\",\"https://www.w3.org/2022/"
		"wot/td/v1.1\",{\"a\":\"http://a/\"}]," T "," D "," S "}",
		"{" C "," T "," D ",\"security\":[\"n\",\"n\"]}",
		"{" ALL ",\"id\":\"urn:uuid:0804d572-cce8-422a-bb7c-4412fcd56f06\",\"base\":"
		"\"https://a/\",\"@type\":[\"a\",\"b\"]}",
		"{" ALL ",\"properties\":{\"p\":{\"type\":\"object\",\"properties\":{\"q\":{"
		"\"type\":\"array\",\"items\":{\"type\":\"string\"}}}," F "}}}",
		"{" ALL ",\"actions\":{\"a\":{\"input\":{\"oneOf\":[{\"type\":\"null\"}]}," F
		"}},\"events\":{\"e\":{\"data\":{}," F "}}}",
		"{" ALL ",\"forms\":[{\"href\":\"all\",\"op\":[\"readallproperties\"],\"security\":"
		"[\"n\"]}],\"links\":[{\"href\":\"/m\",\"rel\":\"manual\"}]}",
		"{" C "," T ",\"securityDefinitions\":{\"a\":{\"scheme\":\"basic\",\"in\":"
		"\"header\"},\"b\":{\"scheme\":\"ace:ACESecurityScheme\"},"
		"\"c\":{\"scheme\":\"combo\",\"oneOf\":[\"a\",\"b\"]}},\"security\":\"c\"}",
	};
	struct diag d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (check(rows[i], &d) != RC_OK)
			fail_msg("row %zu: %s", i, d.text);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "not JSON" },
		{ "[]", "must be one JSON object" },
		{ "{" ALL ",\"title\":\"again\"}", "a member twice" },
		{ "{" ALL "} x", "not JSON" },
		{ "{" T "," D "," S "}", "@context: is missing" },
		{ "{\"@context\":\"https://www.w3.org/2019/wot/td/v1\"," T "," D "," S "}",
			"@context: must begin with" },
		{ "{\"@context\":[]," T "," D "," S "}", "@context: must begin with" },
		{ "{\"@context\":[\"http://a/\",\"https://www.w3.org/2022/wot/td/v1.1\"]," T "," D
		  "," S "}",
			"@context: must begin with" },
		{ "{\"@context\":[\"https://www.w3.org/2022/wot/td/v1.1\",7]," T "," D "," S "}",
			"@context[1]: must be a URI" },
		{ "{" C "," D "," S "}", "title: is missing" },
		{ "{" C ",\"title\":\"\"," D "," S "}", "title: must be text" },
		{ "{" C "," T "," S "}", "securityDefinitions: is missing" },
		{ "{" C "," T ",\"securityDefinitions\":{}," S "}",
			"securityDefinitions: must be an object with a member" },
		{ "{" C "," T ",\"securityDefinitions\":{\"n\":{}}," S "}",
			"securityDefinitions.n.scheme: is missing" },
		{ "{" C "," T ",\"securityDefinitions\":{\"n\":{\"scheme\":\"magic\"}}," S "}",
			"securityDefinitions.n: scheme \"magic\"" },
		{ "{" C "," T
		  ",\"securityDefinitions\":{\"n\":{\"scheme\":\"basic\",\"in\":\"shoe\"}}," S "}",
			"in \"shoe\"" },
		{ "{" C "," T ",\"securityDefinitions\":{\"n\":{\"scheme\":\"oauth2\"}}," S "}",
			"flow: is missing" },
		{ "{" C "," T ",\"securityDefinitions\":{\"n\":{\"scheme\":\"combo\"}}," S "}",
			"either oneOf or allOf" },
		{ "{" C "," T ",\"securityDefinitions\":{\"n\":{\"scheme\":\"combo\",\"allOf\":["
		  "\"n\",\"m\"]}}," S "}",
			"\"m\": is not in securityDefinitions" },
		{ "{" C "," T "," D "}", "security: is missing" },
		{ "{" C "," T "," D ",\"security\":[]}", "security: must not be empty" },
		{ "{" C "," T "," D ",\"security\":\"m\"}",
			"security: \"m\": is not in securityDefinitions" },
		{ "{" ALL ",\"id\":\"no scheme\"}", "id: must be a URI with its scheme" },
		{ "{" ALL ",\"id\":\"meter\"}", "id: must be a URI with its scheme" },
		{ "{" ALL ",\"base\":7}", "base: must be text" },
		{ "{" ALL ",\"properties\":[]}", "properties: must be an object" },
		{ "{" ALL ",\"properties\":{\"p\":{}}}", "properties.p.forms: is missing" },
		{ "{" ALL ",\"properties\":{\"p\":{\"forms\":[]}}}",
			"properties.p.forms: must be an array with one" },
		{ "{" ALL ",\"properties\":{\"p\":{\"forms\":[{}]}}}",
			"properties.p.forms[0].href: is missing" },
		{ "{" ALL ",\"properties\":{\"p\":{\"forms\":[{\"href\":\"a b\"}]}}}",
			"properties.p.forms[0].href: must be a URI reference" },
		{ "{" ALL
		  ",\"properties\":{\"p\":{\"forms\":[{\"href\":\"a\",\"op\":\"explode\"}]}}}",
			"forms[0].op: \"explode\"" },
		{ "{" ALL
		  ",\"properties\":{\"p\":{\"forms\":[{\"href\":\"a\",\"security\":\"m\"}]}}}",
			"forms[0].security: \"m\"" },
		{ "{" ALL ",\"properties\":{\"p\":{\"type\":\"colour\"," F "}}}",
			"properties.p: type is none of" },
		{ "{" ALL ",\"actions\":{\"a\":{\"input\":{\"enum\":[]}," F "}}}",
			"actions.a.input: enum must be" },
		{ "{" ALL ",\"actions\":{\"a\":{\"output\":{\"items\":7}," F "}}}",
			"actions.a.output.items: must be" },
		{ "{" ALL ",\"events\":{\"e\":{\"data\":7," F "}}}",
			"events.e.data: must be an object" },
		{ "{" ALL ",\"forms\":[{\"href\":\"a\"}]}", "forms[0]: op is missing" },
		{ "{" ALL ",\"links\":[{\"rel\":\"manual\"}]}", "links[0].href: is missing" },
	};
	struct diag d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (check(rows[i].text, &d) == RC_OK)
			fail_msg("row %zu is taken: %s", i, rows[i].text);
		if (!strstr(d.text, rows[i].says))
			fail_msg("row %zu: \"%s\" does not say \"%s\"", i, d.text, rows[i].says);
	}
}

static size_t put_text(char *out, const char *text)
{
	size_t len = strlen(text);

	memcpy(out, text, len + 1);
	return len;
}

static void test_bounds(void **state)
{
	char *text = malloc(TD_MAX + 100);
	struct diag d;
	size_t len;

	(void)state;
	assert_non_null(text);
	len = put_text(text, "{" ALL ",\"description\":\"");
	memset(text + len, 'x', TD_MAX + 1 - len);
	text[TD_MAX - 2] = '"';
	text[TD_MAX - 1] = '}';
	text[TD_MAX] = '\0';
	assert_rc(RC_OK, check(text, &d));
	text[TD_MAX] = ' ';
	text[TD_MAX + 1] = '\0';
	assert_rc(RC_TOO_LARGE, check(text, &d));
	len = put_text(text, "{" ALL ",\"x\":");
	memset(text + len, '[', TD_DEPTH_MAX);
	memset(text + len + TD_DEPTH_MAX, ']', TD_DEPTH_MAX);
	text[len + 2 * TD_DEPTH_MAX] = '}';
	text[len + 2 * TD_DEPTH_MAX + 1] = '\0';
	assert_rc(RC_TOO_LARGE, check(text, &d));
	free(text);
}

static void test_templates(void **state)
{
	const struct td_template *t;
	struct diag d = { "" };
	size_t n = 0;

	(void)state;
	for (; (t = td_template(n)) != NULL; n++) {
		size_t len = strlen(t->text);

		if (check(t->text, &d) != RC_OK)
			fail_msg("%s: %s", t->name, d.text);
		/* Every truncation is refused (the last byte ends the line). */
		for (size_t i = 0; i < len - 1; i++)
			assert_int_not_equal(RC_OK, td_check((const uint8_t *)t->text, i, &d));
	}
	assert_true(n >= 3);
	assert_string_equal("parking-meter", td_template(0)->name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_templates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
