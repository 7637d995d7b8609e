/* SPDX-License-Identifier: Apache-2.0 */
#include "epp/grammar.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool check(struct xml_node *node, const struct gram_type *type, struct gram_fault *fault);

bool gram_fault(
	struct gram_fault *fault, unsigned code, const struct xml_node *node, const char *fmt, ...)
{
	va_list ap;

	fault->code = code;
	fault->node = node;
	va_start(ap, fmt);
	(void)vsnprintf(fault->why, sizeof(fault->why), fmt, ap);
	va_end(ap);
	return false;
}

/* ---- text ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* XML Schema part 2 section 4.3.6: whiteSpace = collapse. */
static void collapse(struct xml_node *node)
{
	size_t to = 0;

	for (size_t i = 0; i < node->text_len; i++) {
		if (!is_space(node->text[i]))
			node->text[to++] = node->text[i];
		else if (to && node->text[to - 1] != ' ')
			node->text[to++] = ' ';
	}
	if (to && node->text[to - 1] == ' ')
		to--;
	if (node->text_len)
		node->text[to] = '\0';
	node->text_len = to;
}

static void replace(struct xml_node *node)
{
	for (size_t i = 0; i < node->text_len; i++)
		if (is_space(node->text[i]))
			node->text[i] = ' ';
}

static size_t characters(const char *utf8)
{
	size_t n = 0;

	for (; *utf8; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80;
	return n;
}

static bool only_space(const struct xml_node *node)
{
	for (size_t i = 0; i < node->text_len; i++)
		if (!is_space(node->text[i]))
			return false;
	return true;
}

static bool among(const char *text, const char *const *values)
{
	for (; *values; values++)
		if (strcmp(text, *values) == 0)
			return true;
	return false;
}

static bool digits(const char **at, unsigned n, unsigned *out)
{
	*out = 0;
	for (; n; n--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		*out = *out * 10 + (unsigned)(**at - '0');
	}
	return true;
}

/* 2026-11-23T18:00:00Z, with a fraction of seconds that is ignored. */
static bool is_datetime(const char *at)
{
	unsigned year, month, day, hour, minute, second;

	if (!digits(&at, 4, &year) || *at++ != '-' || !digits(&at, 2, &month) || *at++ != '-' ||
		!digits(&at, 2, &day) || *at++ != 'T' || !digits(&at, 2, &hour) || *at++ != ':' ||
		!digits(&at, 2, &minute) || *at++ != ':' || !digits(&at, 2, &second))
		return false;
	if (*at == '.') {
		at++;
		if (*at < '0' || *at > '9')
			return false;
		at += strspn(at, "0123456789");
	}
	return strcmp(at, "Z") == 0 && month >= 1 && month <= 12 && day >= 1 && day <= 31 &&
	       hour <= 23 && minute <= 59 && second <= 60;
}

static bool check_uint(
	const struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	size_t len = strspn(node->text, "0123456789");
	uint64_t v = 0;

	if (!len || len != node->text_len)
		return gram_fault(fault, 2005, node, "not a whole number");
	if (len > 10 || u64_read(node->text, type->min, type->max, &v) != RC_OK)
		return gram_fault(fault, 2004, node, "not within %u to %u", type->min, type->max);
	return true;
}

/* Padded base64 or hex that stands for min..max bytes; the bytes themselves are decoded later. */
static bool check_binary(
	struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	static const char b64[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char hex[] = "0123456789abcdefABCDEF";
	size_t to = 0, body, bytes;

	/* base64Binary may be broken into lines. */
	for (size_t i = 0; i < node->text_len; i++)
		if (!is_space(node->text[i]))
			node->text[to++] = node->text[i];
	if (node->text_len)
		node->text[to] = '\0';
	node->text_len = to;
	body = strspn(node->text, type->kind == GRAM_B64 ? b64 : hex);
	if (type->kind == GRAM_HEX) {
		bytes = to / 2;
		if (body != to || to % 2)
			return gram_fault(fault, 2005, node, "not hexBinary");
	} else {
		size_t pad = to - body;

		if (to % 4 || pad > 2 || (pad && strspn(node->text + body, "=") != pad))
			return gram_fault(fault, 2005, node, "not base64Binary");
		bytes = to / 4 * 3 - pad;
	}
	if (bytes < type->min || (type->max && bytes > type->max))
		return gram_fault(
			fault, 2004, node, "%zu bytes, not %u to %u", bytes, type->min, type->max);
	return true;
}

static bool check_text(
	struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	size_t n;

	if (node->first)
		return gram_fault(fault, 2001, node->first, "no element is allowed here");
	if (type->kind == GRAM_B64 || type->kind == GRAM_HEX)
		return check_binary(node, type, fault);
	if (type->kind == GRAM_NORM)
		replace(node);
	else
		collapse(node);
	if (type->kind == GRAM_UINT)
		return check_uint(node, type, fault);
	if (type->kind == GRAM_BOOL && strcmp(node->text, "true") != 0 &&
		strcmp(node->text, "false") != 0 && strcmp(node->text, "1") != 0 &&
		strcmp(node->text, "0") != 0)
		return gram_fault(fault, 2005, node, "not a boolean");
	if (type->kind == GRAM_DATETIME && !is_datetime(node->text))
		return gram_fault(fault, 2005, node, "not a time in UTC");
	n = characters(node->text);
	if (!n && type->min)
		return gram_fault(fault, 2003, node, "is empty");
	if (n < type->min || (type->max && n > type->max))
		return gram_fault(
			fault, 2005, node, "%zu characters, not %u to %u", n, type->min, type->max);
	if (type->values && !among(node->text, type->values))
		return gram_fault(fault, 2004, node, "not one of the values allowed");
	if (type->ok && !type->ok(node->text))
		return gram_fault(fault, 2005, node, "%s", type->form ? type->form : "malformed");
	return true;
}

/* ---- structure ---- */

static bool check_attrs(
	struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	static const char xsi[] = "http://www.w3.org/2001/XMLSchema-instance";
	const struct gram_attr *row;

	for (struct xml_attr *a = node->attrs; a; a = a->next) {
		/* A hint where a schema could be fetched: never followed. */
		if (strcmp(a->ns, xsi) == 0 &&
			(strcmp(a->name, "schemaLocation") == 0 ||
				strcmp(a->name, "noNamespaceSchemaLocation") == 0))
			continue;
		for (row = type->attrs; row && row->name; row++)
			if (!*a->ns && strcmp(a->name, row->name) == 0)
				break;
		if (!row || !row->name)
			return gram_fault(
				fault, 2001, node, "attribute %.32s is not allowed", a->name);
		if (row->values && !among(a->value, row->values))
			return gram_fault(fault, 2004, node,
				"attribute %s has none of the values allowed", row->name);
	}
	for (row = type->attrs; row && row->name; row++)
		if (row->required && !xml_attr(node, row->name))
			return gram_fault(fault, 2003, node, "attribute %s is missing", row->name);
	return true;
}

static bool is_part(
	const struct xml_node *node, const struct xml_node *child, const struct gram_part *part)
{
	if (part->type->kind == GRAM_ANY)
		return strcmp(child->ns, node->ns) != 0;
	return strcmp(child->name, part->name) == 0 && strcmp(child->ns, node->ns) == 0;
}

static bool is_any_part(
	const struct xml_node *node, const struct xml_node *child, const struct gram_type *type)
{
	for (const struct gram_part *part = type->parts; part->name; part++)
		if (is_part(node, child, part))
			return true;
	return false;
}

/* What stands in the place of a part that must be there: a stranger, a part out of its order, or
 * nothing that would explain it. */
static bool missing(const struct xml_node *node, const struct gram_type *type,
	const struct gram_part *part, const struct xml_node *child, struct gram_fault *fault)
{
	if (child && !is_any_part(node, child, type))
		return gram_fault(fault, 2001, child, "is not allowed here");
	for (; child; child = child->next)
		if (is_part(node, child, part))
			return gram_fault(fault, 2001, child, "stands out of order");
	if (part->type->kind != GRAM_ANY)
		fault->missing = part->name;
	return gram_fault(fault, 2003, node, "%s is missing", part->name);
}

static bool check_sequence(
	struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	struct xml_node *child = node->first;

	for (const struct gram_part *part = type->parts; part && part->name; part++) {
		unsigned n = 0;

		for (; child && is_part(node, child, part); child = child->next) {
			if (part->max && ++n > part->max)
				return gram_fault(fault, part->max > 1 ? 2306 : 2001, child,
					"more than %u of it", part->max);
			if (part->type->kind != GRAM_ANY && !check(child, part->type, fault))
				return false;
			if (!part->max)
				n = 1;
		}
		if (n < part->min)
			return missing(node, type, part, child, fault);
	}
	if (child)
		return gram_fault(fault, 2001, child, "is not allowed here");
	return true;
}

static bool check_choice(
	struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	struct xml_node *child = node->first;

	if (!child)
		return gram_fault(fault, 2003, node, "holds nothing");
	if (child->next)
		return gram_fault(fault, 2001, child->next, "one element is allowed here");
	for (const struct gram_part *part = type->parts; part->name; part++)
		if (is_part(node, child, part))
			return part->type->kind == GRAM_ANY || check(child, part->type, fault);
	return gram_fault(fault, 2001, child, "is not allowed here");
}

static bool check(struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	if (type->kind == GRAM_SKIP)
		return true;
	node->secret = type->secret;
	node->plain = !type->secret && type->kind < GRAM_EMPTY;
	if (!check_attrs(node, type, fault))
		return false;
	node->known = true;
	switch (type->kind) {
	case GRAM_TOKEN:
	case GRAM_NORM:
	case GRAM_UINT:
	case GRAM_BOOL:
	case GRAM_B64:
	case GRAM_HEX:
	case GRAM_DATETIME: return check_text(node, type, fault);
	case GRAM_EMPTY:
	case GRAM_SEQ:
	case GRAM_CHOICE: break;
	case GRAM_SKIP:
	case GRAM_ANY: return true;
	}
	if (!only_space(node))
		return gram_fault(fault, 2001, node, "no text is allowed in it");
	if (type->kind == GRAM_CHOICE)
		return check_choice(node, type, fault);
	return check_sequence(node, type, fault);
}

bool gram_check(struct xml_node *node, const struct gram_type *type, struct gram_fault *fault)
{
	*fault = (struct gram_fault){ 0 };
	return check(node, type, fault);
}
