/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the bytes of one frame to a small tree, through expat. Refuses every document type
 * declaration, and with it every entity that is not XML's own; bounds depth, elements and
 * attributes while it reads. Fetches nothing, knows nothing of EPP. What it keeps of a frame is
 * wiped when it is freed: passwords are in it. */

#include "base/diag.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>

/* EPP's own grammar is six deep; a check of many names is the widest. */
#define XML_DEPTH_MAX	 24
#define XML_ELEMENTS_MAX 4000
#define XML_ATTRS_MAX	 16  /* of one element */
#define XML_NAME_MAX	 256 /* namespace and name */

struct xml_attr {
	struct xml_attr *next;
	const char *ns; /* "": none */
	const char *name;
	char *value;
};

struct xml_node {
	struct xml_node *parent, *first, *last, *next;
	const char *ns; /* "": none */
	const char *name;
	struct xml_attr *attrs;
	char *text;	       /* its own character data in one piece, never NULL */
	size_t text_len;       /* without the NUL */
	unsigned line, column; /* of its start tag, from 1 */
	bool secret;	       /* the grammar says so: its text is shown nowhere */
	bool plain;	       /* the grammar knows it, and its text is not secret */
	bool known;	       /* the grammar knows its attributes */
};

struct xml_fault {
	unsigned line, column;
	const char *why; /* static text */
};

struct xml; /* a reader that is used again and again */

/* `salt` keeps attackers from choosing attribute names that collide. */
enum rc xml_new(struct xml **out, unsigned long salt) ATT_MUST_CHECK;
void xml_free(struct xml *x);

/* The tree lives until the next xml_read, xml_clear or xml_free. RC_MALFORMED (*fault says where
 * and why), RC_NOMEM. */
enum rc xml_read(struct xml *x, const void *bytes, size_t len, struct xml_node **root,
	struct xml_fault *fault) ATT_MUST_CHECK;
void xml_clear(struct xml *x);

/* Memory that lives as long as the tree, zeroed; NULL when out of it. */
void *xml_alloc(struct xml *x, size_t len);

/* The first child of that name in the parent's namespace; NULL when there is none. */
struct xml_node *xml_child(const struct xml_node *node, const char *name);
/* Its text; NULL when there is no such child. */
const char *xml_child_text(const struct xml_node *node, const char *name);
/* The next sibling of the same name. */
struct xml_node *xml_next_same(const struct xml_node *node);
/* The value of an attribute without namespace; NULL when there is none. */
const char *xml_attr(const struct xml_node *node, const char *name);
