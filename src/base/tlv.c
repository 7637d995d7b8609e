/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tlv.h"

#define LEN_MAX 0xffffff /* three length bytes */

static bool read_len(struct cur *c, enum tlv_rules rules, size_t *len)
{
	uint8_t first = cur_u8(c);

	switch (first) {
	case 0x81: *len = cur_u8(c); break;
	case 0x82: *len = cur_u16(c); break;
	case 0x83: *len = cur_u24(c); break;
	default:
		if (first & 0x80)
			return false;
		*len = first;
		return !c->bad;
	}
	if (c->bad)
		return false;
	return rules == TLV_ISO || tlv_len_size(*len) == (size_t)(first & 0x7f) + 1;
}

bool tlv_read(struct cur *c, enum tlv_rules rules, struct tlv *out)
{
	uint8_t tag = cur_u8(c);
	size_t len = 0;
	struct cur value;

	if (!read_len(c, rules, &len)) {
		cur_fail(c);
		return false;
	}
	value = cur_take(c, len);
	if (value.bad)
		return false;
	*out = (struct tlv){ .tag = tag, .value = value };
	return true;
}

struct cur tlv_expect(struct cur *c, enum tlv_rules rules, uint8_t tag)
{
	struct tlv t;

	if (tlv_read(c, rules, &t) && t.tag == tag)
		return t.value;
	cur_fail(c);
	return (struct cur){ .bad = true };
}

size_t tlv_len_size(size_t len)
{
	if (len < 0x80)
		return 1;
	if (len < 0x100)
		return 2;
	return len < 0x10000 ? 3 : 4;
}

size_t tlv_size(size_t value_len)
{
	return 1 + tlv_len_size(value_len) + value_len;
}

static void put_len(struct put *p, size_t len)
{
	switch (tlv_len_size(len)) {
	case 1: put_u8(p, (uint8_t)len); break;
	case 2:
		put_u8(p, 0x81);
		put_u8(p, (uint8_t)len);
		break;
	case 3:
		put_u8(p, 0x82);
		put_u16(p, (uint16_t)len);
		break;
	default:
		put_u8(p, 0x83);
		put_u24(p, (uint32_t)len);
		break;
	}
}

void tlv_put_head(struct put *p, uint8_t tag, size_t len)
{
	if (len > LEN_MAX) {
		p->bad = true;
		return;
	}
	put_u8(p, tag);
	put_len(p, len);
}

void tlv_put(struct put *p, uint8_t tag, const void *value, size_t len)
{
	tlv_put_head(p, tag, len);
	put_bytes(p, value, len);
}

size_t tlv_open(struct put *p, uint8_t tag)
{
	put_u8(p, tag);
	return p->len;
}

void tlv_close(struct put *p, size_t mark)
{
	size_t len = p->len - mark;
	size_t extra = tlv_len_size(len);
	struct put head;

	if (len > LEN_MAX || !put_reserve(p, extra)) {
		p->bad = true;
		return;
	}
	for (size_t i = len; i > 0; i--)
		p->buf[mark + extra + i - 1] = p->buf[mark + i - 1];
	head = put_init(p->buf + mark, extra);
	put_len(&head, len);
}
