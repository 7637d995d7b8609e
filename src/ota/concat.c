/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/concat.h"

#include "ota/internal.h"

#include <string.h>

/* What a user data header says (3GPP TS 23.040 section 9.2.3.24). */
struct header {
	bool command;
	bool concat;
	uint16_t ref;
	uint8_t total;
	uint8_t index;
};

enum rc concat_split(const uint8_t *packet, size_t len, uint8_t ref,
	struct concat_sms out[SCP80_PARTS_MAX], size_t *count)
{
	struct cur c = cur_init(packet, len);
	size_t total = 1;

	if (len == 0 || len > SCP80_PACKET_MAX)
		return RC_TOO_LARGE;
	if (len > SCP80_UD_MAX - 3)
		total += (len - SCP80_FIRST_MAX + SCP80_NEXT_MAX - 1) / SCP80_NEXT_MAX;
	for (size_t i = 0; i < total; i++) {
		struct put p = put_init(out[i].ud, sizeof(out[i].ud));
		size_t chunk;

		put_u8(&p, (uint8_t)((total > 1 ? 5 : 0) + (i == 0 ? 2 : 0)));
		if (total > 1) {
			put_u8(&p, SCP80__IE_CONCAT);
			put_u8(&p, 3);
			put_u8(&p, ref);
			put_u8(&p, (uint8_t)total);
			put_u8(&p, (uint8_t)(i + 1));
		}
		if (i == 0) {
			put_u8(&p, SCP80__IE_COMMAND);
			put_u8(&p, 0);
		}
		chunk = SCP80_UD_MAX - p.len < c.left ? SCP80_UD_MAX - p.len : c.left;
		put_bytes(&p, cur_bytes(&c, chunk), chunk);
		out[i].len = p.len;
	}
	*count = total;
	return RC_OK;
}

void concat_join_reset(struct concat_join *join)
{
	memset(join, 0, sizeof(*join));
}

static bool read_header(struct cur *c, struct header *out)
{
	struct cur ies = cur_take(c, cur_u8(c));
	struct header h = { .total = 1, .index = 1 };

	while (!ies.bad && ies.left > 0) {
		uint8_t id = cur_u8(&ies);
		struct cur ie = cur_take(&ies, cur_u8(&ies));

		if (id == SCP80__IE_COMMAND && ie.left == 0) {
			h.command = true;
		} else if (id == SCP80__IE_CONCAT || id == SCP80__IE_CONCAT_16) {
			h.concat = true;
			h.ref = id == SCP80__IE_CONCAT ? cur_u8(&ie) : cur_u16(&ie);
			h.total = cur_u8(&ie);
			h.index = cur_u8(&ie);
			if (!cur_done(&ie))
				return false;
		}
	}
	if (ies.bad || c->bad || h.total == 0 || h.total > SCP80_PARTS_MAX || h.index == 0 ||
		h.index > h.total)
		return false;
	*out = h;
	return true;
}

/* The packet that this part belongs to; a new one takes a free place, or the oldest. */
static struct concat_packet *find_packet(struct concat_join *join, const struct header *h)
{
	struct concat_packet *oldest = &join->packets[0];

	for (size_t i = 0; i < CONCAT_JOINS; i++) {
		struct concat_packet *p = &join->packets[i];

		if (p->total == h->total && p->ref == h->ref)
			return p;
		if (p->used < oldest->used)
			oldest = p;
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->ref = h->ref;
	oldest->total = h->total;
	return oldest;
}

enum rc concat_join_add(struct concat_join *join, const uint8_t *ud, size_t ud_len, struct put *out)
{
	struct cur c = cur_init(ud, ud_len);
	struct concat_packet *p;
	struct header h;

	if (ud_len > SCP80_UD_MAX || !read_header(&c, &h) || c.left == 0)
		return RC_MALFORMED;
	/* Only the first part carries the packet's own header element (TS 31.115 section 4.2). */
	if (h.index == 1 && !h.command)
		return RC_UNSUPPORTED;
	if (h.total == 1) {
		put_bytes(out, c.at, c.left);
		return put_ok(out) ? RC_OK : RC_TOO_LARGE;
	}
	p = find_packet(join, &h);
	p->used = ++join->clock;
	if (p->have & 1u << (h.index - 1))
		return RC_TRUNCATED;
	p->have |= 1u << (h.index - 1);
	p->len[h.index - 1] = (uint8_t)c.left;
	cur_copy(&c, p->part[h.index - 1], c.left);
	if (p->have != (1u << p->total) - 1)
		return RC_TRUNCATED;
	for (size_t i = 0; i < p->total; i++)
		put_bytes(out, p->part[i], p->len[i]);
	memset(p, 0, sizeof(*p));
	return put_ok(out) ? RC_OK : RC_TOO_LARGE;
}
