/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that lives and dies with one request: parse trees, replies, lists. Nothing is freed
 * alone; the first failure is remembered, so a builder may check once at its end. */

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* owned; newest first */
	char *at;		    /* free bytes of the newest block */
	size_t left;
	size_t total; /* bytes taken from the system */
	size_t max;   /* refuse beyond this */
	bool failed;
};

/* An empty arena that will not take more than `max` bytes in all. */
struct arena arena_init(size_t max);
void arena_fini(struct arena *a);

/* Zeroed memory, aligned for any type; NULL when it would exceed `max` or memory is out. */
void *arena_alloc(struct arena *a, size_t len);
void *arena_array(struct arena *a, size_t count, size_t size);
void *arena_dup(struct arena *a, const void *bytes, size_t len);
char *arena_str(struct arena *a, const char *text);
char *arena_printf(struct arena *a, const char *fmt, ...) ATT_PRINTF(2, 3);
