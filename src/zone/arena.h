/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that lives as long as one batch: blocks that never move, freed together. */

#include <stddef.h>
#include <stdint.h>

struct arena_block;
struct arena {
	struct arena_block *first;
};

/* `len` octets, aligned for any type, or NULL when memory is out. */
void *arena_alloc(struct arena *a, size_t len);
void *arena_dup(struct arena *a, const void *bytes, size_t len);
/* Frees all; the arena is empty and usable again. */
void arena_free(struct arena *a);
