/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* P-256 keys, and the crypto contexts that one thread reuses: building them is
 * dearer than what they compute (OpenSSL's decoder alone costs two
 * verifications), so everything that signs or verifies in bulk goes through a
 * struct ca_crypt. Nothing here knows what is signed. */

#include "base/diag.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CA_POINT_LEN  65 /* 04 | x | y (SEC 1 section 2.3.3) */
#define CA_SPKI_LEN   91 /* DER SubjectPublicKeyInfo, namedCurve prime256v1 (RFC 5480) */
#define CA_SHA256_LEN 32
#define CA_NAME_MAX   64 /* a CN: ub-common-name (RFC 5280 appendix A) */

/* The octets of such a SubjectPublicKeyInfo before the point. */
#define CA_SPKI_PREFIX_LEN (CA_SPKI_LEN - CA_POINT_LEN)
extern const uint8_t ca_spki_prefix[CA_SPKI_PREFIX_LEN];

/* A private key and what is public of it. Read-only once made: threads share it. */
struct ca_key {
	EVP_PKEY *pkey; /* owned */
	uint8_t point[CA_POINT_LEN];
	uint8_t spki[CA_SPKI_LEN];
	uint8_t spki_sha256[CA_SHA256_LEN];
};

enum rc ca_key_new(struct ca_key *out, struct diag *d) ATT_MUST_CHECK;
/* From the private scalar and the public point; refuses a pair that does not belong together. */
enum rc ca_key_from(struct ca_key *out, const uint8_t scalar[32], const uint8_t point[CA_POINT_LEN],
	struct diag *d) ATT_MUST_CHECK;
void ca_key_free(struct ca_key *key);

/* The contexts of one thread. Not for use by two threads at a time. */
struct ca_crypt;

enum rc ca_crypt_new(struct ca_crypt **out, struct diag *d) ATT_MUST_CHECK;
void ca_crypt_free(struct ca_crypt *x);

enum rc ca_sha256(struct ca_crypt *x, const void *bytes, size_t len,
	uint8_t out[CA_SHA256_LEN]) ATT_MUST_CHECK;
/* SHA-256 of the SubjectPublicKeyInfo of a point: how keys are named everywhere. */
enum rc ca_point_sha256(struct ca_crypt *x, const uint8_t point[CA_POINT_LEN],
	uint8_t out[CA_SHA256_LEN]) ATT_MUST_CHECK;
/* RC_SIGNATURE when it does not verify, RC_RANGE when the point is not on the curve. */
enum rc ca_verify(struct ca_crypt *x, const uint8_t point[CA_POINT_LEN],
	const uint8_t digest[CA_SHA256_LEN], const uint8_t *sig, size_t sig_len) ATT_MUST_CHECK;
/* Whether an uncompressed point lies on P-256. */
bool ca_point_ok(struct ca_crypt *x, const uint8_t point[CA_POINT_LEN]);

#define CA_SIG_DER_MAX 72
/* ECDSA over a SHA-256 digest: as DER (X.509), or r||s (DNSSEC, COSE). */
enum rc ca_sign_der(struct ca_crypt *x, const struct ca_key *key,
	const uint8_t digest[CA_SHA256_LEN], uint8_t sig[CA_SIG_DER_MAX],
	size_t *sig_len) ATT_MUST_CHECK;
enum rc ca_sign_raw(struct ca_crypt *x, const struct ca_key *key,
	const uint8_t digest[CA_SHA256_LEN], uint8_t sig[64]) ATT_MUST_CHECK;
