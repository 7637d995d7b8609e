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
#define ASP_DIGESTS  20	  /* certificates of one name at once: a device's alias has nine slots' */
#define ASP_NAME_TEXT                                                              \
	96 /* an owner name, or the longer alias `<iccid>._device.<zone>`, and NUL \
	    */

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
/* An owner name in `zone`, of any case, in the form that is asked for. RC_MALFORMED, RC_NOT_FOUND.
 */
enum rc asp__owner_name(
	const char *text, const char *zone, char out[IDENT_OWNER_TEXT]) ATT_MUST_CHECK;
/* A store with every certificate of a PEM file as an anchor. */
enum rc asp__store_new(const char *ca_file, X509_STORE **out, struct diag *d) ATT_MUST_CHECK;
/* RC_AUTH with the verifier's words when the chain is not good for a TLS client now; *until_s is
 * when the first of the chain expires, 0 when that cannot be told. */
enum rc asp__cert_chain(X509_STORE *store, const uint8_t *der, size_t len, int64_t *until_s,
	struct diag *d) ATT_MUST_CHECK;

/* seen.c: certificates whose chain was verified already. */
struct asp_seen;
enum rc asp__seen_new(size_t n, struct asp_seen **out) ATT_MUST_CHECK;
void asp__seen_free(struct asp_seen *seen);
bool asp__seen_get(struct asp_seen *seen, const uint8_t sha256[32], int64_t now_s,
	struct asp_cert *out) ATT_MUST_CHECK;
void asp__seen_put(
	struct asp_seen *seen, const struct asp_cert *cert, int64_t now_s, int64_t until_s);

/* dance.c */
/* Is the name a client sent in dane_clientid one that this certificate may go by? Writes it in the
 * form that is asked for. RC_DENIED otherwise. */
enum rc asp__dance_name(const char *sent, const struct asp_cert *cert, const char *zone,
	char out[ASP_NAME_TEXT], struct diag *d) ATT_MUST_CHECK;

/* What one look-up found. */
struct asp_answer {
	enum dane_status status;
	uint32_t ttl_s;
	uint64_t until_ms; /* monotonic: believed up to here */
	uint8_t n_digests;
	uint8_t n_records;
	uint8_t digests[ASP_DIGESTS][32];
	char why[96];
};

/* cache.c: set-associative, so that the number of its entries is fixed when it is made. */
struct asp_cache;
enum rc asp__cache_new(size_t entries, struct asp_cache **out) ATT_MUST_CHECK;
void asp__cache_free(struct asp_cache *cache);
/* A copy of what is still believed at `now_ms`. */
bool asp__cache_get(struct asp_cache *cache, const char *name, uint16_t type, uint64_t now_ms,
	struct asp_answer *out) ATT_MUST_CHECK;
void asp__cache_put(struct asp_cache *cache, const char *name, uint16_t type, uint64_t now_ms,
	const struct asp_answer *answer);
void asp__cache_forget(struct asp_cache *cache, const char *name, uint16_t type);
void asp__cache_clear(struct asp_cache *cache);
void asp__cache_size(const struct asp_cache *cache, uint64_t *n, uint64_t *bytes);

/* queue.c, worker.c: a few threads, each with its own resolver connection; one memory. */
#define ASP_THREADS_MAX 16
struct asp_worker;
struct asp_worker_options {
	const struct dane_options *dane;
	size_t cache_entries;
	unsigned threads;
	uint32_t max_ttl_s; /* 0: no bound */
	bool prefetch;
};
enum rc asp__worker_new(const struct asp_worker_options *opt, struct asp_worker **out,
	struct diag *d) ATT_MUST_CHECK;
void asp__worker_free(struct asp_worker *w);
/* The remembered answer, or a new one if it comes within wait_ms (RC_TIMEOUT otherwise; the
 * look-up goes on and is remembered). `fresh` passes the memory over. RC_BUSY: too many wait. */
enum rc asp__worker_ask(struct asp_worker *w, const char *name, uint16_t type, unsigned wait_ms,
	bool fresh, struct asp_answer *out, bool *cached) ATT_MUST_CHECK;

/* Someone who waits without a thread. `ended` is called with the worker's lock held, once: it may
 * only take the answer and pass it on. */
struct asp_waiter {
	struct asp_waiter *next;
	void (*ended)(struct asp_waiter *self, enum rc rc, const struct asp_answer *a, bool cached);
};
/* Calls `ended` at once when the answer is remembered or the queue is full. */
void asp__worker_start(
	struct asp_worker *w, const char *name, uint16_t type, struct asp_waiter *waiter);
/* `ended` is not called after this. */
void asp__worker_leave(struct asp_worker *w, struct asp_waiter *waiter);

/* What a feed said of an owner name, kept for hold_s. */
void asp__worker_news(struct asp_worker *w, enum attest_news what, const char *name,
	const uint8_t *sha256, unsigned hold_s);
/* What a feed said last, while it is held: DANE_NXDOMAIN: withdrawn; DANE_SECURE: superseded, by
 * the certificate in digests[0] if that is known. */
bool asp__worker_noted(
	struct asp_worker *w, const char *name, struct asp_answer *out) ATT_MUST_CHECK;
/* Forgets every answer; what a feed said stays. */
void asp__worker_forget(struct asp_worker *w);
void asp__worker_count(struct asp_worker *w, enum attest_reason reason);
void asp__worker_metrics(struct asp_worker *w, struct attest_metrics *out);

/* op.c */
struct attest_op;
struct asp_ops; /* operations that ended and wait for attest_dispatch */
enum rc asp__ops_new(struct asp_ops **out) ATT_MUST_CHECK;
void asp__ops_free(struct asp_ops *ops);

/* feed.c */
struct asp_feed;
/* An answer of GET /v1/feed to `after`, checked whole before any of it counts. */
#define ASP_FEED_POSITION 40 /* "12-00112233445566ab" and NUL */
struct asp_feed_event {
	enum attest_news what;
	bool has_cert;
	uint8_t sha256[32];
	char name[IDENT_OWNER_TEXT]; /* "": of another zone, nothing to us */
};
struct asp_feed_answer {
	size_t n;
	struct asp_feed_event *events; /* free() */
	uint64_t number;	       /* of `position` */
	char position[ASP_FEED_POSITION];
};
/* RC_MALFORMED: not such an answer. RC_CONFLICT: an answer to something else, a gap, or events that
 * were told already: somebody plays an old answer again. */
enum rc asp__feed_read(const char *text, size_t len, const char *after, const char *zone,
	const char *service, struct asp_feed_answer *out, struct diag *d) ATT_MUST_CHECK;
void asp__feed_metrics(struct attest *a, struct attest_metrics *out);

/* attest.c */
struct asp_ssl_hook; /* a TLS server's context that asks us */
struct attest {
	char zone[IDENT_OWNER_TEXT];
	char service[ATTEST_SERVICE_MAX]; /* "": any */
	bool use_tlsa;
	unsigned wait_ms;
	unsigned lookup_timeout_ms;
	X509_STORE *store; /* NULL: names only */
	struct asp_seen *seen;
	struct asp_worker *worker;
	struct asp_ops *ops;
	struct asp_feed *feed; /* NULL: none is read */
	int ssl_index;	       /* of a connection's memory in its SSL; 0 before the first use */
	struct asp_ssl_hook *hooks;
};
/* ssl.c */
void asp__hooks_free(struct asp_ssl_hook *hooks);

/* Who is it, by the certificate alone; *ask is the name to look up. */
enum attest_reason asp__local(struct attest *a, const unsigned char *der, size_t len,
	const char *client_name, struct asp_cert *cert, char ask[ASP_NAME_TEXT],
	struct attest_result *r);
/* The verdict once the look-up ended; `cert` NULL: only the name counts. */
enum attest_reason asp__judge(struct attest *a, uint16_t type, const char *asked, enum rc rc,
	const struct asp_answer *ans, bool cached, const struct asp_cert *cert,
	struct attest_result *r);
uint16_t asp__type(const struct attest *a, const char *client_name);
