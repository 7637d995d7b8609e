/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MIN 4000 /* with malloc's header, one page */

struct arena_block {
	struct arena_block *next;
	max_align_t bytes[];
};

struct arena arena_init(size_t max)
{
	return (struct arena){ .max = max };
}

void arena_fini(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
	*a = arena_init(a->max);
}

static bool grow(struct arena *a, size_t need)
{
	size_t len = need > BLOCK_MIN ? need : BLOCK_MIN;
	struct arena_block *b;

	if (len > a->max || a->total > a->max - len)
		return false;
	b = malloc(sizeof(*b) + len);
	if (!b)
		return false;
	b->next = a->blocks;
	a->blocks = b;
	a->at = (char *)b->bytes;
	a->left = len;
	a->total += len;
	return true;
}

void *arena_alloc(struct arena *a, size_t len)
{
	const size_t align = _Alignof(max_align_t);
	void *out;

	if (len > SIZE_MAX - align) {
		a->failed = true;
		return NULL;
	}
	len = (len + align - 1) / align * align;
	if (len == 0)
		len = align;
	if (len > a->left && !grow(a, len)) {
		a->failed = true;
		return NULL;
	}
	out = a->at;
	a->at += len;
	a->left -= len;
	return memset(out, 0, len);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size) {
		a->failed = true;
		return NULL;
	}
	return arena_alloc(a, count * size);
}

void *arena_dup(struct arena *a, const void *bytes, size_t len)
{
	void *out = arena_alloc(a, len);

	if (out && len)
		memcpy(out, bytes, len);
	return out;
}

char *arena_str(struct arena *a, const char *text)
{
	return arena_dup(a, text, strlen(text) + 1);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *out;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0) {
		a->failed = true;
		return NULL;
	}
	out = arena_alloc(a, (size_t)len + 1);
	if (!out)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(out, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return out;
}
