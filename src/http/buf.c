/* SPDX-License-Identifier: Apache-2.0 */
#include "http/buf.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

enum { BUF_MIN = 2048 };

enum rc buf_reserve(struct buf *b, size_t len)
{
	size_t used = buf_len(b), cap = b->cap ? b->cap : BUF_MIN;
	uint8_t *bytes;

	if (b->cap - b->end >= len)
		return RC_OK;
	if (b->cap >= used + len && b->start >= b->cap / 2) {
		memmove(b->bytes, b->bytes + b->start, used);
		b->start = 0;
		b->end = used;
		return RC_OK;
	}
	while (cap < used + len) {
		if (cap > SIZE_MAX / 2)
			return RC_NOMEM;
		cap *= 2;
	}
	bytes = malloc(cap);
	if (!bytes)
		return RC_NOMEM;
	if (b->bytes) {
		memcpy(bytes, b->bytes + b->start, used);
		mem_wipe(b->bytes, b->end);
		free(b->bytes);
	}
	*b = (struct buf){ .bytes = bytes, .end = used, .cap = cap };
	return RC_OK;
}

enum rc buf_add(struct buf *b, const void *bytes, size_t len)
{
	enum rc rc = buf_reserve(b, len);

	if (rc == RC_OK) {
		memcpy(b->bytes + b->end, bytes, len);
		b->end += len;
	}
	return rc;
}

void buf_drop(struct buf *b, size_t len)
{
	if (!len)
		return;
	mem_wipe(b->bytes + b->start, len);
	b->start += len;
	if (b->start == b->end)
		b->start = b->end = 0;
}

void buf_free(struct buf *b)
{
	if (b->bytes)
		mem_wipe(b->bytes, b->cap);
	free(b->bytes);
	*b = (struct buf){ 0 };
}
