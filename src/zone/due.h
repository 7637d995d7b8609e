/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Devices whose certificate ends soon, by time: their records go at notAfter.
 * Only those near their end are noted; the sweep passes by every name more
 * often than the horizon is long. */

#include "zone/db.h"

/* Notes a name when not_after <= horizon. */
enum rc due_note(struct zone_db *db, MDB_txn *txn, const uint8_t *key, size_t key_len,
	int64_t not_after, int64_t horizon) ATT_MUST_CHECK;

/* Calls `fn` for at most `max` names that were noted for a time <= now. A name may since have got
 * a later end: the caller looks. */
typedef enum rc due_fn(const struct zone_key *key, int64_t not_after, void *user);
enum rc due_each(struct zone_db *db, MDB_txn *txn, int64_t now, unsigned max, due_fn *fn,
	void *user) ATT_MUST_CHECK;

/* Forgets notes for times <= now; in the transaction that withdrew the names, or later. */
enum rc due_forget(struct zone_db *db, MDB_txn *txn, int64_t now, unsigned max) ATT_MUST_CHECK;
