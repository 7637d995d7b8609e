/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_LEN 65536u

struct zone__arena_block {
	struct zone__arena_block *next;
	size_t cap;
	size_t used;
	alignas(max_align_t) uint8_t bytes[];
};

void *zone__arena_alloc(struct zone__arena *a, size_t len)
{
	struct zone__arena_block *b = a->first;
	void *p;

	len = (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!b || b->cap - b->used < len) {
		size_t cap = len > BLOCK_LEN ? len : BLOCK_LEN;

		b = malloc(sizeof(*b) + cap);
		if (!b)
			return NULL;
		b->cap = cap;
		b->used = 0;
		b->next = a->first;
		a->first = b;
	}
	p = b->bytes + b->used;
	b->used += len;
	return p;
}

void *zone__arena_dup(struct zone__arena *a, const void *bytes, size_t len)
{
	void *p = zone__arena_alloc(a, len ? len : 1);

	if (p && len)
		memcpy(p, bytes, len);
	return p;
}

void zone__arena_free(struct zone__arena *a)
{
	struct zone__arena_block *b = a->first;

	while (b) {
		struct zone__arena_block *next = b->next;

		free(b);
		b = next;
	}
	a->first = NULL;
}
