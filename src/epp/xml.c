/* SPDX-License-Identifier: Apache-2.0 */
#include "epp/xml.h"

#include <expat.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Between namespace and name: no URI of a well-formed instance holds it, expat sees to that. */
#define SEPARATOR '\n'

enum { POOL_BLOCK = 8192 };

/* Wiped blocks: the arena of base keeps nothing secret. */
struct pool_block {
	struct pool_block *next;
	size_t size;
	max_align_t bytes[];
};

struct xml {
	XML_Parser parser;
	unsigned long salt;
	struct pool_block *blocks;
	char *at;
	size_t left;
	struct xml_node *root, *open;
	unsigned depth, elements;
	const char *why;
	unsigned line, column; /* of `why` */
	bool nomem;
};

/* ---- memory ---- */

static void *wiped_realloc(void *p, size_t size)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *out = malloc(size);

	if (out && p) {
		memcpy(out, p, had < size ? had : size);
		mem_wipe(p, had);
		free(p);
	}
	return out;
}

static void wiped_free(void *p)
{
	if (p)
		mem_wipe(p, malloc_usable_size(p));
	free(p);
}

void *xml_alloc(struct xml *x, size_t len)
{
	const size_t align = _Alignof(max_align_t);
	char *out;

	if (len > SIZE_MAX / 2)
		return NULL;
	len = (len + align - 1) / align * align;
	if (len > x->left) {
		size_t size = len > POOL_BLOCK ? len : POOL_BLOCK;
		struct pool_block *b = calloc(1, sizeof(*b) + size);

		if (!b) {
			x->nomem = true;
			return NULL;
		}
		b->next = x->blocks;
		b->size = size;
		x->blocks = b;
		x->at = (char *)b->bytes;
		x->left = size;
	}
	out = x->at;
	x->at += len;
	x->left -= len;
	return out;
}

/* The last block stays for the next frame: most need no other. */
void xml_clear(struct xml *x)
{
	while (x->blocks && x->blocks->next) {
		struct pool_block *b = x->blocks;

		x->blocks = b->next;
		mem_wipe(b->bytes, b->size);
		free(b);
	}
	if (x->blocks) {
		mem_wipe(x->blocks->bytes, x->blocks->size);
		x->at = (char *)x->blocks->bytes;
		x->left = x->blocks->size;
	}
	x->root = NULL;
	x->open = NULL;
	x->depth = 0;
	x->elements = 0;
	x->why = NULL;
	x->nomem = false;
}

/* ---- what expat tells ---- */

static void refuse(struct xml *x, const char *why)
{
	if (!x->why) {
		x->why = why;
		x->line = (unsigned)XML_GetCurrentLineNumber(x->parser);
		x->column = (unsigned)XML_GetCurrentColumnNumber(x->parser) + 1;
	}
	(void)XML_StopParser(x->parser, XML_FALSE);
}

static char *copy(struct xml *x, const char *bytes, size_t len)
{
	char *out = xml_alloc(x, len + 1);

	if (out)
		memcpy(out, bytes, len);
	return out;
}

/* "namespace\nname" or "name". */
static bool split(struct xml *x, const char *both, const char **ns, const char **name)
{
	const char *sep = strrchr(both, SEPARATOR);
	size_t len = strlen(both);

	if (len > XML_NAME_MAX) {
		refuse(x, "a name is too long");
		return false;
	}
	*ns = sep ? copy(x, both, (size_t)(sep - both)) : "";
	*name = sep ? copy(x, sep + 1, strlen(sep + 1)) : copy(x, both, len);
	return *ns && *name;
}

static bool add_attrs(struct xml *x, struct xml_node *node, const XML_Char **attrs)
{
	struct xml_attr **end = &node->attrs;
	unsigned count = 0;

	for (; *attrs; attrs += 2) {
		struct xml_attr *a;

		if (++count > XML_ATTRS_MAX) {
			refuse(x, "too many attributes");
			return false;
		}
		a = xml_alloc(x, sizeof(*a));
		if (!a || !split(x, attrs[0], &a->ns, &a->name))
			return false;
		a->value = copy(x, attrs[1], strlen(attrs[1]));
		if (!a->value)
			return false;
		*end = a;
		end = &a->next;
	}
	return true;
}

static void XMLCALL on_start(void *user, const XML_Char *name, const XML_Char **attrs)
{
	struct xml *x = user;
	struct xml_node *node;

	if (x->why)
		return; /* expat may still tell what it has begun to tell */
	if (++x->depth > XML_DEPTH_MAX) {
		refuse(x, "elements are nested too deeply");
		return;
	}
	if (++x->elements > XML_ELEMENTS_MAX) {
		refuse(x, "too many elements");
		return;
	}
	node = xml_alloc(x, sizeof(*node));
	if (!node || !split(x, name, &node->ns, &node->name) || !add_attrs(x, node, attrs)) {
		refuse(x, "out of memory");
		return;
	}
	node->text = (char *)(uintptr_t) "";
	node->line = (unsigned)XML_GetCurrentLineNumber(x->parser);
	node->column = (unsigned)XML_GetCurrentColumnNumber(x->parser) + 1;
	node->parent = x->open;
	if (!x->open)
		x->root = node;
	else if (x->open->last)
		x->open->last->next = node;
	else
		x->open->first = node;
	if (x->open)
		x->open->last = node;
	x->open = node;
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
	struct xml *x = user;

	(void)name;
	if (x->why || !x->open)
		return;
	x->depth--;
	x->open = x->open->parent;
}

/* Expat gives text in pieces: they are put together in memory that doubles, so that many small
 * ones do not cost their square. */
static void XMLCALL on_text(void *user, const XML_Char *bytes, int len)
{
	struct xml *x = user;
	struct xml_node *node = x->open;
	size_t had = node ? node->text_len : 0, add = (size_t)len, cap = 32;
	char *grown;

	if (x->why || !node)
		return;
	while (cap < had + 1)
		cap *= 2;
	if (!had || had + add + 1 > cap) {
		while (cap < had + add + 1)
			cap *= 2;
		grown = xml_alloc(x, cap);
		if (!grown) {
			refuse(x, "out of memory");
			return;
		}
		if (had)
			memcpy(grown, node->text, had);
		node->text = grown;
	}
	memcpy(node->text + had, bytes, add);
	node->text_len = had + add;
	node->text[node->text_len] = '\0';
}

static void XMLCALL on_doctype(void *user, const XML_Char *name, const XML_Char *system,
	const XML_Char *public, int has_internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_internal;
	refuse(user, "a document type declaration is not allowed");
}

/* ---- life ---- */

static void arm(struct xml *x)
{
	XML_SetUserData(x->parser, x);
	XML_SetHashSalt(x->parser, x->salt ? x->salt : 1);
	XML_SetElementHandler(x->parser, on_start, on_end);
	XML_SetCharacterDataHandler(x->parser, on_text);
	XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
	(void)XML_SetParamEntityParsing(x->parser, XML_PARAM_ENTITY_PARSING_NEVER);
}

enum rc xml_new(struct xml **out, unsigned long salt)
{
	static const XML_Memory_Handling_Suite memory = { malloc, wiped_realloc, wiped_free };
	static const char separator[] = { SEPARATOR, '\0' };
	struct xml *x = calloc(1, sizeof(*x));

	if (!x)
		return RC_NOMEM;
	x->salt = salt;
	x->parser = XML_ParserCreate_MM(NULL, &memory, separator);
	if (!x->parser) {
		free(x);
		return RC_NOMEM;
	}
	arm(x);
	*out = x;
	return RC_OK;
}

void xml_free(struct xml *x)
{
	if (!x)
		return;
	xml_clear(x);
	if (x->blocks)
		free(x->blocks);
	XML_ParserFree(x->parser);
	free(x);
}

static const char *why_of(enum XML_Error e)
{
	switch ((int)e) {
	case XML_ERROR_NO_ELEMENTS: return "no element";
	case XML_ERROR_TAG_MISMATCH: return "an end tag does not match its start tag";
	case XML_ERROR_DUPLICATE_ATTRIBUTE: return "an attribute twice";
	case XML_ERROR_JUNK_AFTER_DOC_ELEMENT: return "something follows the instance";
	case XML_ERROR_UNDEFINED_ENTITY: return "an entity that is not XML's own";
	case XML_ERROR_UNKNOWN_ENCODING:
	case XML_ERROR_INCORRECT_ENCODING: return "an encoding that is not UTF-8";
	case XML_ERROR_UNBOUND_PREFIX: return "a prefix without namespace";
	case XML_ERROR_INVALID_TOKEN: return "not well-formed, or not UTF-8";
	default: return "not well-formed";
	}
}

enum rc xml_read(struct xml *x, const void *bytes, size_t len, struct xml_node **root,
	struct xml_fault *fault)
{
	enum XML_Status status;

	xml_clear(x);
	if (!XML_ParserReset(x->parser, NULL))
		return RC_NOMEM;
	arm(x);
	if (len > INT32_MAX) {
		*fault = (struct xml_fault){ 1, 1, "too long" };
		return RC_MALFORMED;
	}
	status = XML_Parse(x->parser, bytes, (int)len, XML_TRUE);
	if (x->nomem || XML_GetErrorCode(x->parser) == XML_ERROR_NO_MEMORY)
		return RC_NOMEM;
	if (status == XML_STATUS_OK && x->root) {
		*root = x->root;
		return RC_OK;
	}
	if (x->why) {
		*fault = (struct xml_fault){ x->line, x->column, x->why };
		return RC_MALFORMED;
	}
	*fault = (struct xml_fault){ (unsigned)XML_GetCurrentLineNumber(x->parser),
		(unsigned)XML_GetCurrentColumnNumber(x->parser) + 1,
		why_of(XML_GetErrorCode(x->parser)) };
	return RC_MALFORMED;
}

/* ---- looking ---- */

struct xml_node *xml_child(const struct xml_node *node, const char *name)
{
	for (struct xml_node *c = node->first; c; c = c->next)
		if (strcmp(c->name, name) == 0 && strcmp(c->ns, node->ns) == 0)
			return c;
	return NULL;
}

const char *xml_child_text(const struct xml_node *node, const char *name)
{
	const struct xml_node *c = xml_child(node, name);

	return c ? c->text : NULL;
}

struct xml_node *xml_next_same(const struct xml_node *node)
{
	for (struct xml_node *c = node->next; c; c = c->next)
		if (strcmp(c->name, node->name) == 0 && strcmp(c->ns, node->ns) == 0)
			return c;
	return NULL;
}

const char *xml_attr(const struct xml_node *node, const char *name)
{
	for (const struct xml_attr *a = node->attrs; a; a = a->next)
		if (!*a->ns && strcmp(a->name, name) == 0)
			return a->value;
	return NULL;
}
