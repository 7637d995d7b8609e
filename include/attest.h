/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libattest: is this device's certificate good at my service, now? One DNSSEC
 * query answers. For application service providers: a broker plugin, a web
 * gate, a command. Fails closed: everything that is not a proof is a refusal. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why a device is refused; the names are those of attest_reason_text(). */
enum attest_reason {
	ATTEST_OK = 0,
	ATTEST_UNAUTHENTICATED, /* no certificate */
	ATTEST_UNKNOWN,		/* not our chain, or no owner name */
	ATTEST_BOUND_ELSEWHERE, /* names another service; found before any query */
	ATTEST_ABSENT,		/* signed denial: revoked, deactivated, never registered */
	ATTEST_SUPERSEDED,	/* records exist, none matches this certificate */
	ATTEST_CANNOT_TELL,	/* resolver unreachable, answer insecure or bogus */
};
#define ATTEST_REASONS 7

/* Outcome of a call that can fail for reasons of our own. */
enum attest_error {
	ATTEST_SUCCESS = 0,
	ATTEST_EINVAL, /* an option is missing or wrong; see the error text */
	ATTEST_ENOMEM,
	ATTEST_ESYSTEM,
	ATTEST_EREFUSED,     /* the registry or a CA said no; the text says why */
	ATTEST_EUNREACHABLE, /* nobody answered: try again later */
	ATTEST_EUNTRUSTED,   /* what came is not signed by whom we trust */
};

struct attest;

/* A resolver that speaks DNS over TLS. */
struct attest_resolver {
	const char *addr;	 /* IPv4 or IPv6 address */
	uint16_t port;		 /* 0: 853 */
	const char *name;	 /* sent as SNI; may be NULL */
	const char *const *pins; /* base64 of SHA-256 of its SPKI; at least one */
	size_t n_pins;
};

/* Every string is copied. Zero-initialise, then set what you need. */
struct attest_options {
	const char *zone;	   /* the registry's zone, no trailing dot; needed */
	const char *service;	   /* own service handle; NULL: accept any service */
	const char *ca_file;	   /* PEM: issuing CAs and roots; NULL: no certificate can be
				    * checked, only names */
	const char *anchor_file;   /* DS or DNSKEY lines; needed */
	const char *resolver_addr; /* the first resolver; or use `resolvers` alone */
	uint16_t resolver_port;
	const char *resolver_name;
	const char *const *pins;
	size_t n_pins;
	int use_tlsa;		    /* ask for TLSA 3 0 1 instead of CERT */
	unsigned lookup_timeout_ms; /* 0: 5,000: a whole look-up */
	unsigned wait_ms;	    /* attest_check waits so long for an answer; 0: 200. The look-up
				     * goes on, and its answer serves the next call */
	unsigned cache_entries;	    /* 0: 65,536 names at most */
	const struct attest_resolver *resolvers; /* more; whichever answered last is asked first,
						  * four with the first at most */
	size_t n_resolvers;
	unsigned
		lookup_threads; /* look-ups at once, each on its own connection; 0: 4, at most 16 */
	unsigned max_ttl_s;	/* believe nothing longer than this; 0: what the records say */
	int no_prefetch;	/* do not renew answers that are in use before they run out */
};

#define ATTEST_NAME_MAX	   256
#define ATTEST_SERVICE_MAX 65
#define ATTEST_TEXT_MAX	   256

struct attest_result {
	enum attest_reason reason;
	char name[ATTEST_NAME_MAX];	  /* owner name, lower-case; "" when there is none */
	char service[ATTEST_SERVICE_MAX]; /* the handle in the certificate; "" when there is none */
	char text[ATTEST_TEXT_MAX];	  /* what it means and what to do, for a person */
	char asked[ATTEST_TEXT_MAX];	  /* "NAME CERT"; "" when nothing was asked */
	char answered[ATTEST_TEXT_MAX];	  /* the records, or what was denied */
	char proved[ATTEST_TEXT_MAX];	  /* which zone signed it, or why there is no proof */
	uint32_t ttl_s;			  /* ask again after this; 0: at once */
	int cached;			  /* answered from the cache */
};

/* Makes a context and starts its look-up threads as they are needed. `error` (may be NULL)
 * receives a sentence. */
enum attest_error attest_new(
	const struct attest_options *options, struct attest **out, char *error, size_t error_cap);
/* No call may be running; operations that have not ended are dropped without their function
 * being called. */
void attest_free(struct attest *attest);

/* Checks one device certificate (DER; NULL or length 0: unauthenticated). Any thread. The order:
 * certificate present, chain, owner name in the zone, own service, one query, exact certificate. */
enum attest_reason attest_check(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result);

/* The same without waiting: when nothing is remembered the answer is "cannot tell", and a look-up
 * has begun that serves a later call. */
enum attest_reason attest_check_now(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result);

/* The same, but waits for the whole look-up instead of wait_ms, and answers from the cache only
 * when `fresh` is 0. */
enum attest_reason attest_check_wait(struct attest *attest, const unsigned char *der, size_t len,
	int fresh, struct attest_result *result);

/* Only what the certificate itself shows: present, chain, owner name, own service. Asks nothing;
 * ATTEST_OK here admits nobody. */
enum attest_reason attest_check_local(
	struct attest *attest, const unsigned char *der, size_t len, struct attest_result *result);

/* As attest_check for a client that named itself in the TLS extension dane_clientid: TLSA is asked
 * for at exactly that name, which must be the certificate's owner name (`<slot>.<iccid>.<zone>`) or
 * its device's alias (`<iccid>._device.<zone>`), in any case. Another name is refused before any
 * query. */
enum attest_reason attest_check_dance(struct attest *attest, const unsigned char *der, size_t len,
	const char *client_name, struct attest_result *result);

/* Is an owner name registered and active now? Says nothing about a certificate: ATTEST_OK means
 * that signed records exist. */
enum attest_reason attest_verify_name(
	struct attest *attest, const char *name, struct attest_result *result);

/* ---- for event loops -------------------------------------------------------------------- */

struct attest_op;
typedef void attest_done(struct attest_op *op, const struct attest_result *result, void *user);

/* Begins a check that calls `done` from attest_dispatch, never from here; `client_name` as in
 * attest_check_dance or NULL. `*out` (may be NULL) is good until `done` returns or the operation is
 * cancelled. Ends after twice lookup_timeout_ms at most. */
enum attest_error attest_check_start(struct attest *attest, const unsigned char *der, size_t len,
	const char *client_name, attest_done *done, void *user, struct attest_op **out);
/* `done` is not called any more. From the dispatching thread only. */
void attest_cancel(struct attest_op *op);
/* Becomes readable when attest_dispatch has something to do; stays owned by the context. */
int attest_fd(const struct attest *attest);
/* Calls what has ended; from one thread at a time. Returns how many. */
size_t attest_dispatch(struct attest *attest);

/* ---- news from the registry -------------------------------------------------------------- */

/* What a feed may say about a name. News only ever takes trust away: ATTEST_NEWS_ACTIVATED forgets
 * what is remembered, so that the DNS is asked anew. */
enum attest_news { ATTEST_NEWS_ACTIVATED, ATTEST_NEWS_SUPERSEDED, ATTEST_NEWS_WITHDRAWN };
/* Withdrawn: refused at once, as absent, for `hold_s` (0: 3,600) or until it is activated again,
 * while older answers run out in resolvers. Superseded: the same, but a certificate with this
 * SHA-256 is still asked for (NULL: all are refused as superseded). */
enum attest_error attest_news(struct attest *attest, enum attest_news what, const char *name,
	const unsigned char *sha256, unsigned hold_s);

/* The registry's feed, read by a thread of the context's own: doc/feed.md. Every string is copied.
 */
struct attest_feed_options {
	const char *url;	/* the registry's API, "https://host:port"; needed */
	const char *ca_file;	/* PEM: whom to trust as its server; needed */
	const char *cert_file;	/* PEM: the provider's login; needed */
	const char *key_file;	/* PEM, readable by nobody else; needed */
	const char *state_file; /* the position, kept over restarts; NULL: each start begins at the
				 * newest event */
	unsigned wait_s;	/* 0: 30: how long a question may wait for an event, 60 at most */
	unsigned hold_s;	/* as in attest_news */
	/* Called from the feed's thread after an event counted; `name` NULL: events were lost and
	 * everything was forgotten, so every session is to be checked anew. */
	void (*heard)(enum attest_news what, const char *name, void *user);
	void *user;
};
/* One feed per context. Without the registry everything goes on as without a feed, and the metrics
 * say so. `error` (may be NULL) receives a sentence. */
enum attest_error attest_feed_start(struct attest *attest,
	const struct attest_feed_options *options, char *error, size_t error_cap);
/* Ends the thread, within about a second; attest_free does it too. */
void attest_feed_stop(struct attest *attest);
/* 1: the feed is heard; 0: it is not, and `text` (may be NULL) says why. */
int attest_feed_up(struct attest *attest, char *text, size_t cap);

/* ---- figures ----------------------------------------------------------------------------- */

#define ATTEST_LATENCIES 12

struct attest_metrics {
	uint64_t results[ATTEST_REASONS]; /* by reason, all calls and operations */
	uint64_t hits;			  /* answered from memory */
	uint64_t lookups;		  /* questions begun */
	uint64_t joined;		  /* callers that shared somebody else's question */
	uint64_t renewals;		  /* of these look-ups, begun before anybody had to wait */
	uint64_t unreachable;		  /* look-ups that ended so: no resolver */
	uint64_t unproved;		  /* insecure or bogus answers */
	uint64_t late;			  /* callers that did not wait for the end */
	uint64_t refused_busy;		  /* callers turned away: too many names waiting */
	uint64_t news;			  /* taken from a feed */
	uint64_t waiting;		  /* names in line now */
	uint64_t cached;		  /* names remembered now, stale ones included */
	uint64_t memory_bytes;		  /* of the memory of answers */
	uint64_t latency[ATTEST_LATENCIES]; /* look-ups that took up to attest_latency_ms(i) */
	uint64_t latency_sum_ms;
	uint64_t feed_wanted; /* 1: attest_feed_start was called */
	uint64_t feed_up;     /* 1: the last question was answered */
	uint64_t feed_age_ms; /* since the last good answer, or since the start */
	uint64_t feed_position;
	uint64_t feed_events;
	uint64_t feed_failures; /* the registry was not reached, or refused us */
	uint64_t feed_refused;	/* answers not believed: old ones played again, gaps */
	uint64_t feed_restarts; /* our position was gone: everything was forgotten once */
};
void attest_metrics(struct attest *attest, struct attest_metrics *out);
/* Upper bound of a latency class in ms; the last is UINT64_MAX. */
uint64_t attest_latency_ms(size_t i);
/* The same as text for Prometheus, `attest_` before every name; returns its length without NUL,
 * cut to `cap`, as snprintf does. */
size_t attest_metrics_text(struct attest *attest, char *out, size_t cap);

/* "ok", "unauthenticated", "unknown", "bound_elsewhere", "absent", "superseded", "cannot_tell". */
const char *attest_reason_text(enum attest_reason reason);

#ifdef __cplusplus
}
#endif
