/* SPDX-License-Identifier: Apache-2.0 */
#include "card/internal.h"

#include "base/der.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <stdlib.h>
#include <string.h>

#define CURVE "P-256"

void card__key_drop(struct card__state *state, uint8_t id)
{
	struct card__key *key = state->keys[id];

	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
	state->keys[id] = NULL;
}

/* Puts a key into its container in place of the one before. */
static enum rc install(struct card__state *state, uint8_t id, EVP_PKEY *take)
{
	struct card__key *key = calloc(1, sizeof(*key));
	char group[32] = { 0 };
	size_t len = 0;

	if (!key) {
		EVP_PKEY_free(take);
		return RC_NOMEM;
	}
	if (EVP_PKEY_get_group_name(take, group, sizeof(group), NULL) != 1 ||
		(strcmp(group, CURVE) != 0 && strcmp(group, "prime256v1") != 0) ||
		EVP_PKEY_get_octet_string_param(
			take, OSSL_PKEY_PARAM_PUB_KEY, key->point, sizeof(key->point), &len) != 1 ||
		len != sizeof(key->point) || key->point[0] != 0x04) {
		EVP_PKEY_free(take);
		free(key);
		return RC_UNSUPPORTED;
	}
	key->pkey = take;
	card__key_drop(state, id);
	state->keys[id] = key;
	return RC_OK;
}

enum rc card__key_generate(struct card__state *state, uint8_t id)
{
	EVP_PKEY *pkey = EVP_EC_gen(CURVE);

	return pkey ? install(state, id, pkey) : RC_CRYPTO;
}

/* From the public point and, where there is one, the private scalar. */
static enum rc from_parts(
	struct card__state *state, uint8_t id, const uint8_t *point, const BIGNUM *scalar)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *check = NULL;
	enum rc rc = RC_CRYPTO;

	if (!ctx || !bld ||
		OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, CURVE, 0) != 1 ||
		OSSL_PARAM_BLD_push_octet_string(
			bld, OSSL_PKEY_PARAM_PUB_KEY, point, CARD__POINT_LEN) != 1)
		goto out;
	if (scalar && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1)
		goto out;
	params = OSSL_PARAM_BLD_to_param(bld);
	if (!params || EVP_PKEY_fromdata_init(ctx) != 1)
		goto out;
	rc = RC_MALFORMED;
	if (EVP_PKEY_fromdata(
		    ctx, &pkey, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
		goto out;
	/* A point off the curve would tell a private key away bit by bit. */
	check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (!check || EVP_PKEY_public_check(check) != 1)
		goto out;
	rc = install(state, id, pkey);
	pkey = NULL;
out:
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_free(pkey);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

enum rc card__key_from_point(
	struct card__state *state, uint8_t id, const uint8_t point[CARD__POINT_LEN])
{
	return point[0] == 0x04 ? from_parts(state, id, point, NULL) : RC_MALFORMED;
}

enum rc card__key_from_scalar(
	struct card__state *state, uint8_t id, const uint8_t scalar[CARD__SCALAR_LEN])
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *pub = group ? EC_POINT_new(group) : NULL;
	BIGNUM *d = BN_secure_new();
	uint8_t point[CARD__POINT_LEN];
	enum rc rc = RC_CRYPTO;

	if (!pub || !d || !BN_bin2bn(scalar, CARD__SCALAR_LEN, d))
		goto out;
	BN_set_flags(d, BN_FLG_CONSTTIME);
	rc = RC_MALFORMED;
	if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0)
		goto out;
	rc = RC_CRYPTO;
	if (EC_POINT_mul(group, pub, d, NULL, NULL, NULL) != 1 ||
		EC_POINT_point2oct(group, pub, POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
			NULL) != sizeof(point))
		goto out;
	rc = from_parts(state, id, point, d);
out:
	BN_clear_free(d);
	EC_POINT_free(pub);
	EC_GROUP_free(group);
	return rc;
}

static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)user;
	return -1;
}

enum rc card__key_from_pem(struct card__state *state, uint8_t id, const void *pem, size_t len)
{
	BIO *bio = len <= CARD_FILE_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	enum rc rc = RC_MALFORMED;

	if (pkey && EVP_PKEY_is_a(pkey, "EC"))
		rc = install(state, id, pkey);
	else
		EVP_PKEY_free(pkey);
	BIO_free(bio);
	return rc;
}

enum rc card__key_scalar(const struct card__key *key, uint8_t out[CARD__SCALAR_LEN])
{
	BIGNUM *d = NULL;
	enum rc rc = RC_CRYPTO;

	if (EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
		BN_bn2binpad(d, out, CARD__SCALAR_LEN) == CARD__SCALAR_LEN)
		rc = RC_OK;
	BN_clear_free(d);
	return rc;
}

enum rc card__key_sign_digest(const struct card__key *key, const uint8_t digest[CARD__DIGEST_LEN],
	uint8_t sig[CARD__SIG_LEN])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	uint8_t der[DER_ECDSA_MAX];
	size_t len = sizeof(der);
	enum rc rc = RC_CRYPTO;

	if (ctx && EVP_PKEY_sign_init(ctx) == 1 &&
		EVP_PKEY_sign(ctx, der, &len, digest, CARD__DIGEST_LEN) == 1 &&
		der_ecdsa_read(der, len, sig))
		rc = RC_OK;
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

bool card__key_verifies(const struct card__key *key, const uint8_t digest[CARD__DIGEST_LEN],
	const uint8_t sig[CARD__SIG_LEN])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	uint8_t der[DER_ECDSA_MAX];
	size_t len = der_ecdsa_write(sig, der);
	bool good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
		    EVP_PKEY_verify(ctx, der, len, digest, CARD__DIGEST_LEN) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

enum rc card__key_agree(
	const struct card__key *key, const struct card__key *peer, uint8_t out[CARD__SCALAR_LEN])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	size_t len = CARD__SCALAR_LEN;
	enum rc rc = RC_CRYPTO;

	if (ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		EVP_PKEY_derive_set_peer(ctx, peer->pkey) == 1 &&
		EVP_PKEY_derive(ctx, out, &len) == 1 && len == CARD__SCALAR_LEN)
		rc = RC_OK;
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

void card__key_spki(const struct card__key *key, uint8_t out[CARD__SPKI_LEN])
{
	/* SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING }, RFC 5480. */
	static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce,
		0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03,
		0x42, 0x00 };

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), key->point, CARD__POINT_LEN);
}

enum rc card__sha256(const void *bytes, size_t len, uint8_t out[CARD__DIGEST_LEN])
{
	return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1 ? RC_OK : RC_CRYPTO;
}
