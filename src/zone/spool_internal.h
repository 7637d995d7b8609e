/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to spool*.c. */

#include "base/cur.h"
#include "zone/journal.h"
#include "zone/rec.h"
#include "zone/spool.h"

#define SPOOL_BUFFER (256u << 10) /* written at once; holds any item */

/* A name that some serial of the difference touched. Borrowed from the snapshot. */
struct spool_change {
	struct journal_item item;
	uint32_t order;
};

struct spool {
	struct snap_reader *reader;
	int fd;
	struct event *turn;
	TAILQ_HEAD(, spool_region) regions;

	/* the copy under way */
	struct spool_region *making;
	bool entered;
	MDB_cursor *cursor;
	uint8_t *buf;
	size_t buf_len;
	off_t at;	 /* where buf goes */
	uint32_t serial; /* of the journal: gathered up to here */
	struct spool_change *changes;
	size_t change_count, change_cap;
	size_t change_at; /* next to be written; 0 while gathering */
	bool sorted;
};

void spool__turn(evutil_socket_t fd, short what, void *user);
enum rc spool__flush(struct spool *s) ATT_MUST_CHECK;
enum rc spool__put(struct spool *s, const struct spool_item *it) ATT_MUST_CHECK;
bool spool__soa(const uint8_t *value, size_t len, struct spool_soa *out);
/* spool_diff.c: one turn's work on a difference. */
enum rc spool__diff_slice(struct spool *s, bool *done) ATT_MUST_CHECK;
