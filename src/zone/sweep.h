/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The walk through the zone, in canonical order, that finds signatures at half
 * their life and certificates that end: it only puts names into a batch. */

#include "zone/batch.h"

struct sweep {
	struct zone_key at;	 /* last name seen; len 0: from the start */
	uint64_t names;		 /* in the zone, as of the last step */
	bool behind;		 /* the last step found more than it could take: go on at once */
	bool whole;		 /* this pass began at the first name, under this policy */
	uint64_t passes;	 /* whole ones that ended */
	struct work_count count; /* of this pass so far */
	struct work_count last;	 /* of the last whole pass */
	uint64_t looked;	 /* names that the last step passed by */
};

struct sweep_limits {
	unsigned look; /* names to look at in one step */
	unsigned take; /* names to refresh in one step */
};

/* Begins anew: another key signs now. */
void sweep_restart(struct sweep *s);
/* Puts names whose notAfter has come into the batch as withdrawn. *count: how many. */
enum rc sweep_ended(struct zone_db *db, int64_t now, unsigned max, struct batch *b,
	unsigned *count) ATT_MUST_CHECK;
/* Puts names with signatures that are due into the batch. */
enum rc sweep_step(struct sweep *s, struct zone_db *db, const struct zone_policy *policy,
	int64_t now, const struct sweep_limits *limits, struct batch *b,
	unsigned *count) ATT_MUST_CHECK;
