/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The whole zone anew: content is written unsigned into the tree that is not
 * served, in any order; then it is signed in order, a group at a time; then the
 * trees change places in one transaction. Until that the old zone is served,
 * and a rebuild that is not finished leaves no trace but used pages. */

#include "zone/db.h"
#include "zone/work.h"

struct rebuild;

/* Empties the spare tree and writes apex and name server into it. */
enum rc rebuild_new(struct zone_db *db, const struct zone_policy *policy, int64_t now,
	struct rebuild **out, struct diag *d) ATT_MUST_CHECK;
/* A zone that begins anew has at least this serial; at once after rebuild_new. 0: none is known. */
enum rc rebuild_serial_min(struct rebuild *r, uint32_t serial, struct diag *d) ATT_MUST_CHECK;
/* Likewise, whether it begins anew or not. */
enum rc rebuild_serial_from(struct rebuild *r, uint32_t serial, struct diag *d) ATT_MUST_CHECK;
/* What it will have when it is served. */
uint32_t rebuild_serial(const struct rebuild *r);
void rebuild_free(struct rebuild *r);

/* Content; names that have ended already are left out. Everything since the last flush is one
 * transaction. */
enum rc rebuild_device(struct rebuild *r, const struct zone_key *key,
	const uint8_t cert[RR_HASH_LEN], const uint8_t spki[RR_HASH_LEN],
	int64_t not_after) ATT_MUST_CHECK;
enum rc rebuild_sets(struct rebuild *r, const struct zone_key *key, const struct work_set *sets,
	unsigned count) ATT_MUST_CHECK;
enum rc rebuild_flush(struct rebuild *r, struct diag *d) ATT_MUST_CHECK;

/* The next at most `max` names, to be signed: *w; its count is 0 when all is done. */
enum rc rebuild_step(
	struct rebuild *r, unsigned max, const struct work **w, struct diag *d) ATT_MUST_CHECK;
/* Writes the signatures of the last step. */
enum rc rebuild_place(struct rebuild *r, const uint8_t *sigs, const struct work_tags *tags,
	struct diag *d) ATT_MUST_CHECK;

/* How many names are signed, and of how many (0 before the first step). */
void rebuild_progress(const struct rebuild *r, uint64_t *done, uint64_t *names);

/* Serves it. */
enum rc rebuild_finish(
	struct rebuild *r, uint64_t applied_seq, uint32_t *serial, struct diag *d) ATT_MUST_CHECK;

/* For loaders: keys will come in ascending order, so pages are filled whole. */
void rebuild_expect_sorted(struct rebuild *r);
