/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What each serial changed: the records of the touched names before and after,
 * written in the transaction of the change. Bounded in octets: old serials go, and a
 * change too large to keep empties the journal (whoever is behind it needs the
 * whole zone, RFC 1995 section 4). Without gaps from its first serial to the zone's.
 *
 * Under serial (4, big-endian) and part (2): for each name key length (2), old length (2),
 * new length (2), key, old record, new record; length 0: the name was, or is, not there.
 * Looked up by serial, never by order: serials wrap (RFC 1982). */

#include "zone/db.h"

#define JOURNAL_PRESET	 ((size_t)64 << 20)
#define JOURNAL_PART_MAX (128u << 10)

struct journal {
	uint32_t from, to;
	size_t max;   /* of the whole entry */
	uint8_t *buf; /* all parts */
	size_t len;
	size_t cap;
	size_t part_at[1024]; /* where each part begins */
	unsigned parts;
	bool overflow;
};

/* `max`: octets that the whole journal may take. */
void journal_begin(struct journal *j, uint32_t from, uint32_t to, size_t max);
enum rc journal_add(struct journal *j, const uint8_t *key, size_t key_len, const uint8_t *old,
	size_t old_len, const uint8_t *new, size_t new_len) ATT_MUST_CHECK;
enum rc journal_write(
	struct journal *j, struct zone_db *db, MDB_txn *txn, struct diag *d) ATT_MUST_CHECK;
void journal_end(struct journal *j);

/* Forgets all: the content was replaced. */
enum rc journal_clear(struct zone_db *db, MDB_txn *txn, struct diag *d) ATT_MUST_CHECK;

/* What it holds: serials after `before` up to `last`. RC_NOT_FOUND: nothing. */
struct journal_span {
	uint32_t first, last;
	uint64_t octets;
};
enum rc journal_span(struct zone_db *db, MDB_txn *txn, struct journal_span *out) ATT_MUST_CHECK;
/* True when it leads from serial `from` to `to`. */
bool journal_reaches(struct zone_db *db, MDB_txn *txn, uint32_t from, uint32_t to);

/* One name's change; borrowed from the transaction. */
struct journal_item {
	const uint8_t *key, *old, *new; /* old, new: NULL when not there */
	uint16_t key_len, old_len, new_len;
};
typedef enum rc journal_fn(const struct journal_item *item, void *user);
/* Calls `fn` for every name that serial `to` changed. RC_NOT_FOUND, RC_MALFORMED. */
enum rc journal_each(
	struct zone_db *db, MDB_txn *txn, uint32_t to, journal_fn *fn, void *user) ATT_MUST_CHECK;
