/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#define KEY_HEAD      4 /* flags, protocol, algorithm */
#define KEY_ZONE      0x0100U
#define SIG_HEAD      18
#define ALG_RSASHA256 8
#define ALG_RSASHA512 10
#define ALG_P256      13
#define ALG_P384      14
#define ALG_ED25519   15
#define INCEPTION_SKEW_S                                                        \
	300 /* a signer's clock may be ahead of ours; expiry gets no such grace \
	     */

enum rc dane__sig_parse(const struct dane_rec *rec, struct dane_sig *out)
{
	struct cur c = cur_init(rec->rdata, rec->len);
	struct dane_sig s = { .head = rec->rdata };

	s.covered = cur_u16(&c);
	s.algorithm = cur_u8(&c);
	s.labels = cur_u8(&c);
	s.original_ttl = cur_u32(&c);
	s.expires = cur_u32(&c);
	s.inception = cur_u32(&c);
	s.tag = cur_u16(&c);
	/* The signer's name is never compressed (RFC 4034 3.1.7): no message to point into. */
	dane__name_read(&c, c.at ? c.at : rec->rdata, 0, &s.signer);
	s.sig_len = c.left;
	s.sig = cur_bytes(&c, c.left);
	if (c.bad || s.sig_len == 0)
		return RC_MALFORMED;
	*out = s;
	return RC_OK;
}

uint16_t dane__key_tag(const uint8_t *rdata, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
	sum += sum >> 16 & 0xffff;
	return (uint16_t)sum;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY *pkey = NULL;

	if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1 &&
		EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

/* RFC 6605 4: x | y. */
static EVP_PKEY *load_ec(const char *group, const uint8_t *xy, size_t len)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	uint8_t point[97] = { 4 };
	EVP_PKEY *pkey = NULL;

	memcpy(point + 1, xy, len);
	if (bld &&
		OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, len + 1) == 1)
		pkey = from_params("EC", bld);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

/* RFC 3110 2: exponent length in one byte, or in three with a leading zero. */
static EVP_PKEY *load_rsa(const uint8_t *key, size_t len)
{
	struct cur c = cur_init(key, len);
	size_t e_len = cur_u8(&c);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	BIGNUM *e = NULL, *n = NULL;
	EVP_PKEY *pkey = NULL;
	const uint8_t *e_at, *n_at;
	size_t n_len;

	if (e_len == 0)
		e_len = cur_u16(&c);
	e_at = cur_bytes(&c, e_len);
	n_len = c.left;
	n_at = cur_bytes(&c, n_len);
	if (c.bad || e_len == 0 || e_len > 8 || n_len < 128 || n_len > 512)
		goto out;
	e = BN_bin2bn(e_at, (int)e_len, NULL);
	n = BN_bin2bn(n_at, (int)n_len, NULL);
	if (bld && e && n && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		pkey = from_params("RSA", bld);
out:
	BN_free(e);
	BN_free(n);
	OSSL_PARAM_BLD_free(bld);
	return pkey;
}

enum rc dane__key_load(const uint8_t *rdata, size_t len, struct dane_key *out)
{
	struct cur c = cur_init(rdata, len);
	unsigned flags = cur_u16(&c), protocol = cur_u8(&c);
	struct dane_key k = { .algorithm = cur_u8(&c) };

	if (c.bad || len > sizeof(k.rdata))
		return RC_MALFORMED;
	if (!(flags & KEY_ZONE) || (flags & DANE_KEY_REVOKE) || protocol != 3)
		return RC_UNSUPPORTED; /* RFC 4034 2.1 */
	if (k.algorithm == ALG_P256 && c.left == 64)
		k.pkey = load_ec("P-256", c.at, 64);
	else if (k.algorithm == ALG_P384 && c.left == 96)
		k.pkey = load_ec("P-384", c.at, 96);
	else if (k.algorithm == ALG_ED25519 && c.left == 32)
		k.pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, c.at, 32);
	else if (k.algorithm == ALG_RSASHA256 || k.algorithm == ALG_RSASHA512)
		k.pkey = load_rsa(c.at, c.left);
	if (!k.pkey)
		return RC_UNSUPPORTED;
	k.tag = dane__key_tag(rdata, len);
	k.rdata_len = (uint16_t)len;
	memcpy(k.rdata, rdata, len);
	*out = k;
	return RC_OK;
}

void dane__keys_free(struct dane_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->keys[i].pkey);
	memset(keys, 0, sizeof(*keys));
}

bool dane__ds_match(const struct dane_anchor *ds, const struct dane_name *zone,
	const uint8_t *rdata, size_t len)
{
	const EVP_MD *md = ds->digest_type == 2	  ? EVP_sha256()
			   : ds->digest_type == 4 ? EVP_sha384()
						  : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool same = false;

	if (ctx && md && len > KEY_HEAD && rdata[3] == ds->algorithm &&
		dane__key_tag(rdata, len) == ds->tag && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
		EVP_DigestUpdate(ctx, zone->wire, zone->len) == 1 &&
		EVP_DigestUpdate(ctx, rdata, len) == 1 && EVP_DigestFinal_ex(ctx, digest, &n) == 1)
		same = n == ds->digest_len && memcmp(digest, ds->digest, n) == 0;
	EVP_MD_CTX_free(ctx);
	return same;
}

/* r | s of fixed length (RFC 6605 4) as the SEQUENCE that OpenSSL takes. */
static uint8_t *ecdsa_der(const uint8_t *sig, size_t half, size_t *len)
{
	ECDSA_SIG *s = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(sig, (int)half, NULL), *v = BN_bin2bn(sig + half, (int)half, NULL);
	uint8_t *der = NULL;
	int n = -1;

	if (s && r && v && ECDSA_SIG_set0(s, r, v) == 1) {
		r = v = NULL;
		n = i2d_ECDSA_SIG(s, &der);
	}
	BN_free(r);
	BN_free(v);
	ECDSA_SIG_free(s);
	*len = n > 0 ? (size_t)n : 0;
	return n > 0 ? der : NULL;
}

static bool verify_bytes(
	const struct dane_key *key, const struct dane_sig *sig, const uint8_t *data, size_t len)
{
	const EVP_MD *md = sig->algorithm == ALG_ED25519     ? NULL
			   : sig->algorithm == ALG_P384	     ? EVP_sha384()
			   : sig->algorithm == ALG_RSASHA512 ? EVP_sha512()
							     : EVP_sha256();
	size_t half = sig->algorithm == ALG_P256 ? 32 : sig->algorithm == ALG_P384 ? 48 : 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const uint8_t *bytes = sig->sig;
	size_t bytes_len = sig->sig_len;
	uint8_t *der = NULL;
	bool good = false;

	if (half > 0) {
		if (sig->sig_len != 2 * half)
			goto out;
		bytes = der = ecdsa_der(sig->sig, half, &bytes_len);
	}
	good = ctx && bytes && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->pkey) == 1 &&
	       EVP_DigestVerify(ctx, bytes, bytes_len, data, len) == 1;
out:
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	return good;
}

static int cmp_rdata(const void *a, const void *b)
{
	const struct dane_rec *x = *(const struct dane_rec *const *)a;
	const struct dane_rec *y = *(const struct dane_rec *const *)b;
	size_t n = x->len < y->len ? x->len : y->len;
	int d = n > 0 ? memcmp(x->rdata, y->rdata, n) : 0;

	return d != 0 ? d : (x->len > y->len) - (x->len < y->len);
}

/* RFC 4034 3.1.8.1. The RDATA of the types we verify (CERT, TLSA, DNSKEY, DS, NSEC) is canonical
 * as it stands: no name in it is compressed or lower-cased (RFC 6840 5.1). */
static bool signed_data(const struct dane_set *set, const struct dane_sig *sig, uint8_t *buf,
	size_t cap, size_t *len)
{
	const struct dane_rec *sorted[DANE_RRS_MAX];
	struct put p = put_init(buf, cap);

	memcpy(sorted, set->recs, set->n * sizeof(sorted[0]));
	qsort(sorted, set->n, sizeof(sorted[0]), cmp_rdata);
	put_bytes(&p, sig->head, SIG_HEAD);
	put_bytes(&p, sig->signer.wire, sig->signer.len);
	for (size_t i = 0; i < set->n; i++) {
		if (i > 0 && cmp_rdata(&sorted[i - 1], &sorted[i]) == 0)
			continue; /* RFC 4034 6.3: duplicates count once */
		put_bytes(&p, set->owner->wire, set->owner->len);
		put_u16(&p, set->type);
		put_u16(&p, 1);
		put_u32(&p, sig->original_ttl);
		put_u16(&p, sorted[i]->len);
		put_bytes(&p, sorted[i]->rdata, sorted[i]->len);
	}
	*len = p.len;
	return put_ok(&p);
}

static enum rc check_form(
	const struct dane_set *set, const struct dane_sig *sig, int64_t now, struct diag *d)
{
	uint32_t t = (uint32_t)now;

	if (sig->covered != set->type || !dane__name_within(set->owner, &sig->signer))
		return diag_set(d, RC_SIGNATURE, "signature: of another set (RFC 4035 5.3.1)");
	if (sig->labels != dane__name_labels(set->owner))
		return diag_set(d, RC_SIGNATURE, "signature: made for a wildcard; not accepted");
	if ((int32_t)(sig->expires - t) < 0)
		return diag_set(d, RC_EXPIRED, "signature: expired %d s ago",
			(int)(int32_t)(t - sig->expires));
	if ((int32_t)(t + INCEPTION_SKEW_S - sig->inception) < 0)
		return diag_set(d, RC_EXPIRED, "signature: not yet valid");
	return RC_OK;
}

enum rc dane__sig_verify(const struct dane_set *set, const struct dane_sig *sig,
	const struct dane_keys *keys, int64_t now, struct diag *d)
{
	size_t cap = 65536, len = 0; /* more than any message holds, with names written out */
	uint8_t *buf = NULL;
	enum rc rc = check_form(set, sig, now, d);
	unsigned tried = 0;

	if (rc != RC_OK)
		return rc;
	if (!dane__name_equal(&keys->zone, &sig->signer))
		return diag_set(d, RC_SIGNATURE, "signature: by another zone");
	buf = malloc(cap);
	if (!buf)
		return RC_NOMEM;
	rc = RC_SIGNATURE;
	if (!signed_data(set, sig, buf, cap, &len)) {
		free(buf);
		return diag_set(d, RC_TOO_LARGE, "signature: set too large");
	}
	for (size_t i = 0; i < keys->n && tried < DANE_SIGS_MAX && rc != RC_OK; i++) {
		const struct dane_key *k = &keys->keys[i];

		if (k->tag != sig->tag || k->algorithm != sig->algorithm)
			continue;
		tried++;
		if (verify_bytes(k, sig, buf, len))
			rc = RC_OK;
	}
	free(buf);
	if (rc != RC_OK && tried == 0)
		return diag_set(
			d, RC_NOT_FOUND, "signature: by key %u, which the zone has not", sig->tag);
	return rc == RC_OK ? rc : diag_set(d, rc, "signature: wrong");
}
