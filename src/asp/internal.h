/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside asp/: what a device certificate says, the memory of answers, and the
 * thread that asks. `enum rc` ends here; the outside sees attest.h. */

#include "attest.h"
#include "base/ident.h"
#include "dane/dane.h"

#include <openssl/types.h>
#include <pthread.h>
#include <stdbool.h>

#define ASP_CERT_MAX 8192 /* bytes of a device certificate; ours have under 700 */
#define ASP_DIGESTS  8	  /* certificates of one name at once: two while one is renewed */

/* What a device certificate says; design section 6. */
struct asp_cert {
	char name[IDENT_OWNER_TEXT]; /* canonical owner name */
	char service[ATTEST_SERVICE_MAX];
	uint8_t sha256[32]; /* of the DER */
};

/* cert.c */
/* Reads the owner name (the one SAN dNSName, or the CN where there is no SAN), which must lie in
 * `zone`, and the service handle (OU, "" without one). Says nothing about who signed it. */
enum rc asp__cert_read(const uint8_t *der, size_t len, const char *zone, struct asp_cert *out,
	struct diag *d) ATT_MUST_CHECK;
/* A store with every certificate of a PEM file as an anchor. */
enum rc asp__store_new(const char *ca_file, X509_STORE **out, struct diag *d) ATT_MUST_CHECK;
/* RC_AUTH with the verifier's words when the chain is not good for a TLS client now. */
enum rc asp__cert_chain(
	X509_STORE *store, const uint8_t *der, size_t len, struct diag *d) ATT_MUST_CHECK;

/* What one look-up found, in the form that is remembered. */
struct asp_answer {
	enum dane_status status;
	uint32_t ttl_s;
	uint64_t until_ms; /* monotonic: believed up to here */
	uint8_t n_digests;
	uint8_t n_records;
	uint8_t digests[ASP_DIGESTS][32];
	char why[128];
};

/* cache.c: set-associative, so its memory is fixed when it is made. */
struct asp_cache;
enum rc asp__cache_new(size_t entries, struct asp_cache **out) ATT_MUST_CHECK;
void asp__cache_free(struct asp_cache *cache);
/* A copy of what is still believed at `now_ms`. */
bool asp__cache_get(struct asp_cache *cache, const char *name, uint64_t now_ms,
	struct asp_answer *out) ATT_MUST_CHECK;
void asp__cache_put(struct asp_cache *cache, const char *name, uint64_t now_ms,
	const struct asp_answer *answer);

/* worker.c: one thread, one resolver connection, one cache. */
struct asp_worker;
enum rc asp__worker_new(const struct dane_options *opt, bool use_tlsa, size_t cache_entries,
	struct asp_worker **out, struct diag *d) ATT_MUST_CHECK;
void asp__worker_free(struct asp_worker *w);
/* The remembered answer, or a new one if it comes within wait_ms (RC_TIMEOUT otherwise; the
 * look-up goes on and is remembered). `fresh` passes the memory over. */
enum rc asp__worker_ask(struct asp_worker *w, const char *name, unsigned wait_ms, bool fresh,
	struct asp_answer *out, bool *cached) ATT_MUST_CHECK;
