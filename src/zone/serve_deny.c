/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/serve_internal.h"

/* Negative answers (RFC 2308, RFC 4035 section 3.1.3). */

/* SOA with its TTL bounded by its minimum (RFC 2308 section 3); so is its RRSIG's. */
static void put_soa(struct serve *s, struct serve_msg *m)
{
	struct serve_owner o = { .pointer = m->zone_at, .count = s->apex_labels };
	uint32_t ttl = s->soa.ttl < s->minimum ? s->soa.ttl : s->minimum;

	struct serve_sigs sigs = serve__view_sigs(&s->soa, ttl);

	if (serve__put_soa(s, m, ttl) && m->dnssec)
		serve__put_rrsigs(s, m, SECTION_AUTHORITY, &o, &sigs);
}

static void put_nsec_of(struct serve *s, struct serve_msg *m, const struct serve_rec *rec,
	const struct serve_rec *next)
{
	uint8_t room[ZONE_NAME_MAX];
	struct serve_owner o;

	if (serve__owner(s, m, rec->key, rec->key_len, room, &o))
		serve__put_nsec(s, m, SECTION_AUTHORITY, &o, rec, next, true);
}

void serve__deny_type(struct serve *s, struct serve_msg *m, const struct serve_rec *rec)
{
	struct serve_owner o = { .pointer = DNS_HEADER_LEN, .count = m->q_labels };
	MDB_cursor *c = s->cursor[s->reader->state.active];
	struct serve_rec next = { 0 };
	MDB_val k, v;

	put_soa(s, m);
	if (!m->dnssec)
		return;
	/* The cursor stands on `rec`. */
	if (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0)
		next = (struct serve_rec){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	serve__put_nsec(s, m, SECTION_AUTHORITY, &o, rec, &next, true);
}

void serve__deny_nonterminal(struct serve *s, struct serve_msg *m, const struct serve_rec *next)
{
	struct serve_rec pred;

	put_soa(s, m);
	if (m->dnssec && serve__before(s, true, &pred))
		put_nsec_of(s, m, &pred, next);
}

/* Length of the key of the closest encloser: the longest ancestor of the question that is, or is
 * above, one of its two neighbours. */
static size_t closest_encloser(
	const struct zone_key *key, const struct serve_rec *pred, const struct serve_rec *next)
{
	size_t len = key->len;

	while (len > 1) {
		while (len > 1 && key->bytes[--len] != 0)
			;
		if (len <= 1)
			break;
		if (pred->key_len >= len && memcmp(pred->key, key->bytes, len) == 0 &&
			(pred->key_len == len || pred->key[len] == 0))
			return len;
		if (next->key && zone_key_is_below(next->key, next->key_len, key->bytes, len))
			return len;
	}
	return 1;
}

/* The NSEC that covers *.<closest encloser>, unless it is the one that is there already. */
static void put_wildcard_denial(struct serve *s, struct serve_msg *m, size_t encloser,
	const struct serve_rec *pred, const struct serve_rec *next)
{
	struct zone_key wild;
	struct serve_rec p, n;
	bool found;

	if (encloser == 1) {
		p = s->wild_pred;
		n = s->wild_next;
	} else {
		memcpy(wild.bytes, m->key.bytes, encloser);
		wild.bytes[encloser] = 0;
		wild.bytes[encloser + 1] = '*';
		wild.len = (uint16_t)(encloser + 2);
		if (zone_key_cmp(wild.bytes, wild.len, pred->key, pred->key_len) > 0 &&
			zone_key_cmp(wild.bytes, wild.len, m->key.bytes, m->key.len) < 0)
			return;
		n = (struct serve_rec){ 0 };
		found = serve__seek(s, wild.bytes, wild.len, &n);
		if (!serve__before(s, found, &p))
			return;
	}
	if (p.key_len == pred->key_len && memcmp(p.key, pred->key, p.key_len) == 0)
		return;
	(void)next;
	put_nsec_of(s, m, &p, &n);
}

void serve__deny_name(struct serve *s, struct serve_msg *m, const struct serve_rec *next)
{
	struct serve_rec pred;

	put_soa(s, m);
	if (!m->dnssec || !serve__before(s, next->key != NULL, &pred))
		return;
	put_nsec_of(s, m, &pred, next);
	put_wildcard_denial(s, m, closest_encloser(&m->key, &pred, next), &pred, next);
}
