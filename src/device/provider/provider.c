/* SPDX-License-Identifier: Apache-2.0 */
#include "device/provider/provider__.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
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
	case OSSL_OP_STORE: return STORE;
	default: return NULL;
	}
}

/* OSSL_DISPATCH keeps functions of all shapes as one type: the API's own cast. */
#define FN(f) ((void (*)(void))(f))

static const OSSL_DISPATCH DISPATCH[] = {
	{ OSSL_FUNC_PROVIDER_TEARDOWN, FN(teardown) },
	{ OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, FN(gettable) },
	{ OSSL_FUNC_PROVIDER_GET_PARAMS, FN(get_params) },
	{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, FN(query) },
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
