/* SPDX-License-Identifier: Apache-2.0 */
#include "device/provider/provider__.h"

#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define GROUP	      "prime256v1"
#define BITS	      256
#define SECURITY_BITS 128
#define SIG_DER_MAX   72

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

	if (key && atomic_fetch_sub(&key->refs, 1) == 1)
		free(key);
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

	if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) && !key->has_point)
		return 0;
	return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || key->card != NULL;
}

/* The group is always the same; two private keys are the same when their public ones are. */
static int key_match(const void *a, const void *b, int selection)
{
	const struct prov_key *ka = a, *kb = b;

	if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR))
		return 1;
	return ka->has_point && kb->has_point &&
	       memcmp(ka->point, kb->point, IOTSAFE_POINT_LEN) == 0;
}

static bool is_p256(const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
	const char *name = NULL;

	return p && OSSL_PARAM_get_utf8_string_ptr(p, &name) == 1 && name &&
	       (strcmp(name, GROUP) == 0 || strcmp(name, "P-256") == 0);
}

/* Public keys of other providers, so that a certificate can be matched with its key; and, within
 * libiotsafe, a key on an open card. A private scalar is never taken. */
static int key_import(void *keydata, int selection, const OSSL_PARAM params[])
{
	struct prov_key *key = keydata;
	const OSSL_PARAM *pub = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
	const OSSL_PARAM *card = OSSL_PARAM_locate_const(params, DEV_PARAM_CARD);
	const OSSL_PARAM *id = OSSL_PARAM_locate_const(params, DEV_PARAM_ID);
	const void *bytes = NULL;
	size_t len = 0;
	unsigned number = 0;

	if (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY) || !is_p256(params))
		return 0;
	if (!(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
		return 1;
	if (!pub || OSSL_PARAM_get_octet_string_ptr(pub, &bytes, &len) != 1 ||
		len != IOTSAFE_POINT_LEN)
		return 0;
	memcpy(key->point, bytes, len);
	key->has_point = true;
	if (!card)
		return 1;
	if (!id || OSSL_PARAM_get_uint(id, &number) != 1 || number > UINT8_MAX ||
		OSSL_PARAM_get_octet_string_ptr(card, &bytes, &len) != 1 ||
		len != sizeof(key->card))
		return 0;
	memcpy(&key->card, bytes, sizeof(key->card));
	key->id = (uint8_t)number;
	return 1;
}

static const OSSL_PARAM *import_types(int selection)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)selection;
	return params;
}

/* Refusing to export the private part is what keeps every private operation here: OpenSSL tries
 * the default provider with an exported copy first and comes to us when there is none. */
static int key_export(void *keydata, int selection, OSSL_CALLBACK *cb, void *arg)
{
	struct prov_key *key = keydata;
	char group[] = GROUP;
	OSSL_PARAM params[3];
	size_t n = 0;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
	if (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) {
		if (!key->has_point)
			return 0;
		params[n++] = OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, key->point, IOTSAFE_POINT_LEN);
	}
	params[n] = OSSL_PARAM_construct_end();
	return cb(params, arg);
}

static int set_text(OSSL_PARAM params[], const char *name, const char *value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p || OSSL_PARAM_set_utf8_string(p, value);
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p || OSSL_PARAM_set_int(p, value);
}

static int set_point(OSSL_PARAM params[], const char *name, const struct prov_key *key)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p ||
	       (key->has_point && OSSL_PARAM_set_octet_string(p, key->point, IOTSAFE_POINT_LEN));
}

static int key_get_params(void *keydata, OSSL_PARAM params[])
{
	const struct prov_key *key = keydata;

	return set_int(params, OSSL_PKEY_PARAM_BITS, BITS) &&
	       set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, SECURITY_BITS) &&
	       set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, SIG_DER_MAX) &&
	       set_text(params, OSSL_PKEY_PARAM_GROUP_NAME, GROUP) &&
	       set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256") &&
	       set_text(params, OSSL_PKEY_PARAM_EC_ENCODING, "named_curve") &&
	       set_text(params, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed") &&
	       set_text(params, OSSL_PKEY_PARAM_EC_FIELD_TYPE, SN_X9_62_prime_field) &&
	       set_point(params, OSSL_PKEY_PARAM_PUB_KEY, key) &&
	       set_point(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, key);
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
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return params;
}

static const char *key_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define FN(f) ((void (*)(void))(f))

const OSSL_DISPATCH prov__keymgmt[] = {
	{ OSSL_FUNC_KEYMGMT_NEW, FN(key_new) },
	{ OSSL_FUNC_KEYMGMT_FREE, FN(prov__key_free) },
	{ OSSL_FUNC_KEYMGMT_LOAD, FN(key_load) },
	{ OSSL_FUNC_KEYMGMT_HAS, FN(key_has) },
	{ OSSL_FUNC_KEYMGMT_MATCH, FN(key_match) },
	{ OSSL_FUNC_KEYMGMT_IMPORT, FN(key_import) },
	{ OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FN(import_types) },
	{ OSSL_FUNC_KEYMGMT_EXPORT, FN(key_export) },
	{ OSSL_FUNC_KEYMGMT_EXPORT_TYPES, FN(import_types) },
	{ OSSL_FUNC_KEYMGMT_GET_PARAMS, FN(key_get_params) },
	{ OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, FN(key_gettable_params) },
	{ OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, FN(key_operation) },
	{ 0, NULL },
};
