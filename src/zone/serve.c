/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/serve_internal.h"

#include <stdlib.h>

#define OPT_LEN 11u

enum rc serve_new(struct snap_reader *reader, uint16_t udp_max, struct serve **out)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (!s)
		return RC_NOMEM;
	s->reader = reader;
	s->udp_max = udp_max < SERVE_UDP_CLASSIC ? SERVE_UDP_CLASSIC : udp_max;
	s->stale = true;
	*out = s;
	return RC_OK;
}

void serve_free(struct serve *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (s->cursor[i])
			mdb_cursor_close(s->cursor[i]);
	free(s);
}

bool serve__seek(struct serve *s, const uint8_t *key, size_t key_len, struct serve_rec *out)
{
	MDB_val k = { key_len, (void *)(uintptr_t)key };
	MDB_val v;

	if (mdb_cursor_get(s->cursor[s->reader->state.active], &k, &v, MDB_SET_RANGE) != 0)
		return false;
	*out = (struct serve_rec){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	return true;
}

bool serve__before(struct serve *s, bool found, struct serve_rec *out)
{
	MDB_val k, v;

	if (mdb_cursor_get(
		    s->cursor[s->reader->state.active], &k, &v, found ? MDB_PREV : MDB_LAST) != 0)
		return false;
	*out = (struct serve_rec){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	return true;
}

static bool cursors_renew(struct serve *s)
{
	MDB_txn *txn = snap_reader_txn(s->reader);

	for (unsigned i = 0; i < 2; i++) {
		int r = s->cursor[i] ? mdb_cursor_renew(txn, s->cursor[i])
				     : mdb_cursor_open(txn, s->reader->db->names[i], &s->cursor[i]);
		if (r != 0)
			return false;
	}
	return true;
}

/* Takes the SOA's RDATA apart (RFC 1035 section 3.3.13). */
static bool load_soa(struct serve *s)
{
	const uint8_t *rdata = s->soa.rdata + 2;
	struct cur c = cur_init(rdata, rec_get16(s->soa.rdata));

	for (unsigned i = 0; i < 2; i++) {
		struct zone_name name;
		const uint8_t *start = c.at;
		int rel;

		if (zone_name_parse(&c, &name) != RC_OK)
			return false;
		rel = zone_name_below(name.wire, name.len, &s->origin);
		s->soa_name[i] = start;
		s->soa_inside[i] = rel >= 0;
		s->soa_rel[i] = rel >= 0 ? (size_t)rel : name.len;
	}
	s->soa_numbers = c.at;
	return c.left == SOA_NUMBERS_LEN;
}

static bool load_apex(struct serve *s)
{
	struct serve_rec rec = { 0 };
	struct rec_iter it;
	bool soa = false;

	if (!serve__seek(s, (const uint8_t *)"", 1, &rec) || rec.key_len != 1 ||
		rec.value_len > sizeof(s->apex) || !rec_is_sane(rec.value, rec.value_len))
		return false;
	memcpy(s->apex, rec.value, rec.value_len);
	s->apex_len = rec.value_len;
	it = rec_iter_init(s->apex, s->apex_len);
	while (!soa && rec_iter_next(&it, &s->soa))
		soa = s->soa.type == RR_SOA && s->soa.count == 1;
	return soa && load_soa(s);
}

static bool refresh(struct serve *s)
{
	static const uint8_t wild[] = { 0, '*' };
	const struct zone_state *st = &s->reader->state;
	bool found;

	if (!st->have || !cursors_renew(s))
		return false;
	s->origin = st->origin;
	s->apex_labels = zone_name_labels(s->origin.wire);
	s->ttl = st->ttl;
	s->minimum = st->minimum;
	if (!load_apex(s))
		return false;
	s->wild_next = (struct serve_rec){ 0 };
	found = serve__seek(s, wild, sizeof(wild), &s->wild_next);
	return serve__before(s, found, &s->wild_pred);
}

void serve_begin(struct serve *s)
{
	bool fresh;

	if (snap_reader_enter(s->reader, &fresh) != RC_OK) {
		s->usable = false;
		s->stale = true;
		return;
	}
	if (fresh || s->stale) {
		s->usable = refresh(s);
		s->stale = !s->usable;
	}
}

void serve_end(struct serve *s)
{
	snap_reader_leave(s->reader);
}

/* An answer of the zone; the RCODE. */
static enum dns_rcode answer_zone(struct serve *s, struct serve_msg *m)
{
	struct serve_rec rec = { 0 };
	const uint8_t *qname = m->q->qname;

	zone_key_write(qname, m->rel_len, &m->key);
	if (!serve__seek(s, m->key.bytes, m->key.len, &rec)) {
		serve__deny_name(s, m, &rec);
		return DNS_NXDOMAIN;
	}
	if (zone_key_cmp(rec.key, rec.key_len, m->key.bytes, m->key.len) == 0) {
		if (!serve__data(s, m, &rec))
			serve__deny_type(s, m, &rec);
		return DNS_NOERROR;
	}
	if (zone_key_is_below(rec.key, rec.key_len, m->key.bytes, m->key.len)) {
		serve__deny_nonterminal(s, m, &rec);
		return DNS_NOERROR;
	}
	serve__deny_name(s, m, &rec);
	return DNS_NXDOMAIN;
}

/* What is not a question for data (RFC 1035 section 4.1.1, RFC 1996, RFC 2136, RFC 5936): the
 * RCODE, or -1. Transfers, notifications and updates are for authorized peers, of which there are
 * none. */
static int refuse_kind(const struct query *q, enum serve_via via)
{
	if (q->opcode == DNS_NOTIFY)
		return DNS_NOTAUTH;
	if (q->opcode == DNS_UPDATE)
		return q->qtype == RR_SOA ? DNS_NOTAUTH : DNS_FORMERR;
	if (q->opcode != DNS_QUERY || q->qtype == 0)
		return DNS_NOTIMP;
	if (q->qtype == RR_IXFR)
		return DNS_NOTAUTH;
	if (q->qtype == RR_AXFR)
		return via == SERVE_STREAM ? DNS_NOTAUTH : DNS_NOTIMP;
	return -1;
}

/* Everything before the zone is looked at: the RCODE, or -1 to go on. */
static int answer_early(struct serve *s, struct serve_msg *m, enum serve_via via)
{
	const struct query *q = m->q;
	bool known = q->opcode == DNS_QUERY || q->opcode == DNS_NOTIFY || q->opcode == DNS_UPDATE;
	int rel, kind;

	if (q->malformed || (known && !q->has_question))
		return DNS_FORMERR;
	if (q->edns && q->edns_version != 0)
		return DNS_BADVERS;
	kind = refuse_kind(q, via);
	if (q->has_question && q->qclass == RR_CH)
		return kind < 0 ? DNS_REFUSED : DNS_NOTIMP;
	if (q->has_question && q->qclass != RR_IN && q->qclass != RR_CLASS_ANY)
		return DNS_REFUSED;
	if (kind >= 0)
		return kind;
	if (!s->usable)
		return DNS_SERVFAIL;
	rel = zone_name_below(q->qname, q->qname_len, &s->origin);
	if (rel < 0)
		return DNS_REFUSED;
	m->rel_len = (size_t)rel;
	m->zone_at = DNS_HEADER_LEN + (unsigned)rel;
	m->q_labels = zone_name_labels(q->qname);
	return -1;
}

static void put_opt(struct serve *s, struct serve_msg *m, unsigned rcode)
{
	uint8_t *p = m->at;

	p[0] = 0;
	rec_put16(p + 1, RR_OPT);
	rec_put16(p + 3, s->udp_max);
	p[5] = (uint8_t)(rcode >> 4);
	p[6] = 0;
	rec_put16(p + 7, m->q->dnssec_ok ? 0x8000 : 0);
	rec_put16(p + 9, 0);
	m->at += OPT_LEN;
	m->count[SECTION_ADDITIONAL]++;
}

static size_t room_of(const struct serve *s, const struct query *q, enum serve_via via)
{
	size_t room = SERVE_UDP_CLASSIC;

	if (via == SERVE_STREAM)
		return SERVE_TCP_MAX;
	if (q->edns && q->udp_size > room)
		room = q->udp_size;
	return room < s->udp_max ? room : s->udp_max;
}

size_t serve_answer(
	struct serve *s, const uint8_t *wire, size_t len, enum serve_via via, uint8_t *out)
{
	struct query q;
	struct serve_msg m = { .q = &q, .buf = out };
	uint16_t flags = DNS_QR;
	size_t question;
	int rcode;

	if (query_parse(wire, len, &q) != RC_OK)
		return 0;
	question = q.has_question ? q.question_end : DNS_HEADER_LEN;
	memcpy(out, wire, question);
	m.at = out + question;
	m.end = out + room_of(s, &q, via) - (q.edns ? OPT_LEN : 0);
	m.dnssec = q.dnssec_ok;
	rcode = answer_early(s, &m, via);
	if (rcode < 0) {
		flags |= DNS_AA;
		rcode = (int)answer_zone(s, &m);
		if (m.full)
			flags |= DNS_TC;
	}
	flags |= q.flags & (DNS_OPCODE | DNS_RD);
	if (q.edns && !q.malformed)
		put_opt(s, &m, (unsigned)rcode);
	rec_put16(out + 2, (uint16_t)(flags | ((unsigned)rcode & 0xf)));
	rec_put16(out + 4, q.has_question);
	rec_put16(out + 6, m.count[SECTION_ANSWER]);
	rec_put16(out + 8, m.count[SECTION_AUTHORITY]);
	rec_put16(out + 10, m.count[SECTION_ADDITIONAL]);
	return (size_t)(m.at - out);
}
