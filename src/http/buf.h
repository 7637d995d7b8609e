/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes that arrived and have not been used yet: a queue in one piece of
 * memory, wiped as it is given up. */

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *bytes; /* NULL while nothing was ever put in */
	size_t start;	/* of what is there */
	size_t end;
	size_t cap;
};

static inline const uint8_t *buf_at(const struct buf *b)
{
	return b->bytes + b->start;
}

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

/* Room for `len` more bytes behind the end; then move `end` on. RC_NOMEM. */
enum rc buf_reserve(struct buf *b, size_t len) ATT_MUST_CHECK;
enum rc buf_add(struct buf *b, const void *bytes, size_t len) ATT_MUST_CHECK;
/* Drops the first `len` bytes and wipes them. */
void buf_drop(struct buf *b, size_t len);
/* Wipes and frees all of it; good for use again. */
void buf_free(struct buf *b);
