/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that lives as long as one batch: blocks that never move, freed together. */

#include <stddef.h>
#include <stdint.h>

struct zone__arena_block;
struct zone__arena {
	struct zone__arena_block *first;
};

/* `len` octets, aligned for any type, or NULL when memory is out. */
void *zone__arena_alloc(struct zone__arena *a, size_t len);
void *zone__arena_dup(struct zone__arena *a, const void *bytes, size_t len);
/* Frees all; the arena is empty and usable again. */
void zone__arena_free(struct zone__arena *a);
