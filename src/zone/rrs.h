/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All resource records of one name, NSEC and signatures included, as RDATA in wire form: what
 * transfers send. */

#include "zone/rec.h"

#define RRS_MAX (REC_SETS_MAX * (REC_RDATA_MAX + 2u) + 3u)
/* Two signatures each while one algorithm replaces another. */
#define RRS_ROOM (2u * (REC_SETS_MAX + 2u) * (RR_RRSIG_FIXED + ZONE_NAME_MAX + RR_SIG_LEN) + 1024u)

struct rrs_one {
	uint16_t type;
	uint16_t len;
	uint32_t ttl;
	const uint8_t *rdata; /* borrows from the record or from `room` */
};

struct rrs {
	unsigned count;
	struct rrs_one one[RRS_MAX];
	size_t used;
	uint8_t room[RRS_ROOM];
};

struct rrs_zone {
	const struct zone_name *origin;
	uint32_t ttl, minimum;
};

/* `next`: key of the successor. The SOA itself is left out (its signature is not): in a transfer
 * it stands elsewhere. RC_MALFORMED. */
enum rc rrs_of(const struct rrs_zone *z, const uint8_t *key, size_t key_len, const uint8_t *value,
	size_t len, const uint8_t *next, size_t next_len, struct rrs *out) ATT_MUST_CHECK;
/* True when `rrs` holds a record like `one`. */
bool rrs_has(const struct rrs *rrs, const struct rrs_one *one);
