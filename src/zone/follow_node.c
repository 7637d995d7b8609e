/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/follow_node.h"

#include <string.h>

#define RR_CNAME      5u
#define RR_DNAME      39u
#define RR_NSEC3      50u
#define RR_NSEC3PARAM 51u

const struct follow_set *follow_node_find(const struct follow_node *n, uint16_t type)
{
	for (unsigned i = 0; i < n->count; i++)
		if (n->set[i].type == type)
			return &n->set[i];
	return NULL;
}

static struct follow_set *find(struct follow_node *n, uint16_t type)
{
	for (unsigned i = 0; i < n->count; i++)
		if (n->set[i].type == type)
			return &n->set[i];
	return NULL;
}

/* In ascending type. */
static struct follow_set *need(struct follow_node *n, uint16_t type, uint32_t ttl)
{
	struct follow_set *s = find(n, type);
	unsigned i = 0;

	if (s)
		return s;
	if (n->count == FOLLOW_SETS)
		return NULL;
	while (i < n->count && n->set[i].type < type)
		i++;
	memmove(&n->set[i + 1], &n->set[i], (n->count - i) * sizeof(n->set[0]));
	n->count++;
	s = &n->set[i];
	s->type = type;
	s->count = 0;
	s->ttl = ttl;
	s->have = 0;
	return s;
}

/* ---- from the store */

static void put_stored(struct follow_node *n, uint16_t type, uint32_t ttl, unsigned alg,
	const uint8_t *span, const uint8_t *sig)
{
	struct follow_set *s = need(n, type, ttl);

	if (!s)
		return;
	s->have |= 1u << alg;
	s->sig_ttl = ttl;
	memcpy(s->sig[alg], span, RR_SPAN_LEN);
	memcpy(s->sig[alg] + RR_SPAN_LEN, sig, RR_SIG_LEN);
}

static void add_rdata(struct follow_set *s, const uint8_t *rdata, size_t len)
{
	s->rdata[s->count] = rdata;
	s->len[s->count++] = (uint16_t)len;
}

static void read_device(struct follow_node *n, const uint8_t *value, uint32_t ttl)
{
	uint8_t *tlsa = n->device + RR_CERT_LEN;

	rec_device_cert(value, n->device);
	rec_device_tlsa(value, (uint8_t(*)[RR_TLSA_LEN])tlsa);
	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at_cert = rec_data_at(value, a, RR_CERT);
		struct rec_at at_tlsa = rec_data_at(value, a, RR_TLSA);

		if (!rec_form_has(rec_form(value), a))
			continue;
		put_stored(n, RR_CERT, ttl, a, value + at_cert.span, value + at_cert.sig);
		put_stored(n, RR_TLSA, ttl, a, value + at_tlsa.span, value + at_tlsa.sig);
	}
	add_rdata(find(n, RR_CERT), n->device, RR_CERT_LEN);
	add_rdata(find(n, RR_TLSA), tlsa, RR_TLSA_LEN);
	add_rdata(find(n, RR_TLSA), tlsa + RR_TLSA_LEN, RR_TLSA_LEN);
}

static enum rc read_general(struct follow_node *n, const uint8_t *value, size_t len)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;

	while (rec_iter_next(&it, &v)) {
		const uint8_t *p = v.rdata;

		if (v.count > REC_RDATA_MAX || n->count == REC_SETS_MAX)
			return RC_MALFORMED;
		for (unsigned a = 0; a < REC_ALGS; a++)
			if (rec_form_has(v.form, a))
				put_stored(n, v.type, v.ttl, a, rec_view_sig(&v, a),
					rec_view_sig(&v, a) + RR_SPAN_LEN);
		for (unsigned i = 0; i < v.count; i++, p += 2 + rec_get16(p))
			add_rdata(find(n, v.type), p + 2, rec_get16(p));
	}
	return RC_OK;
}

enum rc follow_node_read(struct follow_node *n, const struct zone_name *origin, const uint8_t *key,
	size_t key_len, const uint8_t *value, size_t len, uint32_t ttl, uint32_t minimum,
	struct diag *d)
{
	struct zone_name owner;
	enum rc rc = zone_key_name(key, key_len, origin, &owner);

	n->origin = origin;
	n->count = 0;
	n->nsec_stored = false;
	if (rc != RC_OK)
		return diag_set(d, rc, "a name that is too long for the zone");
	n->labels = zone_name_labels(owner.wire);
	if (owner.wire[0] == 1 && owner.wire[1] == '*')
		return diag_set(d, RC_MALFORMED, "a wildcard: not a zone of attestry's shape");
	if (!value)
		return RC_OK;
	if (!rec_is_sane(value, len))
		return diag_set(d, RC_IO, "zone store: a record");
	if (value[REC_KIND] == REC_DEVICE)
		read_device(n, value, ttl);
	else if (read_general(n, value, len) != RC_OK)
		return diag_set(d, RC_IO, "zone store: a record");
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(rec_form(value), a))
			put_stored(n, RR_NSEC, minimum, a, value + rec_nsec_at(value, a).span,
				value + rec_nsec_at(value, a).sig);
	n->nsec_stored = true;
	return RC_OK;
}

/* ---- editing */

static bool same(const struct follow_set *s, unsigned i, const uint8_t *rdata, size_t len)
{
	return s->len[i] == len && memcmp(s->rdata[i], rdata, len) == 0;
}

static enum rc take_out(struct follow_node *n, const struct incoming_record *r, struct diag *d)
{
	struct follow_set *s = find(n, r->type);

	if (s && r->type == RR_NSEC && n->nsec_stored && s->ttl == r->ttl) {
		n->nsec_stored = false;
		return RC_OK;
	}
	for (unsigned i = 0; s && i < s->count; i++) {
		if (s->ttl != r->ttl || !same(s, i, r->rdata, r->len))
			continue;
		s->count--;
		memmove(&s->rdata[i], &s->rdata[i + 1], (s->count - i) * sizeof(s->rdata[0]));
		memmove(&s->len[i], &s->len[i + 1], (s->count - i) * sizeof(s->len[0]));
		return RC_OK;
	}
	return diag_set(d, RC_STATE, "a record of type %u goes that is not here", r->type);
}

static enum rc put_in(struct follow_node *n, const struct incoming_record *r, struct diag *d)
{
	struct follow_set *s;
	unsigned i = 0;

	if ((r->type == RR_NS && r->key.len > 1) || r->type == RR_CNAME || r->type == RR_DNAME ||
		r->type == RR_DS || r->type == RR_NSEC3 || r->type == RR_NSEC3PARAM ||
		r->type >= RR_TKEY || r->type == RR_OPT || r->type == 0)
		return diag_set(d, RC_MALFORMED,
			"a record of type %u: not a zone of attestry's shape", r->type);
	s = need(n, r->type, r->ttl);
	if (!s || s->count == REC_RDATA_MAX)
		return diag_set(d, RC_TOO_LARGE, "too many records at one name");
	if (s->count == 0)
		s->ttl = r->ttl;
	if (s->ttl != r->ttl)
		return diag_set(d, RC_MALFORMED, "records of one set with two TTLs");
	for (; i < s->count; i++) {
		int order = zone_key_cmp(r->rdata, r->len, s->rdata[i], s->len[i]);

		if (order == 0)
			return diag_set(
				d, RC_STATE, "a record of type %u comes that is here", r->type);
		if (order < 0)
			break;
	}
	memmove(&s->rdata[i + 1], &s->rdata[i], (s->count - i) * sizeof(s->rdata[0]));
	memmove(&s->len[i + 1], &s->len[i], (s->count - i) * sizeof(s->len[0]));
	s->rdata[i] = r->rdata;
	s->len[i] = (uint16_t)r->len;
	s->count++;
	return RC_OK;
}

/* RFC 4034 section 3.1; the signer is the zone, the owner is no wildcard's. */
static enum rc edit_signature(
	struct follow_node *n, const struct incoming_record *r, struct diag *d)
{
	const uint8_t *p = r->rdata;
	size_t fixed = RR_RRSIG_FIXED + n->origin->len;
	struct follow_set *s;
	struct zone_name signer = { 0 };
	uint8_t sig[RR_SPAN_LEN + RR_SIG_LEN];
	unsigned alg;

	if (r->len != fixed + RR_SIG_LEN)
		return diag_set(d, RC_MALFORMED, "a signature of another form than this zone's");
	signer.len = n->origin->len;
	memcpy(signer.wire, p + RR_RRSIG_FIXED, signer.len);
	zone_name_lower(&signer);
	alg = p[2] == RR_ALG_ED25519 ? REC_ED25519 : REC_P256;
	if (p[2] != rec_alg_number(alg) || p[3] != n->labels || rec_get32(p + 4) != r->ttl ||
		memcmp(signer.wire, n->origin->wire, signer.len) != 0)
		return diag_set(d, RC_MALFORMED, "a signature of another form than this zone's");
	memcpy(sig, p + 8, RR_SPAN_LEN);
	memcpy(sig + RR_SPAN_LEN, p + fixed, RR_SIG_LEN);
	s = r->gone ? find(n, rec_get16(p)) : need(n, rec_get16(p), r->ttl);
	if (r->gone &&
		(!s || !rec_form_has(s->have, alg) || memcmp(s->sig[alg], sig, sizeof(sig)) != 0))
		return diag_set(d, RC_STATE, "a signature goes that is not here");
	if (!s || (!r->gone && rec_form_has(s->have, alg)))
		return diag_set(d, RC_MALFORMED, "two signatures of one algorithm over one set");
	s->have ^= 1u << alg;
	s->sig_ttl = r->ttl;
	memcpy(s->sig[alg], sig, sizeof(sig));
	return RC_OK;
}

enum rc follow_node_edit(struct follow_node *n, const struct incoming_record *r, struct diag *d)
{
	if (r->type == RR_RRSIG)
		return edit_signature(n, r, d);
	return r->gone ? take_out(n, r, d) : put_in(n, r, d);
}

/* ---- to the store */

static bool same_spans(const struct follow_set *a, const struct follow_set *b)
{
	for (unsigned i = 0; i < REC_ALGS; i++)
		if (rec_form_has(a->have, i) && memcmp(a->sig[i], b->sig[i], RR_SPAN_LEN) != 0)
			return false;
	return true;
}

/* Whether a device record says all of it (rec.h). */
static bool is_device(const struct follow_node *n, uint32_t ttl)
{
	static const uint8_t cert_head[] = { 0, 1, 0, 1, 0 };
	static const uint8_t tlsa_head[2][3] = { { 3, 0, 1 }, { 3, 1, 1 } };
	const struct follow_set *cert = follow_node_find(n, RR_CERT);
	const struct follow_set *tlsa = follow_node_find(n, RR_TLSA);

	return n->count == 3 && cert && tlsa && cert->count == 1 && tlsa->count == 2 &&
	       cert->ttl == ttl && tlsa->ttl == ttl && cert->len[0] == RR_CERT_LEN &&
	       tlsa->len[0] == RR_TLSA_LEN && tlsa->len[1] == RR_TLSA_LEN &&
	       memcmp(cert->rdata[0], cert_head, sizeof(cert_head)) == 0 &&
	       memcmp(tlsa->rdata[0], tlsa_head[0], 3) == 0 &&
	       memcmp(tlsa->rdata[1], tlsa_head[1], 3) == 0 &&
	       memcmp(cert->rdata[0] + 5, tlsa->rdata[0] + 3, RR_HASH_LEN) == 0 &&
	       same_spans(cert, tlsa);
}

static size_t write_device(const struct follow_node *n, uint8_t *out)
{
	const struct follow_set *cert = follow_node_find(n, RR_CERT);
	const struct follow_set *tlsa = follow_node_find(n, RR_TLSA);

	memset(out, 0, REC_DEVICE_TWO_LEN);
	out[REC_KIND] = REC_DEVICE;
	out[REC_FLAGS] = rec_form_flags(cert->have);
	/* Only the primary knows when the certificate ends, and takes it out then. */
	rec_put64(out + REC_NOT_AFTER, INT64_MAX);
	memcpy(out + REC_CERT, tlsa->rdata[0] + 3, RR_HASH_LEN);
	memcpy(out + REC_SPKI, tlsa->rdata[1] + 3, RR_HASH_LEN);
	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at_cert = rec_data_at(out, a, RR_CERT);
		struct rec_at at_tlsa = rec_data_at(out, a, RR_TLSA);

		if (!rec_form_has(cert->have, a))
			continue;
		memcpy(out + at_cert.span, cert->sig[a], RR_SPAN_LEN);
		memcpy(out + at_cert.sig, cert->sig[a] + RR_SPAN_LEN, RR_SIG_LEN);
		memcpy(out + at_tlsa.sig, tlsa->sig[a] + RR_SPAN_LEN, RR_SIG_LEN);
	}
	return rec_device_len(cert->have);
}

static enum rc write_general(const struct follow_node *n, unsigned form, struct rec_node *room,
	uint8_t *out, size_t *len)
{
	room->count = 0;
	room->form = form;
	for (unsigned i = 0; i < n->count; i++) {
		const struct follow_set *s = &n->set[i];
		struct rec_set *to;

		if (s->type == RR_NSEC)
			continue;
		if (room->count == REC_SETS_MAX)
			return RC_TOO_LARGE;
		to = &room->set[room->count++];
		to->type = s->type;
		to->count = s->count;
		to->ttl = s->ttl;
		memcpy(to->rdata, s->rdata, s->count * sizeof(s->rdata[0]));
		memcpy(to->rdata_len, s->len, s->count * sizeof(s->len[0]));
		for (unsigned a = 0; a < REC_ALGS; a++)
			to->sig[a] =
				rec_form_has(s->have, a) ? (uint8_t *)(uintptr_t)s->sig[a] : NULL;
	}
	return rec_node_write(room, out, len);
}

enum rc follow_node_write(const struct follow_node *n, uint32_t ttl, uint32_t minimum, uint8_t *out,
	size_t *len, struct diag *d)
{
	const struct follow_set *nsec = follow_node_find(n, RR_NSEC);
	struct rec_node room;
	unsigned filled = 0;
	enum rc rc = RC_OK;

	*len = 0;
	for (unsigned i = 0; i < n->count; i++) {
		const struct follow_set *s = &n->set[i];
		bool there = s->count > 0 || (s == nsec && n->nsec_stored);

		if (there != (s->have != 0) ||
			(there && (s->sig_ttl != s->ttl || !nsec || s->have != nsec->have)))
			return diag_set(d, RC_MALFORMED,
				"a set of type %u and its signature do not go together", s->type);
		filled += there;
	}
	if (filled == 0)
		return RC_OK;
	if (!nsec || !nsec->have || nsec->count + n->nsec_stored != 1 || nsec->ttl != minimum)
		return diag_set(d, RC_MALFORMED, "a name without its NSEC (RFC 4035 section 2.3)");
	if (filled == 1)
		return diag_set(d, RC_MALFORMED, "a name with nothing but its NSEC");
	if (filled == n->count && is_device(n, ttl)) {
		*len = write_device(n, out);
	} else {
		struct follow_node whole = *n;

		whole.count = 0;
		for (unsigned i = 0; i < n->count; i++)
			if (n->set[i].have)
				whole.set[whole.count++] = n->set[i];
		rc = write_general(&whole, nsec->have, &room, out, len);
	}
	if (rc != RC_OK)
		return diag_set(d, rc, "too much at one name");
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(nsec->have, a))
			memcpy(out + rec_nsec_at(out, a).span, nsec->sig[a],
				RR_SPAN_LEN + RR_SIG_LEN);
	return RC_OK;
}

enum rc follow_node_next(const struct follow_node *n, const uint8_t *value, size_t len,
	struct zone_key *next, struct diag *d)
{
	const struct follow_set *nsec = follow_node_find(n, RR_NSEC);
	uint8_t bitmap[REC_BITMAP_MAX];
	size_t bits = rec_bitmap(value, len, bitmap);
	struct zone_name name;
	struct cur c;
	int rel;

	if (!nsec || nsec->count != 1)
		return diag_set(d, RC_MALFORMED, "a name without its NSEC (RFC 4035 section 2.3)");
	c = cur_init(nsec->rdata[0], nsec->len[0]);
	if (zone_name_parse(&c, &name) != RC_OK || c.left != bits ||
		memcmp(c.at, bitmap, bits) != 0)
		return diag_set(d, RC_MALFORMED, "an NSEC whose types are not those of its name");
	rel = zone_name_below(name.wire, name.len, n->origin);
	if (rel < 0)
		return diag_set(d, RC_MALFORMED, "an NSEC that leads out of the zone");
	zone_key_write(name.wire, (size_t)rel, next);
	return RC_OK;
}
