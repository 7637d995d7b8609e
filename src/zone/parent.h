/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Asking the zone above for our DS RRset: the question, and what its
 * authoritative server answers. Not a validator: what it says decides only when
 * an old key may go, never whether anybody trusts a new one. */

#include "base/diag.h"
#include "zone/name.h"
#include "zone/sign.h"

#include <stdbool.h>

#define PARENT_QUESTION_MAX (12 + ZONE_NAME_MAX + 4)
#define PARENT_DS_MAX	    8u

struct parent_ds {
	uint32_t ttl; /* the longest of them; 0 when there is none */
	unsigned count;
	uint8_t ds[PARENT_DS_MAX][DS_LEN]; /* RDATA with SHA-256; others are not told */
};

/* A query for DS of `zone`. */
void parent_question(const struct zone_name *zone, uint16_t id, uint8_t *out, size_t *len);
/* RC_MALFORMED, RC_DENIED: another question's answer, not authoritative, or an error code; no DS
 * at all is a good answer with count 0. */
enum rc parent_answer(const uint8_t *msg, size_t len, const struct zone_name *zone, uint16_t id,
	struct parent_ds *out, struct diag *d) ATT_MUST_CHECK;
