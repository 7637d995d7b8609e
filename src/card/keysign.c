/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures over a digest: ECDSA as r || s, RSA as PKCS#1 v1.5 or PSS. */
#include "card/internal.h"

#include "base/der.h"

#include <openssl/rsa.h>

#include <string.h>

#define ALGORITHM_PKCS1 0x01
#define ALGORITHM_PSS	0x02
#define ALGORITHM_ECDSA 0x04

/* The padding and hash of an RSA operation that is begun. */
static bool set_rsa(EVP_PKEY_CTX *ctx, uint8_t algorithm, const EVP_MD *md)
{
	if (EVP_PKEY_CTX_set_rsa_padding(ctx,
		    algorithm == ALGORITHM_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1 ||
		EVP_PKEY_CTX_set_signature_md(ctx, md) != 1)
		return false;
	return algorithm != ALGORITHM_PSS ||
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

/* By a copy of the key: the library keeps the primes with a key that has signed, in memory that
 * core dumps show. They go, wiped, with the copy. */
static enum rc sign_rsa(const struct card__key *key, uint8_t algorithm,
	const struct card__digest *digest, struct put *sig)
{
	EVP_PKEY *copy = EVP_PKEY_dup(key->pkey);
	EVP_PKEY_CTX *ctx = copy ? EVP_PKEY_CTX_new_from_pkey(NULL, copy, NULL) : NULL;
	size_t len = CARD__SIG_MAX;
	uint8_t *at = put_reserve(sig, CARD__SIG_MAX);
	enum rc rc = RC_CRYPTO;

	if (!at)
		rc = RC_TOO_LARGE;
	else if (ctx && EVP_PKEY_sign_init(ctx) == 1 && set_rsa(ctx, algorithm, digest->md) &&
		 EVP_PKEY_sign(ctx, at, &len, digest->bytes, digest->len) == 1 &&
		 len == CARD__SIG_MAX)
		rc = RC_OK;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(copy);
	return rc;
}

static enum rc sign_ec(
	const struct card__key *key, const uint8_t *digest, size_t digest_len, uint8_t *sig)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	uint8_t der[DER_ECDSA_MAX];
	size_t len = sizeof(der);
	enum rc rc = RC_CRYPTO;

	if (ctx && EVP_PKEY_sign_init(ctx) == 1 &&
		EVP_PKEY_sign(ctx, der, &len, digest, digest_len) == 1 &&
		der_ecdsa_read(der, len, sig))
		rc = RC_OK;
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

enum rc card__key_sign_digest(const struct card__key *key, const uint8_t digest[CARD__DIGEST_LEN],
	uint8_t sig[CARD__SIG_LEN])
{
	return sign_ec(key, digest, CARD__DIGEST_LEN, sig);
}

enum rc card__key_sign(const struct card__key *key, uint8_t algorithm,
	const struct card__digest *digest, struct put *sig)
{
	uint8_t raw[CARD__SIG_LEN];
	enum rc rc;

	if (key->alg == ALG_RSA)
		return sign_rsa(key, algorithm, digest, sig);
	rc = sign_ec(key, digest->bytes, digest->len, raw);
	put_bytes(sig, raw, rc == RC_OK ? sizeof(raw) : 0);
	return rc == RC_OK && !put_ok(sig) ? RC_TOO_LARGE : rc;
}

bool card__key_verifies(const struct card__key *key, uint8_t algorithm,
	const struct card__digest *digest, const uint8_t *sig, size_t len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	uint8_t der[DER_ECDSA_MAX];
	bool good = ctx && EVP_PKEY_verify_init(ctx) == 1;

	if (key->alg == ALG_RSA) {
		good = good && set_rsa(ctx, algorithm, digest->md);
	} else if (len == CARD__SIG_LEN) {
		len = der_ecdsa_write(sig, der);
		sig = der;
	} else {
		good = false;
	}
	good = good && EVP_PKEY_verify(ctx, sig, len, digest->bytes, digest->len) == 1;
	EVP_PKEY_CTX_free(ctx);
	return good;
}
