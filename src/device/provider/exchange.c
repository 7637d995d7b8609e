/* SPDX-License-Identifier: Apache-2.0 */
#include "device/provider/provider__.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

/* Container for the peer's key: number 5 of the key's slot. */
#define N_PEER 5

struct exchange {
	struct prov *prov;
	struct prov_key *key, *peer;
	EVP_PKEY_CTX *inner; /* an ordinary key's */
};

static void *exchange_new(void *provctx)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x)
		x->prov = provctx;
	return x;
}

static void exchange_free(void *arg)
{
	struct exchange *x = arg;

	if (!x)
		return;
	prov__key_free(x->key);
	prov__key_free(x->peer);
	EVP_PKEY_CTX_free(x->inner);
	free(x);
}

static void *exchange_dup(void *arg)
{
	const struct exchange *from = arg;
	struct exchange *x = exchange_new(from->prov);

	if (!x)
		return NULL;
	x->key = from->key ? prov__key_ref(from->key) : NULL;
	x->peer = from->peer ? prov__key_ref(from->peer) : NULL;
	x->inner = from->inner ? EVP_PKEY_CTX_dup(from->inner) : NULL;
	if (from->inner && !x->inner) {
		exchange_free(x);
		return NULL;
	}
	return x;
}

/* The card gives the bare x coordinate: a key derivation on top is the caller's. */
static int set_ctx_params(void *arg, const OSSL_PARAM params[])
{
	const struct exchange *x = arg;
	const OSSL_PARAM *kdf;
	const char *name = NULL;

	if (!params)
		return 1;
	if (x->inner)
		return EVP_PKEY_CTX_set_params(x->inner, params) == 1;
	kdf = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_TYPE);
	if (!kdf || (OSSL_PARAM_get_utf8_string_ptr(kdf, &name) == 1 && name && !*name))
		return 1;
	prov__raise("ECDH", "the card derives no keys");
	return 0;
}

static const OSSL_PARAM *settable_ctx_params(void *arg, void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
		OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
		OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)arg;
	(void)provctx;
	return params;
}

static int exchange_init(void *arg, void *keydata, const OSSL_PARAM params[])
{
	struct exchange *x = arg;
	struct prov_key *key = keydata;

	if (!key->soft)
		return 0;
	prov__key_free(x->key);
	x->key = prov__key_ref(key);
	EVP_PKEY_CTX_free(x->inner);
	x->inner = NULL;
	if (!key->card) {
		x->inner = EVP_PKEY_CTX_new_from_pkey(x->prov->libctx, key->soft, PROV_SOFT);
		if (!x->inner || EVP_PKEY_derive_init(x->inner) != 1)
			return 0;
	}
	return set_ctx_params(x, params);
}

static int exchange_set_peer(void *arg, void *keydata)
{
	struct exchange *x = arg;
	struct prov_key *peer = keydata;

	if (!x->key || !peer->has_public)
		return 0;
	if (x->inner && EVP_PKEY_derive_set_peer(x->inner, peer->soft) != 1)
		return 0;
	if (!x->inner && EVP_PKEY_parameters_eq(x->key->soft, peer->soft) != 1) {
		prov__raise("ECDH", "the peer's key is of another curve");
		return 0;
	}
	prov__key_free(x->peer);
	x->peer = prov__key_ref(peer);
	return 1;
}

static int on_card(const struct exchange *x, unsigned char *out, size_t *len, size_t cap)
{
	uint8_t point[IOTSAFE_POINT_LEN], secret[IOTSAFE_SECRET_LEN];
	uint8_t id = x->key->id;
	uint8_t peer_id = id < 0x10 ? N_PEER : (uint8_t)((id & 0xf0) | N_PEER);
	size_t n = 0;

	if (!out) {
		*len = sizeof(secret);
		return 1;
	}
	if (cap < sizeof(secret))
		return 0;
	/* Not compressed, whatever form its owner prefers. */
	if (EVP_PKEY_get_octet_string_param(x->peer->soft, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
		    point, sizeof(point), &n) != 1 ||
		n != sizeof(point)) {
		prov__raise("ECDH", "the peer's point");
		return 0;
	}
	if (iotsafe_ecdh(x->key->card, id, peer_id, point, secret) != IOTSAFE_OK) {
		prov__raise("ECDH", iotsafe_last_error(x->key->card));
		return 0;
	}
	memcpy(out, secret, sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	*len = sizeof(secret);
	return 1;
}

static int exchange_derive(void *arg, unsigned char *out, size_t *len, size_t cap)
{
	struct exchange *x = arg;

	if (!x->key || !x->peer)
		return 0;
	if (!x->inner)
		return on_card(x, out, len, cap);
	*len = cap;
	return EVP_PKEY_derive(x->inner, out, len) == 1;
}

#define FN(f) ((void (*)(void))(f))

const OSSL_DISPATCH prov__exchange[] = {
	{ OSSL_FUNC_KEYEXCH_NEWCTX, FN(exchange_new) },
	{ OSSL_FUNC_KEYEXCH_FREECTX, FN(exchange_free) },
	{ OSSL_FUNC_KEYEXCH_DUPCTX, FN(exchange_dup) },
	{ OSSL_FUNC_KEYEXCH_INIT, FN(exchange_init) },
	{ OSSL_FUNC_KEYEXCH_SET_PEER, FN(exchange_set_peer) },
	{ OSSL_FUNC_KEYEXCH_DERIVE, FN(exchange_derive) },
	{ OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, FN(set_ctx_params) },
	{ OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS, FN(settable_ctx_params) },
	{ 0, NULL },
};
