/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DNSSEC-validated look-ups over DNS-over-TLS. One question goes to one of a
 * few resolvers whose keys are pinned; what comes back is believed only when
 * its signatures chain to a trust anchor given here. Never speaks in clear,
 * never reads the machine's resolver settings or CA store, never takes a
 * resolver's AD flag for proof. */

#include "base/clock.h"
#include "base/diag.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DANE_TYPE_CERT 37 /* RFC 4398 */
#define DANE_TYPE_TLSA 52 /* RFC 6698 */

/* Limits: a payload or a configuration names a handful of each; an answer of ours has three
 * records. */
#define DANE_NAME_MAX	   256 /* presentation form with NUL, RFC 1035 2.3.4 */
#define DANE_ANCHORS_MAX   8   /* two keys per zone while one rolls, a few zones */
#define DANE_RESOLVERS_MAX 4
#define DANE_PINS_MAX	   4 /* two while one rotates */
#define DANE_RRS_MAX	   32
#define DANE_DATA_MAX	   4096 /* RDATA of one answer together */

/* A trust anchor as a DS record (RFC 4034 5): key 10 of the Registry Payload. */
struct dane_anchor {
	char name[DANE_NAME_MAX]; /* lower-case, no trailing dot; "." is the root */
	uint16_t tag;
	uint8_t algorithm;
	uint8_t digest_type; /* 2 SHA-256 or 4 SHA-384 */
	uint8_t digest[48];
	size_t digest_len;
};

/* A resolver: key 12 of the Registry Payload. */
struct dane_resolver {
	char name[DANE_NAME_MAX]; /* sent as SNI when not empty; the pin decides, not the name */
	uint8_t addr[16];	  /* network order */
	size_t addr_len;	  /* 4 or 16 */
	uint16_t port;		  /* 853 where 0 */
	uint8_t pins[DANE_PINS_MAX][32]; /* SHA-256 of the leaf's SubjectPublicKeyInfo */
	size_t n_pins;			 /* at least 1 */
};

struct dane_options {
	const struct dane_anchor *anchors; /* copied */
	size_t n_anchors;
	const struct dane_resolver *resolvers; /* copied; the first is asked until it fails */
	size_t n_resolvers;
	unsigned timeout_ms;	   /* for a whole look-up, all resolvers together; 0: 5,000 */
	const struct clock *clock; /* NULL: the system's */
};

/* What is known after a look-up. Only the first three are proofs. */
enum dane_status {
	DANE_SECURE,	  /* the RRset, signed up to an anchor */
	DANE_NXDOMAIN,	  /* the name does not exist, proved */
	DANE_NODATA,	  /* the name has no such record, proved */
	DANE_INSECURE,	  /* no anchor above the name, or a proved unsigned delegation */
	DANE_BOGUS,	  /* signatures or proofs are missing, expired or wrong */
	DANE_UNREACHABLE, /* no resolver with a right pin gave a usable answer in time */
};

struct dane_rr {
	const uint8_t *rdata; /* points into the answer's `data` */
	uint16_t len;
};

/* Points into itself: fill it where it stays, never copy it. */
struct dane_answer {
	enum dane_status status;
	char why[DIAG_TEXT_MAX];    /* for a person: what was proved, or what was missing */
	uint32_t ttl_s;		    /* how long this may be believed: TTL bounded by the RRSIG's
				     * original TTL and expiry; 0 without proof */
	char signer[DANE_NAME_MAX]; /* zone that signed; "" without proof */
	struct dane_rr rrs[DANE_RRS_MAX];
	size_t n_rrs; /* > 0 only when DANE_SECURE */
	uint8_t data[DANE_DATA_MAX];
};

struct dane;

/* RC_RANGE when there is no anchor, no resolver or a resolver without a pin. */
enum rc dane_new(const struct dane_options *opt, struct dane **out, struct diag *d) ATT_MUST_CHECK;
void dane_free(struct dane *dane);

/* Asks for (name, type) and validates; blocks for timeout_ms at most. Fills *out whatever comes:
 * the result is out->status. Keeps the connection and the zone keys for the next call, so a name of
 * a known zone costs one query. One caller at a time: a thread has its own struct dane. */
void dane_lookup(struct dane *dane, const char *name, uint16_t type, struct dane_answer *out);

/* A key of a zone, for whoever follows the zone's anchors (RFC 5011). */
struct dane_zonekey {
	struct dane_anchor ds; /* SHA-256, of the key without its REVOKE bit */
	bool revoked;
	bool self_signed; /* a revocation counts only so */
};
#define DANE_ZONEKEYS_MAX 12
struct dane_keyset {
	bool proved;	/* signed by a key that an anchor names */
	uint32_t ttl_s; /* original TTL of the set, */
	uint32_t sig_s; /* and what is left of the signature's life; both 0 unless proved */
	size_t n;
	struct dane_zonekey keys[DANE_ZONEKEYS_MAX]; /* those with the SEP bit */
};
/* Asks for the DNSKEY set of `zone` and tells what it shows, proved or not. RC_UNAVAILABLE and its
 * like: nobody answered; RC_NOT_FOUND: the answer holds no keys. */
enum rc dane_keyset(struct dane *dane, const char *zone, struct dane_keyset *out,
	struct diag *d) ATT_MUST_CHECK;
/* "zone DS tag algorithm type HEX"; RC_TOO_LARGE. */
enum rc dane_anchor_write(const struct dane_anchor *a, char *out, size_t cap) ATT_MUST_CHECK;

/* "secure", "nxdomain" ... for logs; never NULL. */
const char *dane_status_text(enum dane_status status);

/* Reads a DS or DNSKEY record in presentation form, "name [ttl] [IN] DS tag alg type HEX" or
 * "... DNSKEY flags 3 alg BASE64" (turned into its SHA-256 DS). RC_MALFORMED, RC_UNSUPPORTED. */
enum rc dane_anchor_read(const char *line, struct dane_anchor *out, struct diag *d) ATT_MUST_CHECK;

/* Reads every DS and DNSKEY line of a file; empty lines and those with ';' first are skipped. */
enum rc dane_anchors_read_file(const char *path, struct dane_anchor out[DANE_ANCHORS_MAX],
	size_t *n, struct diag *d) ATT_MUST_CHECK;

/* "1.2.3.4" or "::1" and a port into a resolver without name and pins. RC_MALFORMED. */
enum rc dane_resolver_addr(struct dane_resolver *r, const char *addr, uint16_t port) ATT_MUST_CHECK;
/* Adds a pin in base64 (RFC 7858 4.2 form). RC_MALFORMED, RC_TOO_LARGE. */
enum rc dane_resolver_pin(struct dane_resolver *r, const char *base64) ATT_MUST_CHECK;

/* One TLSA record's association (RFC 6698 2.1), pointing into its RDATA. */
struct dane_tlsa {
	uint8_t usage;
	uint8_t selector;
	uint8_t matching;
	const uint8_t *data;
	size_t len;
};
enum rc dane_tlsa_parse(const struct dane_rr *rr, struct dane_tlsa *out) ATT_MUST_CHECK;
/* True when the association's data is what selector and matching type make of `cert`; says nothing
 * about usage. */
bool dane_tlsa_match(const struct dane_tlsa *tlsa, const X509 *cert);

/* True when a record is `CERT 1 1 0` (any tag, any algorithm) or `CERT 254` id-sha256 with just
 * this SHA-256 of the certificate. */
bool dane_cert_match(const struct dane_rr *rr, const uint8_t sha256[32]);
