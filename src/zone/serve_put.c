/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/serve_internal.h"

/* Records into the message. Each RRset is written whole or taken back. */

#define POINTER_MAX 0x4000u /* what a compression pointer can reach */

static bool room_for(struct serve_msg *m, size_t len)
{
	if ((size_t)(m->end - m->at) >= len)
		return true;
	m->full = true;
	return false;
}

static inline void put_bytes_raw(struct serve_msg *m, const void *p, size_t len)
{
	memcpy(m->at, p, len);
	m->at += len;
}

static inline size_t owner_room(struct serve_owner *o)
{
	return o->pointer ? 2 : o->len + 2;
}

static inline void put_owner(struct serve_msg *m, struct serve_owner *o)
{
	if (o->pointer) {
		rec_put16(m->at, (uint16_t)(0xc000u | o->pointer));
	} else {
		unsigned here = (unsigned)(m->at - m->buf);

		put_bytes_raw(m, o->labels, o->len);
		rec_put16(m->at, (uint16_t)(0xc000u | o->tail));
		if (here < POINTER_MAX)
			o->pointer = here;
	}
	m->at += 2;
}

/* Owner, type, class, TTL and RDLENGTH. */
static inline void put_head(
	struct serve_msg *m, struct serve_owner *o, uint16_t type, uint32_t ttl, size_t rdlen)
{
	put_owner(m, o);
	rec_put16(m->at, type);
	rec_put16(m->at + 2, RR_IN);
	rec_put32(m->at + 4, ttl);
	rec_put16(m->at + 8, (uint16_t)rdlen);
	m->at += 10;
}

static void put_rrsig(struct serve *s, struct serve_msg *m, struct serve_owner *owner,
	const struct serve_sigs *sigs, unsigned alg, size_t rdlen)
{
	put_head(m, owner, RR_RRSIG, sigs->ttl, rdlen);
	rec_put16(m->at, sigs->covered);
	m->at[2] = rec_alg_number(alg);
	m->at[3] = (uint8_t)owner->count;
	rec_put32(m->at + 4, sigs->orig_ttl);
	memcpy(m->at + 8, sigs->span[alg], RR_SPAN_LEN);
	m->at += RR_RRSIG_FIXED;
	put_bytes_raw(m, s->origin.wire, s->origin.len);
	put_bytes_raw(m, sigs->sig[alg], RR_SIG_LEN);
}

bool serve__put_rrsigs(struct serve *s, struct serve_msg *m, enum serve_section section,
	struct serve_owner *owner, const struct serve_sigs *sigs)
{
	size_t rdlen = RR_RRSIG_FIXED + s->origin.len + (size_t)RR_SIG_LEN;
	size_t n = rec_form_is_two(sigs->form) ? 2 : 1;

	if (!room_for(m, n * (owner_room(owner) + 10 + rdlen)))
		return false;
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(sigs->form, a))
			put_rrsig(s, m, owner, sigs, a, rdlen);
	m->count[section] = (uint16_t)(m->count[section] + n);
	return true;
}

struct serve_sigs serve__device_sigs(const struct serve *s, const uint8_t *value, uint16_t type)
{
	struct serve_sigs out = {
		.form = rec_form(value), .covered = type, .ttl = s->ttl, .orig_ttl = s->ttl
	};

	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at = rec_data_at(value, a, type);

		out.span[a] = value + at.span;
		out.sig[a] = value + at.sig;
	}
	return out;
}

struct serve_sigs serve__nsec_sigs(const struct serve *s, const uint8_t *value)
{
	struct serve_sigs out = { .form = rec_form(value),
		.covered = RR_NSEC,
		.ttl = s->minimum,
		.orig_ttl = s->minimum };

	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at = rec_nsec_at(value, a);

		out.span[a] = value + at.span;
		out.sig[a] = value + at.sig;
	}
	return out;
}

struct serve_sigs serve__view_sigs(const struct rec_view *v, uint32_t ttl)
{
	struct serve_sigs out = {
		.form = v->form, .covered = v->type, .ttl = ttl, .orig_ttl = v->ttl
	};

	for (unsigned a = 0; a < REC_ALGS; a++) {
		out.span[a] = rec_view_sig(v, a);
		out.sig[a] = out.span[a] + RR_SPAN_LEN;
	}
	return out;
}

bool serve__put_soa(struct serve *s, struct serve_msg *m, uint32_t ttl)
{
	struct serve_owner o = { .pointer = m->zone_at };
	size_t rdlen = s->soa_rel[0] + s->soa_rel[1] + 4 + SOA_NUMBERS_LEN;

	/* A name outside the zone stands whole, as its own tail. */
	for (unsigned i = 0; i < 2; i++)
		if (!s->soa_inside[i])
			rdlen -= 2;
	if (!room_for(m, 12 + rdlen))
		return false;
	put_head(m, &o, RR_SOA, ttl, rdlen);
	for (unsigned i = 0; i < 2; i++) {
		put_bytes_raw(m, s->soa_name[i], s->soa_rel[i]);
		if (!s->soa_inside[i])
			continue;
		rec_put16(m->at, (uint16_t)(0xc000u | m->zone_at));
		m->at += 2;
	}
	put_bytes_raw(m, s->soa_numbers, SOA_NUMBERS_LEN);
	m->count[SECTION_AUTHORITY]++;
	return true;
}

bool serve__put_view(struct serve *s, struct serve_msg *m, enum serve_section section,
	struct serve_owner *owner, const struct rec_view *v, uint32_t ttl, bool sig)
{
	uint8_t *start = m->at;
	unsigned pointer = owner->pointer;
	uint16_t before = m->count[section];
	const uint8_t *p = v->rdata;
	struct serve_sigs sigs;

	for (unsigned i = 0; i < v->count; i++) {
		size_t len = rec_get16(p);

		if (!room_for(m, owner_room(owner) + 10 + len))
			goto undo;
		put_head(m, owner, v->type, ttl, len);
		put_bytes_raw(m, p + 2, len);
		m->count[section]++;
		p += 2 + len;
	}
	sigs = serve__view_sigs(v, ttl);
	if (!sig || serve__put_rrsigs(s, m, section, owner, &sigs))
		return true;
undo:
	m->at = start;
	owner->pointer = pointer;
	m->count[section] = before;
	return false;
}

bool serve__put_cert(struct serve *s, struct serve_msg *m, struct serve_owner *owner,
	const uint8_t *value, bool sig)
{
	uint8_t *start = m->at;
	struct serve_sigs sigs;

	if (!room_for(m, owner_room(owner) + 10 + RR_CERT_LEN))
		return false;
	put_head(m, owner, RR_CERT, s->ttl, RR_CERT_LEN);
	rec_device_cert(value, m->at);
	m->at += RR_CERT_LEN;
	m->count[SECTION_ANSWER]++;
	sigs = serve__device_sigs(s, value, RR_CERT);
	if (!sig || serve__put_rrsigs(s, m, SECTION_ANSWER, owner, &sigs))
		return true;
	m->at = start;
	m->count[SECTION_ANSWER]--;
	return false;
}

bool serve__put_tlsa(struct serve *s, struct serve_msg *m, struct serve_owner *owner,
	const uint8_t *value, bool sig)
{
	uint8_t *start = m->at;
	uint8_t tlsa[2][RR_TLSA_LEN];
	struct serve_sigs sigs;

	if (!room_for(m, 2 * (owner_room(owner) + 10 + RR_TLSA_LEN)))
		return false;
	rec_device_tlsa(value, tlsa);
	for (unsigned i = 0; i < 2; i++) {
		put_head(m, owner, RR_TLSA, s->ttl, RR_TLSA_LEN);
		put_bytes_raw(m, tlsa[i], RR_TLSA_LEN);
	}
	m->count[SECTION_ANSWER] = (uint16_t)(m->count[SECTION_ANSWER] + 2);
	sigs = serve__device_sigs(s, value, RR_TLSA);
	if (!sig || serve__put_rrsigs(s, m, SECTION_ANSWER, owner, &sigs))
		return true;
	m->at = start;
	m->count[SECTION_ANSWER] = (uint16_t)(m->count[SECTION_ANSWER] - 2);
	return false;
}

bool serve__put_nsec(struct serve *s, struct serve_msg *m, enum serve_section section,
	struct serve_owner *owner, const struct serve_rec *rec, const struct serve_rec *next,
	bool sig)
{
	uint8_t labels[ZONE_NAME_MAX];
	uint8_t bitmap[REC_BITMAP_MAX];
	uint8_t *start = m->at;
	unsigned pointer = owner->pointer;
	size_t labels_len = 0;
	size_t bitmap_len = rec_bitmap(rec->value, rec->value_len, bitmap);
	struct serve_sigs sigs;
	size_t rdlen;

	if (next->key && zone_key_labels(next->key, next->key_len, labels, &labels_len) != RC_OK)
		return false;
	rdlen = labels_len + s->origin.len + bitmap_len;
	if (!room_for(m, owner_room(owner) + 10 + rdlen))
		return false;
	put_head(m, owner, RR_NSEC, s->minimum, rdlen);
	put_bytes_raw(m, labels, labels_len);
	put_bytes_raw(m, s->origin.wire, s->origin.len);
	put_bytes_raw(m, bitmap, bitmap_len);
	m->count[section]++;
	sigs = serve__nsec_sigs(s, rec->value);
	if (!sig || serve__put_rrsigs(s, m, section, owner, &sigs))
		return true;
	m->at = start;
	owner->pointer = pointer;
	m->count[section]--;
	return false;
}

static bool label_starts(const uint8_t *name, size_t offset)
{
	size_t at = 0;

	while (at < offset)
		at += 1u + name[at];
	return at == offset;
}

/* Labels at the end of `rel` that the question has too, in front of the zone: its offset there. */
static unsigned shared_tail(const struct serve_msg *m, const uint8_t *rel, size_t *len)
{
	const uint8_t *q = m->q->qname;
	size_t at = 0;

	for (; at < *len; at += 1u + rel[at]) {
		size_t tail = *len - at;
		size_t front = m->rel_len - tail;
		size_t k = 0;

		if (tail > m->rel_len || !label_starts(q, front))
			continue;
		while (k < tail && zone_lower(q[front + k]) == rel[at + k])
			k++;
		if (k == tail) {
			*len = at;
			return DNS_HEADER_LEN + (unsigned)front;
		}
	}
	return m->zone_at;
}

bool serve__owner(const struct serve *s, const struct serve_msg *m, const uint8_t *key,
	size_t key_len, uint8_t *room, struct serve_owner *out)
{
	*out = (struct serve_owner){ .labels = room };
	if (zone_key_labels(key, key_len, room, &out->len) != RC_OK)
		return false;
	out->count = s->apex_labels;
	for (size_t at = 0; at < out->len; at += 1u + room[at])
		out->count++;
	out->tail = shared_tail(m, room, &out->len);
	if (out->len == 0)
		out->pointer = out->tail;
	return true;
}
