/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/rrs.h"

#include <string.h>

static uint8_t *room_of(struct rrs *out, size_t len)
{
	uint8_t *p = out->room + out->used;

	if (out->used + len > sizeof(out->room))
		return NULL;
	out->used += len;
	return p;
}

static bool add(struct rrs *out, uint16_t type, uint32_t ttl, const uint8_t *rdata, size_t len)
{
	if (!rdata || out->count == RRS_MAX)
		return false;
	out->one[out->count++] = (struct rrs_one){ type, (uint16_t)len, ttl, rdata };
	return true;
}

static bool add_rrsig(const struct rrs_zone *z, struct rrs *out, uint16_t covered, uint32_t ttl,
	unsigned labels, unsigned alg, const uint8_t *span, const uint8_t *sig)
{
	size_t len = RR_RRSIG_FIXED + z->origin->len + (size_t)RR_SIG_LEN;
	uint8_t *p = room_of(out, len);

	if (!p)
		return false;
	rec_put16(p, covered);
	p[2] = rec_alg_number(alg);
	p[3] = (uint8_t)labels;
	rec_put32(p + 4, ttl);
	memcpy(p + 8, span, RR_SPAN_LEN);
	memcpy(p + RR_RRSIG_FIXED, z->origin->wire, z->origin->len);
	memcpy(p + RR_RRSIG_FIXED + z->origin->len, sig, RR_SIG_LEN);
	return add(out, RR_RRSIG, ttl, p, len);
}

static bool add_device_sigs(const struct rrs_zone *z, struct rrs *out, const uint8_t *value,
	uint16_t type, unsigned labels)
{
	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at = rec_data_at(value, a, type);

		if (rec_form_has(rec_form(value), a) && !add_rrsig(z, out, type, z->ttl, labels, a,
								value + at.span, value + at.sig))
			return false;
	}
	return true;
}

static bool add_nsec_sigs(
	const struct rrs_zone *z, struct rrs *out, const uint8_t *value, unsigned labels)
{
	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at = rec_nsec_at(value, a);

		if (rec_form_has(rec_form(value), a) &&
			!add_rrsig(z, out, RR_NSEC, z->minimum, labels, a, value + at.span,
				value + at.sig))
			return false;
	}
	return true;
}

static bool add_device(
	const struct rrs_zone *z, struct rrs *out, const uint8_t *value, unsigned labels)
{
	uint8_t *cert = room_of(out, RR_CERT_LEN);
	uint8_t *tlsa = room_of(out, 2 * (size_t)RR_TLSA_LEN);

	if (!cert || !tlsa)
		return false;
	rec_device_cert(value, cert);
	rec_device_tlsa(value, (uint8_t(*)[RR_TLSA_LEN])tlsa);
	return add(out, RR_CERT, z->ttl, cert, RR_CERT_LEN) &&
	       add(out, RR_TLSA, z->ttl, tlsa, RR_TLSA_LEN) &&
	       add(out, RR_TLSA, z->ttl, tlsa + RR_TLSA_LEN, RR_TLSA_LEN) &&
	       add_device_sigs(z, out, value, RR_CERT, labels) &&
	       add_device_sigs(z, out, value, RR_TLSA, labels);
}

static bool add_general(const struct rrs_zone *z, struct rrs *out, const uint8_t *value, size_t len,
	unsigned labels)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;

	while (rec_iter_next(&it, &v)) {
		const uint8_t *p = v.rdata;

		for (unsigned i = 0; i < v.count; i++, p += 2 + rec_get16(p))
			if (v.type != RR_SOA && !add(out, v.type, v.ttl, p + 2, rec_get16(p)))
				return false;
		for (unsigned a = 0; a < REC_ALGS; a++)
			if (rec_form_has(v.form, a) &&
				!add_rrsig(z, out, v.type, v.ttl, labels, a, rec_view_sig(&v, a),
					rec_view_sig(&v, a) + RR_SPAN_LEN))
				return false;
	}
	return true;
}

enum rc rrs_of(const struct rrs_zone *z, const uint8_t *key, size_t key_len, const uint8_t *value,
	size_t len, const uint8_t *next, size_t next_len, struct rrs *out)
{
	struct zone_name owner, next_name;
	uint8_t bitmap[REC_BITMAP_MAX];
	size_t bits;
	uint8_t *nsec;
	unsigned labels;
	bool good;

	out->count = 0;
	out->used = 0;
	if (zone_key_name(key, key_len, z->origin, &owner) != RC_OK ||
		zone_key_name(next, next_len, z->origin, &next_name) != RC_OK)
		return RC_MALFORMED;
	labels = zone_name_labels(owner.wire);
	good = value[REC_KIND] == REC_DEVICE ? add_device(z, out, value, labels)
					     : add_general(z, out, value, len, labels);
	bits = rec_bitmap(value, len, bitmap);
	nsec = room_of(out, next_name.len + bits);
	if (!good || !nsec)
		return RC_MALFORMED;
	memcpy(nsec, next_name.wire, next_name.len);
	memcpy(nsec + next_name.len, bitmap, bits);
	if (!add(out, RR_NSEC, z->minimum, nsec, next_name.len + bits) ||
		!add_nsec_sigs(z, out, value, labels))
		return RC_MALFORMED;
	return RC_OK;
}

bool rrs_has(const struct rrs *rrs, const struct rrs_one *one)
{
	for (unsigned i = 0; i < rrs->count; i++) {
		const struct rrs_one *o = &rrs->one[i];

		if (o->type == one->type && o->len == one->len && o->ttl == one->ttl &&
			memcmp(o->rdata, one->rdata, one->len) == 0)
			return true;
	}
	return false;
}
