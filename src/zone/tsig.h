/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Transaction signatures (RFC 8945) with hmac-sha256, and the file of shared
 * keys: one per line, hmac-sha256:NAME:BASE64, as kdig and dig take them. Knows
 * nothing of who may do what. */

#include "base/diag.h"
#include "zone/name.h"

#include <stdbool.h>

#define TSIG_KEYS_MAX	16u
#define TSIG_SECRET_MAX 64u /* the block of SHA-256: longer ones are hashed first */
#define TSIG_SECRET_MIN 16u
#define TSIG_MAC_LEN	32u
#define TSIG_FUDGE_S	300u
/* Room of a TSIG record: owner, fixed part, algorithm, MAC, other data (RFC 8945 section 4.2). */
#define TSIG_ROOM (ZONE_NAME_MAX + 10u + ZONE_NAME_MAX + 16u + TSIG_MAC_LEN + 6u)

enum tsig_error { TSIG_GOOD = 0, TSIG_BADSIG = 16, TSIG_BADKEY = 17, TSIG_BADTIME = 18 };

struct tsig_keys;
struct tsig_key;

/* Reads the file; RC_DENIED when others than owner and group may. */
enum rc tsig_keys_read(const char *path, struct tsig_keys **out, struct diag *d) ATT_MUST_CHECK;
/* From text; for tests. */
enum rc tsig_keys_parse(const char *text, struct tsig_keys **out, struct diag *d) ATT_MUST_CHECK;
void tsig_keys_free(struct tsig_keys *keys);
const struct tsig_key *tsig_key_find(const struct tsig_keys *keys, const char *name);

/* One exchange: what was received, and what the next message must continue. */
struct tsig {
	const struct tsig_key *key; /* borrowed; NULL: unsigned, or unknown to us */
	struct zone_name name;	    /* as it was written, also of an unknown key */
	struct zone_name algorithm;
	uint16_t error; /* enum tsig_error */
	uint16_t orig_id;
	uint64_t time; /* of the request */
	uint8_t mac[TSIG_MAC_LEN];
	bool have_mac; /* the request's, then that of the last message sent */
	bool chained;  /* not the first message of the answer (RFC 8945 section 5.3.1) */
};

/* What tsig_sign will add; no more than TSIG_ROOM. */
static inline size_t tsig_room(const struct tsig *t)
{
	return t->name.len + 10u + t->algorithm.len + 16u + TSIG_MAC_LEN + 6u;
}

/* Verifies the request whose TSIG record stands at `at`, last. RC_OK: see out->error. RC_MALFORMED:
 * the record cannot be read (FORMERR). */
enum rc tsig_verify(const struct tsig_keys *keys, const uint8_t *wire, size_t len, size_t at,
	int64_t now, struct tsig *out) ATT_MUST_CHECK;

/* Signs a request of ours, whose id is orig_id. */
void tsig_start(struct tsig *t, const struct tsig_key *key, uint16_t id);

/* Appends a TSIG record to the message of `len` octets (TSIG_ROOM more are there) and counts it.
 * Returns the new length. With a BADKEY or BADSIG the record says so and is not signed. */
size_t tsig_sign(struct tsig *t, uint8_t *msg, size_t len, int64_t now);

/* Verifies the answer to what `t` signed. RC_DENIED. */
enum rc tsig_verify_answer(
	struct tsig *t, const uint8_t *wire, size_t len, size_t at, int64_t now) ATT_MUST_CHECK;

/* Messages of an answer that were not signed: the next signature covers them too (RFC 8945 section
 * 5.3.1). */
struct tsig_unsigned {
	unsigned count;
	uint8_t *bytes; /* tsig_unsigned_free */
	size_t len;
};
#define TSIG_UNSIGNED_MAX 99u

/* The next message of an answer in several; `at` 0: it has no TSIG record. The first must have one;
 * so must the last: then `u->count` is 0. RC_DENIED, RC_NOMEM. */
enum rc tsig_verify_next(struct tsig *t, struct tsig_unsigned *u, const uint8_t *wire, size_t len,
	size_t at, int64_t now) ATT_MUST_CHECK;
void tsig_unsigned_free(struct tsig_unsigned *u);
