/* SPDX-License-Identifier: Apache-2.0 */
#include "http/td.h"

#include "base/compiler.h"
#include "http/reflect.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX 20000 /* separators of the text */
#define PATH_MAX_  200
#define TD_1_0	   "https://www.w3.org/2019/wot/td/v1"
#define TD_1_1	   "https://www.w3.org/2022/wot/td/v1.1"

/* Where we are, for the refusal. */
struct td {
	const json_t *definitions;
	struct diag *d;
	char path[PATH_MAX_];
	size_t len;
};

static enum rc no(struct td *td, const char *fmt, ...) ATT_PRINTF(2, 3);

static enum rc no(struct td *td, const char *fmt, ...)
{
	char text[DIAG_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return diag_set(td->d, RC_MALFORMED, "%s%s%s", td->path, td->len ? ": " : "", text);
}

/* Goes down to a member or an element; the old length is the way back. Names come from the client:
 * only what is plain is repeated. */
static size_t enter(struct td *td, const char *name, size_t index)
{
	size_t was = td->len;
	char part[48];

	if (name) {
		size_t n = 0;

		for (; name[n] && n < 32; n++)
			part[n] = name[n] > ' ' && name[n] < 0x7f && name[n] != '"' ? name[n] : '?';
		part[n] = '\0';
	} else {
		snprintf(part, sizeof(part), "[%zu]", index);
	}
	if (td->len + strlen(part) + 2 < sizeof(td->path))
		td->len += (size_t)snprintf(td->path + td->len, sizeof(td->path) - td->len, "%s%s",
			name && td->len ? "." : "", part);
	return was;
}

static void leave(struct td *td, size_t was)
{
	td->len = was;
	td->path[was] = '\0';
}

/* ---- small values ------------------------------------------------------------------------- */

/* RFC 3986 in outline: something before a colon where it must be absolute, no spaces, no controls.
 */
static bool is_uri(const char *text, bool absolute)
{
	size_t scheme = 0;

	if (!*text)
		return false;
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at <= ' ' || strchr("<>\"\\^`", *at) || *at == 0x7f)
			return false;
	if (!absolute)
		return true;
	if (!((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z')))
		return false;
	while (text[scheme] &&
		(strchr("+-.", text[scheme]) || (text[scheme] >= '0' && text[scheme] <= '9') ||
			((text[scheme] | 32) >= 'a' && (text[scheme] | 32) <= 'z')))
		scheme++;
	return text[scheme] == ':' && text[scheme + 1];
}

static enum rc want_text(struct td *td, const json_t *object, const char *name, bool needed)
{
	const json_t *value = json_object_get(object, name);
	size_t was = enter(td, name, 0);
	enum rc rc = RC_OK;

	if (!value && needed)
		rc = no(td, "is missing");
	else if (value && (!json_is_string(value) || (needed && !json_string_length(value))))
		rc = no(td, "must be text");
	leave(td, was);
	return rc;
}

static enum rc want_uri(
	struct td *td, const json_t *object, const char *name, bool needed, bool absolute)
{
	enum rc rc = want_text(td, object, name, needed);
	const char *text = json_string_value(json_object_get(object, name));
	size_t was = enter(td, name, 0);

	if (rc == RC_OK && text && !is_uri(text, absolute))
		rc = no(td, absolute ? "must be a URI with its scheme" : "must be a URI reference");
	leave(td, was);
	return rc;
}

typedef enum rc each_fn(struct td *td, const json_t *value);

/* Every member of a map at `name`, by `fn`. */
static enum rc each_member(struct td *td, const json_t *object, const char *name, each_fn *fn)
{
	json_t *map = json_object_get(object, name), *value;
	size_t was = enter(td, name, 0);
	enum rc rc = RC_OK;
	const char *key;

	if (map && !json_is_object(map))
		rc = no(td, "must be an object");
	json_object_foreach(map, key, value)
	{
		size_t here = enter(td, key, 0);

		if (rc == RC_OK && !*key)
			rc = no(td, "a member without a name");
		if (rc == RC_OK)
			rc = json_is_object(value) ? fn(td, value) : no(td, "must be an object");
		if (rc != RC_OK)
			return rc;
		leave(td, here);
	}
	leave(td, was);
	return rc;
}

static enum rc each_element(
	struct td *td, const json_t *object, const char *name, bool needed, each_fn *fn)
{
	const json_t *list = json_object_get(object, name);
	size_t was = enter(td, name, 0), i;
	json_t *value;
	enum rc rc = RC_OK;

	if (!list && needed)
		return no(td, "is missing");
	if (list && (!json_is_array(list) || json_array_size(list) == 0))
		return no(td, "must be an array with one element or more");
	json_array_foreach(list, i, value)
	{
		size_t here = enter(td, NULL, i);

		rc = json_is_object(value) ? fn(td, value) : no(td, "must be an object");
		if (rc != RC_OK)
			return rc;
		leave(td, here);
	}
	leave(td, was);
	return RC_OK;
}

/* One text or an array of texts, each of which `good` takes (NULL: any that is not empty). */
static enum rc texts(struct td *td, const json_t *object, const char *name,
	bool (*good)(const struct td *td, const char *text), const char *rule)
{
	const json_t *value = json_object_get(object, name), *one = value;
	size_t was = enter(td, name, 0), n = json_is_array(value) ? json_array_size(value) : 1;
	enum rc rc = RC_OK;

	if (!value) {
		leave(td, was);
		return RC_OK;
	}
	if (n == 0)
		return no(td, "must not be empty");
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		if (json_is_array(value))
			one = json_array_get(value, i);
		if (!json_is_string(one) || !json_string_length(one))
			rc = no(td, "must be text, or an array of texts");
		else if (good && !good(td, json_string_value(one)))
			rc = no(td, "\"%.40s\": %s", json_string_value(one), rule);
	}
	if (rc == RC_OK)
		leave(td, was);
	return rc;
}

/* A table of words with a space around each. */
static bool in_words(const char *words, const char *text)
{
	char padded[40];

	return strlen(text) < sizeof(padded) - 2 &&
	       snprintf(padded, sizeof(padded), " %s ", text) > 0 && strstr(words, padded);
}

/* ---- security (TD 1.1 section 5.3.3) -------------------------------------------------------- */

static bool is_defined(const struct td *td, const char *name)
{
	return json_object_get(td->definitions, name) != NULL;
}

static enum rc security(struct td *td, const json_t *object, bool needed)
{
	if (needed && !json_object_get(object, "security")) {
		(void)enter(td, "security", 0);
		return no(td, "is missing");
	}
	return texts(td, object, "security", is_defined, "is not in securityDefinitions");
}

static enum rc combo(struct td *td, const json_t *scheme)
{
	const char *which = json_object_get(scheme, "oneOf") ? "oneOf" : "allOf";

	if (!json_object_get(scheme, "oneOf") == !json_object_get(scheme, "allOf"))
		return no(td, "scheme combo has either oneOf or allOf");
	if (json_array_size(json_object_get(scheme, which)) < 2)
		return no(td, "%s must be an array of two or more", which);
	return texts(td, scheme, which, is_defined, "is not in securityDefinitions");
}

static enum rc scheme(struct td *td, const json_t *object)
{
	static const char known[] = " nosec auto combo basic digest apikey bearer psk oauth2 ";
	static const char places[] = " header query body cookie uri auto ";
	const char *name, *in;
	enum rc rc = want_text(td, object, "scheme", true);

	if (rc != RC_OK)
		return rc;
	name = json_string_value(json_object_get(object, "scheme"));
	in = json_string_value(json_object_get(object, "in"));
	/* An extension brings a prefix of its own, "ace:ACESecurityScheme". */
	if (!in_words(known, name) && !strchr(name, ':'))
		return no(td, "scheme \"%.40s\" is none of%s", name, known);
	if (in && !in_words(places, in))
		return no(td, "in \"%.20s\" is none of%s", in, places);
	rc = want_uri(td, object, "proxy", false, true);
	if (rc == RC_OK && strcmp(name, "combo") == 0)
		rc = combo(td, object);
	if (rc == RC_OK && strcmp(name, "oauth2") == 0)
		rc = want_text(td, object, "flow", true);
	if (rc == RC_OK)
		rc = want_uri(td, object, "token", false, true);
	return rc == RC_OK ? want_uri(td, object, "authorization", false, true) : rc;
}

/* ---- forms and links (sections 5.3.4.1, 5.3.4.2) -------------------------------------------- */

static bool is_op(const struct td *td, const char *op)
{
	static const char known[] =
		" readproperty writeproperty observeproperty unobserveproperty invokeaction "
		"queryaction "
		"cancelaction subscribeevent unsubscribeevent readallproperties writeallproperties "
		"readmultipleproperties writemultipleproperties observeallproperties "
		"unobserveallproperties subscribeallevents unsubscribeallevents queryallactions ";

	(void)td;
	return in_words(known, op);
}

static enum rc form(struct td *td, const json_t *object)
{
	enum rc rc = want_uri(td, object, "href", true, false);

	if (rc == RC_OK)
		rc = texts(td, object, "op", is_op, "is no operation of a Thing");
	if (rc == RC_OK)
		rc = want_text(td, object, "contentType", false);
	if (rc == RC_OK)
		rc = want_text(td, object, "contentCoding", false);
	if (rc == RC_OK)
		rc = want_text(td, object, "subprotocol", false);
	return rc == RC_OK ? security(td, object, false) : rc;
}

/* Without an op nothing says what a form of the whole Thing does. */
static enum rc thing_form(struct td *td, const json_t *object)
{
	if (!json_object_get(object, "op"))
		return no(td, "op is missing: a form of the whole Thing says what it does");
	return form(td, object);
}

static enum rc link(struct td *td, const json_t *object)
{
	enum rc rc = want_uri(td, object, "href", true, false);

	if (rc == RC_OK)
		rc = want_text(td, object, "rel", false);
	return rc == RC_OK ? want_text(td, object, "type", false) : rc;
}

/* ---- data schemas (section 5.3.2) ----------------------------------------------------------- */

static enum rc schema(struct td *td, const json_t *object)
{
	static const char types[] = " object array string number integer boolean null ";
	const json_t *type = json_object_get(object, "type"), *items, *list;
	size_t was;
	enum rc rc = RC_OK;

	if (type && (!json_is_string(type) || !in_words(types, json_string_value(type))))
		return no(td, "type is none of%s", types);
	list = json_object_get(object, "enum");
	if (list && (!json_is_array(list) || json_array_size(list) == 0))
		return no(td, "enum must be an array with one element or more");
	list = json_object_get(object, "required");
	if (list && !json_is_array(list))
		return no(td, "required must be an array");
	rc = each_member(td, object, "properties", schema);
	if (rc == RC_OK)
		rc = each_element(td, object, "oneOf", false, schema);
	items = json_object_get(object, "items");
	if (rc != RC_OK || !items)
		return rc;
	if (json_is_array(items))
		return each_element(td, object, "items", false, schema);
	was = enter(td, "items", 0);
	rc = json_is_object(items) ? schema(td, items) : no(td, "must be an object or an array");
	if (rc == RC_OK)
		leave(td, was);
	return rc;
}

static enum rc schema_at(struct td *td, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	size_t was = enter(td, name, 0);
	enum rc rc = RC_OK;

	if (value)
		rc = json_is_object(value) ? schema(td, value) : no(td, "must be an object");
	if (rc == RC_OK)
		leave(td, was);
	return rc;
}

/* ---- affordances (section 5.3.1) ------------------------------------------------------------ */

static enum rc affordance(struct td *td, const json_t *object)
{
	enum rc rc = each_element(td, object, "forms", true, form);

	if (rc == RC_OK)
		rc = want_text(td, object, "title", false);
	if (rc == RC_OK)
		rc = want_text(td, object, "description", false);
	if (rc == RC_OK)
		rc = texts(td, object, "@type", NULL, "");
	return rc == RC_OK ? each_member(td, object, "uriVariables", schema) : rc;
}

/* A property is a data schema itself. */
static enum rc property(struct td *td, const json_t *object)
{
	enum rc rc = affordance(td, object);

	return rc == RC_OK ? schema(td, object) : rc;
}

static enum rc action(struct td *td, const json_t *object)
{
	enum rc rc = affordance(td, object);

	if (rc == RC_OK)
		rc = schema_at(td, object, "input");
	return rc == RC_OK ? schema_at(td, object, "output") : rc;
}

static enum rc event(struct td *td, const json_t *object)
{
	static const char *const parts[] = { "subscription", "data", "dataResponse",
		"cancellation" };
	enum rc rc = affordance(td, object);

	for (size_t i = 0; i < ARRAY_LEN(parts) && rc == RC_OK; i++)
		rc = schema_at(td, object, parts[i]);
	return rc;
}

/* ---- the Thing ------------------------------------------------------------------------------ */

/* The context of TD 1.1 is the value, or the first of the array; that of TD 1.0 may stand before it
 * for older consumers. */
static enum rc context(struct td *td, const json_t *thing)
{
	const json_t *value = json_object_get(thing, "@context"), *first = value, *one;
	size_t was = enter(td, "@context", 0), i;
	const char *text;

	if (!value)
		return no(td, "is missing");
	if (json_is_array(value)) {
		first = json_array_get(value, 0);
		text = json_string_value(first);
		if (text && strcmp(text, TD_1_0) == 0)
			first = json_array_get(value, 1);
	}
	text = json_string_value(first);
	if (!text || strcmp(text, TD_1_1) != 0)
		return no(td, "must begin with %s", TD_1_1);
	json_array_foreach(value, i, one)
	{
		size_t here = enter(td, NULL, i);

		if (!json_is_object(one) &&
			(!json_is_string(one) || !is_uri(json_string_value(one), true)))
			return no(td, "must be a URI with its scheme, or an object");
		leave(td, here);
	}
	leave(td, was);
	return RC_OK;
}

static enum rc definitions(struct td *td, const json_t *thing)
{
	td->definitions = json_object_get(thing, "securityDefinitions");
	if (!json_is_object(td->definitions) || json_object_size(td->definitions) == 0) {
		(void)enter(td, "securityDefinitions", 0);
		return no(td,
			td->definitions ? "must be an object with a member or more" : "is missing");
	}
	return each_member(td, thing, "securityDefinitions", scheme);
}

static enum rc thing(struct td *td, const json_t *t)
{
	static const char *const dates[] = { "created", "modified" };
	enum rc rc = context(td, t);

	if (rc == RC_OK)
		rc = want_text(td, t, "title", true);
	if (rc == RC_OK)
		rc = definitions(td, t);
	if (rc == RC_OK)
		rc = security(td, t, true);
	if (rc == RC_OK)
		rc = want_uri(td, t, "id", false, true);
	if (rc == RC_OK)
		rc = want_uri(td, t, "base", false, true);
	if (rc == RC_OK)
		rc = want_uri(td, t, "support", false, true);
	if (rc == RC_OK)
		rc = texts(td, t, "@type", NULL, "");
	if (rc == RC_OK)
		rc = want_text(td, t, "description", false);
	for (size_t i = 0; i < ARRAY_LEN(dates) && rc == RC_OK; i++)
		rc = want_text(td, t, dates[i], false);
	if (rc == RC_OK)
		rc = each_member(td, t, "properties", property);
	if (rc == RC_OK)
		rc = each_member(td, t, "actions", action);
	if (rc == RC_OK)
		rc = each_member(td, t, "events", event);
	if (rc == RC_OK)
		rc = each_member(td, t, "uriVariables", schema);
	if (rc == RC_OK)
		rc = each_member(td, t, "schemaDefinitions", schema);
	if (rc == RC_OK)
		rc = each_element(td, t, "forms", false, thing_form);
	return rc == RC_OK ? each_element(td, t, "links", false, link) : rc;
}

enum rc td_check(const uint8_t *text, size_t len, struct diag *d)
{
	struct td td = { .d = d };
	json_error_t e;
	json_t *json;
	enum rc rc;

	if (len > TD_MAX)
		return diag_set(d, RC_TOO_LARGE, "at most %d bytes", TD_MAX);
	if (reflect_bounds((const char *)text, len, TD_DEPTH_MAX, VALUES_MAX) != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "nests over %d levels, or holds too many values",
			TD_DEPTH_MAX);
	json = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, &e);
	if (!json)
		return diag_set(d, RC_MALFORMED, "not JSON: line %d, column %d%s", e.line, e.column,
			json_error_code(&e) == json_error_duplicate_key ? ": a member twice" : "");
	rc = json_is_object(json) ? thing(&td, json)
				  : diag_set(d, RC_MALFORMED, "must be one JSON object");
	json_decref(json);
	return rc;
}
