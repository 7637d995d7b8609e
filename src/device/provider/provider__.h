/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the OpenSSL provider only. */

#include "device/ssl__.h"
#include "iotsafe.h"

#include <openssl/core_dispatch.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PROV_CARDS_MAX 4
#define PROV_URI_MAX   256

struct prov {
	const OSSL_CORE_HANDLE *core;
	OSSL_LIB_CTX *libctx; /* for digests; ours alone */
	pthread_mutex_t mutex;
	size_t cards_len; /* opened for store URIs; closed with the provider */
	struct iotsafe *cards[PROV_CARDS_MAX];
};

/* A key: public, or public and on a card. */
struct prov_key {
	atomic_uint refs;
	struct prov *prov;
	struct iotsafe *card; /* borrowed; NULL: public only */
	uint8_t id;
	bool has_point;
	uint8_t point[IOTSAFE_POINT_LEN];
};

struct prov_key *prov__key_new(struct prov *prov);
struct prov_key *prov__key_ref(struct prov_key *key);
void prov__key_free(void *key);

/* The card of this name, opened once per provider; NULL with an error raised. */
struct iotsafe *prov__card(struct prov *prov, const char *name);

/* Puts a sentence on OpenSSL's error queue. */
void prov__raise(const char *what, const char *text);

extern const OSSL_DISPATCH prov__keymgmt[];
extern const OSSL_DISPATCH prov__signature[];
extern const OSSL_DISPATCH prov__store[];
