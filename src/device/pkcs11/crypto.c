/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/str.h"
#include "device/pkcs11/p11__.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#define N_PEER	       5
#define SIG_DER_MAX    72
#define POINT_IN_OCTET (IOTSAFE_POINT_LEN + 2)

/* Starts a signature or its verification. */
static CK_RV begin(CK_SESSION_HANDLE handle, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
	enum p11_operation operation)
{
	CK_OBJECT_CLASS wants = operation == P11_SIGN ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
	struct p11 *p = p11__enter();
	const struct p11_mechanism *m;
	const struct p11_object *o;
	struct p11_session *s;
	EVP_MD *md = NULL;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !mechanism)
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	if (s->operation != P11_IDLE)
		return p11__leave(CKR_OPERATION_ACTIVE);
	m = p11__mechanism(mechanism->mechanism);
	if (!m || !(m->flags & CKF_SIGN))
		return p11__leave(CKR_MECHANISM_INVALID);
	if (mechanism->ulParameterLen != 0)
		return p11__leave(CKR_MECHANISM_PARAM_INVALID);
	o = p11__object(s, key);
	if (!o)
		return p11__leave(CKR_KEY_HANDLE_INVALID);
	if (o->class != wants || !o->can_sign)
		return p11__leave(o->class != wants ? CKR_KEY_TYPE_INCONSISTENT
						    : CKR_KEY_FUNCTION_NOT_PERMITTED);
	if (m->digest) {
		md = EVP_MD_fetch(p->libctx, m->digest, NULL);
		s->md = EVP_MD_CTX_new();
		if (!md || !s->md || EVP_DigestInit_ex2(s->md, md, NULL) != 1) {
			EVP_MD_free(md);
			p11__operation_end(s);
			return p11__leave(CKR_HOST_MEMORY);
		}
		EVP_MD_free(md);
	}
	s->key = key;
	s->operation = operation;
	return p11__leave(CKR_OK);
}

/* The session with `operation` under way, or an error with nothing locked. */
static CK_RV enter(CK_SESSION_HANDLE handle, enum p11_operation operation, struct p11 **p,
	struct p11_session **s)
{
	*p = p11__enter();
	if (!*p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	*s = p11__session(*p, handle);
	if (!*s)
		return p11__leave(CKR_SESSION_HANDLE_INVALID);
	if ((*s)->operation != operation)
		return p11__leave(CKR_OPERATION_NOT_INITIALIZED);
	return CKR_OK;
}

static CK_RV feed(struct p11_session *s, const CK_BYTE *in, CK_ULONG len)
{
	if (!in && len > 0)
		return CKR_ARGUMENTS_BAD;
	if (s->md)
		return EVP_DigestUpdate(s->md, in, len) == 1 ? CKR_OK : CKR_HOST_MEMORY;
	if (len > sizeof(s->data) - s->data_len)
		return CKR_DATA_LEN_RANGE;
	if (len > 0)
		memcpy(s->data + s->data_len, in, len);
	s->data_len += len;
	return CKR_OK;
}

/* What ECDSA on P-256 signs of a digest: its first 32 bytes, a shorter one as a number (FIPS 186-5
 * section 6.4.1). */
static CK_RV finish_digest(struct p11_session *s, uint8_t digest[IOTSAFE_DIGEST_LEN])
{
	unsigned len = (unsigned)s->data_len;

	if (s->md && EVP_DigestFinal_ex(s->md, s->data, &len) != 1)
		return CKR_HOST_MEMORY;
	if (len == 0)
		return CKR_DATA_LEN_RANGE;
	memset(digest, 0, IOTSAFE_DIGEST_LEN);
	if (len >= IOTSAFE_DIGEST_LEN)
		memcpy(digest, s->data, IOTSAFE_DIGEST_LEN);
	else
		memcpy(digest + IOTSAFE_DIGEST_LEN - len, s->data, len);
	return CKR_OK;
}

/* Signs what was fed; the operation ends here, however it ends. */
static CK_RV sign_now(struct p11 *p, struct p11_session *s, CK_BYTE *sig, CK_ULONG *len)
{
	uint8_t digest[IOTSAFE_DIGEST_LEN], raw[IOTSAFE_SIG_LEN];
	const struct p11_object *key = p11__object(s, s->key);
	struct p11_token *t = s->token;
	CK_RV rv = key ? finish_digest(s, digest) : CKR_KEY_HANDLE_INVALID;

	p11__operation_end(s);
	if (rv == CKR_OK)
		rv = p11__error(
			p, t, iotsafe_sign_by_id(t->iotsafe, p11__container(key), digest, raw));
	if (rv != CKR_OK)
		return rv;
	memcpy(sig, raw, sizeof(raw));
	*len = sizeof(raw);
	return CKR_OK;
}

/* Questions for the size, and buffers too small, leave the operation as it is and the card alone
 * (PKCS#11 2.40 section 5.2). */
static bool asks_size(const CK_BYTE *sig, CK_ULONG *len, CK_RV *rv)
{
	CK_ULONG cap = *len;

	if (sig && cap >= IOTSAFE_SIG_LEN)
		return false;
	*len = IOTSAFE_SIG_LEN;
	*rv = sig ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	return true;
}

CK_RV C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return begin(handle, mechanism, key, P11_SIGN);
}

CK_RV C_Sign(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig,
	CK_ULONG_PTR sig_len)
{
	struct p11_session *s;
	struct p11 *p;
	CK_RV rv = enter(handle, P11_SIGN, &p, &s);

	if (rv != CKR_OK)
		return rv;
	if (!sig_len) {
		p11__operation_end(s);
		return p11__leave(CKR_ARGUMENTS_BAD);
	}
	if (asks_size(sig, sig_len, &rv))
		return p11__leave(rv);
	rv = feed(s, data, data_len);
	if (rv == CKR_OK)
		return p11__leave(sign_now(p, s, sig, sig_len));
	p11__operation_end(s);
	return p11__leave(rv);
}

static CK_RV update(
	CK_SESSION_HANDLE handle, enum p11_operation operation, const CK_BYTE *data, CK_ULONG len)
{
	struct p11_session *s;
	struct p11 *p;
	CK_RV rv = enter(handle, operation, &p, &s);

	if (rv != CKR_OK)
		return rv;
	rv = feed(s, data, len);
	if (rv != CKR_OK)
		p11__operation_end(s);
	return p11__leave(rv);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG len)
{
	return update(handle, P11_SIGN, data, len);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE handle, CK_BYTE_PTR sig, CK_ULONG_PTR sig_len)
{
	struct p11_session *s;
	struct p11 *p;
	CK_RV rv = enter(handle, P11_SIGN, &p, &s);

	if (rv != CKR_OK)
		return rv;
	if (!sig_len) {
		p11__operation_end(s);
		return p11__leave(CKR_ARGUMENTS_BAD);
	}
	if (asks_size(sig, sig_len, &rv))
		return p11__leave(rv);
	return p11__leave(sign_now(p, s, sig, sig_len));
}

/* The public key as OpenSSL wants it; the card is not asked to verify what everyone can. */
static EVP_PKEY *public_key(const struct p11 *p, const struct p11_object *o)
{
	uint8_t point[IOTSAFE_POINT_LEN];
	char group[] = "prime256v1";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(p->libctx, "EC", NULL);
	EVP_PKEY *key = NULL;

	memcpy(point, o->point + 2, sizeof(point));
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static int der_signature(const CK_BYTE raw[IOTSAFE_SIG_LEN], uint8_t der[SIG_DER_MAX])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, 32, NULL), *s = BN_bin2bn(raw + 32, 32, NULL);
	int n = 0;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL;
		n = i2d_ECDSA_SIG(sig, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return n;
}

static CK_RV verify_now(struct p11 *p, struct p11_session *s, const CK_BYTE *sig, CK_ULONG len)
{
	uint8_t digest[IOTSAFE_DIGEST_LEN], der[SIG_DER_MAX];
	const struct p11_object *o = p11__object(s, s->key);
	CK_RV rv = o ? finish_digest(s, digest) : CKR_KEY_HANDLE_INVALID;
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	int n;

	p11__operation_end(s);
	if (rv != CKR_OK)
		return rv;
	if (!sig || len != IOTSAFE_SIG_LEN)
		return sig ? CKR_SIGNATURE_LEN_RANGE : CKR_ARGUMENTS_BAD;
	n = der_signature(sig, der);
	key = public_key(p, o);
	ctx = key ? EVP_PKEY_CTX_new_from_pkey(p->libctx, key, NULL) : NULL;
	rv = CKR_HOST_MEMORY;
	if (n > 0 && ctx && EVP_PKEY_verify_init(ctx) == 1)
		rv = EVP_PKEY_verify(ctx, der, (size_t)n, digest, sizeof(digest)) == 1
			     ? CKR_OK
			     : CKR_SIGNATURE_INVALID;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	return rv;
}

CK_RV C_VerifyInit(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return begin(handle, mechanism, key, P11_VERIFY);
}

CK_RV C_Verify(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG data_len, CK_BYTE_PTR sig,
	CK_ULONG sig_len)
{
	CK_RV rv = update(handle, P11_VERIFY, data, data_len);

	return rv == CKR_OK ? C_VerifyFinal(handle, sig, sig_len) : rv;
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG len)
{
	return update(handle, P11_VERIFY, data, len);
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE handle, CK_BYTE_PTR sig, CK_ULONG sig_len)
{
	struct p11_session *s;
	struct p11 *p;
	CK_RV rv = enter(handle, P11_VERIFY, &p, &s);

	return rv == CKR_OK ? p11__leave(verify_now(p, s, sig, sig_len)) : rv;
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE handle, CK_BYTE_PTR out, CK_ULONG len)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !out)
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	return p11__leave(p11__error(p, s->token, iotsafe_random(s->token->iotsafe, out, len)));
}

/* The other side's point: bare, or in an OCTET STRING (PKCS#11 2.40 section 2.3.5 of the mechanisms
 * takes both). */
static const uint8_t *peer_point(const CK_MECHANISM *mechanism)
{
	const CK_ECDH1_DERIVE_PARAMS *e = mechanism->pParameter;

	if (!e || mechanism->ulParameterLen != sizeof(*e) || e->kdf != CKD_NULL ||
		e->ulSharedDataLen != 0 || !e->pPublicData)
		return NULL;
	if (e->ulPublicDataLen == IOTSAFE_POINT_LEN && e->pPublicData[0] == 0x04)
		return e->pPublicData;
	if (e->ulPublicDataLen == POINT_IN_OCTET && e->pPublicData[0] == 0x04 &&
		e->pPublicData[1] == IOTSAFE_POINT_LEN && e->pPublicData[2] == 0x04)
		return e->pPublicData + 2;
	return NULL;
}

/* Attributes that a caller may ask of the derived key: how long, and what it is by itself. */
static CK_RV check_wanted(const CK_ATTRIBUTE *templ, CK_ULONG count, CK_ULONG *len)
{
	*len = IOTSAFE_SECRET_LEN;
	for (CK_ULONG i = 0; i < count; i++) {
		if (templ[i].type == CKA_TOKEN && templ[i].pValue && templ[i].ulValueLen == 1 &&
			*(const CK_BBOOL *)templ[i].pValue != CK_FALSE)
			return CKR_TOKEN_WRITE_PROTECTED;
		if (templ[i].type != CKA_VALUE_LEN)
			continue;
		if (!templ[i].pValue || templ[i].ulValueLen != sizeof(CK_ULONG))
			return CKR_ATTRIBUTE_VALUE_INVALID;
		memcpy(len, templ[i].pValue, sizeof(CK_ULONG));
		if (*len == 0 || *len > IOTSAFE_SECRET_LEN)
			return CKR_KEY_SIZE_RANGE;
	}
	return CKR_OK;
}

/* Container for the peer's key: number 5 of the key's slot (doc/device.md); on cards with longer
 * names the one that the card says can be written. */
static struct iotsafe_id peer_container(
	const struct p11_token *t, const struct p11_object *key, uint8_t *one)
{
	if (key->container.len > 1)
		return (struct iotsafe_id){ t->peer.at, t->peer.len };
	*one = key->container.at[0];
	*one = *one < 0x10 ? N_PEER : (uint8_t)((*one & 0xf0) | N_PEER);
	return (struct iotsafe_id){ one, 1 };
}

static CK_RV derive(struct p11 *p, struct p11_session *s, const CK_MECHANISM *mechanism,
	CK_OBJECT_HANDLE base, CK_ULONG len, CK_OBJECT_HANDLE *out)
{
	const struct p11_object *key = p11__object(s, base);
	const uint8_t *point = peer_point(mechanism);
	struct p11_object *secret;
	struct p11_token *t = s->token;
	uint8_t z[IOTSAFE_SECRET_LEN], one;
	struct iotsafe_id peer;
	CK_RV rv;

	if (!key)
		return CKR_KEY_HANDLE_INVALID;
	if (key->class != CKO_PRIVATE_KEY || !key->can_derive)
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	if (!point)
		return CKR_MECHANISM_PARAM_INVALID;
	peer = peer_container(t, key, &one);
	if (peer.len == 0)
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	rv = p11__error(p, t, iotsafe_ecdh_by_id(t->iotsafe, p11__container(key), peer, point, z));
	if (rv != CKR_OK)
		return rv;
	secret = calloc(1, sizeof(*secret));
	if (secret) {
		secret->class = CKO_SECRET_KEY;
		secret->session = s->handle;
		secret->handle = p->next_handle++;
		/* The leading bytes go where fewer are wanted (section 2.3.8). */
		memcpy(secret->secret, z + sizeof(z) - len, len);
		secret->secret_len = len;
		secret->next = t->objects;
		t->objects = secret;
		*out = secret->handle;
	}
	OPENSSL_cleanse(z, sizeof(z));
	return secret ? CKR_OK : CKR_HOST_MEMORY;
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE base,
	CK_ATTRIBUTE_PTR templ, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;
	CK_ULONG len;
	CK_RV rv;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !mechanism || !out || (!templ && count > 0))
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	if (mechanism->mechanism != CKM_ECDH1_DERIVE)
		return p11__leave(CKR_MECHANISM_INVALID);
	rv = check_wanted(templ, count, &len);
	if (rv == CKR_OK)
		rv = derive(p, s, mechanism, base, len, out);
	return p11__leave(rv);
}
