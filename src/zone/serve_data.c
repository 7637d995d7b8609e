/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/serve_internal.h"

/* Positive answers. */

static bool successor(struct serve *s, const struct serve_rec *rec, struct serve_rec *next)
{
	MDB_cursor *c = s->cursor[s->reader->state.active];
	MDB_val k = { rec->key_len, (void *)(uintptr_t)rec->key };
	MDB_val v;

	*next = (struct serve_rec){ 0 };
	if (mdb_cursor_get(c, &k, &v, MDB_SET) != 0)
		return false;
	if (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0)
		*next = (struct serve_rec){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	return true;
}

/* In-zone addresses of name servers (RFC 1035 section 3.3.11: additional processing). */
static void add_addresses(struct serve *s, struct serve_msg *m, const struct rec_view *ns)
{
	const uint8_t *p = ns->rdata;

	for (unsigned i = 0; i < ns->count; i++, p += 2 + rec_get16(p)) {
		struct zone_key key;
		struct serve_rec rec;
		struct serve_owner owner;
		struct rec_iter it;
		struct rec_view v;
		uint8_t room[ZONE_NAME_MAX];
		int rel = zone_name_below(p + 2, rec_get16(p), &s->origin);

		if (rel <= 0)
			continue;
		zone_key_write(p + 2, (size_t)rel, &key);
		if (!serve__seek(s, key.bytes, key.len, &rec) ||
			zone_key_cmp(rec.key, rec.key_len, key.bytes, key.len) != 0 ||
			!serve__owner(s, m, rec.key, rec.key_len, room, &owner))
			continue;
		it = rec_iter_init(rec.value, rec.value_len);
		while (rec_iter_next(&it, &v)) {
			bool full = m->full;

			/* What does not fit here is left out without TC (RFC 2181 section 9). */
			if ((v.type == RR_A || v.type == RR_AAAA) &&
				!serve__put_view(
					s, m, SECTION_ADDITIONAL, &owner, &v, v.ttl, m->dnssec))
				m->full = full;
		}
	}
}

/* ANY gets one RRset, RRSIG one record (RFC 8482 section 4.1): that of the lowest type. */
static bool put_device(
	struct serve *s, struct serve_msg *m, struct serve_owner *o, const struct serve_rec *rec)
{
	struct serve_sigs sigs;

	switch (m->q->qtype) {
	case RR_CERT:
	case RR_ANY: serve__put_cert(s, m, o, rec->value, m->dnssec); return true;
	case RR_TLSA: serve__put_tlsa(s, m, o, rec->value, m->dnssec); return true;
	case RR_RRSIG:
		sigs = serve__device_sigs(s, rec->value, RR_CERT);
		serve__put_rrsigs(s, m, SECTION_ANSWER, o, &sigs);
		return true;
	default: return false;
	}
}

static bool put_general(struct serve *s, struct serve_msg *m, struct serve_owner *o,
	const struct serve_rec *rec, struct rec_view *v)
{
	uint16_t type = m->q->qtype;
	struct rec_iter it = rec_iter_init(rec->value, rec->value_len);
	struct serve_sigs sigs;

	while (rec_iter_next(&it, v)) {
		if (type == RR_RRSIG && v->type > RR_NSEC) {
			sigs = serve__nsec_sigs(s, rec->value);
			serve__put_rrsigs(s, m, SECTION_ANSWER, o, &sigs);
			return true;
		}
		if (type == RR_RRSIG) {
			sigs = serve__view_sigs(v, v->ttl);
			serve__put_rrsigs(s, m, SECTION_ANSWER, o, &sigs);
			return true;
		}
		if (v->type == type || type == RR_ANY) {
			serve__put_view(s, m, SECTION_ANSWER, o, v, v->ttl, m->dnssec);
			return true;
		}
	}
	return false;
}

bool serve__data(struct serve *s, struct serve_msg *m, const struct serve_rec *rec)
{
	struct serve_owner o = { .pointer = DNS_HEADER_LEN, .count = m->q_labels };
	struct serve_rec next;
	struct rec_view v;

	if (m->q->qtype == RR_NSEC) {
		if (successor(s, rec, &next))
			serve__put_nsec(s, m, SECTION_ANSWER, &o, rec, &next, m->dnssec);
		return true;
	}
	if (rec->value[REC_KIND] == REC_DEVICE)
		return put_device(s, m, &o, rec);
	if (!put_general(s, m, &o, rec, &v))
		return false;
	if (v.type == RR_NS && m->q->qtype != RR_RRSIG && !m->full)
		add_addresses(s, m, &v);
	return true;
}
