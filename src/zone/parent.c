/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/parent.h"

#include "base/cur.h"
#include "base/put.h"
#include "zone/rr.h"

#include <string.h>

#define FLAG_QR	   0x8000u
#define FLAG_AA	   0x0400u
#define FLAG_TC	   0x0200u
#define RCODE_MASK 0x000fu
#define RECORDS	   256u

void parent_question(const struct zone_name *zone, uint16_t id, uint8_t *out, size_t *len)
{
	struct put p = put_init(out, PARENT_QUESTION_MAX);

	put_u16(&p, id);
	put_u16(&p, 0); /* a query; no recursion wanted: its own data */
	put_u16(&p, 1);
	put_u16(&p, 0);
	put_u32(&p, 0);
	put_bytes(&p, zone->wire, zone->len);
	put_u16(&p, RR_DS);
	put_u16(&p, RR_IN);
	*len = p.len;
}

/* RFC 1035 section 4.1.4: a pointer ends a name; where it points to does not matter here but for
 * the question's name, which stands at octet 12. *ours: whether it is that name. */
static void skip_name(struct cur *c, const struct zone_name *zone, bool *ours)
{
	struct zone_name name = { 0 };

	*ours = false;
	for (;;) {
		uint8_t n = cur_u8(c);

		if (c->bad)
			return;
		if ((n & 0xc0) == 0xc0) {
			*ours = cur_u8(c) == 12 && n == 0xc0 && name.len == 0;
			return;
		}
		if (n > 63 || name.len + n + 1u >= ZONE_NAME_MAX) {
			cur_fail(c);
			return;
		}
		name.wire[name.len++] = n;
		cur_copy(c, name.wire + name.len, n);
		name.len = (uint8_t)(name.len + n);
		if (n == 0)
			break;
	}
	zone_name_lower(&name);
	*ours = name.len == zone->len && memcmp(name.wire, zone->wire, name.len) == 0;
}

static enum rc check_head(
	struct cur *c, const struct zone_name *zone, uint16_t id, unsigned *count, struct diag *d)
{
	uint16_t got = cur_u16(c), flags = cur_u16(c), questions = cur_u16(c);
	bool ours = false;

	*count = cur_u16(c);
	cur_skip(c, 4);
	if (questions == 1)
		skip_name(c, zone, &ours);
	if (cur_u16(c) != RR_DS || cur_u16(c) != RR_IN)
		ours = false;
	if (c->bad || !(flags & FLAG_QR) || *count > RECORDS)
		return diag_set(d, RC_MALFORMED, "not an answer (RFC 1035 section 4.1)");
	if (got != id || !ours)
		return diag_set(d, RC_DENIED, "an answer to another question");
	if (flags & RCODE_MASK)
		return diag_set(d, RC_DENIED, "response code %u", flags & RCODE_MASK);
	if (!(flags & FLAG_AA) || (flags & FLAG_TC))
		return diag_set(d, RC_DENIED, "not authoritative, or not whole");
	return RC_OK;
}

enum rc parent_answer(const uint8_t *msg, size_t len, const struct zone_name *zone, uint16_t id,
	struct parent_ds *out, struct diag *d)
{
	struct cur c = cur_init(msg, len);
	struct parent_ds p = { 0 };
	unsigned count = 0;
	enum rc rc = check_head(&c, zone, id, &count, d);

	for (unsigned i = 0; rc == RC_OK && i < count; i++) {
		bool ours;
		uint16_t type, class;
		uint32_t ttl;
		struct cur rdata;

		skip_name(&c, zone, &ours);
		type = cur_u16(&c);
		class = cur_u16(&c);
		ttl = cur_u32(&c);
		rdata = cur_take(&c, cur_u16(&c));
		if (c.bad)
			return diag_set(d, RC_MALFORMED, "an answer that breaks off");
		if (!ours || type != RR_DS || class != RR_IN)
			continue;
		if (ttl > p.ttl)
			p.ttl = ttl;
		if (rdata.left != DS_LEN || rdata.at[3] != 2)
			continue;
		if (p.count == PARENT_DS_MAX)
			return diag_set(d, RC_TOO_LARGE, "more than %u DS", PARENT_DS_MAX);
		cur_copy(&rdata, p.ds[p.count++], DS_LEN);
	}
	if (rc == RC_OK)
		*out = p;
	return rc;
}
