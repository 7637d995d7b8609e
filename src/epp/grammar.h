/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an instance must look like, as tables: the strict half of a schema validator, enough for
 * the grammars of EPP and of our mappings (all of them sequences and choices). It says which
 * element is wrong, where, and by which result code. Tokens are collapsed in place as XSD does. */

#include "epp/xml.h"

#include <stdint.h>

enum gram_kind {
	GRAM_TOKEN, /* white space collapsed; min..max characters */
	GRAM_NORM,  /* normalizedString: tabs and line ends become spaces */
	GRAM_UINT,  /* min..max is its range */
	GRAM_BOOL,
	GRAM_B64,      /* min..max bytes when decoded */
	GRAM_HEX,      /* the same */
	GRAM_DATETIME, /* RFC 3339 in UTC */
	GRAM_EMPTY,    /* nothing inside */
	GRAM_SEQ,
	GRAM_CHOICE, /* exactly one of the parts */
	GRAM_ANY,    /* one element of another namespace (part of a command) */
	GRAM_SKIP    /* looked into later */
};

struct gram_attr {
	const char *name; /* NULL ends */
	bool required;
	const char *const *values; /* NULL ends; NULL: any token */
};

struct gram_part;

struct gram_type {
	enum gram_kind kind;
	uint32_t min, max;	       /* max 0: no bound but the frame's */
	const char *const *values;     /* the only ones allowed; NULL ends */
	const struct gram_part *parts; /* of GRAM_SEQ and GRAM_CHOICE */
	const struct gram_attr *attrs; /* NULL: none */
	bool (*ok)(const char *text);  /* a form of its own */
	const char *form;	       /* in words, for the reason */
	bool secret;
};

struct gram_part {
	const char *name; /* NULL ends */
	const struct gram_type *type;
	uint16_t min, max;
};

#define GRAM_REASON_MAX 160

struct gram_fault {
	unsigned code;		     /* RFC 5730 section 3: 2001, 2003, 2004, 2005 */
	const struct xml_node *node; /* the element at fault */
	const char *missing; /* for 2003: the name of what is not there, a child of `node` */
	char why[GRAM_REASON_MAX];
};

/* Whether `node` is of the type. False: *fault says why. */
bool gram_check(struct xml_node *node, const struct gram_type *type, struct gram_fault *fault);

bool gram_fault(struct gram_fault *fault, unsigned code, const struct xml_node *node,
	const char *fmt, ...) ATT_PRINTF(4, 5); /* always false */
