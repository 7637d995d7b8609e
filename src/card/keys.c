/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in their containers: how they get there and how they leave for the (sealed) disk. */
#include "card/internal.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <string.h>

#define RSA_BITS  2048
#define RSA_BYTES 256

static const char *curve_of(enum card__alg alg)
{
	return alg == ALG_BRAINPOOL ? "brainpoolP256r1" : "P-256";
}

static int nid_of(enum card__alg alg)
{
	return alg == ALG_BRAINPOOL ? NID_brainpoolP256r1 : NID_X9_62_prime256v1;
}

/* Multiplications leave pieces of their scalar on the stack. */
static ATT_NOINLINE void burn_stack(void)
{
	uint8_t bytes[16384];

	mem_wipe(bytes, sizeof(bytes));
}

void card__key_drop(struct card__state *state, uint8_t id)
{
	struct card__key *key = state->keys[id];

	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	secret_free(&key->secret);
	free(key);
	state->keys[id] = NULL;
}

static bool is_on_curve(EVP_PKEY *pkey, enum card__alg alg, uint8_t point[CARD__POINT_LEN])
{
	char group[32] = { 0 };
	size_t len = 0;

	return EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
	       OBJ_sn2nid(strcmp(group, "P-256") == 0 ? "prime256v1" : group) == nid_of(alg) &&
	       EVP_PKEY_get_octet_string_param(
		       pkey, OSSL_PKEY_PARAM_PUB_KEY, point, CARD__POINT_LEN, &len) == 1 &&
	       len == CARD__POINT_LEN && point[0] == 0x04;
}

/* Puts a key into its container in place of the one before. */
static enum rc install(struct card__state *state, uint8_t id, enum card__alg alg, EVP_PKEY *take)
{
	struct card__key *key = calloc(1, sizeof(*key));
	bool good;

	if (!key) {
		EVP_PKEY_free(take);
		return RC_NOMEM;
	}
	if (alg == ALG_RSA)
		good = EVP_PKEY_is_a(take, "RSA") && EVP_PKEY_get_bits(take) == RSA_BITS;
	else
		good = EVP_PKEY_is_a(take, "EC") && is_on_curve(take, alg, key->point);
	if (!good) {
		EVP_PKEY_free(take);
		free(key);
		return RC_UNSUPPORTED;
	}
	key->alg = alg;
	key->pkey = take;
	card__key_drop(state, id);
	state->keys[id] = key;
	return RC_OK;
}

enum rc card__key_generate(struct card__state *state, uint8_t id, enum card__alg alg)
{
	EVP_PKEY *pkey;

	if (alg == ALG_SECRET)
		return RC_UNSUPPORTED;
	pkey = alg == ALG_RSA ? EVP_RSA_gen(RSA_BITS) : EVP_EC_gen(curve_of(alg));
	burn_stack();
	return pkey ? install(state, id, alg, pkey) : RC_CRYPTO;
}

static enum rc from_params(const char *type, int selection, OSSL_PARAM *params, EVP_PKEY **out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY_CTX *check = NULL;
	EVP_PKEY *pkey = NULL;
	enum rc rc = RC_CRYPTO;

	if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) != 1)
		goto out;
	rc = RC_MALFORMED;
	if (EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
		goto out;
	/* A point off the curve would tell a private key away bit by bit. */
	check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	if (!check || EVP_PKEY_public_check(check) != 1)
		goto out;
	*out = pkey;
	pkey = NULL;
	rc = RC_OK;
out:
	EVP_PKEY_CTX_free(check);
	EVP_PKEY_free(pkey);
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

/* From the public point and, where there is one, the private scalar. */
static enum rc from_parts(struct card__state *state, uint8_t id, enum card__alg alg,
	const uint8_t *point, const BIGNUM *scalar)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;
	enum rc rc = RC_CRYPTO;

	if (bld &&
		OSSL_PARAM_BLD_push_utf8_string(
			bld, OSSL_PKEY_PARAM_GROUP_NAME, curve_of(alg), 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(
			bld, OSSL_PKEY_PARAM_PUB_KEY, point, CARD__POINT_LEN) == 1 &&
		(!scalar || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1)) {
		params = OSSL_PARAM_BLD_to_param(bld);
		rc = from_params(
			"EC", scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params, &pkey);
	}
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	return rc == RC_OK ? install(state, id, alg, pkey) : rc;
}

enum rc card__key_from_point(struct card__state *state, uint8_t id, enum card__alg alg,
	const uint8_t point[CARD__POINT_LEN])
{
	return point[0] == 0x04 ? from_parts(state, id, alg, point, NULL) : RC_MALFORMED;
}

enum rc card__key_from_rsa(
	struct card__state *state, uint8_t id, struct cur modulus, struct cur exponent)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;
	BIGNUM *n = NULL, *e = NULL;
	enum rc rc = RC_MALFORMED;

	if (modulus.bad || exponent.bad || modulus.left != RSA_BYTES || exponent.left == 0 ||
		exponent.left > 4)
		goto out;
	n = BN_bin2bn(modulus.at, (int)modulus.left, NULL);
	e = BN_bin2bn(exponent.at, (int)exponent.left, NULL);
	rc = RC_CRYPTO;
	if (!bld || !n || !e || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
		OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) != 1)
		goto out;
	params = OSSL_PARAM_BLD_to_param(bld);
	rc = from_params("RSA", EVP_PKEY_PUBLIC_KEY, params, &pkey);
out:
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(n);
	BN_free(e);
	return rc == RC_OK ? install(state, id, ALG_RSA, pkey) : rc;
}

enum rc card__key_from_secret(struct card__state *state, uint8_t id, const void *bytes, size_t len)
{
	struct card__key *key;
	enum rc rc;

	if (len == 0 || len > CARD_SECRET_MAX)
		return RC_RANGE;
	key = calloc(1, sizeof(*key));
	if (!key)
		return RC_NOMEM;
	key->alg = ALG_SECRET;
	rc = secret_from(&key->secret, bytes, len);
	if (rc != RC_OK) {
		free(key);
		return rc;
	}
	card__key_drop(state, id);
	state->keys[id] = key;
	return RC_OK;
}

static enum rc from_scalar(
	struct card__state *state, uint8_t id, enum card__alg alg, const uint8_t *bytes, size_t len)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(nid_of(alg));
	EC_POINT *pub = group ? EC_POINT_new(group) : NULL;
	BIGNUM *d = BN_secure_new();
	uint8_t point[CARD__POINT_LEN];
	enum rc rc = RC_CRYPTO;

	if (!pub || !d || !BN_bin2bn(bytes, (int)len, d))
		goto out;
	BN_set_flags(d, BN_FLG_CONSTTIME);
	rc = RC_MALFORMED;
	if (len != CARD__SCALAR_LEN || BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0)
		goto out;
	rc = RC_CRYPTO;
	if (EC_POINT_mul(group, pub, d, NULL, NULL, NULL) != 1 ||
		EC_POINT_point2oct(group, pub, POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
			NULL) != sizeof(point))
		goto out;
	rc = from_parts(state, id, alg, point, d);
out:
	BN_clear_free(d);
	EC_POINT_free(pub);
	EC_GROUP_free(group);
	burn_stack();
	return rc;
}

enum rc card__key_from_private(
	struct card__state *state, uint8_t id, enum card__alg alg, const uint8_t *bytes, size_t len)
{
	const uint8_t *at = bytes;
	EVP_PKEY *pkey;

	switch (alg) {
	case ALG_P256:
	case ALG_BRAINPOOL: return from_scalar(state, id, alg, bytes, len);
	case ALG_SECRET: return card__key_from_secret(state, id, bytes, len);
	case ALG_RSA: break;
	}
	pkey = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, (long)len);
	burn_stack();
	if (!pkey || at != bytes + len) {
		EVP_PKEY_free(pkey);
		return RC_MALFORMED;
	}
	return install(state, id, alg, pkey);
}

static int no_passphrase(char *buf, int size, int rwflag, void *user)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)user;
	return -1;
}

enum rc card__key_from_pem(
	struct card__state *state, uint8_t id, enum card__alg alg, const void *pem, size_t len)
{
	BIO *bio = len <= CARD_FILE_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	burn_stack();
	return pkey ? install(state, id, alg, pkey) : RC_MALFORMED;
}

static enum rc private_of_rsa(const struct card__key *key, struct put *out)
{
	uint8_t *der = NULL;
	int len = i2d_PrivateKey(key->pkey, &der);
	enum rc rc = RC_CRYPTO;

	if (len > 0) {
		put_bytes(out, der, (size_t)len);
		rc = put_ok(out) ? RC_OK : RC_TOO_LARGE;
	}
	OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
	burn_stack();
	return rc;
}

enum rc card__key_private(const struct card__key *key, struct put *out)
{
	BIGNUM *d = NULL;
	uint8_t *at;
	enum rc rc = RC_CRYPTO;

	if (key->alg == ALG_RSA)
		return private_of_rsa(key, out);
	if (key->alg == ALG_SECRET) {
		put_bytes(out, key->secret.bytes, key->secret.len);
		return put_ok(out) ? RC_OK : RC_TOO_LARGE;
	}
	/* Set beforehand: a number made for us would lie in memory that dumps show. */
	d = BN_secure_new();
	at = put_reserve(out, CARD__SCALAR_LEN);
	if (!at)
		rc = RC_TOO_LARGE;
	else if (d && EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
		 BN_bn2binpad(d, at, CARD__SCALAR_LEN) == CARD__SCALAR_LEN)
		rc = RC_OK;
	BN_clear_free(d);
	burn_stack();
	return rc;
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
	burn_stack();
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

enum rc card__key_public_write(const struct card__key *key, struct put *out)
{
	uint8_t n[RSA_BYTES], e[4];
	size_t object, inner;
	BIGNUM *bn = NULL, *be = NULL;
	enum rc rc = RC_CRYPTO;
	int e_len;

	if (key->alg == ALG_SECRET)
		return RC_UNSUPPORTED;
	if (key->alg != ALG_RSA) {
		object = tlv_open(out, 0x34);
		inner = tlv_open(out, 0x49);
		tlv_put(out, 0x86, key->point, CARD__POINT_LEN);
	} else {
		if (EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_N, &bn) != 1 ||
			EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_E, &be) != 1 ||
			BN_bn2binpad(bn, n, sizeof(n)) != sizeof(n) ||
			BN_num_bytes(be) > (int)sizeof(e))
			goto out;
		e_len = BN_bn2bin(be, e);
		object = tlv_open(out, 0x34);
		inner = tlv_open(out, 0x49);
		tlv_put(out, 0x81, n, sizeof(n));
		tlv_put(out, 0x82, e, (size_t)e_len);
	}
	tlv_close(out, inner);
	tlv_close(out, object);
	rc = put_ok(out) ? RC_OK : RC_TOO_LARGE;
out:
	BN_free(bn);
	BN_free(be);
	return rc;
}

enum rc card__key_public_read(
	struct card__state *state, uint8_t id, enum card__alg alg, struct cur object)
{
	struct cur outer = tlv_expect(&object, TLV_ISO, 0x34);
	struct cur inner = tlv_expect(&outer, TLV_ISO, 0x49), bytes, exponent;
	const uint8_t *point;

	if (!cur_done(&object) || !cur_done(&outer) || alg == ALG_SECRET)
		return RC_MALFORMED;
	if (alg == ALG_RSA) {
		bytes = tlv_expect(&inner, TLV_ISO, 0x81);
		exponent = tlv_expect(&inner, TLV_ISO, 0x82);
		return cur_done(&inner) ? card__key_from_rsa(state, id, bytes, exponent)
					: RC_MALFORMED;
	}
	bytes = tlv_expect(&inner, TLV_ISO, 0x86);
	point = cur_bytes(&bytes, CARD__POINT_LEN);
	if (!point || !cur_done(&bytes) || !cur_done(&inner))
		return RC_MALFORMED;
	return card__key_from_point(state, id, alg, point);
}

enum rc card__sha256(const void *bytes, size_t len, uint8_t out[CARD__DIGEST_LEN])
{
	return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1 ? RC_OK : RC_CRYPTO;
}
