/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the OpenSSL provider only. */

#include "device/ssl__.h"
#include "iotsafe.h"

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PROV_CARDS_MAX 4
#define PROV_URI_MAX   256
/* Of whom the soft half is. */
#define PROV_SOFT "provider=default"

struct prov {
	const OSSL_CORE_HANDLE *core;
	OSSL_LIB_CTX *libctx; /* ours alone, with the default provider */
	pthread_mutex_t mutex;
	size_t cards_len; /* opened for store URIs; closed with the provider */
	struct iotsafe *cards[PROV_CARDS_MAX];
};

/* A key. Everything that needs no card is done by the default provider on `soft`, so that it does
 * not matter which provider a program loads first: of two that serve "EC", OpenSSL takes the first
 * for every key, the peer's included. */
struct prov_key {
	atomic_uint refs;
	struct prov *prov;
	struct iotsafe *card; /* borrowed; NULL: an ordinary key */
	uint8_t id;
	EVP_PKEY *soft; /* in prov->libctx; of a card's key the public half; NULL: empty */
	bool has_public, has_private; /* of soft */
};

struct prov_key *prov__key_new(struct prov *prov);
struct prov_key *prov__key_ref(struct prov_key *key);
void prov__key_free(void *key);
/* Makes it the key of container `id`, whose public point is given. */
bool prov__key_on_card(struct prov_key *key, struct iotsafe *card, uint8_t id,
	const uint8_t point[IOTSAFE_POINT_LEN]);

/* The card of this name, opened once per provider; NULL with an error raised. */
struct iotsafe *prov__card(struct prov *prov, const char *name);

/* Puts a sentence on OpenSSL's error queue. */
void prov__raise(const char *what, const char *text);

extern const OSSL_DISPATCH prov__keymgmt[];
extern const OSSL_DISPATCH prov__signature[];
extern const OSSL_DISPATCH prov__exchange[];
extern const OSSL_DISPATCH prov__store[];
