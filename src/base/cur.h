/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The read cursor: the only way hand-written parsers touch untrusted bytes.
 * Freestanding: no allocation, no libc files. */

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bounded, read-only view of bytes someone else owns. After the first read
 * that does not fit, `bad` stays set and every later read yields zero. */
struct cur {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static inline struct cur cur_init(const void *buf, size_t len)
{
	return (struct cur){ .at = buf, .left = len, .bad = false };
}

/* Marks the cursor as failed; what is left becomes nothing. */
static inline void cur_fail(struct cur *c)
{
	c->bad = true;
	c->left = 0;
}

uint8_t cur_u8(struct cur *c);
uint16_t cur_u16(struct cur *c); /* big-endian, as all below */
uint32_t cur_u24(struct cur *c);
uint32_t cur_u32(struct cur *c);
uint64_t cur_u64(struct cur *c);

/* The next byte without moving, or -1 at the end or when bad. */
int cur_peek(const struct cur *c);

/* A child bounded to the next `len` bytes; the parent moves past them. A child
 * of a bad parent, or one that does not fit, is bad and empty. */
struct cur cur_take(struct cur *c, size_t len);

/* The next `len` bytes, borrowed; NULL (and bad) when they are not there.
 * len = 0 yields a non-NULL pointer that must not be read. */
const uint8_t *cur_bytes(struct cur *c, size_t len);

/* Copies `len` bytes; zeros when they are not there. */
void cur_copy(struct cur *c, void *out, size_t len);

void cur_skip(struct cur *c, size_t len);

/* True when nothing failed and nothing is left: the end of every parser. */
static inline bool cur_done(const struct cur *c)
{
	return !c->bad && c->left == 0;
}
