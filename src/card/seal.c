/* SPDX-License-Identifier: Apache-2.0 */
/* How private keys lie on disk: AES-256-GCM under a key that is not there. The rest of the state is
 * authenticated with them, so that parts of different states do not pass for one. */
#include "card/internal.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <string.h>

/* Per card: HKDF-SHA256 without salt, info "attestry-card-seal-1" and the bytes of EF_ICCID. */
enum rc card__seal_derive(const uint8_t master[CARD_SEAL_KEY_LEN],
	const uint8_t iccid[IDENT_ICCID_LEN], uint8_t out[CARD_SEAL_KEY_LEN])
{
	uint8_t info[20 + IDENT_ICCID_LEN];
	char digest[] = "SHA256";
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)master, CARD_SEAL_KEY_LEN),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info)),
		OSSL_PARAM_construct_end(),
	};
	enum rc rc = RC_CRYPTO;

	memcpy(info, "attestry-card-seal-1", 20);
	memcpy(info + 20, iccid, IDENT_ICCID_LEN);
	if (ctx && EVP_KDF_derive(ctx, out, CARD_SEAL_KEY_LEN, params) == 1)
		rc = RC_OK;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return rc;
}

enum rc card__seal(const struct card *card, const uint8_t *aad, size_t aad_len,
	const uint8_t *plain, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *ct = out + CARD__SEAL_IV, *tag = ct + len;
	enum rc rc = RC_CRYPTO;
	int n = 0;

	if (ctx && RAND_bytes(out, CARD__SEAL_IV) == 1 &&
		EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, card->seal, out) == 1 &&
		EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
		EVP_EncryptUpdate(ctx, ct, &n, plain, (int)len) == 1 && (size_t)n == len &&
		EVP_EncryptFinal_ex(ctx, tag, &n) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CARD__SEAL_TAG, tag) == 1)
		rc = RC_OK;
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}

enum rc card__unseal(const struct card *card, const uint8_t *aad, size_t aad_len, struct cur sealed,
	uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	size_t len = sealed.left - CARD__SEAL_OVER;
	const uint8_t *ct = sealed.at + CARD__SEAL_IV;
	uint8_t tag[CARD__SEAL_TAG];
	enum rc rc = RC_SIGNATURE;
	int n = 0;

	memcpy(tag, ct + len, sizeof(tag));
	if (ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, card->seal, sealed.at) == 1 &&
		EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
		EVP_DecryptUpdate(ctx, out, &n, ct, (int)len) == 1 && (size_t)n == len &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CARD__SEAL_TAG, tag) == 1 &&
		EVP_DecryptFinal_ex(ctx, out, &n) == 1)
		rc = RC_OK;
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}
