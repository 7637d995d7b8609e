/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Snapshots of the zone without LMDB's lock file. Role dns may not write the
 * store, so it cannot take a reader's slot there; instead `zone` holds guard
 * transactions for it. Two kinds of shared memory, both made by `zone`:
 *
 *   the board  one page, read-only for dns: the newest complete commit, and the
 *              floor: the oldest transaction whose pages are guaranteed to stay;
 *   a slot     one page per dns, written by it: the transaction that it reads.
 *
 * A reader publishes what it is going to read and then looks at the floor; the
 * writer raises the floor and then looks at the slots (both sequentially
 * consistent), so one of the two sees the other: a hazard pointer. */

#include "zone/db.h"

#include <stdatomic.h>

#define SNAP_SECRETS	4u
#define SNAP_SECRET_LEN 32u

struct snap_board {
	_Atomic uint64_t committed; /* newest transaction that is complete */
	_Atomic uint64_t floor;	    /* snapshots from here on are safe to enter */
	/* What all dns share: cookies and TLS tickets are made from it. The newest and the one
	 * before count; the next is written where nobody looks. */
	_Atomic uint32_t expired; /* a secondary that has not heard of its primary for too long */
	_Atomic uint32_t secret_at;
	uint8_t secret[SNAP_SECRETS][SNAP_SECRET_LEN];
};

#define SNAP_IDLE UINT64_MAX /* reads nothing */

struct snap_slot {
	_Atomic uint64_t reading; /* transaction id, or SNAP_IDLE */
	_Atomic uint64_t copying; /* the same of a copy that takes many turns (spool.h) */
};

#define SNAP_SLOTS_MAX 64u

/* ---- the writer's side */

struct snap_writer;

/* Makes board and slots (sealed memfds) and holds a first guard. `slots` <= SNAP_SLOTS_MAX. */
enum rc snap_writer_new(struct zone_db *db, unsigned slots, struct snap_writer **out,
	struct diag *d) ATT_MUST_CHECK;
void snap_writer_free(struct snap_writer *w);

/* After every commit: makes it visible to all dns, and lets go of guards that nobody needs. */
enum rc snap_writer_publish(struct snap_writer *w) ATT_MUST_CHECK;

/* Lets go of what can be let go; to be called now and then when nothing is committed. */
void snap_writer_trim(struct snap_writer *w);

/* The dns of a slot is gone for certain (its link ended), or a new one takes its place. */
void snap_writer_release(struct snap_writer *w, unsigned slot);

/* Tells all dns whether the content is too old to be served. */
void snap_writer_expire(struct snap_writer *w, bool expired);

/* A new shared secret; the one before stays good. RC_CRYPTO. */
enum rc snap_writer_secret(struct snap_writer *w) ATT_MUST_CHECK;

/* Sends board and slot to a dns; again when there is content for the first time. */
enum rc snap_writer_greet(struct snap_writer *w, unsigned slot, int fd) ATT_MUST_CHECK;

/* Whether the dns that was greeted reads under this board: until then it may still answer from what
 * a process before this one left it. */
bool snap_writer_attached(const struct snap_writer *w, unsigned slot);

/* Guards held now: more than one for long means that a dns is stuck. *slot names the oldest. */
unsigned snap_writer_guards(const struct snap_writer *w, unsigned *slot);

/* ---- the reader's side */

/* The shared secret; `age` 0: the present one, 1: the one before. */
static inline const uint8_t *snap_secret(const struct snap_board *b, unsigned age)
{
	return b->secret[(atomic_load(&b->secret_at) + SNAP_SECRETS - age) % SNAP_SECRETS];
}

struct snap_reader {
	struct zone_db *db;
	const struct snap_board *board; /* NULL: a store that nobody writes (tools, tests) */
	_Atomic uint64_t *reading;	/* our word in the slot */
	MDB_txn *txn[2];		/* one is current, the other tries the next */
	unsigned current;
	uint64_t id;		 /* of the current transaction */
	bool open;		 /* a snapshot is entered */
	struct zone_state state; /* as of the current transaction */
};

/* Receives what snap_writer_greet sent; RC_BUSY: not there yet (fd is non-blocking). From here on
 * the writer counts on the slot: the caller must not be inside a snapshot of an older board. */
enum rc snap_reader_attach(int fd, const struct snap_board **board, struct snap_slot **slot,
	struct diag *d) ATT_MUST_CHECK;
void snap_reader_detach(const struct snap_board *board, struct snap_slot *slot);

/* Reader over an open store; board and slot are borrowed (both NULL, or both given). */
enum rc snap_reader_init(struct snap_reader *r, struct zone_db *db, const struct snap_board *board,
	struct snap_slot *slot) ATT_MUST_CHECK;
/* A second reader of the same dns, for copies: what it enters may stay open over many of the
 * first one's. */
enum rc snap_reader_init_copy(struct snap_reader *r, struct zone_db *db,
	const struct snap_board *board, struct snap_slot *slot) ATT_MUST_CHECK;
void snap_reader_fini(struct snap_reader *r);

/* Enters the newest snapshot: everything acknowledged before this call is in it. Not nested.
 * *fresh is true when it is another one than last time. RC_UNAVAILABLE, RC_IO. */
enum rc snap_reader_enter(struct snap_reader *r, bool *fresh) ATT_MUST_CHECK;
void snap_reader_leave(struct snap_reader *r);

static inline MDB_txn *snap_reader_txn(const struct snap_reader *r)
{
	return r->txn[r->current];
}
