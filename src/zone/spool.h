/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What transfers send, copied out of a snapshot into a file at the disk's pace, a
 * little in each turn of the event loop: a client that reads slowly holds a part
 * of that file, never a snapshot, so it cannot pin the writer. Whole zone, or the
 * condensed difference between two serials out of the journal. */

#include "zone/snap.h"

#include <event2/event.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

struct spool;

#define SPOOL_SOA_MAX (2u * ZONE_NAME_MAX + 20u)

struct spool_soa {
	uint16_t len;
	uint8_t rdata[SPOOL_SOA_MAX];
};

enum spool_state { SPOOL_WAITING, SPOOL_MAKING, SPOOL_READY, SPOOL_FAILED };

struct spool_wait {
	TAILQ_ENTRY(spool_wait) entry;
	void (*fn)(void *user); /* the region is ready, or failed; from the event loop */
	void *user;
	bool queued;
};

/* One copy. Items (spool_item) from `start` to `end` of the file. */
struct spool_region {
	TAILQ_ENTRY(spool_region) entry;
	struct spool *spool;
	enum spool_state state;
	unsigned refs;
	bool whole;    /* of the zone; else the difference since `from` */
	uint32_t from; /* serial */
	uint32_t to;   /* serial; known when ready */
	uint32_t ttl, minimum;
	struct zone_name origin;
	struct spool_soa soa_from, soa_to;
	off_t start, end;
	time_t begun; /* monotonic, s */
	uint64_t items;
	TAILQ_HEAD(, spool_wait) waits;
};

/* One name: its record before and after with the key of its successor then; NULL: not there. In a
 * whole copy only `new`. */
struct spool_item {
	const uint8_t *key, *old, *old_next, *new, *new_next;
	uint16_t key_len, old_len, old_next_len, new_len, new_next_len;
};

/* `reader` is a copying reader (snap_reader_init_copy), borrowed; `fd` a file that nobody else
 * uses, borrowed, emptied. */
enum rc spool_new(struct event_base *base, struct snap_reader *reader, int fd,
	struct spool **out) ATT_MUST_CHECK;
/* All regions must have been dropped. */
void spool_free(struct spool *s);

/* A region of the newest content with a reference for the caller, shared with whoever asked the
 * same a moment ago; `wait` (caller's memory) is called when it is made, unless it is already.
 * from: for !whole. A difference that cannot be made becomes a whole copy: look at region->whole
 * when it is ready. */
enum rc spool_take(struct spool *s, bool whole, uint32_t from, struct spool_wait *wait,
	struct spool_region **out) ATT_MUST_CHECK;
void spool_drop(struct spool_region *r, struct spool_wait *wait);

/* Reads octets of a region from `at`; *n: how many (at most `cap`). */
enum rc spool_read(
	const struct spool_region *r, off_t at, uint8_t *buf, size_t cap, size_t *n) ATT_MUST_CHECK;
/* Takes the item at the front of `buf`; RC_TRUNCATED: more octets are needed. */
enum rc spool_item_read(
	const uint8_t *buf, size_t len, struct spool_item *out, size_t *used) ATT_MUST_CHECK;
/* An item's largest form. */
#define SPOOL_ITEM_MAX (10u + 3u * ZONE_KEY_MAX + 2u * 16384u)
