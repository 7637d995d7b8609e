/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/work.h"

#include "base/put.h"

#include <stdlib.h>
#include <string.h>

void work_init(struct work *w, const struct zone_policy *policy, int64_t now)
{
	memset(w, 0, sizeof(*w));
	w->policy = policy;
	w->now = now;
}

void work_fini(struct work *w)
{
	zone__arena_free(&w->arena);
	free(w->sets);
	free(w->place);
	memset(w, 0, sizeof(*w));
}

void work_device(uint8_t value[REC_DEVICE_LEN], const uint8_t cert[RR_HASH_LEN],
	const uint8_t spki[RR_HASH_LEN], int64_t not_after)
{
	memset(value, 0, REC_DEVICE_LEN);
	value[REC_KIND] = REC_DEVICE;
	rec_put64(value + REC_NOT_AFTER, (uint64_t)not_after);
	memcpy(value + REC_CERT, cert, RR_HASH_LEN);
	memcpy(value + REC_SPKI, spki, RR_HASH_LEN);
}

enum rc work_node_set(struct work *w, struct rec_node *node, const struct work_set *in)
{
	struct rec_set *set;

	if (in->count == 0) {
		rec_node_drop(node, in->type);
		return RC_OK;
	}
	set = rec_node_make(node, in->type, w->policy->ttl);
	if (!set)
		return RC_TOO_LARGE;
	for (unsigned i = 0; i < in->count; i++) {
		const uint8_t *copy = zone__arena_dup(&w->arena, in->rdata[i], in->rdata_len[i]);
		enum rc rc = copy ? rec_set_add(set, copy, in->rdata_len[i]) : RC_NOMEM;

		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static enum rc one_set(struct work *w, struct rec_node *node, uint16_t type, unsigned count,
	const uint8_t *const *rdata, const uint16_t *len)
{
	struct work_set in = { type, (uint16_t)count, rdata, len };

	return work_node_set(w, node, &in);
}

enum rc work_apex_infra(struct work *w, struct rec_node *node)
{
	const struct zone_policy *p = w->policy;
	const uint8_t *keys[WORK_KEYS_MAX] = { p->ksk, p->zsk };
	const uint8_t *cdnskeys[WORK_KEYS_MAX] = { p->ksk };
	const uint8_t *cds[WORK_KEYS_MAX];
	uint16_t key_len[WORK_KEYS_MAX] = { DNSKEY_LEN, DNSKEY_LEN };
	uint16_t cdnskey_len[WORK_KEYS_MAX] = { DNSKEY_LEN }, cds_len[WORK_KEYS_MAX];
	uint8_t ds[WORK_KEYS_MAX][DS_LEN];
	unsigned n = 2, to_parent = 1;
	const uint8_t *ns[1] = { p->ns_name.wire };
	const uint16_t ns_len[1] = { p->ns_name.len };
	enum rc rc = RC_OK;

	if (p->keys > 0)
		n = to_parent = 0;
	for (unsigned i = 0; i < p->keys; i++) {
		keys[n] = p->key[i].rdata;
		key_len[n++] = p->key[i].len;
		if (!p->key[i].cds)
			continue;
		cdnskeys[to_parent] = p->key[i].rdata;
		cdnskey_len[to_parent++] = p->key[i].len;
	}
	for (unsigned i = 0; i < WORK_KEYS_MAX; i++) {
		cds_len[i] = DS_LEN;
		cds[i] = ds[i];
	}
	for (unsigned i = 0; rc == RC_OK && i < to_parent; i++)
		rc = sign_ds(&p->origin, cdnskeys[i], cdnskey_len[i], ds[i]);
	if (rc == RC_OK)
		rc = one_set(w, node, RR_NS, 1, ns, ns_len);
	if (rc == RC_OK)
		rc = one_set(w, node, RR_DNSKEY, n, keys, key_len);
	if (rc == RC_OK)
		rc = one_set(w, node, RR_CDS, to_parent, cds, cds_len);
	if (rc == RC_OK)
		rc = one_set(w, node, RR_CDNSKEY, to_parent, cdnskeys, cdnskey_len);
	return rc;
}

enum rc work_apex_soa(struct work *w, struct rec_node *node, uint32_t serial)
{
	const struct zone_policy *p = w->policy;
	uint8_t rdata[2 * ZONE_NAME_MAX + 20];
	struct put out = put_init(rdata, sizeof(rdata));
	const uint8_t *soa[1] = { rdata };
	uint16_t len[1];

	put_bytes(&out, p->ns_name.wire, p->ns_name.len);
	put_bytes(&out, p->rname.wire, p->rname.len);
	put_u32(&out, serial);
	put_u32(&out, p->refresh);
	put_u32(&out, p->retry);
	put_u32(&out, p->expire);
	put_u32(&out, p->minimum);
	len[0] = (uint16_t)out.len;
	return one_set(w, node, RR_SOA, 1, soa, len);
}

enum rc work_ns_host(struct work *w, struct rec_node *node)
{
	const struct zone_policy *p = w->policy;
	const uint8_t *rdata[WORK_NS_ADDR_MAX];
	uint16_t len[WORK_NS_ADDR_MAX];
	static const uint16_t types[] = { RR_A, RR_AAAA };

	for (unsigned t = 0; t < 2; t++) {
		unsigned n = 0;
		enum rc rc;

		for (unsigned i = 0; i < p->ns_addrs; i++) {
			if (p->ns_addr_len[i] != (t ? 16 : 4))
				continue;
			rdata[n] = p->ns_addr[i];
			len[n++] = p->ns_addr_len[i];
		}
		rc = one_set(w, node, types[t], n, rdata, len);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc work_node_value(struct work *w, struct rec_node *node, uint8_t **value, size_t *len)
{
	uint8_t buf[REC_VALUE_MAX];
	struct rec_node scratch = *node;
	enum rc rc;

	scratch.form = work_form(w->policy);
	rc = rec_node_write(&scratch, buf, len);

	if (rc != RC_OK)
		return rc;
	*value = zone__arena_dup(&w->arena, buf, *len);
	if (!*value)
		return RC_NOMEM;
	return rec_node_parse(*value, *len, node);
}

/* ---- what is due */

static bool by_ksk(uint16_t type)
{
	return type == RR_DNSKEY || type == RR_CDS || type == RR_CDNSKEY;
}

static uint32_t life_of(const struct work *w, uint16_t type)
{
	return type == RR_CERT || type == RR_TLSA ? w->policy->signature_s
						  : w->policy->infra_signature_s;
}

/* Of the two times that it may be, the one that is further on, and the other. */
static int64_t latest(const struct work *w)
{
	return w->policy->doubt_s > 0 ? w->now + w->policy->doubt_s : w->now;
}

static int64_t earliest(const struct work *w)
{
	return w->policy->doubt_s < 0 ? w->now + w->policy->doubt_s : w->now;
}

static int64_t left_of(const struct work *w, const uint8_t *span)
{
	return (int64_t)(int32_t)(rec_get32(span) - (uint32_t)latest(w));
}

static bool is_foreign(const struct work *w, const uint8_t *span, uint16_t type, unsigned alg)
{
	const struct work_tags *t = &w->policy->tags;

	if (!rec_form_has(work_form(w->policy), alg))
		return true;
	if (t->zsk[alg] == 0 && t->ksk[alg] == 0)
		return false;
	return rec_get16(span + 8) != (by_ksk(type) ? t->ksk[alg] : t->zsk[alg]);
}

/* Made while the clock ran ahead: validators of today refuse it. */
static bool is_of_the_future(const struct work *w, const uint8_t *span)
{
	return (int32_t)(rec_get32(span + 4) - (uint32_t)earliest(w)) > 0;
}

bool work_span_is_due(const struct work *w, const uint8_t *span, uint16_t type, unsigned alg)
{
	/* What was signed elsewhere lives as long as it was given: another is due when one is. */
	if (w->policy->presigned && by_ksk(type))
		return is_foreign(w, span, type, alg) ||
		       (w->policy->presigned != WORK_NOT_PRESIGNED &&
			       rec_get32(span + 4) != w->policy->presigned);
	return left_of(w, span) < (int64_t)(life_of(w, type) / 2) ||
	       is_foreign(w, span, type, alg) || is_of_the_future(w, span);
}

bool work_nsec_is_due(const struct work *w, const uint8_t *value)
{
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(rec_form(value), a) &&
			work_span_is_due(w, value + rec_nsec_at(value, a).span, RR_NSEC, a))
			return true;
	return false;
}

/* A signature that ends with its certificate is not made again. */
static bool device_data_is_due(const struct work *w, const uint8_t *value, unsigned alg)
{
	const uint8_t *span = value + rec_data_at(value, alg, RR_CERT).span;

	if (rec_get32(span) == (uint32_t)rec_get64(value + REC_NOT_AFTER))
		return is_foreign(w, span, RR_CERT, alg) || is_of_the_future(w, span);
	return work_span_is_due(w, span, RR_CERT, alg);
}

bool work_record_is_due(const struct work *w, const uint8_t *value, size_t len)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;

	if (rec_form(value) != work_form(w->policy) || work_nsec_is_due(w, value))
		return true;
	for (unsigned a = 0; a < REC_ALGS && value[REC_KIND] == REC_DEVICE; a++)
		if (rec_form_has(rec_form(value), a) && device_data_is_due(w, value, a))
			return true;
	while (rec_iter_next(&it, &v))
		for (unsigned a = 0; a < REC_ALGS; a++)
			if (rec_form_has(v.form, a) &&
				work_span_is_due(w, rec_view_sig(&v, a), v.type, a))
				return true;
	return false;
}

static void count_span(const struct work *w, const uint8_t *span, uint16_t type, unsigned alg,
	struct work_count *count)
{
	count->foreign += is_foreign(w, span, type, alg);
	/* The end of what was signed elsewhere is watched as a whole. */
	if (w->policy->presigned && by_ksk(type))
		return;
	count->late += left_of(w, span) < (int64_t)(life_of(w, type) / 3);
}

void work_record_count(
	const struct work *w, const uint8_t *value, size_t len, struct work_count *count)
{
	struct rec_iter it = rec_iter_init(value, len);
	struct rec_view v;

	/* An algorithm that is still missing counts as well. */
	count->foreign += rec_form(value) != work_form(w->policy);
	for (unsigned a = 0; a < REC_ALGS; a++) {
		if (!rec_form_has(rec_form(value), a))
			continue;
		count_span(w, value + rec_nsec_at(value, a).span, RR_NSEC, a, count);
		if (value[REC_KIND] != REC_DEVICE)
			continue;
		const uint8_t *span = value + rec_data_at(value, a, RR_CERT).span;
		/* What ends with its certificate is not late. */
		if (rec_get32(span) != (uint32_t)rec_get64(value + REC_NOT_AFTER))
			count_span(w, span, RR_CERT, a, count);
		else
			count->foreign += is_foreign(w, span, RR_CERT, a);
	}
	while (rec_iter_next(&it, &v))
		for (unsigned a = 0; a < REC_ALGS; a++)
			if (rec_form_has(v.form, a))
				count_span(w, rec_view_sig(&v, a), v.type, a, count);
}

/* ---- another form */

static enum rc reform_device(struct work *w, uint8_t **value, size_t *len, unsigned form)
{
	const uint8_t *old = *value;
	uint8_t *v = zone__arena_alloc(&w->arena, rec_device_len(form));

	if (!v)
		return RC_NOMEM;
	memset(v, 0, rec_device_len(form));
	memcpy(v, old, REC_DATA_SPAN);
	memcpy(v + REC_NOT_AFTER, old + REC_NOT_AFTER, REC_CERT_SIG - REC_NOT_AFTER);
	v[REC_FLAGS] = rec_form_flags(form);
	rec_copy_nsec(v, old);
	for (unsigned a = 0; a < REC_ALGS; a++) {
		static const uint16_t types[] = { RR_CERT, RR_TLSA };

		for (unsigned t = 0; t < 2; t++) {
			struct rec_at to = rec_data_at(v, a, types[t]);
			struct rec_at from = rec_data_at(old, a, types[t]);

			if (!rec_form_has(form, a) || !rec_form_has(rec_form(old), a))
				continue;
			memcpy(v + to.span, old + from.span, RR_SPAN_LEN);
			memcpy(v + to.sig, old + from.sig, RR_SIG_LEN);
		}
	}
	*value = v;
	*len = rec_device_len(form);
	return RC_OK;
}

enum rc work_reform(struct work *w, uint8_t **value, size_t *len)
{
	unsigned form = work_form(w->policy);
	const uint8_t *old = *value;
	struct rec_node node = { 0 };
	enum rc rc;

	if (rec_form(old) == form)
		return RC_OK;
	if (old[REC_KIND] == REC_DEVICE)
		return reform_device(w, value, len, form);
	rc = rec_node_parse(*value, *len, &node);
	if (rc == RC_OK)
		rc = work_node_value(w, &node, value, len);
	if (rc == RC_OK)
		rec_copy_nsec(*value, old);
	return rc;
}

/* ---- what is to be signed */

/* FNV-1a: spreads the ends of signatures that were made together, so that they are not due
 * together; the same name gets another place each time. */
static uint32_t jitter(const uint8_t *key, size_t len, int64_t now, uint32_t below)
{
	uint32_t h = 2166136261u ^ (uint32_t)now;

	for (size_t i = 0; i < len; i++)
		h = (h ^ key[i]) * 16777619u;
	h ^= h >> 15;
	return below ? h % below : 0;
}

static enum rc work_add(
	struct work *w, const struct sign_set *set, uint8_t *value, struct rec_at at, unsigned alg)
{
	if (w->count == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 64;
		struct sign_set *sets = realloc(w->sets, cap * sizeof(*sets));
		void *place;

		if (!sets)
			return RC_NOMEM;
		w->sets = sets;
		place = realloc(w->place, cap * sizeof(*w->place));
		if (!place)
			return RC_NOMEM;
		w->place = place;
		w->cap = cap;
	}
	w->sets[w->count] = *set;
	w->sets[w->count].alg = (uint8_t)alg;
	w->place[w->count].span = value + at.span;
	w->place[w->count].sig = value + at.sig;
	w->count++;
	return RC_OK;
}

/* Owner and times; *owner is in the arena. */
static enum rc set_start(
	struct work *w, const uint8_t *key, size_t key_len, uint16_t type, struct sign_set *out)
{
	struct zone_name name;
	uint32_t life = life_of(w, type);
	enum rc rc = zone_key_name(key, key_len, &w->policy->origin, &name);

	if (rc != RC_OK)
		return rc;
	memset(out, 0, sizeof(*out));
	out->owner = zone__arena_dup(&w->arena, name.wire, name.len);
	if (!out->owner)
		return RC_NOMEM;
	out->owner_len = name.len;
	out->type = type;
	out->ttl = w->policy->ttl;
	out->inception = (uint32_t)(earliest(w) - WORK_SKEW_S);
	out->expiration = (uint32_t)(latest(w) + life - jitter(key, key_len, w->now, life / 8));
	return RC_OK;
}

/* RDATA pointers of a set, kept as long as the batch. */
static enum rc set_rdata(struct work *w, struct sign_set *s, unsigned count,
	const uint8_t *const *rdata, const uint16_t *len)
{
	s->count = (uint16_t)count;
	s->rdata = zone__arena_dup(&w->arena, rdata, count * sizeof(*rdata));
	s->rdata_len = zone__arena_dup(&w->arena, len, count * sizeof(*len));
	return s->rdata && s->rdata_len ? RC_OK : RC_NOMEM;
}

static bool device_is_due(const struct work *w, const uint8_t *value)
{
	for (unsigned a = 0; a < REC_ALGS; a++)
		if (rec_form_has(rec_form(value), a) && device_data_is_due(w, value, a))
			return true;
	return false;
}

enum rc work_sign_device(
	struct work *w, const uint8_t *key, size_t key_len, uint8_t *value, enum work_which which)
{
	static const uint16_t cert_len[1] = { RR_CERT_LEN };
	static const uint16_t tlsa_len[2] = { RR_TLSA_LEN, RR_TLSA_LEN };
	uint64_t not_after = rec_get64(value + REC_NOT_AFTER);
	struct sign_set s;
	uint8_t *cert = zone__arena_alloc(&w->arena, RR_CERT_LEN);
	uint8_t *tlsa = zone__arena_alloc(&w->arena, 2 * (size_t)RR_TLSA_LEN);
	const uint8_t *rdata[2];
	enum rc rc;

	if (which == WORK_DUE && !device_is_due(w, value))
		return RC_OK;
	if (!cert || !tlsa)
		return RC_NOMEM;
	rec_device_cert(value, cert);
	rec_device_tlsa(value, (uint8_t(*)[RR_TLSA_LEN])tlsa);
	rc = set_start(w, key, key_len, RR_CERT, &s);
	if (rc != RC_OK)
		return rc;
	/* No replay of the records after the certificate's end. */
	if ((int64_t)not_after < w->now + (int64_t)(s.expiration - (uint32_t)w->now))
		s.expiration = (uint32_t)not_after;
	for (unsigned a = 0; rc == RC_OK && a < REC_ALGS; a++) {
		if (!rec_form_has(rec_form(value), a) ||
			(which == WORK_DUE && !device_data_is_due(w, value, a)))
			continue;
		s.type = RR_CERT;
		rdata[0] = cert;
		rc = set_rdata(w, &s, 1, rdata, cert_len);
		if (rc == RC_OK)
			rc = work_add(w, &s, value, rec_data_at(value, a, RR_CERT), a);
		s.type = RR_TLSA;
		rdata[0] = tlsa;
		rdata[1] = tlsa + RR_TLSA_LEN;
		if (rc == RC_OK)
			rc = set_rdata(w, &s, 2, rdata, tlsa_len);
		if (rc == RC_OK)
			rc = work_add(w, &s, value, rec_data_at(value, a, RR_TLSA), a);
	}
	return rc;
}

static enum rc sign_one_set(struct work *w, const uint8_t *key, size_t key_len,
	const struct rec_set *set, enum work_which which)
{
	for (unsigned a = 0; a < REC_ALGS; a++) {
		struct rec_at at = { 0, RR_SPAN_LEN };
		struct sign_set s;
		enum rc rc;

		if (!set->sig[a] ||
			(which == WORK_DUE && !work_span_is_due(w, set->sig[a], set->type, a)))
			continue;
		rc = set_start(w, key, key_len, set->type, &s);
		if (rc != RC_OK)
			return rc;
		s.ttl = set->ttl;
		s.ksk = by_ksk(set->type);
		rc = set_rdata(w, &s, set->count, set->rdata, set->rdata_len);
		if (rc == RC_OK)
			rc = work_add(w, &s, set->sig[a], at, a);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc work_sign_general(struct work *w, const uint8_t *key, size_t key_len, uint8_t *value,
	size_t len, enum work_which which)
{
	struct rec_node node;
	enum rc rc = rec_node_parse(value, len, &node);

	for (unsigned i = 0; rc == RC_OK && i < node.count; i++)
		rc = sign_one_set(w, key, key_len, &node.set[i], which);
	return rc;
}

enum rc work_sign_nsec(struct work *w, const uint8_t *key, size_t key_len, uint8_t *value,
	size_t len, const uint8_t *next_key, size_t next_len)
{
	uint8_t buf[ZONE_NAME_MAX + REC_BITMAP_MAX];
	struct zone_name next = w->policy->origin;
	const uint8_t *rdata[1];
	uint16_t rdata_len[1];
	struct sign_set s;
	enum rc rc = RC_OK;

	if (next_key)
		rc = zone_key_name(next_key, next_len, &w->policy->origin, &next);
	if (rc == RC_OK)
		rc = set_start(w, key, key_len, RR_NSEC, &s);
	if (rc != RC_OK)
		return rc;
	memcpy(buf, next.wire, next.len);
	rdata_len[0] = (uint16_t)(next.len + rec_bitmap(value, len, buf + next.len));
	rdata[0] = zone__arena_dup(&w->arena, buf, rdata_len[0]);
	if (!rdata[0])
		return RC_NOMEM;
	s.ttl = w->policy->minimum;
	rc = set_rdata(w, &s, 1, rdata, rdata_len);
	for (unsigned a = 0; rc == RC_OK && a < REC_ALGS; a++)
		if (rec_form_has(rec_form(value), a))
			rc = work_add(w, &s, value, rec_nsec_at(value, a), a);
	return rc;
}

void work_place(struct work *w, const uint8_t *sigs, const struct work_tags *tags)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct sign_set *s = &w->sets[i];
		uint8_t *span = w->place[i].span;

		rec_put32(span, s->expiration);
		rec_put32(span + 4, s->inception);
		rec_put16(span + 8, s->ksk ? tags->ksk[s->alg] : tags->zsk[s->alg]);
		memcpy(w->place[i].sig, sigs + i * RR_SIG_LEN, RR_SIG_LEN);
	}
}
