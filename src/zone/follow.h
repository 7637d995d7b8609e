/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a secondary does with a transfer: the records become the store's own form, so that
 * everything else (answers, snapshots, the journal for secondaries of ours) is as on the
 * primary. A difference is one transaction over the names that it touches, however
 * large the zone; a whole zone fills the other tree and then takes its place.
 *
 * Only a zone of attestry's shape fits: NS at the apex alone, one signature per set
 * (algorithm 13), NSEC, no alias, no wildcard. Its NSEC chain must be that of its names. */

#include "zone/db.h"
#include "zone/incoming.h"

struct follow;

/* Called after every commit, before the next begins (snap_writer_publish). */
struct follow_hook {
	enum rc (*committed)(void *user);
	void *user;
};

/* One transfer into `db`. */
enum rc follow_new(struct zone_db *db, const struct zone_name *origin, bool whole,
	const struct follow_hook *hook, struct follow **out, struct diag *d) ATT_MUST_CHECK;
void follow_free(struct follow *f);

/* The next record; copied. RC_MALFORMED: it does not fit; RC_TOO_LARGE: a difference that is
 * better fetched as a whole zone. */
enum rc follow_record(
	struct follow *f, const struct incoming_record *r, struct diag *d) ATT_MUST_CHECK;

/* That was all: commits. RC_STATE: the difference does not lead on from what is here, or is of
 * other settings: the whole zone is needed. */
enum rc follow_end(struct follow *f, struct zone_state *out, struct diag *d) ATT_MUST_CHECK;

/* When the primary last said that this is its newest content (0: never). */
enum rc follow_confirm(struct zone_db *db, int64_t now, struct diag *d) ATT_MUST_CHECK;
int64_t follow_confirmed(struct zone_db *db);
/* SOA expire of what is here, seconds (RFC 1035 section 3.3.13); 0: nothing is here. */
uint32_t follow_expire(struct zone_db *db);
