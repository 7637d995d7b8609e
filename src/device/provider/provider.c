/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "device/provider/provider__.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/prov_ssl.h>
#include <stdlib.h>
#include <string.h>

#define PROPERTIES "provider=" DEV_PROVIDER

static const OSSL_ALGORITHM KEYMGMT[] = {
	{ "EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, prov__keymgmt,
		"P-256 key on an IoT SAFE card" },
	{ NULL, NULL, NULL, NULL },
};
static const OSSL_ALGORITHM SIGNATURE[] = {
	{ "ECDSA", PROPERTIES, prov__signature, "ECDSA by an IoT SAFE card" },
	{ NULL, NULL, NULL, NULL },
};
static const OSSL_ALGORITHM EXCHANGE[] = {
	{ "ECDH", PROPERTIES, prov__exchange, "ECDH with a key on an IoT SAFE card" },
	{ NULL, NULL, NULL, NULL },
};
static const OSSL_ALGORITHM STORE[] = {
	{ "iotsafe", PROPERTIES, prov__store, "objects of an IoT SAFE card" },
	{ NULL, NULL, NULL, NULL },
};

void prov__raise(const char *what, const char *text)
{
	ERR_raise_data(ERR_LIB_PROV, ERR_R_OPERATION_FAIL, "iotsafe: %s: %s", what, text);
}

struct iotsafe *prov__card(struct prov *prov, const char *name)
{
	struct iotsafe_options o = { .card = name };
	const char *wanted = name ? name : getenv("IOTSAFE_CARD");
	char error[IOTSAFE_ERROR_MAX] = "too many cards";
	struct iotsafe *card = NULL;

	pthread_mutex_lock(&prov->mutex);
	for (size_t i = 0; wanted && i < prov->cards_len && !card; i++)
		if (strcmp(iotsafe_name(prov->cards[i]), wanted) == 0)
			card = prov->cards[i];
	if (!card && prov->cards_len < PROV_CARDS_MAX &&
		iotsafe_open(&o, &card, error, sizeof(error)) == IOTSAFE_OK)
		prov->cards[prov->cards_len++] = card;
	pthread_mutex_unlock(&prov->mutex);
	if (!card)
		prov__raise("card", error);
	return card;
}

static void teardown(void *provctx)
{
	struct prov *prov = provctx;

	for (size_t i = 0; i < prov->cards_len; i++)
		iotsafe_close(prov->cards[i]);
	OSSL_LIB_CTX_free(prov->libctx);
	pthread_mutex_destroy(&prov->mutex);
	free(prov);
}

static const OSSL_PARAM *gettable(void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
		OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
		OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return params;
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
	OSSL_PARAM *p;

	(void)provctx;
	p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);
	if (p && !OSSL_PARAM_set_utf8_ptr(p, "attestry IoT SAFE provider"))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION);
	if (p && !OSSL_PARAM_set_utf8_ptr(p, ATTESTRY_VERSION))
		return 0;
	p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
	return !p || OSSL_PARAM_set_int(p, 1);
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
	(void)provctx;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT: return KEYMGMT;
	case OSSL_OP_SIGNATURE: return SIGNATURE;
	case OSSL_OP_KEYEXCH: return EXCHANGE;
	case OSSL_OP_STORE: return STORE;
	default: return NULL;
	}
}

/* A program whose "EC" is ours gets TLS groups of "EC" from us or from nobody (OpenSSL takes a
 * group only from the provider that also serves its keys). IANA's numbers, RFC 8422 section 5.1.1.
 */
struct group {
	const char *name, *internal;
	unsigned id, security_bits;
};

static int group_say(const struct group *g, OSSL_CALLBACK *cb, void *arg)
{
	unsigned id = g->id, bits = g->security_bits, is_kem = 0;
	int min_tls = TLS1_VERSION, max_tls = 0, min_dtls = DTLS1_VERSION, max_dtls = 0;
	char name[16], internal[16], algorithm[] = "EC";

	if (str_copy(name, sizeof(name), g->name) != RC_OK ||
		str_copy(internal, sizeof(internal), g->internal) != RC_OK)
		return 0;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME, name, 0),
		OSSL_PARAM_construct_utf8_string(
			OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, internal, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_ALG, algorithm, 0),
		OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &id),
		OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &bits),
		OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_IS_KEM, &is_kem),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &min_tls),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &max_tls),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &min_dtls),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &max_dtls),
		OSSL_PARAM_construct_end(),
	};
	return cb(params, arg);
}

static int capabilities(void *provctx, const char *capability, OSSL_CALLBACK *cb, void *arg)
{
	static const struct group groups[] = {
		{ "secp256r1", "prime256v1", 23, 128 },
		{ "P-256", "prime256v1", 23, 128 },
		{ "secp384r1", "secp384r1", 24, 192 },
		{ "P-384", "secp384r1", 24, 192 },
		{ "secp521r1", "secp521r1", 25, 256 },
		{ "P-521", "secp521r1", 25, 256 },
	};

	(void)provctx;
	if (!str_equal_nocase(capability, "TLS-GROUP"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (!group_say(&groups[i], cb, arg))
			return 0;
	return 1;
}

/* OSSL_DISPATCH keeps functions of all shapes as one type: the API's own cast. */
#define FN(f) ((void (*)(void))(f))

static const OSSL_DISPATCH DISPATCH[] = {
	{ OSSL_FUNC_PROVIDER_TEARDOWN, FN(teardown) },
	{ OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, FN(gettable) },
	{ OSSL_FUNC_PROVIDER_GET_PARAMS, FN(get_params) },
	{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, FN(query) },
	{ OSSL_FUNC_PROVIDER_GET_CAPABILITIES, FN(capabilities) },
	{ 0, NULL },
};

int dev__provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
	const OSSL_DISPATCH **out, void **provctx)
{
	struct prov *prov = calloc(1, sizeof(*prov));

	(void)in;
	if (!prov)
		return 0;
	prov->core = core;
	prov->libctx = OSSL_LIB_CTX_new();
	if (!prov->libctx) {
		free(prov);
		return 0;
	}
	pthread_mutex_init(&prov->mutex, NULL);
	*out = DISPATCH;
	*provctx = prov;
	return 1;
}
