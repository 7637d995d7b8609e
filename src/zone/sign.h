/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is to be signed, and a signer that holds keys in this process: for the
 * bulk loader, tests and benches. The daemon's zone never holds a key; there
 * role `keys` signs the same RRsets over its link. */

#include "base/diag.h"
#include "zone/name.h"
#include "zone/rr.h"

#include <openssl/evp.h>
#include <stdbool.h>

/* One RRset to sign (RFC 4034 section 3.1.8.1): owner lower case, RDATA canonical and sorted.
 * All pointers are borrowed. */
struct sign_set {
	const uint8_t *owner;
	uint8_t owner_len;
	bool ksk;    /* DNSKEY, CDS, CDNSKEY */
	uint8_t alg; /* enum rec_alg; here only P-256 is signed */
	uint16_t type;
	uint16_t count;
	uint32_t ttl;
	uint32_t inception;
	uint32_t expiration;
	const uint8_t *const *rdata;
	const uint16_t *rdata_len;
};

struct signer; /* one per thread */

/* A signer with the two keys (borrowed: taken by reference count) for a zone. */
enum rc signer_new(const struct zone_name *origin, EVP_PKEY *ksk, EVP_PKEY *zsk,
	struct signer **out) ATT_MUST_CHECK;
void signer_free(struct signer *s);
enum rc signer_sign(
	struct signer *s, const struct sign_set *set, uint8_t sig[RR_SIG_LEN]) ATT_MUST_CHECK;
uint16_t signer_tag(const struct signer *s, bool ksk);

/* DNSKEY RDATA of a P-256 key (RFC 6605 section 4): flags 257 or 256, 3, 13, x | y. */
#define DNSKEY_LEN 68u
enum rc sign_dnskey(EVP_PKEY *key, bool ksk, uint8_t out[DNSKEY_LEN]) ATT_MUST_CHECK;
/* RFC 4034 appendix B. */
uint16_t sign_key_tag(const uint8_t *dnskey, size_t len);
/* DS RDATA, digest type 2 (RFC 4509); `out` holds 36 octets. */
#define DS_LEN 36u
enum rc sign_ds(const struct zone_name *owner, const uint8_t *dnskey, size_t len,
	uint8_t out[DS_LEN]) ATT_MUST_CHECK;
