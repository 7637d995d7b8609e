/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The signed zone on its way between nodes: what one serial changed (a delta), or all of it in
 * parts (an image). The node that signs makes them; the others write the very same records.
 *
 * A body: for each name key length (2), record length (2), key, record; length 0: the name is gone.
 * Records are as rec.h has them, signatures in them. */

#include "zone/batch.h"

#define DELTA_BODY_MAX ((size_t)12 << 20) /* below a frame of 16 MiB */

struct delta {
	uint32_t prev, serial;
	uint64_t seq;
	const uint8_t *body; /* borrowed */
	size_t len;
};

struct delta_item {
	const uint8_t *key, *value; /* borrowed; value NULL: gone */
	uint16_t key_len, value_len;
};
typedef enum rc delta_fn(const struct delta_item *item, void *user);
/* RC_MALFORMED: a length, a key or a record that cannot be. */
enum rc delta_each(const uint8_t *body, size_t len, delta_fn *fn, void *user) ATT_MUST_CHECK;

/* A prepared batch with its signatures, before it is committed. *body: malloc. RC_TOO_LARGE. */
enum rc batch_delta(struct batch *b, const uint8_t *sigs, const struct work_tags *tags,
	struct delta *out, uint8_t **body) ATT_MUST_CHECK;
/* Before batch_prepare: the new serial is above `floor` too. */
void batch_serial_above(struct batch *b, uint32_t floor);

/* Writes deltas in their order, each behind the one before, in one transaction. RC_CONFLICT: the
 * first is not behind what is there. `horizon`: certificates that end before are noted. */
enum rc delta_apply(struct zone_db *db, const struct delta *list, size_t count, int64_t horizon,
	struct diag *d) ATT_MUST_CHECK;

/* ---- images */

/* What the zone has from `after` on (len 0: the first name), up to about `max` octets; *after is
 * moved on, *last when nothing follows. *body: malloc. */
enum rc image_part(struct zone_db *db, MDB_txn *txn, struct zone_key *after, size_t max,
	uint8_t **body, size_t *len, bool *last) ATT_MUST_CHECK;

/* Taking one: into the tree that is not served; then the trees change places. */
enum rc image_begin(struct zone_db *db, struct diag *d) ATT_MUST_CHECK;
enum rc image_take(struct zone_db *db, const uint8_t *body, size_t len, int64_t horizon,
	struct diag *d) ATT_MUST_CHECK;
/* `next`: its serial, applied_seq, ttl, minimum and origin count. */
enum rc image_end(struct zone_db *db, const struct zone_state *next, struct diag *d) ATT_MUST_CHECK;
