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

/* Outcome of a call that can fail for reasons of our own. */
enum attest_error {
	ATTEST_SUCCESS = 0,
	ATTEST_EINVAL, /* an option is missing or wrong; see the error text */
	ATTEST_ENOMEM,
	ATTEST_ESYSTEM,
};

struct attest;

/* Every string is copied. Zero-initialise, then set what you need. */
struct attest_options {
	const char *zone;	   /* the registry's zone, no trailing dot; needed */
	const char *service;	   /* own service handle; NULL: accept any service */
	const char *ca_file;	   /* PEM: issuing CAs and roots; NULL: no certificate can be
				    * checked, only names */
	const char *anchor_file;   /* DS or DNSKEY lines; needed */
	const char *resolver_addr; /* IPv4 or IPv6 address; needed */
	uint16_t resolver_port;	   /* 0: 853 */
	const char *resolver_name; /* sent as SNI; may be NULL */
	const char *const *pins;   /* base64 of SHA-256 of the resolver's SPKI; at least one */
	size_t n_pins;
	int use_tlsa;		    /* ask for TLSA 3 0 1 instead of CERT */
	unsigned lookup_timeout_ms; /* 0: 5,000: a whole look-up */
	unsigned wait_ms;	    /* attest_check waits so long for an answer; 0: 200. The look-up
				     * goes on, and its answer serves the next call */
	unsigned cache_entries;	    /* 0: 65,536 names at most */
};

#define ATTEST_NAME_MAX	   256
#define ATTEST_SERVICE_MAX 65
#define ATTEST_TEXT_MAX	   256

struct attest_result {
	enum attest_reason reason;
	char name[ATTEST_NAME_MAX];	  /* owner name, lower-case; "" when there is none */
	char service[ATTEST_SERVICE_MAX]; /* the handle in the certificate; "" when there is none */
	char text[ATTEST_TEXT_MAX];	  /* one sentence for a person */
	char asked[ATTEST_TEXT_MAX];	  /* "NAME CERT"; "" when nothing was asked */
	char answered[ATTEST_TEXT_MAX];	  /* the records, or what was denied */
	char proved[ATTEST_TEXT_MAX];	  /* which zone signed it, or why there is no proof */
	uint32_t ttl_s;			  /* ask again after this; 0: at once */
	int cached;			  /* answered from the cache */
};

/* Makes a context and starts its look-up thread. `error` (may be NULL) receives a sentence. */
enum attest_error attest_new(
	const struct attest_options *options, struct attest **out, char *error, size_t error_cap);
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

/* Is an owner name registered and active now? Says nothing about a certificate: ATTEST_OK means
 * that signed records exist. */
enum attest_reason attest_verify_name(
	struct attest *attest, const char *name, struct attest_result *result);

/* "ok", "unauthenticated", "unknown", "bound_elsewhere", "absent", "superseded", "cannot_tell". */
const char *attest_reason_text(enum attest_reason reason);

#ifdef __cplusplus
}
#endif
