/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The signed zone on disk: one LMDB environment, one writer (role zone), many
 * readers. Two name trees, of which one is active: a rebuild fills the other
 * and then the two change places in one transaction. Nothing here knows DNS. */

#include "base/diag.h"
#include "zone/name.h"

#include <lmdb.h>
#include <stdbool.h>

#define ZONE_MAP_PRESET ((size_t)64 << 30)

enum zone_db_mode {
	ZONE_DB_WRITE, /* creates what is missing; LMDB's lock file; durable but for the last
			  commits */
	ZONE_DB_READ,  /* another process beside the writer, through the lock file */
	ZONE_DB_SERVE, /* role dns: no write right, no lock file; snapshots are guarded by snap.h */
	ZONE_DB_BULK,  /* as WRITE without syncing: only for making a folder that nobody serves yet
			*/
};

struct zone_db {
	MDB_env *env;
	MDB_dbi meta;	    /* "state" */
	MDB_dbi names[2];   /* sort key -> record (rec.h) */
	MDB_dbi due;	    /* time (8) | sort key -> nothing: devices whose notAfter is near */
	MDB_dbi journal;    /* serial (4), part (2) -> delta (journal.h) */
	size_t journal_max; /* octets of it, 0: none is kept; only the writer's */
};

/* One row that says what the rest means; written in every transaction. */
struct zone_state {
	bool have;	      /* false until a first complete content was written */
	uint8_t active;	      /* which of names[] is served */
	uint32_t serial;      /* of the SOA */
	uint64_t applied_seq; /* every change up to here is in */
	uint32_t ttl;	      /* of all data but negative answers */
	uint32_t minimum;     /* SOA minimum: TTL of NSEC and of negative answers (RFC 9077) */
	struct zone_name origin;
};

/* `map`: address space for the file, in octets; 0: ZONE_MAP_PRESET. It bounds the file; neither
 * disk nor memory is taken before it is used. RC_NOT_FOUND: nothing there yet (readers); RC_IO,
 * RC_STATE: another version's form. */
enum rc zone_db_open(const char *dir, enum zone_db_mode mode, size_t map, struct zone_db **out,
	struct diag *d) ATT_MUST_CHECK;
void zone_db_close(struct zone_db *db);

/* RC_NOT_FOUND: no state was ever written. */
enum rc zone_db_state_get(struct zone_db *db, MDB_txn *txn, struct zone_state *out) ATT_MUST_CHECK;
/* A small note of the writer's own, in a transaction of its own. *len is the room, then the length;
 * RC_NOT_FOUND. */
enum rc zone_db_note_get(
	struct zone_db *db, const char *name, void *out, size_t *len) ATT_MUST_CHECK;
enum rc zone_db_note_put(
	struct zone_db *db, const char *name, const void *bytes, size_t len) ATT_MUST_CHECK;
enum rc zone_db_state_put(
	struct zone_db *db, MDB_txn *txn, const struct zone_state *s) ATT_MUST_CHECK;

/* False when LMDB refuses to go on until the store is opened anew. */
bool zone_db_usable(struct zone_db *db);

struct zone_db_size {
	uint64_t used; /* octets of the file that were ever used */
	uint64_t max;  /* that it may have */
};
void zone_db_size(struct zone_db *db, struct zone_db_size *out);

/* LMDB's code as ours, with its text. */
enum rc zone_db_error(int mdb_rc, struct diag *d, const char *what);
