/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/serve_internal.h"

#include <stdlib.h>
#include <time.h>

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

void serve_setup(struct serve *s, const struct serve_options *options)
{
	s->options = *options;
}

const struct serve_counts *serve_counts(const struct serve *s)
{
	return &s->counts;
}

int64_t serve_now(const struct serve *s)
{
	return s->now_s;
}

/* The coarse clocks are read without a system call. */
static void look_at_clock(struct serve *s)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	s->now_s = t.tv_sec;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	s->now_ms = (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void serve_begin(struct serve *s)
{
	bool fresh;

	look_at_clock(s);
	s->expired = s->options.board && atomic_load(&s->options.board->expired);
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

/* What is not a question for data (RFC 1035 section 4.1.1, RFC 1996, RFC 2136): the RCODE, or -1.
 * Updates are for nobody, notifications for secondaries (hear_notify). */
static int refuse_kind(const struct query *q, enum serve_via via)
{
	if (q->opcode == DNS_NOTIFY)
		return DNS_NOTAUTH;
	if (q->opcode == DNS_UPDATE)
		return q->qtype == RR_SOA ? DNS_NOTAUTH : DNS_FORMERR;
	if (q->opcode != DNS_QUERY || q->qtype == 0)
		return DNS_NOTIMP;
	if (q->qtype == RR_AXFR && via != SERVE_STREAM)
		return DNS_NOTIMP;
	return -1;
}

static bool is_transfer(const struct query *q)
{
	return q->qtype == RR_AXFR || q->qtype == RR_IXFR;
}

/* Whether this client may have the zone. */
static bool may_transfer(const struct serve *s, const struct serve_msg *m, const struct tsig *t)
{
	return m->q->qclass == RR_IN && m->rel_len == 0 &&
	       peers_may_transfer(s->options.peers, m->client->from, t->key, m->client->tls13);
}

/* Everything before the zone is looked at: the RCODE, or -1 to go on. */
static int answer_early(struct serve *s, struct serve_msg *m)
{
	const struct query *q = m->q;
	bool known = q->opcode == DNS_QUERY || q->opcode == DNS_NOTIFY || q->opcode == DNS_UPDATE;
	int rel, kind;

	/* RFC 7873 section 5.4: who has no question may ask for a cookie. */
	if (!q->malformed && q->opcode == DNS_QUERY && !q->has_question && q->cookie &&
		s->options.board)
		return DNS_NOERROR;
	if (q->malformed || (known && !q->has_question))
		return DNS_FORMERR;
	if (q->edns && q->edns_version != 0)
		return DNS_BADVERS;
	kind = refuse_kind(q, m->client->via);
	if (q->has_question && q->qclass == RR_CH) {
		m->ede = EDE_NOT_SUPPORTED;
		return kind < 0 && !is_transfer(q) ? DNS_REFUSED : DNS_NOTIMP;
	}
	if (q->has_question && q->qclass != RR_IN && q->qclass != RR_CLASS_ANY) {
		m->ede = EDE_NOT_SUPPORTED;
		return DNS_REFUSED;
	}
	if (kind >= 0)
		return kind;
	if (!s->usable || s->expired) {
		m->ede = EDE_NOT_READY;
		return DNS_SERVFAIL;
	}
	rel = zone_name_below(q->qname, q->qname_len, &s->origin);
	if (rel < 0) {
		m->ede = EDE_NOT_AUTH;
		return is_transfer(q) ? DNS_NOTAUTH : DNS_REFUSED;
	}
	m->rel_len = (size_t)rel;
	m->zone_at = DNS_HEADER_LEN + (unsigned)rel;
	m->q_labels = zone_name_labels(q->qname);
	return -1;
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

static void note_ask(struct serve *s, const struct serve_msg *m, const struct tsig *t)
{
	const struct query *q = m->q;
	struct xfr_ask *ask = m->client->ask;

	*ask = (struct xfr_ask){ .whole = q->qtype == RR_AXFR,
		.from = q->serial,
		.id = rec_get16(q->wire),
		.rd = (q->flags & DNS_RD) != 0,
		.question_len = q->question_end - DNS_HEADER_LEN,
		.is_signed = t->key != NULL,
		.tsig = *t };
	memcpy(ask->question, q->wire + DNS_HEADER_LEN, ask->question_len);
	s->counts.transfers++;
}

/* RFC 1995 section 4 lets an answer over UDP be the newest SOA alone: come over TCP. */
static void answer_soa_only(struct serve *s, struct serve_msg *m)
{
	struct serve_owner o = { .pointer = DNS_HEADER_LEN, .count = m->q_labels };

	(void)serve__put_view(s, m, SECTION_ANSWER, &o, &s->soa, s->soa.ttl, false);
}

/* A transfer: the RCODE; *granted: it is to be made. */
static unsigned answer_transfer(
	struct serve *s, struct serve_msg *m, const struct tsig *t, bool *granted)
{
	if (!may_transfer(s, m, t) || (m->client->via == SERVE_STREAM && !m->client->ask)) {
		s->counts.transfers_refused++;
		m->ede = EDE_PROHIBITED;
		return DNS_NOTAUTH;
	}
	if (m->q->qtype == RR_IXFR && !m->q->has_serial)
		return DNS_FORMERR;
	if (m->client->via == SERVE_UDP) {
		answer_soa_only(s, m);
		return DNS_NOERROR;
	}
	note_ask(s, m, t);
	*granted = true;
	return DNS_NOERROR;
}

/* A NOTIFY (RFC 1996) that we wait for. */
static bool hear_notify(const struct serve *s, const struct serve_msg *m, const struct tsig *t)
{
	const struct serve_options *o = &s->options;
	const struct query *q = m->q;

	if (q->opcode != DNS_NOTIFY || q->malformed || !q->has_question || q->qtype != RR_SOA ||
		q->qclass != RR_IN || !o->primary || q->qname_len != o->primary_zone->len ||
		zone_name_below(q->qname, q->qname_len, o->primary_zone) != 0 ||
		!peers_may_transfer(o->primary, m->client->from, t->key, true))
		return false;
	o->notified(o->user);
	return true;
}

/* The RCODE and the sections. */
static uint16_t answer_all(
	struct serve *s, struct serve_msg *m, const struct tsig *t, bool *granted)
{
	const struct query *q = m->q;
	uint16_t flags = DNS_QR;
	int rcode = t->error ? DNS_NOTAUTH : answer_early(s, m);

	if (!t->error && hear_notify(s, m, t)) {
		rcode = DNS_NOERROR;
		flags |= DNS_AA;
	} else if (rcode < 0 && is_transfer(q)) {
		rcode = (int)answer_transfer(s, m, t, granted);
		if (rcode == DNS_NOERROR)
			flags |= DNS_AA;
	} else if (rcode < 0) {
		flags |= DNS_AA;
		rcode = (int)answer_zone(s, m);
		if (m->full)
			flags |= DNS_TC;
	}
	m->rcode = (unsigned)rcode;
	return flags;
}

/* Over the limit: false to drop, else the answer shrinks to what costs nobody anything. */
static bool limit(struct serve *s, struct serve_msg *m, uint8_t *after_question, uint16_t *flags)
{
	const struct query *q = m->q;
	enum rrl_kind kind = m->rcode == DNS_NXDOMAIN || (m->rcode == 0 && !m->count[0])
				     ? RRL_DENIAL
			     : m->rcode ? RRL_ERROR
					: RRL_DATA;
	enum rrl_verdict v;

	if (!s->options.rrl || m->client->via != SERVE_UDP || !m->client->from || m->cookie_good)
		return true;
	v = rrl_count(s->options.rrl, m->client->from, kind, q->qname, q->qname_len, s->now_ms);
	if (v == RRL_SEND)
		return true;
	s->counts.limited++;
	if (v == RRL_DROP)
		return false;
	m->at = after_question;
	memset(m->count, 0, sizeof(m->count));
	/* RFC 7873 section 5.2.3: whoever knows cookies asks again with ours. */
	if (q->cookie && s->options.board)
		m->rcode = DNS_BADCOOKIE;
	else
		*flags |= DNS_TC;
	return true;
}

static size_t finish(struct serve *s, struct serve_msg *m, uint16_t flags, struct tsig *t)
{
	const struct query *q = m->q;
	size_t len;

	flags |= q->flags & (DNS_OPCODE | DNS_RD);
	if (q->edns && !q->malformed)
		serve__put_opt(s, m);
	rec_put16(m->buf + 2, (uint16_t)(flags | (m->rcode & 0xf)));
	rec_put16(m->buf + 4, q->has_question);
	rec_put16(m->buf + 6, m->count[SECTION_ANSWER]);
	rec_put16(m->buf + 8, m->count[SECTION_AUTHORITY]);
	rec_put16(m->buf + 10, m->count[SECTION_ADDITIONAL]);
	len = (size_t)(m->at - m->buf);
	return t->name.len > 0 ? tsig_sign(t, m->buf, len, s->now_s) : len;
}

size_t serve_answer_to(
	struct serve *s, struct serve_client *client, const uint8_t *wire, size_t len, uint8_t *out)
{
	struct query q;
	struct serve_msg m = { .q = &q, .client = client, .buf = out, .ede = EDE_NONE };
	struct tsig t = { .error = TSIG_GOOD };
	uint16_t flags;
	size_t question, room;

	client->granted = false;
	if (query_parse(wire, len, &q) != RC_OK)
		return 0;
	if (q.signed_request && !q.malformed &&
		tsig_verify(s->options.keys, wire, len, q.tsig_at, s->now_s, &t) != RC_OK)
		q.malformed = true;
	s->counts.bad_tsig += t.error != TSIG_GOOD;
	question = q.has_question ? q.question_end : DNS_HEADER_LEN;
	memcpy(out, wire, question);
	m.at = out + question;
	m.cookie_good = serve__cookie_good(s, &m);
	s->counts.good_cookies += m.cookie_good;
	room = room_of(s, &q, client->via) - (q.edns ? serve__opt_room(s, &m) : 0);
	if (t.name.len > 0)
		room = room > tsig_room(&t) + question ? room - tsig_room(&t) : question;
	m.end = out + room;
	m.dnssec = q.dnssec_ok;
	flags = answer_all(s, &m, &t, &client->granted);
	if (client->granted || !limit(s, &m, out + question, &flags))
		return 0;
	s->counts.answers++;
	return finish(s, &m, flags, &t);
}

size_t serve_answer(
	struct serve *s, const uint8_t *wire, size_t len, enum serve_via via, uint8_t *out)
{
	struct serve_client nobody = { .via = via };

	return serve_answer_to(s, &nobody, wire, len, out);
}
