/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/rrsign.h"
#include "base/compiler.h"
#include "base/put.h"

#include <openssl/evp.h>
#include <string.h>

enum rr_type {
	RR_A = 1,
	RR_NS = 2,
	RR_SOA = 6,
	RR_AAAA = 28,
	RR_CERT = 37,
	RR_NSEC = 47,
	RR_DNSKEY = 48,
	RR_TLSA = 52,
	RR_CDS = 59,
	RR_CDNSKEY = 60,
};

#define CLASS_IN      1
#define LABEL_MAX     63
#define DNSKEY_ZONE   0x0100
#define DNSKEY_SEP    0x0001
#define DIGEST_SHA256 2
#define DIGEST_SHA384 4

/* The length of the wire name at the start of `b`, 0 when it is not a lower-case uncompressed one;
 * the root's octet is included. Labels without it are counted. */
static size_t name_len(struct ca_bytes b, uint8_t *labels)
{
	size_t at = 0;
	uint8_t count = 0;

	while (at < b.len && b.at[at] != 0) {
		size_t n = b.at[at];
		if (n > LABEL_MAX || at + 1 + n >= b.len)
			return 0;
		for (size_t i = at + 1; i <= at + n; i++)
			if (b.at[i] >= 'A' && b.at[i] <= 'Z')
				return 0;
		at += 1 + n;
		count++;
	}
	if (at >= b.len || at + 1 > CA_NAME_WIRE_MAX)
		return 0;
	*labels = count;
	return at + 1;
}

/* Whether a whole name lies at or below the apex, on a label boundary. */
static bool in_zone(const struct ca_zone *zone, const uint8_t *name, size_t len)
{
	size_t at = 0;

	while (len - at > zone->apex_len)
		at += 1u + name[at];
	return len - at == zone->apex_len && memcmp(name + at, zone->apex, zone->apex_len) == 0;
}

static bool whole_name(struct ca_bytes b)
{
	uint8_t labels;

	return name_len(b, &labels) == b.len;
}

/* RFC 4034 section 4.1.2: windows ascend, blocks of 1..32 octets without trailing zeros. */
static bool bitmap_ok(const uint8_t *at, size_t len)
{
	int before = -1;

	if (len == 0)
		return false;
	while (len > 0) {
		if (len < 3 || at[0] <= before || at[1] < 1 || at[1] > 32 || len < 2u + at[1] ||
			at[1 + at[1]] == 0)
			return false;
		before = at[0];
		len -= 2u + at[1];
		at += 2 + at[1];
	}
	return true;
}

static bool nsec_ok(const struct ca_zone *zone, struct ca_bytes b)
{
	uint8_t labels;
	size_t n = name_len(b, &labels);

	return n > 0 && in_zone(zone, b.at, n) && bitmap_ok(b.at + n, b.len - n);
}

static bool soa_ok(struct ca_bytes b)
{
	uint8_t labels;
	size_t m = name_len(b, &labels);
	size_t r = m ? name_len((struct ca_bytes){ b.at + m, b.len - m }, &labels) : 0;

	return r > 0 && b.len == m + r + 20;
}

static bool tlsa_ok(struct ca_bytes b)
{
	if (b.len < 4 || b.at[0] > 3 || b.at[1] > 1 || b.at[2] > 2)
		return false;
	return b.at[2] == 0 || b.len == (b.at[2] == 1 ? 35 : 67);
}

static bool own_dnskey(const struct ca_zone *zone, struct ca_bytes b)
{
	if ((b.len == zone->ksk_len && memcmp(b.at, zone->ksk_rdata, b.len) == 0) ||
		(b.len == zone->zsk_len && memcmp(b.at, zone->zsk_rdata, b.len) == 0))
		return true;
	for (size_t i = 0; i < zone->other_count; i++)
		if (b.len == zone->others[i].rdata_len &&
			memcmp(b.at, zone->others[i].rdata, b.len) == 0)
			return true;
	return false;
}

/* RFC 7344: our KSKs; RFC 8078: or the one value that asks the parent to delete. */
static bool own_cdnskey(const struct ca_zone *zone, struct ca_bytes b)
{
	static const uint8_t delete[] = { 0, 0, 3, 0, 0 };

	if (b.len == sizeof(delete) && memcmp(b.at, delete, b.len) == 0)
		return true;
	return own_dnskey(zone, b) && (b.at[1] & DNSKEY_SEP);
}

static bool is_cds(struct ca_bytes b, uint16_t tag, enum ca_alg alg, const uint8_t *ds_sha256,
	const uint8_t *ds_sha384)
{
	uint8_t want[4 + 48] = { (uint8_t)(tag >> 8), (uint8_t)tag, (uint8_t)ca_alg_number(alg) };

	if (b.len < 4)
		return false;
	want[3] = b.at[3];
	if (b.at[3] == DIGEST_SHA256) {
		memcpy(want + 4, ds_sha256, CA_SHA256_LEN);
		return b.len == 4 + CA_SHA256_LEN && memcmp(b.at, want, b.len) == 0;
	}
	if (b.at[3] == DIGEST_SHA384) {
		memcpy(want + 4, ds_sha384, 48);
		return b.len == 4 + 48 && memcmp(b.at, want, b.len) == 0;
	}
	return false;
}

static bool own_cds(const struct ca_zone *zone, struct ca_bytes b)
{
	static const uint8_t delete[] = { 0, 0, 0, 0, 0 };

	if (b.len == sizeof(delete) && memcmp(b.at, delete, b.len) == 0)
		return true;
	if (is_cds(b, zone->ksk_tag, zone->alg, zone->ksk_ds_sha256, zone->ksk_ds_sha384))
		return true;
	for (size_t i = 0; i < zone->other_count; i++) {
		const struct ca_zone_public *o = &zone->others[i];
		if (o->ksk && is_cds(b, o->tag, o->alg, o->ds_sha256, o->ds_sha384))
			return true;
	}
	return false;
}

/* Whether rdata has the form of its type; the types are those of our zone and no others. */
static enum rc check_rdata(
	const struct ca_zone *zone, unsigned type, struct ca_bytes b, struct diag *d)
{
	bool ok = false;

	switch (type) {
	case RR_A: ok = b.len == 4; break;
	case RR_AAAA: ok = b.len == 16; break;
	case RR_NS: ok = whole_name(b); break;
	case RR_SOA: ok = soa_ok(b); break;
	case RR_CERT: ok = b.len > 5; break;
	case RR_TLSA: ok = tlsa_ok(b); break;
	case RR_NSEC: ok = nsec_ok(zone, b); break;
	case RR_DNSKEY: ok = own_dnskey(zone, b); break;
	case RR_CDS: ok = own_cds(zone, b); break;
	case RR_CDNSKEY: ok = own_cdnskey(zone, b); break;
	default: return diag_set(d, RC_DENIED, "rrset: type %u is not signed here", type);
	}
	if (ok)
		return RC_OK;
	if (type == RR_DNSKEY || type == RR_CDS || type == RR_CDNSKEY)
		return diag_set(d, RC_DENIED, "rrset: type %u: not a key of this zone", type);
	return diag_set(
		d, RC_MALFORMED, "rrset: type %u: rdata of %zu bytes is not its form", type, b.len);
}

static bool for_ksk(unsigned type)
{
	return type == RR_DNSKEY || type == RR_CDS || type == RR_CDNSKEY;
}

static enum rc check_owner(
	const struct ca_zone *zone, const struct ca_rrset *r, uint8_t *labels, struct diag *d)
{
	size_t n = name_len(r->owner, labels);

	if (n == 0 || n != r->owner.len)
		return diag_set(d, RC_MALFORMED,
			"rrset: owner: not a lower-case wire name (RFC 4034 section 6.2)");
	if (!in_zone(zone, r->owner.at, n))
		return diag_set(d, RC_DENIED, "rrset: owner: not in the zone");
	if ((for_ksk(r->type) || r->type == RR_SOA || r->type == RR_NS) && n != zone->apex_len)
		return diag_set(d, RC_DENIED, "rrset: type %u stands at the apex only", r->type);
	if (r->ksk != for_ksk(r->type))
		return diag_set(d, RC_DENIED,
			"rrset: the KSK signs DNSKEY, CDS and CDNSKEY and nothing else");
	return RC_OK;
}

static enum rc check_validity(const struct ca_rrset *r, int64_t now, struct diag *d)
{
	uint32_t life = r->expiration - r->inception; /* RFC 1982 serial arithmetic */
	uint32_t ahead = r->expiration - (uint32_t)now;

	if (life == 0 || life > CA_RR_VALIDITY_MAX || ahead == 0 || ahead > CA_RR_AHEAD_MAX)
		return diag_set(d, RC_RANGE,
			"rrset: validity: %u s, ends %d s from now; at most %d and %d", life,
			(int32_t)ahead, CA_RR_VALIDITY_MAX, CA_RR_AHEAD_MAX);
	return RC_OK;
}

static bool ascends(struct ca_bytes a, struct ca_bytes b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.at, b.at, n) : 0;

	return order < 0 || (order == 0 && a.len < b.len);
}

static enum rc check_rdatas(const struct ca_zone *zone, const struct ca_rrset *r, struct diag *d)
{
	if (r->rdata_count == 0 || r->rdata_count > CA_RR_COUNT_MAX)
		return diag_set(d, RC_RANGE, "rrset: %zu records", r->rdata_count);
	if (r->rdata_count > 1 && (r->type == RR_SOA || r->type == RR_NSEC))
		return diag_set(d, RC_RANGE, "rrset: type %u is one record", r->type);
	for (size_t i = 0; i < r->rdata_count; i++) {
		enum rc rc = check_rdata(zone, r->type, r->rdata[i], d);
		if (rc != RC_OK)
			return rc;
		if (i > 0 && !ascends(r->rdata[i - 1], r->rdata[i]))
			return diag_set(d, RC_MALFORMED,
				"rrset: rdata not in canonical order (RFC 4034 section 6.3)");
	}
	return RC_OK;
}

enum rc ca_rrset_canonical(uint8_t out[CA_CANONICAL_MAX], size_t *len, const uint8_t *apex,
	size_t apex_len, uint16_t tag, const struct ca_rrset *r)
{
	struct put p = put_init(out, CA_CANONICAL_MAX);
	uint8_t labels = 0;

	if (name_len(r->owner, &labels) == 0)
		return RC_MALFORMED;
	put_u16(&p, r->type);
	put_u8(&p, (uint8_t)ca_alg_number(r->alg));
	put_u8(&p, labels);
	put_u32(&p, r->ttl);
	put_u32(&p, r->expiration);
	put_u32(&p, r->inception);
	put_u16(&p, tag);
	put_bytes(&p, apex, apex_len);
	for (size_t i = 0; i < r->rdata_count; i++) {
		put_bytes(&p, r->owner.at, r->owner.len);
		put_u16(&p, r->type);
		put_u16(&p, CLASS_IN);
		put_u32(&p, r->ttl);
		put_u16(&p, (uint16_t)r->rdata[i].len);
		put_bytes(&p, r->rdata[i].at, r->rdata[i].len);
	}
	*len = p.len;
	return put_ok(&p) ? RC_OK : RC_TOO_LARGE;
}

enum rc ca_rrset_sign(struct ca_crypt *x, const struct ca_zone *zone, const struct ca_rrset *r,
	int64_t now, uint8_t sig[64], struct diag *d)
{
	uint8_t buf[CA_CANONICAL_MAX], labels = 0;
	const struct ca_dnskey *key = &zone->sign[r->alg][r->ksk];
	size_t len = 0;
	enum rc rc = check_owner(zone, r, &labels, d);

	if (rc == RC_OK)
		rc = check_validity(r, now, d);
	if (rc == RC_OK)
		rc = check_rdatas(zone, r, d);
	if (rc == RC_OK && key->pub_len == 0)
		rc = diag_set(d, RC_DENIED, "rrset: no key of algorithm %u signs here",
			ca_alg_number(r->alg));
	if (rc != RC_OK)
		return rc;
	rc = ca_rrset_canonical(
		buf, &len, zone->apex, zone->apex_len, zone->tag[r->alg][r->ksk], r);
	if (rc != RC_OK)
		return diag_set(d, rc, "rrset: more than %d bytes", CA_CANONICAL_MAX);
	rc = ca_dnskey_sign(x, key, buf, len, sig, d);
	if (rc != RC_OK && d && !d->text[0])
		return diag_set(d, rc, "rrset: signing failed");
	return rc;
}

uint16_t ca_key_tag(const uint8_t *rdata, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}

enum rc ca_name_to_wire(
	const char *text, uint8_t out[CA_NAME_WIRE_MAX], size_t *len, struct diag *d)
{
	struct put p = put_init(out, CA_NAME_WIRE_MAX);
	const char *at = text;

	while (*at) {
		size_t n = strcspn(at, ".");
		bool ok = n > 0 && n <= LABEL_MAX && at[0] != '-' && at[n - 1] != '-';
		for (size_t i = 0; i < n; i++)
			ok = ok && ((at[i] >= 'a' && at[i] <= 'z') ||
					   (at[i] >= '0' && at[i] <= '9') || at[i] == '-');
		if (!ok || (at[n] == '.' && !at[n + 1]))
			return diag_set(d, RC_RANGE,
				"zone: lower-case letters, digits and hyphens, no trailing dot "
				"(RFC 1123 section 2.1)");
		put_u8(&p, (uint8_t)n);
		put_bytes(&p, at, n);
		at += n + (at[n] == '.');
	}
	put_u8(&p, 0);
	if (!put_ok(&p) || p.len == 1)
		return diag_set(d, RC_RANGE, "zone: 1 to %d characters", CA_NAME_WIRE_MAX - 2);
	*len = p.len;
	return RC_OK;
}

enum rc ca_zone_public_of(struct ca_zone_public *out, const uint8_t *apex, size_t apex_len,
	const struct ca_dnskey *key, bool ksk, struct diag *d)
{
	struct ca_zone_public p = { .ksk = ksk, .alg = key->alg };
	uint8_t owner_key[CA_NAME_WIRE_MAX + CA_DNSKEY_LEN];
	size_t len;

	p.rdata_len = ca_dnskey_rdata(key, ksk, p.rdata);
	len = apex_len + p.rdata_len;
	p.tag = ca_key_tag(p.rdata, p.rdata_len);
	memcpy(owner_key, apex, apex_len);
	memcpy(owner_key + apex_len, p.rdata, p.rdata_len);
	if (EVP_Digest(owner_key, len, p.ds_sha256, NULL, EVP_sha256(), NULL) != 1 ||
		EVP_Digest(owner_key, len, p.ds_sha384, NULL, EVP_sha384(), NULL) != 1)
		return diag_set(d, RC_CRYPTO, "zone: no SHA-2 in the crypto library");
	*out = p;
	return RC_OK;
}

enum rc ca_zone_publish(struct ca_zone *zone, const struct ca_dnskey *key, bool ksk, struct diag *d)
{
	enum rc rc;

	if (zone->other_count == ARRAY_LEN(zone->others))
		return diag_set(d, RC_TOO_LARGE, "zone: more than %d keys", CA_ZONE_KEYS_MAX);
	rc = ca_zone_public_of(
		&zone->others[zone->other_count], zone->apex, zone->apex_len, key, ksk, d);
	if (rc == RC_OK)
		zone->other_count++;
	return rc;
}

enum rc ca_zone_add_signer(
	struct ca_zone *zone, const struct ca_dnskey *key, bool ksk, struct diag *d)
{
	enum rc rc = ca_zone_publish(zone, key, ksk, d);

	if (rc != RC_OK)
		return rc;
	zone->sign[key->alg][ksk] = *key;
	zone->tag[key->alg][ksk] = zone->others[zone->other_count - 1].tag;
	return RC_OK;
}

enum rc ca_zone_init_keys(struct ca_zone *out, const char *name, const struct ca_dnskey *ksk,
	const struct ca_dnskey *zsk, struct diag *d)
{
	struct ca_zone zone = { .alg = ksk->alg };
	struct ca_zone_public k, z;
	enum rc rc = ca_name_to_wire(name, zone.apex, &zone.apex_len, d);

	if (rc == RC_OK && ksk->alg != zsk->alg)
		rc = diag_set(d, RC_CONFLICT, "zone: KSK and ZSK of two algorithms");
	if (rc == RC_OK)
		rc = ca_zone_public_of(&k, zone.apex, zone.apex_len, ksk, true, d);
	if (rc == RC_OK)
		rc = ca_zone_public_of(&z, zone.apex, zone.apex_len, zsk, false, d);
	if (rc != RC_OK)
		return rc;
	memcpy(zone.ksk_rdata, k.rdata, k.rdata_len);
	memcpy(zone.zsk_rdata, z.rdata, z.rdata_len);
	zone.ksk_len = k.rdata_len;
	zone.zsk_len = z.rdata_len;
	zone.sign[ksk->alg][true] = *ksk;
	zone.sign[ksk->alg][false] = *zsk;
	zone.tag[ksk->alg][true] = zone.ksk_tag = k.tag;
	zone.tag[ksk->alg][false] = zone.zsk_tag = z.tag;
	memcpy(zone.ksk_ds_sha256, k.ds_sha256, sizeof(k.ds_sha256));
	memcpy(zone.ksk_ds_sha384, k.ds_sha384, sizeof(k.ds_sha384));
	*out = zone;
	return RC_OK;
}

/* Without a reference of its own. */
static struct ca_dnskey borrowed(const struct ca_key *key)
{
	struct ca_dnskey k = { .alg = CA_P256, .pkey = key->pkey, .pub_len = CA_POINT_LEN - 1 };

	memcpy(k.pub, key->point + 1, k.pub_len);
	return k;
}

enum rc ca_zone_init(struct ca_zone *out, const char *name, const struct ca_key *ksk,
	const struct ca_key *zsk, struct diag *d)
{
	const struct ca_dnskey k = borrowed(ksk), z = borrowed(zsk);

	return ca_zone_init_keys(out, name, &k, &z, d);
}
