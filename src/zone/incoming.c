/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/incoming.h"

#include "base/put.h"
#include "zone/rec.h"

#include <string.h>

#define POINTER	    0xc0u
#define JUMPS_MAX   16
#define SOA_NUMBERS 20u
#define RCODE	    0x000fu
#define RDATA_NAMES INCOMING_SOA_MAX
#define COUNT_AT(n) (4u + 2u * (n)) /* of the sections in the header */

/* ---- reading */

struct message {
	const uint8_t *wire;
	size_t len, at;
	bool bad;
};

static unsigned take16(struct message *m)
{
	if (m->bad || m->len - m->at < 2) {
		m->bad = true;
		return 0;
	}
	m->at += 2;
	return rec_get16(m->wire + m->at - 2);
}

static uint32_t take32(struct message *m)
{
	uint32_t high = take16(m);

	return high << 16 | take16(m);
}

/* A name with pointers (RFC 1035 section 4.1.4), each of which leads further back. */
static bool take_name(struct message *m, struct zone_name *out)
{
	size_t at = m->at, low = m->at;
	bool jumped = false;

	out->len = 0;
	for (int jumps = 0; !m->bad;) {
		uint8_t n = at < m->len ? m->wire[at] : POINTER - 1;

		if ((n & POINTER) == POINTER && m->len - at >= 2) {
			size_t to = rec_get16(m->wire + at) & 0x3fffu;

			if (!jumped)
				m->at = at + 2;
			jumped = true;
			if (to >= low || ++jumps > JUMPS_MAX)
				break;
			at = low = to;
			continue;
		}
		if (n > ZONE_LABEL_MAX || m->len - at < 1u + n || out->len + 1u + n > ZONE_NAME_MAX)
			break;
		memcpy(out->wire + out->len, m->wire + at, 1u + n);
		out->len = (uint8_t)(out->len + 1u + n);
		at += 1u + n;
		if (n > 0)
			continue;
		if (!jumped)
			m->at = at;
		return true;
	}
	m->bad = true;
	return false;
}

struct rr {
	struct zone_name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t rdata, len; /* in the message */
};

static bool take_rr(struct message *m, struct rr *r)
{
	if (!take_name(m, &r->owner))
		return false;
	r->type = (uint16_t)take16(m);
	r->class = (uint16_t)take16(m);
	r->ttl = take32(m);
	r->len = take16(m);
	r->rdata = m->at;
	if (m->bad || m->len - m->at < r->len)
		m->bad = true;
	else
		m->at += r->len;
	return !m->bad;
}

/* The names of NS and SOA RDATA may be compressed (RFC 3597 section 4); no others. */
static enum rc plain_rdata(const struct message *m, const struct rr *r, uint8_t room[RDATA_NAMES],
	const uint8_t **out, size_t *len)
{
	unsigned names = r->type == RR_SOA ? 2 : r->type == RR_NS;
	struct message in = { m->wire, r->rdata + r->len, r->rdata, false };
	size_t n = 0;

	*out = m->wire + r->rdata;
	*len = r->len;
	if (names == 0)
		return RC_OK;
	for (unsigned i = 0; i < names; i++) {
		struct zone_name name;

		if (!take_name(&in, &name))
			return RC_MALFORMED;
		zone_name_lower(&name);
		memcpy(room + n, name.wire, name.len);
		n += name.len;
	}
	if (in.len - in.at != (r->type == RR_SOA ? SOA_NUMBERS : 0))
		return RC_MALFORMED;
	memcpy(room + n, in.wire + in.at, in.len - in.at);
	*out = room;
	*len = n + (in.len - in.at);
	return RC_OK;
}

enum rc incoming_tsig_at(const uint8_t *wire, size_t len, size_t *at)
{
	struct message m = { wire, len, DNS_HEADER_LEN, len < DNS_HEADER_LEN };
	unsigned records = 0;

	*at = 0;
	if (m.bad)
		return RC_MALFORMED;
	for (unsigned i = rec_get16(wire + 4); i > 0 && !m.bad; i--) {
		struct zone_name name;

		(void)take_name(&m, &name);
		(void)take32(&m);
	}
	for (unsigned n = 1; n <= 3; n++)
		records += rec_get16(wire + COUNT_AT(n));
	for (; records > 0 && !m.bad; records--) {
		size_t start = m.at;
		struct rr r;

		if (!take_rr(&m, &r))
			break;
		if (r.type == RR_TSIG && records == 1 && rec_get16(wire + 10) > 0)
			*at = start;
		else if (r.type == RR_TSIG)
			m.bad = true;
	}
	return m.bad || m.at != len ? RC_MALFORMED : RC_OK;
}

/* ---- the order of records */

static uint32_t serial_of(const uint8_t *soa, size_t len)
{
	return rec_get32(soa + len - SOA_NUMBERS);
}

static enum rc give(const struct incoming_sink *sink, const struct incoming_record *r, bool gone)
{
	struct incoming_record copy = *r;

	copy.gone = gone;
	return sink->record(&copy, sink->user);
}

/* The SOA that came first is a record of the whole zone. */
static enum rc begin_whole(struct incoming *in, const struct incoming_sink *sink)
{
	struct incoming_record soa = { .key = { .len = 1 },
		.type = RR_SOA,
		.ttl = in->soa_ttl,
		.rdata = in->soa,
		.len = in->soa_len };
	enum rc rc = sink->begin(true, sink->user);

	in->state = INCOMING_WHOLE;
	return rc == RC_OK ? give(sink, &soa, false) : rc;
}

static enum rc on_first(struct incoming *in, const struct incoming_record *r,
	const struct incoming_sink *sink, struct diag *d)
{
	if (r->type != RR_SOA)
		return diag_set(d, RC_MALFORMED,
			"a transfer that does not begin with a SOA (RFC 5936 section 2.2)");
	in->serial = serial_of(r->rdata, r->len);
	in->soa_ttl = r->ttl;
	in->soa_len = (uint16_t)r->len;
	memcpy(in->soa, r->rdata, r->len);
	if (!in->difference)
		return begin_whole(in, sink);
	in->state = (int32_t)(in->serial - in->have) <= 0 ? INCOMING_CURRENT : INCOMING_SECOND;
	return RC_OK;
}

static enum rc on_soa(struct incoming *in, const struct incoming_record *r,
	const struct incoming_sink *sink, struct diag *d)
{
	uint32_t serial = serial_of(r->rdata, r->len);
	enum rc rc;

	switch (in->state) {
	case INCOMING_SECOND:
		if (serial != in->have)
			break;
		in->state = INCOMING_DELETES;
		rc = sink->begin(false, sink->user);
		return rc == RC_OK ? give(sink, r, true) : rc;
	case INCOMING_DELETES:
		in->step = serial;
		in->state = INCOMING_ADDS;
		return give(sink, r, false);
	case INCOMING_ADDS:
		if (serial != in->step)
			break;
		if (serial == in->serial) {
			in->state = INCOMING_DONE;
			return RC_OK;
		}
		in->state = INCOMING_DELETES;
		return give(sink, r, true);
	case INCOMING_WHOLE:
		if (serial != in->serial)
			break;
		in->state = INCOMING_DONE;
		return RC_OK;
	case INCOMING_FIRST:
	case INCOMING_DONE:
	case INCOMING_CURRENT:
	default: break;
	}
	return diag_set(d, RC_MALFORMED,
		"a SOA of serial %u where none is due (RFC 1995 section 4)", serial);
}

static enum rc on_record(struct incoming *in, const struct incoming_record *r,
	const struct incoming_sink *sink, struct diag *d)
{
	enum rc rc;

	if (in->state == INCOMING_FIRST)
		return on_first(in, r, sink, d);
	if (in->state == INCOMING_DONE || in->state == INCOMING_CURRENT)
		return diag_set(d, RC_MALFORMED, "records behind the end of the transfer");
	if (r->type == RR_SOA)
		return on_soa(in, r, sink, d);
	/* A whole zone where a difference was asked for (RFC 1995 section 4). */
	if (in->state == INCOMING_SECOND) {
		rc = begin_whole(in, sink);
		if (rc != RC_OK)
			return rc;
	}
	return give(sink, r, in->state == INCOMING_DELETES);
}

/* ---- messages */

static enum rc check_head(struct incoming *in, struct message *m, struct diag *d)
{
	unsigned flags = rec_get16(m->wire + 2);
	unsigned questions = rec_get16(m->wire + 4);

	if (rec_get16(m->wire) != in->id || !(flags & DNS_QR) || (flags & DNS_OPCODE))
		return diag_set(d, RC_MALFORMED, "not an answer to what was asked");
	in->rcode = flags & RCODE;
	if (in->rcode)
		return diag_set(d, RC_DENIED, "the primary refuses: response code %u", in->rcode);
	if (flags & DNS_TC || questions > 1)
		return diag_set(d, RC_MALFORMED, "a message that is cut short");
	if (questions == 1) {
		struct zone_name name;

		if (take_name(m, &name))
			zone_name_lower(&name);
		(void)take32(m);
		if (!m->bad && (name.len != in->origin.len ||
				       memcmp(name.wire, in->origin.wire, name.len) != 0))
			return diag_set(d, RC_MALFORMED, "an answer about another zone");
	}
	return RC_OK;
}

static enum rc take_record(
	struct incoming *in, struct message *m, const struct incoming_sink *sink, struct diag *d)
{
	uint8_t room[RDATA_NAMES];
	struct incoming_record r = { 0 };
	struct rr rr;
	int rel;

	if (!take_rr(m, &rr) || plain_rdata(m, &rr, room, &r.rdata, &r.len) != RC_OK)
		return diag_set(d, RC_MALFORMED, "a record that cannot be read");
	rel = zone_name_below(rr.owner.wire, rr.owner.len, &in->origin);
	if (rel < 0 || rr.class != RR_IN || (rr.type == RR_SOA && rel != 0))
		return diag_set(d, RC_MALFORMED, "a record that is not of the zone");
	zone_key_write(rr.owner.wire, (size_t)rel, &r.key);
	r.type = rr.type;
	r.ttl = rr.ttl;
	return on_record(in, &r, sink, d);
}

enum rc incoming_message(struct incoming *in, const uint8_t *wire, size_t len,
	const struct incoming_sink *sink, struct diag *d)
{
	struct message m = { wire, len, DNS_HEADER_LEN, len < DNS_HEADER_LEN };
	enum rc rc;

	if (m.bad)
		return diag_set(d, RC_MALFORMED, "a message without a header");
	rc = check_head(in, &m, d);
	if (rc == RC_OK && rec_get16(wire + 6) == 0)
		rc = diag_set(d, RC_MALFORMED, "a message without records");
	in->messages++;
	for (unsigned i = rec_get16(wire + 6); i > 0 && rc == RC_OK; i--)
		rc = take_record(in, &m, sink, d);
	return rc;
}

size_t incoming_ask(struct incoming *in, const struct zone_name *origin, uint16_t id,
	bool difference, uint32_t have, uint8_t *out)
{
	static const uint8_t root_twice[2] = { 0, 0 };
	struct put p = put_init(out, INCOMING_ASK_MAX);

	*in = (struct incoming){
		.origin = *origin, .id = id, .difference = difference, .have = have
	};
	put_u16(&p, id);
	put_u16(&p, 0);
	put_u16(&p, 1);
	put_u16(&p, 0);
	put_u16(&p, difference); /* authority */
	put_u16(&p, 0);
	put_bytes(&p, origin->wire, origin->len);
	put_u16(&p, difference ? RR_IXFR : RR_AXFR);
	put_u16(&p, RR_IN);
	if (difference) {
		/* RFC 1995 section 3: only the serial of this SOA counts. */
		put_u16(&p, 0xc000u | DNS_HEADER_LEN);
		put_u16(&p, RR_SOA);
		put_u16(&p, RR_IN);
		put_u32(&p, 0);
		put_u16(&p, sizeof(root_twice) + SOA_NUMBERS);
		put_bytes(&p, root_twice, sizeof(root_twice));
		put_u32(&p, have);
		for (int i = 0; i < 4; i++)
			put_u32(&p, 0);
	}
	return p.len;
}
