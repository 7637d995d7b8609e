/* SPDX-License-Identifier: Apache-2.0 */
/* COMPUTE HKDF (the extract step) and COMPUTE PRF (TLS 1.2, SHA-256) over secrets that the device
 * gives: what TLS stacks hand to the card after an agreement there. */
#include "card/session.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

static const EVP_MD *hash_of(struct cur bits)
{
	switch (cur_u16(&bits)) {
	case 0x0001: return EVP_sha256();
	case 0x0002: return EVP_sha384();
	case 0x0004: return EVP_sha512();
	default: return NULL;
	}
}

/* D1 input, D5 salt, 91 hash: HMAC(salt, input) (RFC 5869 section 2.2). */
uint16_t cmd_hkdf(struct command *cmd)
{
	struct cur data = cmd->apdu->data, ikm, salt;
	uint8_t prk[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	const EVP_MD *md;

	if (cmd->apdu->p1 != 0 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	ikm = tlv_expect(&data, TLV_ISO, 0xd1);
	salt = tlv_expect(&data, TLV_ISO, 0xd5);
	md = hash_of(tlv_expect(&data, TLV_ISO, 0x91));
	if (!cur_done(&data) || !md)
		return SW_DATA;
	if (!HMAC(md, salt.at, (int)salt.left, ikm.at, ikm.left, prk, &len))
		return SW_INTERNAL;
	put_bytes(cmd->out, prk, len);
	mem_wipe(prk, sizeof(prk));
	return SW_OK;
}

/* P_SHA256 (RFC 5246 section 5); the secret is in no way the card's. */
static bool tls12_prf(struct cur secret, struct cur seed, uint8_t *out, size_t len)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SECRET, (void *)(uintptr_t)secret.at, secret.left),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SEED, (void *)(uintptr_t)seed.at, seed.left),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool good = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return good;
}

/* P1 = 00: D1 secret, D2 label and seed, D3 how many bytes. Stored secrets there are none. */
uint16_t cmd_prf(struct command *cmd)
{
	struct cur data = cmd->apdu->data, secret, seed, wanted;
	uint8_t *at;
	uint8_t n;

	if (cmd->apdu->p1 != 0 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	secret = tlv_expect(&data, TLV_ISO, 0xd1);
	seed = tlv_expect(&data, TLV_ISO, 0xd2);
	wanted = tlv_expect(&data, TLV_ISO, 0xd3);
	n = cur_u8(&wanted);
	if (!cur_done(&data) || !cur_done(&wanted) || n == 0 || secret.left == 0 || seed.left == 0)
		return SW_DATA;
	at = put_reserve(cmd->out, n);
	return at && tls12_prf(secret, seed, at, n) ? SW_OK : SW_INTERNAL;
}
