/* SPDX-License-Identifier: Apache-2.0 */
#include "payload/sign.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define DER_SIG_MAX 80 /* a P-256 ECDSA-Sig-Value is at most 72 bytes */

enum rc payload_spki_hash(const EVP_PKEY *key, uint8_t out[PAYLOAD_HASH_LEN])
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(key, &der);

	if (len <= 0)
		return RC_CRYPTO;
	SHA256(der, (size_t)len, out);
	OPENSSL_free(der);
	return RC_OK;
}

static bool is_p256(const EVP_PKEY *key)
{
	char group[32];

	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

static enum rc raw_from_der(const uint8_t *der, size_t len, uint8_t raw[PAYLOAD_SIG_LEN])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	enum rc rc = RC_CRYPTO;

	if (sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32)
		rc = RC_OK;
	ECDSA_SIG_free(sig);
	return rc;
}

static enum rc der_from_raw(const uint8_t raw[PAYLOAD_SIG_LEN], uint8_t *der, size_t *len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	enum rc rc = RC_CRYPTO;
	int n;

	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1)
		goto out;
	r = s = NULL; /* sig owns them now */
	n = i2d_ECDSA_SIG(sig, NULL);
	if (n <= 0 || n > DER_SIG_MAX)
		goto out;
	*len = (size_t)i2d_ECDSA_SIG(sig, &der);
	rc = RC_OK;
out:
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return rc;
}

static enum rc sign_bytes(
	EVP_PKEY *key, const uint8_t *msg, size_t len, uint8_t raw[PAYLOAD_SIG_LEN])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[DER_SIG_MAX];
	size_t der_len = sizeof(der);
	enum rc rc = RC_CRYPTO;

	if (ctx && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
		EVP_DigestSign(ctx, der, &der_len, msg, len) == 1)
		rc = raw_from_der(der, der_len, raw);
	EVP_MD_CTX_free(ctx);
	return rc;
}

enum rc payload_sign(const struct payload *p, EVP_PKEY *signer, struct put *out, struct diag *d)
{
	uint8_t spki[PAYLOAD_HASH_LEN], sig[PAYLOAD_SIG_LEN];
	uint8_t *map = NULL, *input = NULL;
	struct put m, i;
	enum rc rc;

	if (!is_p256(signer))
		return diag_set(d, RC_CRYPTO, "payload signer: not a P-256 key (formats 2)");
	map = malloc(PAYLOAD_MAX);
	input = malloc(PAYLOAD_MAX + PAYLOAD_COSE_OVERHEAD);
	if (!map || !input) {
		rc = RC_NOMEM;
		goto out;
	}
	m = put_init(map, PAYLOAD_MAX - PAYLOAD_COSE_OVERHEAD);
	i = put_init(input, PAYLOAD_MAX + PAYLOAD_COSE_OVERHEAD);
	rc = payload_write_map(p, &m, d);
	if (rc == RC_OK)
		rc = payload_spki_hash(signer, spki);
	if (rc == RC_OK)
		rc = payload_sig_input(spki, map, m.len, &i);
	if (rc == RC_OK)
		rc = sign_bytes(signer, input, i.len, sig);
	if (rc == RC_OK)
		rc = payload_cose_write(map, m.len, spki, sig, out);
out:
	free(map);
	free(input);
	return rc;
}

enum rc payload_verify(const struct payload_cose *cose, EVP_PKEY *signer, struct diag *d)
{
	uint8_t der[DER_SIG_MAX];
	size_t der_len = 0, cap = cose->map.len + PAYLOAD_COSE_OVERHEAD;
	EVP_MD_CTX *ctx = NULL;
	uint8_t *input = NULL;
	struct put i;
	enum rc rc;

	if (!is_p256(signer))
		return diag_set(d, RC_CRYPTO, "payload signer: not a P-256 key (formats 2)");
	input = malloc(cap);
	ctx = EVP_MD_CTX_new();
	if (!input || !ctx) {
		rc = RC_NOMEM;
		goto out;
	}
	i = put_init(input, cap);
	rc = payload_sig_input(cose->kid, cose->map.at, cose->map.len, &i);
	if (rc == RC_OK)
		rc = der_from_raw(cose->sig, der, &der_len);
	if (rc != RC_OK)
		goto out;
	if (EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, signer, NULL) != 1) {
		rc = RC_CRYPTO;
		goto out;
	}
	if (EVP_DigestVerify(ctx, der, der_len, input, i.len) != 1)
		rc = diag_set(d, RC_SIGNATURE,
			"signature: does not verify with the signer's key (formats 2)");
out:
	EVP_MD_CTX_free(ctx);
	free(input);
	return rc;
}
