/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cur.h"

const uint8_t *cur_bytes(struct cur *c, size_t len)
{
	static const uint8_t nothing[1];
	const uint8_t *at = c->at;

	if (c->bad || len > c->left) {
		cur_fail(c);
		return NULL;
	}
	if (len == 0)
		return at ? at : nothing;
	c->at += len;
	c->left -= len;
	return at;
}

static uint64_t read_be(struct cur *c, size_t len)
{
	const uint8_t *p = cur_bytes(c, len);
	uint64_t v = 0;

	for (size_t i = 0; p && i < len; i++)
		v = v << 8 | p[i];
	return v;
}

uint8_t cur_u8(struct cur *c)
{
	return (uint8_t)read_be(c, 1);
}

uint16_t cur_u16(struct cur *c)
{
	return (uint16_t)read_be(c, 2);
}

uint32_t cur_u24(struct cur *c)
{
	return (uint32_t)read_be(c, 3);
}

uint32_t cur_u32(struct cur *c)
{
	return (uint32_t)read_be(c, 4);
}

uint64_t cur_u64(struct cur *c)
{
	return read_be(c, 8);
}

int cur_peek(const struct cur *c)
{
	return c->bad || c->left == 0 ? -1 : c->at[0];
}

struct cur cur_take(struct cur *c, size_t len)
{
	const uint8_t *p = cur_bytes(c, len);

	if (!p)
		return (struct cur){ .bad = true };
	return cur_init(p, len);
}

void cur_copy(struct cur *c, void *out, size_t len)
{
	const uint8_t *p = cur_bytes(c, len);
	uint8_t *o = out;

	for (size_t i = 0; i < len; i++)
		o[i] = p ? p[i] : 0;
}

void cur_skip(struct cur *c, size_t len)
{
	(void)cur_bytes(c, len);
}
