/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The chain over the audit rows: hash = SHA-256(hash of the row before || canonical row), the
 * first row after 32 zero bytes. Canonical row: seq and time as 8 bytes big-endian, then party,
 * operation, object and detail, each with a length of 4 bytes big-endian before it. */

#include "store/store.h"

/* The hash of `row` (its own hash field is not read) after `prev`. */
enum rc store_audit_hash(const uint8_t prev[STORE_SHA256], const struct store_audit *row,
	uint8_t out[STORE_SHA256]) ATT_MUST_CHECK;

struct store_audit_report {
	uint64_t rows;
	uint64_t broken_at;	    /* sequence of the first row that does not fit, 0 = none */
	uint8_t head[STORE_SHA256]; /* of the last good row */
};

/* Walks the whole chain. RC_OK when it holds, RC_CONFLICT when a row was changed, removed or put
 * in; *d says which. */
enum rc store_audit_verify(
	struct store *s, struct store_audit_report *out, struct diag *d) ATT_MUST_CHECK;
