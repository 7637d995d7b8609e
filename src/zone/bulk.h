/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Makes a zone of many devices quickly, with keys in this process and a thread
 * per core: for benches, tests and migrations. Never beside a running registry. */

#include "zone/rebuild.h"

struct bulk {
	struct zone_policy policy;
	EVP_PKEY *ksk, *zsk;
	unsigned threads;
};

/* A policy for a zone with fresh settings: ttl 300, minimum 60, name server ns1 at 127.0.0.1,
 * signatures for `life_s` seconds. */
enum rc bulk_policy(struct bulk *b, const char *zone, uint32_t life_s) ATT_MUST_CHECK;

/* Signs w's sets with threads into `sigs`. */
enum rc bulk_sign(const struct bulk *b, const struct work *w, uint8_t *sigs) ATT_MUST_CHECK;
uint16_t bulk_tag(const struct bulk *b, bool ksk);

/* Signs and serves what was put into `r`. */
enum rc bulk_finish(
	const struct bulk *b, struct rebuild *r, uint64_t seq, struct diag *d) ATT_MUST_CHECK;
