/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/payload__.h"

/* What was read so far, and which keys were there. */
struct reader {
	struct payload p;
	uint32_t seen; /* bit per known key */
	struct diag *d;
};

#define BIT(key) (UINT32_C(1) << (key))
#define ALWAYS                                                                       \
	(BIT(KEY_VERSION) | BIT(KEY_SEQUENCE) | BIT(KEY_ISSUED) | BIT(KEY_EXPIRES) | \
		BIT(KEY_ICCID) | BIT(KEY_SLOT) | BIT(KEY_STATUS) | BIT(KEY_ZONE))
#define LIVE	  (BIT(KEY_ANCHORS) | BIT(KEY_RESOLVERS) | BIT(KEY_SERVICE) | BIT(KEY_CERT))
#define ONLY_LIVE (LIVE | BIT(KEY_CAS) | BIT(KEY_WIFI) | BIT(KEY_TD) | BIT(KEY_SIGNERS))
#define PROFILE	  (BIT(KEY_ZONE) | BIT(KEY_ANCHORS) | BIT(KEY_RESOLVERS))

static uint64_t take_uint(struct cur *c, uint64_t max)
{
	uint64_t v = cbor_uint(c);

	if (v > max)
		cur_fail(c);
	return c->bad ? 0 : v;
}

static struct payload_bytes of_cur(struct cur c)
{
	return (struct payload_bytes){ .at = c.bad ? NULL : c.at, .len = c.left };
}

static const uint8_t *take_hash(struct cur *c)
{
	struct cur b = cbor_bytes(c);

	if (b.left != PAYLOAD_HASH_LEN)
		cur_fail(c);
	return c->bad ? NULL : b.at;
}

static void take_fixed(struct cur *c, uint8_t *out, size_t len)
{
	struct cur b = cbor_bytes(c);

	if (b.left != len)
		cur_fail(c);
	cur_copy(&b, out, len);
}

/* An array's count within 1..max. */
static size_t take_count(struct cur *c, size_t max)
{
	size_t n = cbor_array(c);

	if (n == 0 || n > max)
		cur_fail(c);
	return c->bad ? 0 : n;
}

static void take_tuple(struct cur *c, size_t len)
{
	if (cbor_array(c) != len)
		cur_fail(c);
}

/* Entries of a sorted list: each must stand behind the one before it. */
struct order {
	struct cur last;
	struct cur start;
	bool any;
};

static void order_begin(struct order *o, const struct cur *c)
{
	o->start = *c;
}

static void order_end(struct order *o, struct cur *c)
{
	struct cur item;

	if (c->bad)
		return;
	item = cur_init(o->start.at, o->start.left - c->left);
	if (o->any && cbor_compare(&o->last, &item) >= 0)
		cur_fail(c);
	o->last = item;
	o->any = true;
}

static void take_hashes(struct cur *c, size_t max, const uint8_t **out, size_t *len)
{
	struct order order = { 0 };
	size_t n = take_count(c, max);

	for (size_t i = 0; i < n; i++) {
		order_begin(&order, c);
		out[i] = take_hash(c);
		order_end(&order, c);
	}
	*len = n;
}

static void take_anchors(struct cur *c, struct payload *p)
{
	struct order order = { 0 };
	size_t n = take_count(c, PAYLOAD_ANCHORS_MAX);

	for (size_t i = 0; i < n; i++) {
		struct payload_anchor *a = &p->anchors[i];
		order_begin(&order, c);
		take_tuple(c, 5);
		a->name = of_cur(cbor_text(c));
		a->tag = (uint16_t)take_uint(c, UINT16_MAX);
		a->alg = (uint8_t)take_uint(c, UINT8_MAX);
		a->digest_type = (uint8_t)take_uint(c, UINT8_MAX);
		a->digest = of_cur(cbor_bytes(c));
		order_end(&order, c);
	}
	p->anchors_len = n;
}

static void take_cas(struct cur *c, struct payload *p)
{
	size_t n = take_count(c, PAYLOAD_CAS_MAX);

	for (size_t i = 0; i < n; i++) {
		take_tuple(c, 2);
		p->cas[i].is_der = take_uint(c, 1) == 1;
		p->cas[i].value = of_cur(cbor_bytes(c));
	}
	p->cas_len = n;
}

static void take_resolvers(struct cur *c, struct payload *p)
{
	size_t n = take_count(c, PAYLOAD_RESOLVERS_MAX);

	for (size_t i = 0; i < n; i++) {
		struct payload_resolver *r = &p->resolvers[i];
		take_tuple(c, 4);
		r->name = of_cur(cbor_text(c));
		r->addr = of_cur(cbor_bytes(c));
		r->port = (uint16_t)take_uint(c, UINT16_MAX);
		take_hashes(c, PAYLOAD_RESOLVER_PINS_MAX, r->pins, &r->pins_len);
	}
	p->resolvers_len = n;
}

static void take_service(struct cur *c, struct payload *p)
{
	struct order order = { 0 };
	size_t n;

	take_tuple(c, 5);
	p->service = of_cur(cbor_text(c));
	p->fqdn = of_cur(cbor_text(c));
	p->port = (uint16_t)take_uint(c, UINT16_MAX);
	if (!cbor_null(c))
		p->url = of_cur(cbor_text(c));
	n = take_count(c, PAYLOAD_PINS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct payload_pin *pin = &p->pins[i];
		order_begin(&order, c);
		take_tuple(c, 4);
		pin->usage = (uint8_t)take_uint(c, UINT8_MAX);
		pin->selector = (uint8_t)take_uint(c, UINT8_MAX);
		pin->matching = (uint8_t)take_uint(c, UINT8_MAX);
		pin->data = of_cur(cbor_bytes(c));
		order_end(&order, c);
	}
	p->pins_len = n;
}

static void take_td(struct cur *c, struct payload *p)
{
	take_tuple(c, 2);
	p->td_url = of_cur(cbor_text(c));
	p->td_sha256 = take_hash(c);
}

static enum rc take_value(struct reader *r, int64_t key, struct cur *c)
{
	struct payload *p = &r->p;

	switch (key) {
	case KEY_VERSION:
		if (cbor_uint(c) != PAYLOAD_VERSION && !c->bad)
			return diag_set(
				r->d, RC_UNSUPPORTED, "version is not 1 (formats 2, key 1)");
		break;
	case KEY_SEQUENCE: p->sequence = cbor_uint(c); break;
	case KEY_ISSUED: p->issued = cbor_uint(c); break;
	case KEY_EXPIRES: p->expires = cbor_uint(c); break;
	case KEY_ICCID: take_fixed(c, p->iccid, sizeof(p->iccid)); break;
	case KEY_EID:
		take_fixed(c, p->eid, sizeof(p->eid));
		p->has_eid = true;
		break;
	case KEY_SLOT: p->slot = (uint8_t)take_uint(c, 9); break;
	case KEY_STATUS: p->withdrawn = take_uint(c, 1) == 1; break;
	case KEY_ZONE: p->zone = of_cur(cbor_text(c)); break;
	case KEY_ANCHORS: take_anchors(c, p); break;
	case KEY_CAS: take_cas(c, p); break;
	case KEY_RESOLVERS: take_resolvers(c, p); break;
	case KEY_SERVICE: take_service(c, p); break;
	case KEY_WIFI: p->wifi = of_cur(cbor_bytes(c)); break;
	case KEY_TD: take_td(c, p); break;
	case KEY_SIGNERS: take_hashes(c, PAYLOAD_SIGNERS_MAX, p->signers, &p->signers_len); break;
	case KEY_CERT: p->cert_sha256 = take_hash(c); break;
	default: cbor_skip(c); return RC_OK;
	}
	r->seen |= BIT(key);
	return RC_OK;
}

static enum rc read_map(struct reader *r, struct cur c)
{
	struct cbor_keys keys = { 0 };
	size_t pairs = cbor_map(&c);

	for (size_t i = 0; i < pairs; i++) {
		int64_t key = cbor_key(&c, &keys);
		if (c.bad)
			return diag_set(r->d, RC_MALFORMED,
				"key %zu of the map: not an integer, "
				"or out of order (RFC 8949 4.2.1)",
				i);
		if (key < 0)
			return diag_set(r->d, RC_UNSUPPORTED, "unknown key %lld (formats 2)",
				(long long)key);
		enum rc rc = take_value(r, key, &c);
		if (rc != RC_OK)
			return rc;
		if (c.bad)
			return diag_set(r->d, RC_MALFORMED,
				"key %lld: malformed or not "
				"deterministic (formats 2)",
				(long long)key);
	}
	if (c.bad)
		return diag_set(r->d, RC_MALFORMED, "not a map (formats 2)");
	if (!cur_done(&c))
		return diag_set(r->d, RC_MALFORMED, "%zu bytes after the map (formats 2)", c.left);
	return RC_OK;
}

static enum rc need(const struct reader *r, uint32_t wanted)
{
	for (unsigned key = 0; key <= KEY_CERT; key++)
		if ((wanted & BIT(key)) && !(r->seen & BIT(key)))
			return diag_set(r->d, RC_MALFORMED, "key %u is missing (formats 2)", key);
	return RC_OK;
}

enum rc payload_map_parse(const uint8_t *bytes, size_t len, struct payload *out, struct diag *d)
{
	struct reader r = { .d = d };
	enum rc rc = read_map(&r, cur_init(bytes, len));

	if (rc == RC_OK)
		rc = need(&r, r.p.withdrawn ? ALWAYS : ALWAYS | LIVE);
	if (rc != RC_OK)
		return rc;
	if (r.p.withdrawn && (r.seen & ONLY_LIVE))
		return diag_set(d, RC_MALFORMED,
			"a withdrawn payload carries keys 1 to 9 only (formats 2)");
	rc = payload_check(&r.p, d);
	if (rc == RC_OK)
		*out = r.p;
	return rc;
}

enum rc payload_profile_parse(const uint8_t *bytes, size_t len, struct payload *out, struct diag *d)
{
	struct reader r = { .d = d };
	enum rc rc = read_map(&r, cur_init(bytes, len));

	if (rc == RC_OK)
		rc = need(&r, PROFILE);
	if (rc == RC_OK && (r.seen & ~PROFILE))
		rc = diag_set(d, RC_MALFORMED, "a registry profile carries keys 9, 10 and 12 only");
	if (rc == RC_OK)
		rc = payload__check_profile(&r.p, d);
	if (rc == RC_OK)
		*out = r.p;
	return rc;
}
