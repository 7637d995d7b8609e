/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What each serial changed: the records of the touched names before and after,
 * written in the transaction of the change. Bounded: old serials go, and a
 * change too large to keep empties the journal (whoever is behind it needs the
 * whole zone, RFC 1995 section 4).
 *
 * An entry, under the new serial (4, big-endian): the old serial (4), then for each
 * name: key length (2), old length (2), new length (2), key, old record, new record;
 * length 0: the name was, or is, not there. */

#include "zone/db.h"

#define JOURNAL_ENTRY_MAX (256u << 10)
#define JOURNAL_SERIALS	  256u

struct journal {
	uint8_t *buf;
	size_t len;
	size_t cap;
	uint32_t to;
	bool overflow;
};

void journal_begin(struct journal *j, uint32_t from, uint32_t to);
enum rc journal_add(struct journal *j, const uint8_t *key, size_t key_len, const uint8_t *old,
	size_t old_len, const uint8_t *new, size_t new_len) ATT_MUST_CHECK;
enum rc journal_write(
	struct journal *j, struct zone_db *db, MDB_txn *txn, struct diag *d) ATT_MUST_CHECK;
void journal_end(struct journal *j);
