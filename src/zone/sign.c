/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/sign.h"

#include "zone/rec.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define DER_SIG_MAX 80

struct signer {
	struct zone_name origin;
	EVP_PKEY_CTX *key[2]; /* ZSK, KSK; reused: 25 us a signature against 32 */
	uint16_t tag[2];
	EVP_MD *md;
	EVP_MD_CTX *hash;
};

enum rc sign_dnskey(EVP_PKEY *key, bool ksk, uint8_t out[DNSKEY_LEN])
{
	uint8_t point[65];
	size_t len = 0;

	if (EVP_PKEY_get_octet_string_param(
		    key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) != 1 ||
		len != sizeof(point) || point[0] != 4)
		return RC_CRYPTO;
	rec_put16(out, ksk ? 257 : 256);
	out[2] = 3;
	out[3] = RR_ALG_P256;
	memcpy(out + 4, point + 1, 64);
	return RC_OK;
}

uint16_t sign_key_tag(const uint8_t *dnskey, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? dnskey[i] : (uint32_t)dnskey[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}

enum rc sign_ds(
	const struct zone_name *owner, const uint8_t *dnskey, size_t len, uint8_t out[DS_LEN])
{
	uint8_t buf[ZONE_NAME_MAX + 512];
	struct zone_name name = *owner;
	unsigned n = 0;

	if (len > 512 || len < 4)
		return RC_RANGE;
	zone_name_lower(&name);
	memcpy(buf, name.wire, name.len);
	memcpy(buf + name.len, dnskey, len);
	rec_put16(out, sign_key_tag(dnskey, len));
	out[2] = dnskey[3];
	out[3] = 2;
	return EVP_Digest(buf, name.len + len, out + 4, &n, EVP_sha256(), NULL) == 1 ? RC_OK
										     : RC_CRYPTO;
}

static enum rc key_open(struct signer *s, unsigned at, EVP_PKEY *key)
{
	uint8_t dnskey[DNSKEY_LEN];
	enum rc rc = sign_dnskey(key, at == 1, dnskey);

	if (rc != RC_OK)
		return rc;
	s->tag[at] = sign_key_tag(dnskey, sizeof(dnskey));
	s->key[at] = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	return s->key[at] && EVP_PKEY_sign_init(s->key[at]) == 1 ? RC_OK : RC_CRYPTO;
}

enum rc signer_new(
	const struct zone_name *origin, EVP_PKEY *ksk, EVP_PKEY *zsk, struct signer **out)
{
	struct signer *s = calloc(1, sizeof(*s));
	enum rc rc = RC_CRYPTO;

	if (!s)
		return RC_NOMEM;
	s->origin = *origin;
	zone_name_lower(&s->origin);
	s->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->hash = EVP_MD_CTX_new();
	if (s->md && s->hash && (rc = key_open(s, 0, zsk)) == RC_OK)
		rc = key_open(s, 1, ksk);
	if (rc != RC_OK) {
		signer_free(s);
		return rc;
	}
	*out = s;
	return RC_OK;
}

void signer_free(struct signer *s)
{
	if (!s)
		return;
	EVP_PKEY_CTX_free(s->key[0]);
	EVP_PKEY_CTX_free(s->key[1]);
	EVP_MD_CTX_free(s->hash);
	EVP_MD_free(s->md);
	free(s);
}

uint16_t signer_tag(const struct signer *s, bool ksk)
{
	return s->tag[ksk];
}

/* Labels as the RRSIG counts them: a leading wildcard label is not counted (RFC 4034 3.1.3). */
static uint8_t rrsig_labels(const uint8_t *owner)
{
	unsigned n = zone_name_labels(owner);

	return (uint8_t)(owner[0] == 1 && owner[1] == '*' ? n - 1 : n);
}

static bool hash_set(struct signer *s, const struct sign_set *set)
{
	uint8_t head[RR_RRSIG_FIXED];
	uint8_t rr[10];

	rec_put16(head, set->type);
	head[2] = RR_ALG_P256;
	head[3] = rrsig_labels(set->owner);
	rec_put32(head + 4, set->ttl);
	rec_put32(head + 8, set->expiration);
	rec_put32(head + 12, set->inception);
	rec_put16(head + 16, s->tag[set->ksk]);
	rec_put16(rr, set->type);
	rec_put16(rr + 2, RR_IN);
	rec_put32(rr + 4, set->ttl);
	if (EVP_DigestInit_ex2(s->hash, s->md, NULL) != 1 ||
		EVP_DigestUpdate(s->hash, head, sizeof(head)) != 1 ||
		EVP_DigestUpdate(s->hash, s->origin.wire, s->origin.len) != 1)
		return false;
	for (unsigned i = 0; i < set->count; i++) {
		rec_put16(rr + 8, set->rdata_len[i]);
		if (EVP_DigestUpdate(s->hash, set->owner, set->owner_len) != 1 ||
			EVP_DigestUpdate(s->hash, rr, sizeof(rr)) != 1 ||
			EVP_DigestUpdate(s->hash, set->rdata[i], set->rdata_len[i]) != 1)
			return false;
	}
	return true;
}

/* DER ECDSA-Sig-Value to r | s. */
static enum rc sig_flatten(const uint8_t *der, size_t len, uint8_t sig[RR_SIG_LEN])
{
	ECDSA_SIG *e = d2i_ECDSA_SIG(NULL, &der, (long)len);
	enum rc rc = RC_CRYPTO;

	if (e && BN_bn2binpad(ECDSA_SIG_get0_r(e), sig, 32) == 32 &&
		BN_bn2binpad(ECDSA_SIG_get0_s(e), sig + 32, 32) == 32)
		rc = RC_OK;
	ECDSA_SIG_free(e);
	return rc;
}

enum rc signer_sign(struct signer *s, const struct sign_set *set, uint8_t sig[RR_SIG_LEN])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	uint8_t der[DER_SIG_MAX];
	size_t der_len = sizeof(der);

	if (!hash_set(s, set) || EVP_DigestFinal_ex(s->hash, digest, NULL) != 1 ||
		EVP_PKEY_sign(s->key[set->ksk], der, &der_len, digest, sizeof(digest)) != 1)
		return RC_CRYPTO;
	return sig_flatten(der, der_len, sig);
}
