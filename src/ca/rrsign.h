/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signing RRsets of the registry's zone (RFC 4034; algorithms 13 and 15).
 * The canonical form is written here from typed fields and everything in it is
 * checked first: owner in the zone, a type that our zone holds, rdata of that
 * type's form, canonical and in order, bounded validity; a DNSKEY, CDS or
 * CDNSKEY RRset holds this registry's own keys and nothing else. */

#include "ca/dnskey.h"

#define CA_RR_VALIDITY_MAX (30 * 86400) /* seconds from inception to expiration */
#define CA_RR_AHEAD_MAX	   (31 * 86400) /* seconds from now to expiration */
#define CA_RR_COUNT_MAX	   128
#define CA_NAME_WIRE_MAX   255

struct ca_bytes {
	const uint8_t *at;
	size_t len;
};

/* Borrowed. */
struct ca_rrset {
	struct ca_bytes owner; /* wire form, lower case, no compression */
	uint16_t type;
	uint32_t ttl;
	const struct ca_bytes *rdata; /* canonical form, sorted, no duplicates */
	size_t rdata_count;
	uint32_t inception, expiration;
	bool ksk;
	enum ca_alg alg; /* of the key that shall sign */
};

#define CA_ZONE_KEYS_MAX \
	8 /* of one zone at a time: two kinds, each with a successor and one that goes */

/* What the world sees of a key. */
struct ca_zone_public {
	bool ksk;
	enum ca_alg alg;
	uint16_t tag;
	uint8_t rdata[CA_DNSKEY_LEN];
	size_t rdata_len;
	uint8_t ds_sha256[CA_SHA256_LEN], ds_sha384[48]; /* RFC 4034 section 5 */
};

/* A zone's keys: those that sign (two; four while one algorithm replaces another), and those that
 * are only published beside them. */
struct ca_zone {
	uint8_t apex[CA_NAME_WIRE_MAX]; /* wire form */
	size_t apex_len;
	struct ca_dnskey sign[CA_ALGS][2]; /* by algorithm and [ksk]; borrowed; pub_len 0: none */
	uint16_t tag[CA_ALGS][2];
	/* Of the algorithm that validators rely on: */
	enum ca_alg alg;
	uint8_t ksk_rdata[CA_DNSKEY_LEN], zsk_rdata[CA_DNSKEY_LEN];
	size_t ksk_len, zsk_len;
	uint16_t ksk_tag, zsk_tag;
	uint8_t ksk_ds_sha256[CA_SHA256_LEN],
		ksk_ds_sha384[48]; /* DS digests, RFC 4034 section 5 */
	struct ca_zone_public others[CA_ZONE_KEYS_MAX];
	size_t other_count;
};

/* A zone of two P-256 keys; they are borrowed. */
enum rc ca_zone_init(struct ca_zone *out, const char *name, const struct ca_key *ksk,
	const struct ca_key *zsk, struct diag *d) ATT_MUST_CHECK;
/* The same, whatever they are; both of one algorithm. */
enum rc ca_zone_init_keys(struct ca_zone *out, const char *name, const struct ca_dnskey *ksk,
	const struct ca_dnskey *zsk, struct diag *d) ATT_MUST_CHECK;
/* One more key that signs, of another algorithm. */
enum rc ca_zone_add_signer(
	struct ca_zone *zone, const struct ca_dnskey *key, bool ksk, struct diag *d) ATT_MUST_CHECK;

/* One more key that may stand in DNSKEY (and, a KSK, in CDS and CDNSKEY). */
enum rc ca_zone_publish(
	struct ca_zone *zone, const struct ca_dnskey *key, bool ksk, struct diag *d) ATT_MUST_CHECK;
/* DNSKEY, tag and digests of a key of the zone named `apex`. */
enum rc ca_zone_public_of(struct ca_zone_public *out, const uint8_t *apex, size_t apex_len,
	const struct ca_dnskey *key, bool ksk, struct diag *d) ATT_MUST_CHECK;

#define CA_CANONICAL_MAX (18 + CA_NAME_WIRE_MAX + 16384)
/* What a signature covers (RFC 4034 section 3.1.8.1), for what was checked already. RC_TOO_LARGE.
 */
enum rc ca_rrset_canonical(uint8_t out[CA_CANONICAL_MAX], size_t *len, const uint8_t *apex,
	size_t apex_len, uint16_t tag, const struct ca_rrset *rrset) ATT_MUST_CHECK;

/* 64 octets: r||s, or R||S. RC_RANGE, RC_DENIED (not our name, type or key), RC_MALFORMED (rdata),
 * RC_UNAVAILABLE (the key is off-line, or its token fails). */
enum rc ca_rrset_sign(struct ca_crypt *x, const struct ca_zone *zone, const struct ca_rrset *rrset,
	int64_t now, uint8_t sig[64], struct diag *d) ATT_MUST_CHECK;

/* RFC 4034 appendix B. */
uint16_t ca_key_tag(const uint8_t *dnskey_rdata, size_t len);
/* "iotregistry.example" to wire form. RC_RANGE unless lower-case LDH labels. */
enum rc ca_name_to_wire(const char *text, uint8_t out[CA_NAME_WIRE_MAX], size_t *len,
	struct diag *d) ATT_MUST_CHECK;
