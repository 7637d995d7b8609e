/* SPDX-License-Identifier: Apache-2.0 */
/* COMPUTE HKDF and COMPUTE PRF (TLS 1.2, SHA-256): over secrets that the device gives, as TLS
 * stacks hand them to the card after an agreement there, and over secret keys that never leave the
 * card. What is not known of the specification is settled in doc/card.md. */
#include "card/session.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define PREMASTER_MAX (2 + 255 + 2 + CARD_SECRET_MAX)

/* A secret key named by 86 or 76, as it may be used now. */
static uint16_t take_stored(struct command *cmd, struct cur *data, struct cur *secret)
{
	const struct card__kind *kind;
	const struct card__key *key;
	uint8_t id;

	if (command__object(cmd->card, data, 6, &id) != SW_OK)
		return SW_DATA;
	kind = card__container(cmd->card, id);
	key = cmd->card->state.keys[id];
	if (!kind || !kind->device_may_use || !(kind->functions & 0x08) || !key || key->blocked)
		return SW_CONDITIONS;
	*secret = cur_init(key->secret.bytes, key->secret.len);
	return SW_OK;
}

static OSSL_PARAM octets(const char *name, struct cur value)
{
	return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)value.at, value.left);
}

static bool derive(const char *name, OSSL_PARAM *params, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool good = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return good;
}

static uint16_t extract(struct command *cmd, const EVP_MD *md, struct cur secret, struct cur salt)
{
	uint8_t prk[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!HMAC(md, salt.at, (int)salt.left, secret.at, secret.left, prk, &len))
		return SW_INTERNAL;
	put_bytes(cmd->out, prk, len);
	mem_wipe(prk, sizeof(prk));
	return SW_OK;
}

static uint16_t expand(
	struct command *cmd, const EVP_MD *md, struct cur prk, struct cur info, size_t len)
{
	char mode[] = "EXPAND_ONLY";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(
			OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)EVP_MD_get0_name(md), 0),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, mode, 0),
		octets(OSSL_KDF_PARAM_KEY, prk),
		octets(OSSL_KDF_PARAM_INFO, info),
		OSSL_PARAM_construct_end(),
	};
	uint8_t *at;

	/* A pseudo-random key is at least as long as its hash. */
	if (prk.left < (size_t)EVP_MD_get_size(md) || len == 0)
		return SW_DATA;
	at = put_reserve(cmd->out, len);
	return at && derive("HKDF", params, at, len) ? SW_OK : SW_INTERNAL;
}

/* P1: 00 the secret is in D1, 01 it is a stored one (86 or 76). P2: 00 extract (D5 salt), 01 expand
 * (D2 information, D3 how many bytes). Last 91 hash. RFC 5869 sections 2.2 and 2.3. */
uint16_t cmd_hkdf(struct command *cmd)
{
	struct cur data = cmd->apdu->data, secret = { 0 }, other, wanted;
	const EVP_MD *md;
	uint16_t bit, sw = SW_OK;
	uint8_t len = 0;

	if (cmd->apdu->p1 > 1 || cmd->apdu->p2 > 1)
		return SW_P1P2;
	if (cmd->apdu->p1 == 0)
		secret = tlv_expect(&data, TLV_ISO, 0xd1);
	else
		sw = take_stored(cmd, &data, &secret);
	if (sw != SW_OK)
		return sw;
	other = tlv_expect(&data, TLV_ISO, cmd->apdu->p2 ? 0xd2 : 0xd5);
	if (cmd->apdu->p2) {
		wanted = tlv_expect(&data, TLV_ISO, 0xd3);
		len = cur_u8(&wanted);
		if (!cur_done(&wanted))
			return SW_DATA;
	}
	md = signature__hash(tlv_expect(&data, TLV_ISO, 0x91), &bit);
	if (!cur_done(&data) || !md)
		return SW_DATA;
	return cmd->apdu->p2 ? expand(cmd, md, secret, other, len)
			     : extract(cmd, md, secret, other);
}

/* RFC 4279 section 2: as many zeros as the secret is long; RFC 5489 section 2: the agreed value in
 * their place. */
static void put_premaster(struct put *p, struct cur psk, const struct cur *agreed)
{
	size_t len = agreed ? agreed->left : psk.left;

	put_u16(p, (uint16_t)len);
	for (size_t i = 0; !agreed && i < len; i++)
		put_u8(p, 0);
	if (agreed)
		put_bytes(p, agreed->at, len);
	put_u16(p, (uint16_t)psk.left);
	put_bytes(p, psk.at, psk.left);
}

/* P_SHA256 (RFC 5246 section 5). */
static uint16_t prf(struct command *cmd, struct cur secret, struct cur *data)
{
	struct cur seed = tlv_expect(data, TLV_ISO, 0xd2);
	struct cur wanted = tlv_expect(data, TLV_ISO, 0xd3);
	uint8_t n = cur_u8(&wanted), *at;
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		octets(OSSL_KDF_PARAM_SECRET, secret),
		octets(OSSL_KDF_PARAM_SEED, seed),
		OSSL_PARAM_construct_end(),
	};

	if (!cur_done(data) || !cur_done(&wanted) || n == 0 || secret.left == 0 || seed.left == 0)
		return SW_DATA;
	at = put_reserve(cmd->out, n);
	return at && derive("TLS1-PRF", params, at, n) ? SW_OK : SW_INTERNAL;
}

/* P1 = 00: D1 secret; 01: 86 or 76, a pre-shared key; 02: that and D4, what was agreed. Then D2
 * label and seed, D3 how many bytes. */
uint16_t cmd_prf(struct command *cmd)
{
	struct cur data = cmd->apdu->data, psk, agreed = { 0 };
	uint8_t bytes[PREMASTER_MAX];
	struct put p = put_init(bytes, sizeof(bytes));
	uint16_t sw;

	if (cmd->apdu->p1 > 2 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	if (cmd->apdu->p1 == 0) {
		struct cur secret = tlv_expect(&data, TLV_ISO, 0xd1);

		return prf(cmd, secret, &data);
	}
	sw = take_stored(cmd, &data, &psk);
	if (sw != SW_OK)
		return sw;
	if (cmd->apdu->p1 == 2) {
		agreed = tlv_expect(&data, TLV_ISO, 0xd4);
		if (data.bad || agreed.left == 0 || agreed.left > 255)
			return SW_DATA;
	}
	put_premaster(&p, psk, cmd->apdu->p1 == 2 ? &agreed : NULL);
	sw = put_ok(&p) ? prf(cmd, cur_init(bytes, p.len), &data) : SW_INTERNAL;
	mem_wipe(bytes, sizeof(bytes));
	return sw;
}
