/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The write cursor, twin of cur.h: writes into the caller's buffer, remembers
 * the first write that did not fit. Freestanding. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct put {
	uint8_t *buf;
	size_t cap;
	size_t len; /* bytes written so far; stays at the last good length once bad */
	bool bad;
};

static inline struct put put_init(void *buf, size_t cap)
{
	return (struct put){ .buf = buf, .cap = cap };
}

void put_u8(struct put *p, uint8_t v);
void put_u16(struct put *p, uint16_t v); /* big-endian, as all below */
void put_u24(struct put *p, uint32_t v);
void put_u32(struct put *p, uint32_t v);
void put_u64(struct put *p, uint64_t v);
void put_bytes(struct put *p, const void *src, size_t len); /* src may be NULL when len is 0 */
void put_str(struct put *p, const char *s);		    /* without the NUL */

/* Reserves `len` bytes to be filled in later; NULL (and bad) when they do not fit. */
uint8_t *put_reserve(struct put *p, size_t len);

static inline bool put_ok(const struct put *p)
{
	return !p->bad;
}
