/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writes one XML instance: elements that close in order, text that is escaped, names that are
 * ours. Memory grows by doubling and is wiped: transfer codes leave through it. The first failure
 * is remembered, so a writer checks once at the end. */

#include "base/compiler.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct out {
	char *bytes;
	size_t len, cap;
	bool bad;
};

void out_free(struct out *o);
void out_raw(struct out *o, const char *text);
void out_bytes(struct out *o, const void *bytes, size_t len);
/* Character data; what XML 1.0 cannot carry becomes '?'. */
void out_text(struct out *o, const char *text);

/* "<name>" ... "</name>"; `attrs` is markup of ours (" x=\"1\""), "" for none. */
void out_open(struct out *o, const char *name, const char *attrs);
void out_close(struct out *o, const char *name);
void out_leaf(struct out *o, const char *name, const char *text);
/* Nothing at all when the text is "" or NULL. */
void out_leaf_if(struct out *o, const char *name, const char *text);
void out_leaf_uint(struct out *o, const char *name, uint64_t value);
void out_leaf_time(struct out *o, const char *name, int64_t unix_s);
void out_leaf_b64(struct out *o, const char *name, const void *bytes, size_t len);
void out_fmt(struct out *o, const char *fmt, ...) ATT_PRINTF(2, 3); /* markup of ours, short */

#define EPP_TIME_TEXT 24
/* 2026-11-23T18:00:00Z */
void out_time_text(int64_t unix_s, char text[EPP_TIME_TEXT]);
