/* SPDX-License-Identifier: Apache-2.0 */
#include "device/provider/provider__.h"

#include "base/str.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

/* `iotsafe:ID` or `iotsafe:ID?card=NAME`, ID in hex: for a key (n = 1 or B) the key, and beside a
 * signature key its certificate (n = 2) where a certificate is asked for; for any other n the file
 * as a certificate. */

#define SCHEME	 "iotsafe:"
#define CARD_ARG "?card="
#define CERT_MAX 4096
#define N_SIGN	 0x1
#define N_AGREE	 0xb

enum step { STEP_KEY, STEP_CERT, STEP_END };

struct store {
	struct prov *prov;
	struct iotsafe *card;
	uint8_t id;
	enum step step;
	int expect; /* OSSL_STORE_INFO_..., 0: anything */
};

static uint8_t number_of(uint8_t id)
{
	return id < 0x10 ? id : id & 0x0f;
}

static void *store_open(void *provctx, const char *uri)
{
	char hex[3] = "";
	const char *rest, *name = NULL;
	struct store *s;
	uint8_t id;

	if (strncmp(uri, SCHEME, sizeof(SCHEME) - 1) != 0)
		return NULL;
	rest = uri + sizeof(SCHEME) - 1;
	for (size_t i = 0; i < 2 && *rest; i++)
		hex[i] = *rest++;
	if (hex_read(hex, &id, 1) != RC_OK) {
		prov__raise(uri, "no container id of two hex digits");
		return NULL;
	}
	if (strncmp(rest, CARD_ARG, sizeof(CARD_ARG) - 1) == 0)
		name = rest + sizeof(CARD_ARG) - 1;
	else if (*rest) {
		prov__raise(uri, "text after the container id");
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->prov = provctx;
	s->id = id;
	s->step = number_of(id) == N_SIGN || number_of(id) == N_AGREE ? STEP_KEY : STEP_CERT;
	s->card = prov__card(provctx, name);
	if (!s->card) {
		free(s);
		return NULL;
	}
	return s;
}

static int load_key(struct store *s, OSSL_CALLBACK *cb, void *arg)
{
	struct prov_key *key = prov__key_new(s->prov);
	uint8_t point[IOTSAFE_POINT_LEN];
	int type = OSSL_OBJECT_PKEY, ok;
	char data_type[] = "EC";

	if (!key)
		return 0;
	if (iotsafe_public_key(s->card, s->id, point) != IOTSAFE_OK) {
		prov__raise("public key", iotsafe_last_error(s->card));
		prov__key_free(key);
		return 0;
	}
	if (!prov__key_on_card(key, s->card, s->id, point)) {
		prov__key_free(key);
		return 0;
	}
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
		OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, data_type, 0),
		OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
		OSSL_PARAM_construct_end(),
	};
	ok = cb(params, arg);
	prov__key_free(key); /* NULL when it was taken */
	return ok;
}

static int load_cert(struct store *s, uint8_t id, OSSL_CALLBACK *cb, void *arg)
{
	uint8_t der[CERT_MAX];
	size_t len = 0;
	int type = OSSL_OBJECT_CERT;

	if (iotsafe_read_file(s->card, id, der, sizeof(der), &len) != IOTSAFE_OK) {
		prov__raise("certificate", iotsafe_last_error(s->card));
		return 0;
	}
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
		OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, der, len),
		OSSL_PARAM_construct_end(),
	};
	return cb(params, arg);
}

static int store_load(void *ctx, OSSL_CALLBACK *object_cb, void *object_arg,
	OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
	struct store *s = ctx;
	bool is_key = number_of(s->id) == N_SIGN || number_of(s->id) == N_AGREE;
	bool want_cert = s->expect == 0 || s->expect == OSSL_STORE_INFO_CERT;
	bool want_key = s->expect == 0 || s->expect == OSSL_STORE_INFO_PKEY ||
			s->expect == OSSL_STORE_INFO_PUBKEY;

	(void)pw_cb;
	(void)pw_arg;
	if (s->step == STEP_KEY) {
		bool cert_next = number_of(s->id) == N_SIGN && s->expect == OSSL_STORE_INFO_CERT;
		s->step = cert_next ? STEP_CERT : STEP_END;
		if (want_key)
			return load_key(s, object_cb, object_arg);
		if (!cert_next)
			return 0;
	}
	if (s->step != STEP_CERT || !want_cert) {
		s->step = STEP_END;
		return 0;
	}
	s->step = STEP_END;
	return load_cert(s, is_key ? (uint8_t)(s->id + 1) : s->id, object_cb, object_arg);
}

static int store_eof(void *ctx)
{
	const struct store *s = ctx;

	return s->step == STEP_END;
}

static int store_close(void *ctx)
{
	free(ctx);
	return 1;
}

static const OSSL_PARAM *settable(void *provctx)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return params;
}

static int set_params(void *ctx, const OSSL_PARAM params[])
{
	struct store *s = ctx;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);

	return !p || OSSL_PARAM_get_int(p, &s->expect);
}

#define FN(f) ((void (*)(void))(f))

const OSSL_DISPATCH prov__store[] = {
	{ OSSL_FUNC_STORE_OPEN, FN(store_open) },
	{ OSSL_FUNC_STORE_LOAD, FN(store_load) },
	{ OSSL_FUNC_STORE_EOF, FN(store_eof) },
	{ OSSL_FUNC_STORE_CLOSE, FN(store_close) },
	{ OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, FN(settable) },
	{ OSSL_FUNC_STORE_SET_CTX_PARAMS, FN(set_params) },
	{ 0, NULL },
};
