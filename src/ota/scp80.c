/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/internal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <string.h>

const uint8_t scp80_tar_isa[SCP80_TAR_LEN] = { 0x49, 0x53, 0x41 };

const char *scp80_status_text(unsigned status)
{
	static const char *const texts[] = { "ok", "checksum failed", "counter low", "counter high",
		"counter blocked", "ciphering error", "unidentified security error",
		"insufficient memory", "more time needed", "TAR unknown",
		"insufficient security level" };

	return status < ARRAY_LEN(texts) ? texts[status] : "unknown status";
}

size_t scp80_capacity(unsigned sms)
{
	size_t octets;

	if (sms == 0 || sms > SCP80_PARTS_MAX)
		return 0;
	if (sms == 1)
		octets = SCP80_UD_MAX - 3;
	else
		octets = SCP80_FIRST_MAX + (sms - 1) * (size_t)SCP80_NEXT_MAX;
	octets -= SCP80__CLEAR_LEN;
	octets -= octets % SCP80__BLOCK;
	return octets - 6 - SCP80__CC_LEN;
}

bool scp80_key_len_ok(size_t len)
{
	return len == 16 || len == 24 || len == 32;
}

static size_t key_len(const struct scp80_keys *keys)
{
	return keys->len ? keys->len : SCP80_KEY_LEN;
}

static enum rc engine_cc(const struct scp80_keys *keys, const uint8_t *head, size_t head_len,
	const uint8_t *rest, size_t rest_len, uint8_t cc[SCP80__CC_LEN])
{
	uint8_t both[SCP80_PACKET_MAX + SCP80__BLOCK], full[SCP80__BLOCK];
	struct put p = put_init(both, sizeof(both));
	enum rc rc;

	put_bytes(&p, head, head_len);
	put_bytes(&p, rest, rest_len);
	if (!put_ok(&p))
		return RC_TOO_LARGE;
	rc = keys->engine->mac(keys->engine->user, keys->which, both, p.len, full);
	if (rc == RC_OK)
		memcpy(cc, full, SCP80__CC_LEN);
	return rc;
}

enum rc scp80__cc(const struct scp80_keys *keys, const uint8_t *head, size_t head_len,
	const uint8_t *rest, size_t rest_len, uint8_t cc[SCP80__CC_LEN])
{
	if (keys->engine)
		return engine_cc(keys, head, head_len, rest, rest_len, cc);
	char aes128[] = "AES-128-CBC", aes192[] = "AES-192-CBC", aes256[] = "AES-256-CBC";
	size_t bytes = key_len(keys);
	char *cipher = bytes == 16 ? aes128 : bytes == 24 ? aes192 : aes256;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	uint8_t full[SCP80__BLOCK];
	size_t len = 0;
	enum rc rc = RC_CRYPTO;

	if (!ctx || EVP_MAC_init(ctx, keys->kid, bytes, params) != 1 ||
		EVP_MAC_update(ctx, head, head_len) != 1 ||
		EVP_MAC_update(ctx, rest, rest_len) != 1 ||
		EVP_MAC_final(ctx, full, &len, sizeof(full)) != 1 || len != sizeof(full))
		goto out;
	memcpy(cc, full, SCP80__CC_LEN);
	rc = RC_OK;
out:
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	return rc;
}

static const EVP_CIPHER *aes_cbc(size_t bytes)
{
	return bytes == 16   ? EVP_aes_128_cbc()
	       : bytes == 24 ? EVP_aes_192_cbc()
			     : EVP_aes_256_cbc();
}

enum rc scp80__cipher(
	const struct scp80_keys *keys, bool encrypt, const uint8_t *in, size_t len, uint8_t *out)
{
	static const uint8_t iv[SCP80__BLOCK];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int got = 0, tail = 0;
	enum rc rc = RC_CRYPTO;

	if (keys->engine && len % SCP80__BLOCK == 0 && len <= SCP80_PACKET_MAX) {
		rc = keys->engine->cbc(keys->engine->user, keys->which, encrypt, in, len, out);
		goto out;
	}
	if (!ctx || len % SCP80__BLOCK != 0 || len > SCP80_PACKET_MAX)
		goto out;
	if (EVP_CipherInit_ex2(ctx, aes_cbc(key_len(keys)), keys->kic, iv, encrypt ? 1 : 0, NULL) !=
			1 ||
		EVP_CIPHER_CTX_set_padding(ctx, 0) != 1 ||
		EVP_CipherUpdate(ctx, out, &got, in, (int)len) != 1 ||
		EVP_CipherFinal_ex(ctx, out + got, &tail) != 1 || (size_t)(got + tail) != len)
		goto out;
	rc = RC_OK;
out:
	EVP_CIPHER_CTX_free(ctx);
	return rc;
}

void scp80__put_counter(struct put *p, uint64_t counter)
{
	put_u8(p, (uint8_t)(counter >> 32));
	put_u32(p, (uint32_t)counter);
}

uint64_t scp80__cur_counter(struct cur *c)
{
	uint64_t high = cur_u8(c);

	return high << 32 | cur_u32(c);
}

bool scp80__keys_ok(const struct scp80_keys *keys)
{
	return keys->kvn >= 1 && keys->kvn <= 15 &&
	       (keys->engine || (keys->kic && keys->kid && scp80_key_len_ok(key_len(keys))));
}

uint8_t scp80__key_octet(unsigned kvn)
{
	return (uint8_t)(kvn << 4 | SCP80__ALG_AES);
}
