/* SPDX-License-Identifier: Apache-2.0 */
#include "device/provider/provider__.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define SIG_DER_MAX 72
#define MD_NAME_MAX 16

/* ecdsa-with-SHA2 (RFC 5758 section 3.2), by digest. The card signs 32 bytes: of a longer digest
 * ECDSA over P-256 uses just the first 32 (FIPS 186-5 section 6.4.1). */
static const struct {
	const char *name;
	size_t len;
	uint8_t algorithm[12];
} DIGESTS[] = {
	{ "SHA256", 32, { 0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2 } },
	{ "SHA384", 48, { 0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3 } },
	{ "SHA512", 64, { 0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4 } },
};
#define DIGESTS_LEN (sizeof(DIGESTS) / sizeof(DIGESTS[0]))

struct signer {
	struct prov *prov;
	struct prov_key *key;
	size_t digest;	    /* index; DIGESTS_LEN: any length from 32 bytes */
	EVP_MD_CTX *md_ctx; /* hashes for the card */
	/* Everything else is the default provider's: ordinary keys, and verification. */
	EVP_PKEY_CTX *inner;  /* of a digest that the caller made */
	EVP_MD_CTX *inner_md; /* of a message */
};

/* The context whose parameters are meant; NULL: the card's. */
static EVP_PKEY_CTX *inner_of(const struct signer *s)
{
	return s->inner_md ? EVP_MD_CTX_get_pkey_ctx(s->inner_md) : s->inner;
}

static void inner_free(struct signer *s)
{
	EVP_PKEY_CTX_free(s->inner);
	EVP_MD_CTX_free(s->inner_md);
	s->inner = NULL;
	s->inner_md = NULL;
}

static void *signer_new(void *provctx, const char *propq)
{
	struct signer *s = calloc(1, sizeof(*s));

	(void)propq;
	if (s) {
		s->prov = provctx;
		s->digest = DIGESTS_LEN;
	}
	return s;
}

static void signer_free(void *ctx)
{
	struct signer *s = ctx;

	if (!s)
		return;
	prov__key_free(s->key);
	EVP_MD_CTX_free(s->md_ctx);
	inner_free(s);
	free(s);
}

static bool md_dup(EVP_MD_CTX **out, const EVP_MD_CTX *from)
{
	if (!from)
		return true;
	*out = EVP_MD_CTX_new();
	return *out && EVP_MD_CTX_copy_ex(*out, from) == 1;
}

static void *signer_dup(void *ctx)
{
	const struct signer *from = ctx;
	struct signer *s = signer_new(from->prov, NULL);

	if (!s)
		return NULL;
	s->digest = from->digest;
	s->key = from->key ? prov__key_ref(from->key) : NULL;
	s->inner = from->inner ? EVP_PKEY_CTX_dup(from->inner) : NULL;
	if ((from->inner && !s->inner) || !md_dup(&s->md_ctx, from->md_ctx) ||
		!md_dup(&s->inner_md, from->inner_md)) {
		signer_free(s);
		return NULL;
	}
	return s;
}

static int set_digest(struct signer *s, const char *name)
{
	EVP_MD *md = EVP_MD_fetch(s->prov->libctx, name, NULL);
	int found = 0;

	for (size_t i = 0; md && i < DIGESTS_LEN && !found; i++) {
		if (EVP_MD_is_a(md, DIGESTS[i].name)) {
			s->digest = i;
			found = 1;
		}
	}
	EVP_MD_free(md);
	if (!found)
		prov__raise("digest not supported", name);
	return found;
}

static int set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p;
	const char *name = NULL;

	if (!params)
		return 1;
	if (inner_of(ctx))
		return EVP_PKEY_CTX_set_params(inner_of(ctx), params) == 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
	return !p || (OSSL_PARAM_get_utf8_string_ptr(p, &name) == 1 && set_digest(ctx, name));
}

static const OSSL_PARAM *settable_ctx_params(void *ctx, void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return params;
}

static int get_ctx_params(void *ctx, OSSL_PARAM params[])
{
	const struct signer *s = ctx;
	size_t i = s->digest < DIGESTS_LEN ? s->digest : 0;
	OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);

	if (inner_of(s))
		return EVP_PKEY_CTX_get_params(inner_of(s), params) == 1;
	if (p &&
		!OSSL_PARAM_set_octet_string(p, DIGESTS[i].algorithm, sizeof(DIGESTS[i].algorithm)))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
	return !p || OSSL_PARAM_set_utf8_string(p, DIGESTS[i].name);
}

static const OSSL_PARAM *gettable_ctx_params(void *ctx, void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return params;
}

static bool take_key(struct signer *s, struct prov_key *key)
{
	if (key) {
		prov__key_free(s->key);
		s->key = prov__key_ref(key);
	}
	inner_free(s);
	return s->key && s->key->soft;
}

static bool inner_new(struct signer *s)
{
	s->inner = EVP_PKEY_CTX_new_from_pkey(s->prov->libctx, s->key->soft, PROV_SOFT);
	return s->inner != NULL;
}

static int sign_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	struct signer *s = ctx;

	if (!take_key(s, keydata))
		return 0;
	if (!s->key->card && (!inner_new(s) || EVP_PKEY_sign_init(s->inner) != 1))
		return 0;
	return set_ctx_params(ctx, params);
}

/* What is on a card need not be asked: anyone can verify. */
static int verify_init(void *ctx, void *keydata, const OSSL_PARAM params[])
{
	struct signer *s = ctx;

	return take_key(s, keydata) && inner_new(s) && EVP_PKEY_verify_init(s->inner) == 1 &&
	       set_ctx_params(ctx, params);
}

static int verify(void *ctx, const unsigned char *sig, size_t sig_len, const unsigned char *digest,
	size_t digest_len)
{
	const struct signer *s = ctx;

	return s->inner && EVP_PKEY_verify(s->inner, sig, sig_len, digest, digest_len) == 1;
}

static int der_from_raw(const uint8_t raw[IOTSAFE_SIG_LEN], uint8_t *out, size_t *len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	int n, ok = 0;

	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1)
		goto out;
	r = s = NULL;
	n = i2d_ECDSA_SIG(sig, NULL);
	if (n <= 0 || (size_t)n > *len)
		goto out;
	*len = (size_t)i2d_ECDSA_SIG(sig, &out);
	ok = 1;
out:
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return ok;
}

static int sign(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_cap,
	const unsigned char *digest, size_t digest_len)
{
	struct signer *s = ctx;
	uint8_t raw[IOTSAFE_SIG_LEN];
	size_t len = sig_cap;
	enum iotsafe_error e;

	if (s->inner) {
		*sig_len = sig_cap;
		return EVP_PKEY_sign(s->inner, sig, sig_len, digest, digest_len) == 1;
	}
	if (!sig) {
		*sig_len = SIG_DER_MAX;
		return 1;
	}
	if (digest_len < IOTSAFE_DIGEST_LEN ||
		(s->digest < DIGESTS_LEN && digest_len != DIGESTS[s->digest].len)) {
		prov__raise("sign", "digest of a wrong length");
		return 0;
	}
	e = iotsafe_sign(s->key->card, s->key->id, digest, raw);
	if (e != IOTSAFE_OK) {
		prov__raise("sign", iotsafe_last_error(s->key->card));
		return 0;
	}
	if (!der_from_raw(raw, sig, &len))
		return 0;
	*sig_len = len;
	return 1;
}

/* An ordinary key signs a message, or any key verifies one. */
static int inner_digest_init(
	struct signer *s, const char *mdname, bool signs, const OSSL_PARAM params[])
{
	int (*init)(EVP_MD_CTX *, EVP_PKEY_CTX **, const char *, OSSL_LIB_CTX *, const char *,
		EVP_PKEY *, const OSSL_PARAM *) =
		signs ? EVP_DigestSignInit_ex : EVP_DigestVerifyInit_ex;

	s->inner_md = EVP_MD_CTX_new();
	return s->inner_md && init(s->inner_md, NULL, mdname && *mdname ? mdname : NULL,
				      s->prov->libctx, PROV_SOFT, s->key->soft, params) == 1;
}

static int digest_sign_init(void *ctx, const char *mdname, void *keydata, const OSSL_PARAM params[])
{
	struct signer *s = ctx;
	EVP_MD *md;
	int ok;

	if (!take_key(s, keydata))
		return 0;
	if (!s->key->card)
		return inner_digest_init(s, mdname, true, params);
	if (!set_digest(s, mdname && *mdname ? mdname : "SHA256") || !set_ctx_params(ctx, params))
		return 0;
	EVP_MD_CTX_free(s->md_ctx);
	s->md_ctx = EVP_MD_CTX_new();
	md = EVP_MD_fetch(s->prov->libctx, DIGESTS[s->digest].name, NULL);
	ok = s->md_ctx && md && EVP_DigestInit_ex2(s->md_ctx, md, NULL) == 1;
	EVP_MD_free(md);
	return ok;
}

static int digest_sign_update(void *ctx, const unsigned char *data, size_t len)
{
	struct signer *s = ctx;

	if (s->inner_md)
		return EVP_DigestSignUpdate(s->inner_md, data, len) == 1;
	return s->md_ctx && EVP_DigestUpdate(s->md_ctx, data, len) == 1;
}

static int digest_sign_final(void *ctx, unsigned char *sig, size_t *sig_len, size_t sig_cap)
{
	struct signer *s = ctx;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (s->inner_md) {
		*sig_len = sig_cap;
		return EVP_DigestSignFinal(s->inner_md, sig, sig_len) == 1;
	}
	if (!sig) /* only the size is asked for: the digest must go on */
		return sign(ctx, NULL, sig_len, 0, NULL, 0);
	if (!s->md_ctx || EVP_DigestFinal_ex(s->md_ctx, digest, &len) != 1)
		return 0;
	return sign(ctx, sig, sig_len, sig_cap, digest, len);
}

static int digest_verify_init(
	void *ctx, const char *mdname, void *keydata, const OSSL_PARAM params[])
{
	struct signer *s = ctx;

	return take_key(s, keydata) && inner_digest_init(s, mdname, false, params);
}

static int digest_verify_update(void *ctx, const unsigned char *data, size_t len)
{
	const struct signer *s = ctx;

	return s->inner_md && EVP_DigestVerifyUpdate(s->inner_md, data, len) == 1;
}

static int digest_verify_final(void *ctx, const unsigned char *sig, size_t len)
{
	const struct signer *s = ctx;

	return s->inner_md && EVP_DigestVerifyFinal(s->inner_md, sig, len) == 1;
}

#define FN(f) ((void (*)(void))(f))

const OSSL_DISPATCH prov__signature[] = {
	{ OSSL_FUNC_SIGNATURE_NEWCTX, FN(signer_new) },
	{ OSSL_FUNC_SIGNATURE_FREECTX, FN(signer_free) },
	{ OSSL_FUNC_SIGNATURE_DUPCTX, FN(signer_dup) },
	{ OSSL_FUNC_SIGNATURE_SIGN_INIT, FN(sign_init) },
	{ OSSL_FUNC_SIGNATURE_SIGN, FN(sign) },
	{ OSSL_FUNC_SIGNATURE_VERIFY_INIT, FN(verify_init) },
	{ OSSL_FUNC_SIGNATURE_VERIFY, FN(verify) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, FN(digest_verify_init) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, FN(digest_verify_update) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, FN(digest_verify_final) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, FN(digest_sign_init) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, FN(digest_sign_update) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, FN(digest_sign_final) },
	{ OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, FN(get_ctx_params) },
	{ OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, FN(gettable_ctx_params) },
	{ OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, FN(set_ctx_params) },
	{ OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, FN(settable_ctx_params) },
	{ 0, NULL },
};
