/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/seal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#define KEY_LEN 16
#define IV_LEN	12
#define TAG_LEN 16
#define INFO	"attestry-seal-1"

static EVP_PKEY *peer_from(const uint8_t point[CA_POINT_LEN])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *peer = NULL;
	char group[] = "P-256";
	uint8_t copy[CA_POINT_LEN];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof(copy)),
		OSSL_PARAM_construct_end(),
	};

	memcpy(copy, point, sizeof(copy));
	if (point[0] != 0x04 || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &peer, EVP_PKEY_PUBLIC_KEY, params) != 1)
		peer = NULL;
	EVP_PKEY_CTX_free(ctx);
	return peer;
}

static bool agree(EVP_PKEY *own, EVP_PKEY *peer, uint8_t x[32])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	size_t len = 32;
	bool ok = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		  EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, x, &len) == 1 &&
		  len == 32;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static bool hkdf(uint8_t ikm[32], uint8_t key[KEY_LEN])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	char digest[] = "SHA256", info[] = INFO;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ikm, 32),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info) - 1),
		OSSL_PARAM_construct_end(),
	};
	bool ok = ctx && EVP_KDF_derive(ctx, key, KEY_LEN, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

static enum rc derive(EVP_PKEY *own, EVP_PKEY *peer, uint8_t key[KEY_LEN])
{
	uint8_t x[32];
	bool ok = agree(own, peer, x) && hkdf(x, key);

	mem_wipe(x, sizeof(x));
	return ok ? RC_OK : RC_CRYPTO;
}

/* out: ciphertext and tag; aad: the ephemeral point, so that it cannot be exchanged. */
static bool encrypt(const uint8_t key[KEY_LEN], const uint8_t iv[IV_LEN], const uint8_t *aad,
	const uint8_t *plain, int len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok = c && EVP_EncryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv) == 1 &&
		  EVP_EncryptUpdate(c, NULL, &n, aad, CA_POINT_LEN) == 1 &&
		  EVP_EncryptUpdate(c, out, &n, plain, len) == 1 &&
		  EVP_EncryptFinal_ex(c, out + len, &n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + len) == 1;

	EVP_CIPHER_CTX_free(c);
	return ok;
}

static bool decrypt(const uint8_t key[KEY_LEN], const uint8_t iv[IV_LEN], const uint8_t *aad,
	const uint8_t *cipher, int len, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t tag[TAG_LEN];
	int n = 0;

	memcpy(tag, cipher + len, TAG_LEN);
	bool ok = c && EVP_DecryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, iv) == 1 &&
		  EVP_DecryptUpdate(c, NULL, &n, aad, CA_POINT_LEN) == 1 &&
		  EVP_DecryptUpdate(c, out, &n, cipher, len) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
		  EVP_DecryptFinal_ex(c, out + len, &n) == 1;

	EVP_CIPHER_CTX_free(c);
	return ok;
}

enum rc ca_seal(const uint8_t point[CA_POINT_LEN], const void *plain, size_t plain_len,
	uint8_t *out, size_t *out_len, struct diag *d)
{
	struct ca_key ephemeral = { 0 };
	uint8_t key[KEY_LEN], *iv = out + CA_POINT_LEN;
	EVP_PKEY *peer = NULL;
	enum rc rc;

	if (plain_len > CA_SEAL_PLAIN_MAX)
		return diag_set(d, RC_TOO_LARGE, "seal: more than %d bytes", CA_SEAL_PLAIN_MAX);
	peer = peer_from(point);
	if (!peer)
		return diag_set(d, RC_RANGE, "seal: not an uncompressed point of P-256");
	rc = ca_key_new(&ephemeral, d);
	if (rc == RC_OK)
		rc = derive(ephemeral.pkey, peer, key);
	if (rc != RC_OK)
		goto out;
	memcpy(out, ephemeral.point, CA_POINT_LEN);
	if (RAND_bytes(iv, IV_LEN) != 1 ||
		!encrypt(key, iv, out, plain, (int)plain_len, iv + IV_LEN)) {
		rc = diag_set(d, RC_CRYPTO, "seal: encryption failed");
		goto out;
	}
	*out_len = plain_len + CA_SEAL_OVERHEAD;
out:
	mem_wipe(key, sizeof(key));
	ca_key_free(&ephemeral);
	EVP_PKEY_free(peer);
	return rc;
}

enum rc ca_open(const struct ca_key *key, const uint8_t *sealed, size_t sealed_len,
	struct secret *out, struct diag *d)
{
	struct secret plain = { 0 };
	uint8_t cek[KEY_LEN];
	EVP_PKEY *peer = NULL;
	enum rc rc;

	if (sealed_len < CA_SEAL_OVERHEAD || sealed_len > CA_SEAL_OVERHEAD + CA_SEAL_PLAIN_MAX)
		return diag_set(d, RC_MALFORMED, "sealed: %zu bytes", sealed_len);
	size_t len = sealed_len - CA_SEAL_OVERHEAD;
	peer = peer_from(sealed);
	if (!peer)
		return diag_set(d, RC_AUTH, "sealed: not an uncompressed point of P-256");
	rc = secret_new(&plain, len);
	if (rc == RC_OK)
		rc = derive(key->pkey, peer, cek);
	if (rc == RC_OK && !decrypt(cek, sealed + CA_POINT_LEN, sealed,
				   sealed + CA_POINT_LEN + IV_LEN, (int)len, plain.bytes))
		rc = diag_set(d, RC_AUTH, "sealed: not to this key, or changed");
	if (rc == RC_OK) {
		*out = plain;
		plain = (struct secret){ 0 };
	}
	mem_wipe(cek, sizeof(cek));
	secret_free(&plain);
	EVP_PKEY_free(peer);
	return rc;
}
