/* SPDX-License-Identifier: Apache-2.0 */
#include "base/put.h"

uint8_t *put_reserve(struct put *p, size_t len)
{
	if (p->bad || len > p->cap - p->len) {
		p->bad = true;
		return NULL;
	}
	uint8_t *at = p->buf + p->len;
	p->len += len;
	return at;
}

static void write_be(struct put *p, uint64_t v, size_t len)
{
	uint8_t *at = put_reserve(p, len);

	for (size_t i = 0; at && i < len; i++)
		at[i] = (uint8_t)(v >> (8 * (len - 1 - i)));
}

void put_u8(struct put *p, uint8_t v)
{
	write_be(p, v, 1);
}

void put_u16(struct put *p, uint16_t v)
{
	write_be(p, v, 2);
}

void put_u24(struct put *p, uint32_t v)
{
	write_be(p, v, 3);
}

void put_u32(struct put *p, uint32_t v)
{
	write_be(p, v, 4);
}

void put_u64(struct put *p, uint64_t v)
{
	write_be(p, v, 8);
}

void put_bytes(struct put *p, const void *src, size_t len)
{
	const uint8_t *s = src;
	uint8_t *at = put_reserve(p, len);

	for (size_t i = 0; at && i < len; i++)
		at[i] = s[i];
}

void put_str(struct put *p, const char *s)
{
	for (; *s; s++)
		put_u8(p, (uint8_t)*s);
}
