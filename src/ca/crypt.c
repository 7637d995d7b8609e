/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/crypt.h"
#include "base/der.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING (RFC 5480 section 2) */
const uint8_t ca_spki_prefix[CA_SPKI_PREFIX_LEN] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
	0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
	0x03, 0x42, 0x00 };

/* The base point of P-256: what a verification context is made with before its first real key. */
static const uint8_t base_point[CA_POINT_LEN] = { 0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42,
	0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
	0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
	0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57,
	0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5 };

#define SIGNERS_MAX 8 /* issuing, devkit, party, payload, KSK, ZSK and two to spare */

struct ca_crypt {
	EVP_MD *md;
	EVP_MD_CTX *hash;
	/* One public key whose point is exchanged in place: making a key object per request costs a
	 * third of a verification. */
	EVP_PKEY *peer;
	EVP_PKEY_CTX *verify;
	EC_GROUP *group;
	EC_POINT *point;
	BN_CTX *bn;
	/* A context holds its key, so the pointer names one key for as long as it stands here. */
	struct {
		const EVP_PKEY *pkey;
		EVP_PKEY_CTX *ctx;
	} signers[SIGNERS_MAX];
	size_t signer_next; /* to be replaced */
};

/* Fills what is public of a key. */
static enum rc describe(struct ca_key *key)
{
	size_t len = 0;

	if (EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PUB_KEY, key->point,
		    sizeof(key->point), &len) != 1 ||
		len != CA_POINT_LEN || key->point[0] != 0x04)
		return RC_CRYPTO;
	memcpy(key->spki, ca_spki_prefix, CA_SPKI_PREFIX_LEN);
	memcpy(key->spki + CA_SPKI_PREFIX_LEN, key->point, CA_POINT_LEN);
	if (EVP_Digest(key->spki, CA_SPKI_LEN, key->spki_sha256, NULL, EVP_sha256(), NULL) != 1)
		return RC_CRYPTO;
	return RC_OK;
}

enum rc ca_key_new(struct ca_key *out, struct diag *d)
{
	struct ca_key key = { .pkey = EVP_EC_gen("P-256") };
	enum rc rc = key.pkey ? describe(&key) : RC_CRYPTO;

	if (rc != RC_OK) {
		ca_key_free(&key);
		return diag_set(d, rc, "key: P-256 key generation failed");
	}
	*out = key;
	return RC_OK;
}

static OSSL_PARAM *key_params(const uint8_t *scalar, const uint8_t point[CA_POINT_LEN])
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *n = scalar ? BN_secure_new() : NULL;
	OSSL_PARAM *params = NULL;
	bool ok = bld && (!scalar || (n && BN_bin2bn(scalar, 32, n)));

	ok = ok &&
	     OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
	     OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, CA_POINT_LEN) ==
		     1;
	if (ok && n)
		ok = OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, n) == 1;
	if (ok)
		params = OSSL_PARAM_BLD_to_param(bld);
	BN_clear_free(n);
	OSSL_PARAM_BLD_free(bld);
	return params;
}

static EVP_PKEY *key_import(const uint8_t *scalar, const uint8_t point[CA_POINT_LEN])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params = key_params(scalar, point);
	EVP_PKEY *pkey = NULL;

	if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(
			ctx, &pkey, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

enum rc ca_key_from(struct ca_key *out, const uint8_t scalar[32], const uint8_t point[CA_POINT_LEN],
	struct diag *d)
{
	struct ca_key key = { .pkey = key_import(scalar, point) };
	EVP_PKEY_CTX *check = key.pkey ? EVP_PKEY_CTX_new(key.pkey, NULL) : NULL;
	enum rc rc = RC_OK;

	if (!check || EVP_PKEY_check(check) != 1)
		rc = diag_set(
			d, RC_MALFORMED, "key: private and public part are not one P-256 key pair");
	else if (describe(&key) != RC_OK)
		rc = diag_set(d, RC_CRYPTO, "key: no public part");
	EVP_PKEY_CTX_free(check);
	if (rc != RC_OK)
		ca_key_free(&key);
	else
		*out = key;
	return rc;
}

void ca_key_free(struct ca_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	*key = (struct ca_key){ 0 };
}

enum rc ca_crypt_new(struct ca_crypt **out, struct diag *d)
{
	struct ca_crypt *x = calloc(1, sizeof(*x));

	if (!x)
		return RC_NOMEM;
	x->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	x->hash = EVP_MD_CTX_new();
	x->peer = key_import(NULL, base_point);
	x->verify = x->peer ? EVP_PKEY_CTX_new(x->peer, NULL) : NULL;
	x->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	x->point = x->group ? EC_POINT_new(x->group) : NULL;
	x->bn = BN_CTX_new();
	if (!x->md || !x->hash || !x->verify || !x->point || !x->bn ||
		EVP_PKEY_verify_init(x->verify) != 1) {
		ca_crypt_free(x);
		return diag_set(d, RC_CRYPTO, "no SHA-256 or P-256 in the crypto library");
	}
	*out = x;
	return RC_OK;
}

void ca_crypt_free(struct ca_crypt *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < SIGNERS_MAX; i++)
		EVP_PKEY_CTX_free(x->signers[i].ctx);
	BN_CTX_free(x->bn);
	EC_POINT_free(x->point);
	EC_GROUP_free(x->group);
	EVP_PKEY_CTX_free(x->verify);
	EVP_PKEY_free(x->peer);
	EVP_MD_CTX_free(x->hash);
	EVP_MD_free(x->md);
	free(x);
}

enum rc ca_sha256(struct ca_crypt *x, const void *bytes, size_t len, uint8_t out[CA_SHA256_LEN])
{
	if (EVP_DigestInit_ex2(x->hash, x->md, NULL) != 1 ||
		EVP_DigestUpdate(x->hash, bytes, len) != 1 ||
		EVP_DigestFinal_ex(x->hash, out, NULL) != 1)
		return RC_CRYPTO;
	return RC_OK;
}

enum rc ca_point_sha256(
	struct ca_crypt *x, const uint8_t point[CA_POINT_LEN], uint8_t out[CA_SHA256_LEN])
{
	uint8_t spki[CA_SPKI_LEN];

	memcpy(spki, ca_spki_prefix, CA_SPKI_PREFIX_LEN);
	memcpy(spki + CA_SPKI_PREFIX_LEN, point, CA_POINT_LEN);
	return ca_sha256(x, spki, sizeof(spki), out);
}

bool ca_point_ok(struct ca_crypt *x, const uint8_t point[CA_POINT_LEN])
{
	/* EC_POINT_oct2point checks the equation; with cofactor 1 that is all (SP 800-56A). */
	return point[0] == 0x04 &&
	       EC_POINT_oct2point(x->group, x->point, point, CA_POINT_LEN, x->bn) == 1;
}

enum rc ca_verify(struct ca_crypt *x, const uint8_t point[CA_POINT_LEN],
	const uint8_t digest[CA_SHA256_LEN], const uint8_t *sig, size_t sig_len)
{
	uint8_t raw[64];

	/* OpenSSL takes BER here; what is not DER would be a second encoding of one signature. */
	if (!der_ecdsa_read(sig, sig_len, raw))
		return RC_SIGNATURE;
	if (point[0] != 0x04 || EVP_PKEY_set1_encoded_public_key(x->peer, point, CA_POINT_LEN) != 1)
		return RC_RANGE;
	if (EVP_PKEY_verify(x->verify, sig, sig_len, digest, CA_SHA256_LEN) != 1)
		return RC_SIGNATURE;
	return RC_OK;
}

static EVP_PKEY_CTX *signer_of(struct ca_crypt *x, const struct ca_key *key)
{
	for (size_t i = 0; i < SIGNERS_MAX; i++)
		if (x->signers[i].pkey == key->pkey)
			return x->signers[i].ctx;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
	if (!ctx || EVP_PKEY_sign_init(ctx) != 1) {
		EVP_PKEY_CTX_free(ctx);
		return NULL;
	}
	EVP_PKEY_CTX_free(x->signers[x->signer_next].ctx);
	x->signers[x->signer_next].pkey = key->pkey;
	x->signers[x->signer_next].ctx = ctx;
	x->signer_next = (x->signer_next + 1) % SIGNERS_MAX;
	return ctx;
}

enum rc ca_sign_der(struct ca_crypt *x, const struct ca_key *key,
	const uint8_t digest[CA_SHA256_LEN], uint8_t sig[CA_SIG_DER_MAX], size_t *sig_len)
{
	EVP_PKEY_CTX *ctx = signer_of(x, key);
	size_t len = CA_SIG_DER_MAX;

	if (!ctx || EVP_PKEY_sign(ctx, sig, &len, digest, CA_SHA256_LEN) != 1)
		return RC_CRYPTO;
	*sig_len = len;
	return RC_OK;
}

enum rc ca_sign_raw(struct ca_crypt *x, const struct ca_key *key,
	const uint8_t digest[CA_SHA256_LEN], uint8_t sig[64])
{
	uint8_t der[CA_SIG_DER_MAX];
	size_t len;
	enum rc rc = ca_sign_der(x, key, digest, der, &len);

	if (rc == RC_OK && !der_ecdsa_read(der, len, sig))
		rc = RC_CRYPTO;
	return rc;
}
