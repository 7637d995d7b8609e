/* SPDX-License-Identifier: Apache-2.0 */
#include "device/provider/provider__.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

struct prov_key *prov__key_new(struct prov *prov)
{
	struct prov_key *key = calloc(1, sizeof(*key));

	if (key) {
		key->prov = prov;
		atomic_init(&key->refs, 1);
	}
	return key;
}

struct prov_key *prov__key_ref(struct prov_key *key)
{
	atomic_fetch_add(&key->refs, 1);
	return key;
}

void prov__key_free(void *arg)
{
	struct prov_key *key = arg;

	if (key && atomic_fetch_sub(&key->refs, 1) == 1) {
		EVP_PKEY_free(key->soft);
		free(key);
	}
}

static bool soft_from(struct prov_key *key, int selection, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(key->prov->libctx, "EC", PROV_SOFT);
	EVP_PKEY *soft = NULL;
	/* OpenSSL's own prototype lacks the const; it only reads. */
	bool ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
		  EVP_PKEY_fromdata(ctx, &soft, selection, (OSSL_PARAM *)(uintptr_t)params) == 1;

	EVP_PKEY_CTX_free(ctx);
	if (!ok)
		return false;
	EVP_PKEY_free(key->soft);
	key->soft = soft;
	key->has_public = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY) &&
			  (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY);
	key->has_private = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY) &&
			   (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY);
	return true;
}

bool prov__key_on_card(struct prov_key *key, struct iotsafe *card, uint8_t id,
	const uint8_t point[IOTSAFE_POINT_LEN])
{
	char group[] = "prime256v1";
	uint8_t copy[IOTSAFE_POINT_LEN];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, sizeof(copy)),
		OSSL_PARAM_construct_end(),
	};

	memcpy(copy, point, sizeof(copy));
	if (!soft_from(key, EVP_PKEY_PUBLIC_KEY, params))
		return false;
	key->card = card;
	key->id = id;
	return true;
}

static void *key_new(void *provctx)
{
	return prov__key_new(provctx);
}

/* The store hands over its reference: a pointer that is taken out of its buffer. */
static void *key_load(const void *reference, size_t len)
{
	struct prov_key *key = NULL;

	if (!reference || len != sizeof(key))
		return NULL;
	memcpy(&key, reference, sizeof(key));
	memset((void *)(uintptr_t)reference, 0, sizeof(key));
	return key;
}

static int key_has(const void *keydata, int selection)
{
	const struct prov_key *key = keydata;

	if (!key || !key->soft)
		return 0;
	if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) && !key->has_public)
		return 0;
	return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || key->card || key->has_private;
}

/* Two private keys are the same when their public ones are. */
static int key_match(const void *a, const void *b, int selection)
{
	const struct prov_key *ka = a, *kb = b;

	if (!ka->soft || !kb->soft)
		return 0;
	return selection & OSSL_KEYMGMT_SELECT_KEYPAIR
		       ? EVP_PKEY_eq(ka->soft, kb->soft) == 1
		       : EVP_PKEY_parameters_eq(ka->soft, kb->soft) == 1;
}

static int key_validate(const void *keydata, int selection, int checktype)
{
	const struct prov_key *key = keydata;
	EVP_PKEY_CTX *ctx =
		key->soft ? EVP_PKEY_CTX_new_from_pkey(key->prov->libctx, key->soft, PROV_SOFT)
			  : NULL;
	int ok = ctx != NULL;

	if (ok && (selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS))
		ok = checktype == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK
			     ? EVP_PKEY_param_check_quick(ctx)
			     : EVP_PKEY_param_check(ctx);
	if (ok == 1 && (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
		ok = EVP_PKEY_public_check(ctx);
	if (ok == 1 && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && !key->card)
		ok = EVP_PKEY_private_check(ctx);
	EVP_PKEY_CTX_free(ctx);
	return ok == 1;
}

/* Keys of other providers and, within libiotsafe, a key on an open card. */
static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
	struct prov_key *key = keydata;
	const OSSL_PARAM *card = OSSL_PARAM_locate_const(params, DEV_PARAM_CARD);
	const OSSL_PARAM *id = OSSL_PARAM_locate_const(params, DEV_PARAM_ID);
	const OSSL_PARAM *pub = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
	struct iotsafe *handle = NULL;
	const void *bytes = NULL, *point = NULL;
	size_t len = 0, point_len = 0;
	unsigned number = 0;

	if (!card) {
		if (!OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY))
			selection &= ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
		return soft_from(key, selection, params);
	}
	if (!id || OSSL_PARAM_get_uint(id, &number) != 1 || number > UINT8_MAX ||
		OSSL_PARAM_get_octet_string_ptr(card, &bytes, &len) != 1 ||
		len != sizeof(struct iotsafe *) || !pub ||
		OSSL_PARAM_get_octet_string_ptr(pub, &point, &point_len) != 1 ||
		point_len != IOTSAFE_POINT_LEN)
		return 0;
	memcpy(&handle, bytes, sizeof(handle));
	return prov__key_on_card(key, handle, (uint8_t)number, point);
}

static const OSSL_PARAM *import_types(int selection)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
		OSSL_PARAM_END,
	};

	(void)selection;
	return params;
}

/* Refusing to export the private part of a card's key is what keeps every private operation here:
 * OpenSSL tries another provider with an exported copy and comes to us when there is none. */
static int key_export(void *keydata, int selection, OSSL_CALLBACK *cb, void *arg)
{
	struct prov_key *key = keydata;
	OSSL_PARAM *params = NULL;
	int ok;

	if (!key->soft || (key->card && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)))
		return 0;
	if (!key->has_private)
		selection &= ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
	if (EVP_PKEY_todata(key->soft, selection, &params) != 1)
		return 0;
	ok = cb(params, arg);
	OSSL_PARAM_free(params);
	return ok;
}

static void *key_dup(const void *from, int selection)
{
	const struct prov_key *key = from;
	struct prov_key *copy = prov__key_new(key->prov);
	OSSL_PARAM *params = NULL;
	bool ok = copy != NULL;

	if (ok && key->soft) {
		int have =
			key->has_private ? selection : selection & ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
		ok = EVP_PKEY_todata(key->soft, have, &params) == 1 &&
		     soft_from(copy, have, params);
		OSSL_PARAM_free(params);
	}
	if (ok && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)) {
		copy->card = key->card;
		copy->id = key->id;
	}
	if (!ok) {
		prov__key_free(copy);
		return NULL;
	}
	return copy;
}

static int key_get_params(void *keydata, OSSL_PARAM params[])
{
	const struct prov_key *key = keydata;

	return key->soft && EVP_PKEY_get_params(key->soft, params) == 1;
}

static const OSSL_PARAM *key_gettable_params(void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return params;
}

/* TLS writes the peer's point into an empty key of the group. A key on a card cannot be changed. */
static int key_set_params(void *keydata, const OSSL_PARAM params[])
{
	struct prov_key *key = keydata;

	if (!params)
		return 1;
	if (!key->soft || key->card ||
		EVP_PKEY_set_params(key->soft, (OSSL_PARAM *)(uintptr_t)params) != 1)
		return 0;
	if (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY))
		key->has_public = true;
	return 1;
}

static const OSSL_PARAM *key_settable_params(void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return params;
}

/* Making an ordinary key or parameters, for a program for which we are the first to serve "EC". */
struct generator {
	struct prov *prov;
	EVP_PKEY_CTX *ctx;
	bool pair;
};

static void gen_free(void *arg)
{
	struct generator *g = arg;

	if (g)
		EVP_PKEY_CTX_free(g->ctx);
	free(g);
}

static int gen_set_params(void *arg, const OSSL_PARAM params[])
{
	struct generator *g = arg;

	return !params || EVP_PKEY_CTX_set_params(g->ctx, params) == 1;
}

static void *gen_init(void *provctx, int selection, const OSSL_PARAM params[])
{
	struct prov *prov = provctx;
	struct generator *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->prov = prov;
	g->pair = selection & OSSL_KEYMGMT_SELECT_KEYPAIR;
	g->ctx = EVP_PKEY_CTX_new_from_name(prov->libctx, "EC", PROV_SOFT);
	if (!g->ctx ||
		(g->pair ? EVP_PKEY_keygen_init(g->ctx) : EVP_PKEY_paramgen_init(g->ctx)) != 1 ||
		!gen_set_params(g, params)) {
		gen_free(g);
		return NULL;
	}
	return g;
}

static int gen_set_template(void *arg, void *templ)
{
	struct generator *g = arg;
	const struct prov_key *key = templ;
	char group[80] = "";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_end(),
	};

	return key->soft &&
	       EVP_PKEY_get_utf8_string_param(
		       key->soft, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) == 1 &&
	       gen_set_params(g, params);
}

static const OSSL_PARAM *gen_settable_params(void *arg, void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
		OSSL_PARAM_END,
	};

	(void)arg;
	(void)provctx;
	return params;
}

static void *gen(void *arg, OSSL_CALLBACK *cb, void *cb_arg)
{
	struct generator *g = arg;
	struct prov_key *key = prov__key_new(g->prov);

	(void)cb;
	(void)cb_arg;
	if (key && EVP_PKEY_generate(g->ctx, &key->soft) == 1) {
		key->has_public = key->has_private = g->pair;
		return key;
	}
	prov__key_free(key);
	return NULL;
}

static const char *key_operation(int operation)
{
	switch (operation) {
	case OSSL_OP_SIGNATURE: return "ECDSA";
	case OSSL_OP_KEYEXCH: return "ECDH";
	default: return NULL;
	}
}

#define FN(f) ((void (*)(void))(f))

const OSSL_DISPATCH prov__keymgmt[] = {
	{ OSSL_FUNC_KEYMGMT_NEW, FN(key_new) },
	{ OSSL_FUNC_KEYMGMT_FREE, FN(prov__key_free) },
	{ OSSL_FUNC_KEYMGMT_LOAD, FN(key_load) },
	{ OSSL_FUNC_KEYMGMT_HAS, FN(key_has) },
	{ OSSL_FUNC_KEYMGMT_MATCH, FN(key_match) },
	{ OSSL_FUNC_KEYMGMT_VALIDATE, FN(key_validate) },
	{ OSSL_FUNC_KEYMGMT_IMPORT, FN(key_import) },
	{ OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FN(import_types) },
	{ OSSL_FUNC_KEYMGMT_EXPORT, FN(key_export) },
	{ OSSL_FUNC_KEYMGMT_EXPORT_TYPES, FN(import_types) },
	{ OSSL_FUNC_KEYMGMT_DUP, FN(key_dup) },
	{ OSSL_FUNC_KEYMGMT_GET_PARAMS, FN(key_get_params) },
	{ OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, FN(key_gettable_params) },
	{ OSSL_FUNC_KEYMGMT_SET_PARAMS, FN(key_set_params) },
	{ OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, FN(key_settable_params) },
	{ OSSL_FUNC_KEYMGMT_GEN_INIT, FN(gen_init) },
	{ OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, FN(gen_set_template) },
	{ OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, FN(gen_set_params) },
	{ OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, FN(gen_settable_params) },
	{ OSSL_FUNC_KEYMGMT_GEN, FN(gen) },
	{ OSSL_FUNC_KEYMGMT_GEN_CLEANUP, FN(gen_free) },
	{ OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, FN(key_operation) },
	{ 0, NULL },
};
