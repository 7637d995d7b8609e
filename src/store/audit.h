/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The chain over the audit rows: hash = SHA-256(hash of the row before || canonical row), the
 * first row after 32 zero bytes. Canonical row: seq and time as 8 bytes big-endian, then party,
 * operation, object and detail, each with a length of 4 bytes big-endian before it. */

#include "store/node.h"
#include "store/store.h"

/* The hash of `row` (its own hash field is not read) after `prev`. */
enum rc store_audit_hash(const uint8_t prev[STORE_SHA256], const struct store_audit *row,
	uint8_t out[STORE_SHA256]) ATT_MUST_CHECK;

/* Each node has a chain of its own ("": where there are no nodes); all rows together are numbered
 * without a gap. */
#define STORE_CHAINS_MAX 64

struct store_audit_chain {
	char node[STORE_NODE_MAX];
	uint64_t rows;
	uint64_t last;		    /* row */
	uint8_t head[STORE_SHA256]; /* of that row */
};

struct store_audit_report {
	uint64_t rows;
	uint64_t broken_at;	    /* sequence of the first row that does not fit, 0 = none */
	uint8_t head[STORE_SHA256]; /* of the last good row */
	struct store_audit_chain chain[STORE_CHAINS_MAX];
	size_t chains;
};

/* What else a row must fulfil; `chain` as it is before the row. */
typedef enum rc store_audit_fn(const struct store_audit *row, const struct store_audit_chain *chain,
	void *user, struct diag *d);

/* Walks the whole chain. RC_OK when it holds, RC_CONFLICT when a row was changed, removed or put
 * in; *d says which. */
enum rc store_audit_verify(
	struct store *s, struct store_audit_report *out, struct diag *d) ATT_MUST_CHECK;
/* And calls `fn` (NULL: none) for every good row. */
enum rc store_audit_walk(struct store *s, store_audit_fn *fn, void *user,
	struct store_audit_report *out, struct diag *d) ATT_MUST_CHECK;
/* The last row of this store's own chain, 0: none. */
uint64_t store_audit_head(const struct store *s, uint8_t head[STORE_SHA256]);
