/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One change of the zone: changes are gathered and netted, the RRsets to sign
 * are computed from the zone as it is (of the NSEC chain only the neighbours),
 * somebody signs them, and everything is written in one transaction together
 * with the SOA serial, the journal's delta and applied_seq. One batch at a time
 * between prepare and commit: the next must see this one. */

#include "zone/db.h"
#include "zone/work.h"

struct batch;

enum rc batch_new(struct zone_db *db, const struct zone_policy *policy, int64_t now,
	struct batch **out) ATT_MUST_CHECK;
void batch_free(struct batch *b);

/* The content of a name; a later call for the same name wins. `key` is copied. */
enum rc batch_device(struct batch *b, const struct zone_key *key, const uint8_t cert[RR_HASH_LEN],
	const uint8_t spki[RR_HASH_LEN], int64_t not_after) ATT_MUST_CHECK;
enum rc batch_withdraw(struct batch *b, const struct zone_key *key) ATT_MUST_CHECK;
/* All sets of a general name; at the apex only sets of the given types are replaced. */
enum rc batch_sets(struct batch *b, const struct zone_key *key, const struct work_set *sets,
	unsigned count) ATT_MUST_CHECK;
/* Makes the signatures of a name anew that are due; yields to any other change of it. */
enum rc batch_refresh(struct batch *b, const struct zone_key *key) ATT_MUST_CHECK;
/* Writes the policy's own sets at the apex and at the name server. */
enum rc batch_infra(struct batch *b) ATT_MUST_CHECK;

size_t batch_changes(const struct batch *b);

/* Computes what must be signed: *w->sets, w->count. Nothing is written. */
enum rc batch_prepare(struct batch *b, const struct work **w, struct diag *d) ATT_MUST_CHECK;

/* Writes all. `sigs`: RR_SIG_LEN octets per set, in order. applied_seq 0 keeps the old one. The
 * new serial goes to *serial. */
enum rc batch_commit(struct batch *b, const uint8_t *sigs, const struct work_tags *tags,
	uint64_t applied_seq, uint32_t *serial, struct diag *d) ATT_MUST_CHECK;
