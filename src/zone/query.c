/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/query.h"

#include "zone/rr.h"

#include <string.h>

/* Hops in one compressed owner name; a name has at most 127 labels. */
#define POINTERS_MAX 127

/* Steps over an owner name that may be compressed (RFC 1035 section 4.1.4): pointers go back
 * only, so they end. Returns the length of the uncompressed name, or 0. */
static size_t skip_owner(struct cur *c, const uint8_t *wire)
{
	struct cur walk;
	const uint8_t *limit;
	size_t total = 0;
	bool jumped = false;

	walk = *c;
	limit = c->at;
	for (int hops = 0; hops < POINTERS_MAX;) {
		const uint8_t *here = walk.at;
		uint8_t l = cur_u8(&walk);

		if (walk.bad)
			return 0;
		if (l >= 0xc0) {
			size_t to = (size_t)(l & 0x3f) << 8 | cur_u8(&walk);

			if (walk.bad || wire + to >= limit || here < wire)
				return 0;
			if (!jumped)
				*c = walk;
			jumped = true;
			limit = wire + to;
			walk = cur_init(wire + to, (size_t)(c->at + c->left - (wire + to)));
			hops++;
			continue;
		}
		if (l > ZONE_LABEL_MAX || (total += 1u + l) > ZONE_NAME_MAX)
			return 0;
		cur_skip(&walk, l);
		if (walk.bad)
			return 0;
		if (l == 0)
			break;
	}
	if (!jumped)
		*c = walk;
	return total;
}

#define OPTION_NSID	 3u
#define OPTION_COOKIE	 10u
#define OPTION_KEEPALIVE 11u
#define OPTION_PADDING	 12u

/* False: FORMERR. */
static bool read_option(struct query *q, uint16_t code, struct cur option)
{
	switch (code) {
	case OPTION_NSID: q->nsid = true; return true;
	case OPTION_KEEPALIVE: q->keepalive = option.left == 0; return true;
	case OPTION_PADDING: q->padding = true; return true;
	case OPTION_COOKIE:
		/* RFC 7873 section 5.2.2. */
		if (option.left != 8 && (option.left < 16 || option.left > 40))
			return false;
		if (!q->cookie) {
			q->cookie = option.at;
			q->cookie_len = (uint8_t)option.left;
		}
		return true;
	default: return true;
	}
}

/* The OPT record's fixed part (RFC 6891 section 6.1.2) and the form of its options. */
static bool read_opt(
	struct query *q, size_t owner_len, uint16_t class, uint32_t ttl, struct cur rdata)
{
	if (q->edns || owner_len != 1)
		return false;
	q->edns = true;
	q->udp_size = class;
	q->edns_version = (uint8_t)(ttl >> 16);
	q->dnssec_ok = (ttl & 0x8000u) != 0;
	while (rdata.left > 0 && !rdata.bad) {
		uint16_t code = cur_u16(&rdata);
		struct cur option = cur_take(&rdata, cur_u16(&rdata));

		if (rdata.bad || !read_option(q, code, option))
			return false;
	}
	return !rdata.bad;
}

/* Octets of mname and rname are stepped over; in a request both may be compressed. */
static void read_serial(struct query *q, struct cur rdata)
{
	if (skip_owner(&rdata, q->wire) == 0 || skip_owner(&rdata, q->wire) == 0)
		return;
	q->serial = cur_u32(&rdata);
	q->has_serial = !rdata.bad;
}

static bool read_record(struct query *q, struct cur *c, unsigned section, bool last)
{
	bool additional = section == 2;
	size_t at = (size_t)(c->at - q->wire);
	size_t owner_len = skip_owner(c, q->wire);
	uint16_t type = cur_u16(c);
	uint16_t class = cur_u16(c);
	uint32_t ttl = cur_u32(c);
	struct cur rdata = cur_take(c, cur_u16(c));

	if (owner_len == 0 || c->bad)
		return false;
	if (type == RR_OPT)
		return additional && read_opt(q, owner_len, class, ttl, rdata);
	if (type == RR_TSIG) {
		q->signed_request = additional && last;
		q->tsig_at = at;
		return q->signed_request;
	}
	if (type == RR_SOA && section == 1)
		read_serial(q, rdata);
	return true;
}

static bool read_question(struct query *q, struct cur *c)
{
	struct zone_name unused;
	const uint8_t *start = c->at;

	if (zone_name_parse(c, &unused) != RC_OK)
		return false;
	q->qname = start;
	q->qname_len = unused.len;
	q->qtype = cur_u16(c);
	q->qclass = cur_u16(c);
	if (c->bad)
		return false;
	q->has_question = true;
	q->question_end = (size_t)(c->at - q->wire);
	return true;
}

static bool read_body(struct query *q, struct cur *c, uint16_t qd, const uint16_t count[3])
{
	if (qd > 1 || (qd == 1 && !read_question(q, c)))
		return false;
	for (unsigned section = 0; section < 3; section++)
		for (unsigned i = 0; i < count[section]; i++)
			if (!read_record(q, c, section, i + 1 == count[section]))
				return false;
	return cur_done(c);
}

enum rc query_parse(const uint8_t *wire, size_t len, struct query *out)
{
	struct cur c = cur_init(wire, len);
	struct query q = { .wire = wire, .len = len, .question_end = DNS_HEADER_LEN };
	uint16_t count[3];
	uint16_t qd;

	cur_u16(&c);
	q.flags = cur_u16(&c);
	qd = cur_u16(&c);
	count[0] = cur_u16(&c);
	count[1] = cur_u16(&c);
	count[2] = cur_u16(&c);
	if (c.bad || (q.flags & DNS_QR))
		return RC_MALFORMED;
	q.opcode = (uint8_t)((q.flags & DNS_OPCODE) >> 11);
	q.malformed = !read_body(&q, &c, qd, count);
	/* Nothing to answer to. Several questions are FORMERR (RFC 9619 section 4). */
	if (q.malformed && qd <= 1 && !q.has_question)
		return RC_MALFORMED;
	*out = q;
	return RC_OK;
}
