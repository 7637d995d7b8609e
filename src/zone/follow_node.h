/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to follow*.c: one name's records, as a transfer edits them. */

#include "zone/arena.h"
#include "zone/incoming.h"
#include "zone/rec.h"

#define FOLLOW_SETS (REC_SETS_MAX + 1u) /* and NSEC */

struct follow_set {
	uint16_t type;
	uint16_t count;
	uint32_t ttl;
	const uint8_t *rdata[REC_RDATA_MAX]; /* sorted; borrowed */
	uint16_t len[REC_RDATA_MAX];
	unsigned have; /* whose signatures: a form of rec.h */
	uint32_t sig_ttl;
	uint8_t sig[REC_ALGS][RR_SPAN_LEN + RR_SIG_LEN];
};

struct follow_node {
	const struct zone_name *origin;
	unsigned labels; /* of the owner */
	unsigned count;
	bool nsec_stored; /* its NSEC is there, but not its RDATA: that is the next key */
	struct follow_set set[FOLLOW_SETS];
	uint8_t device[RR_CERT_LEN + 2 * RR_TLSA_LEN]; /* room for a device's RDATA */
};

/* An empty node, or that of a stored record (which must stay). */
enum rc follow_node_read(struct follow_node *n, const struct zone_name *origin, const uint8_t *key,
	size_t key_len, const uint8_t *value, size_t len, uint32_t ttl, uint32_t minimum,
	struct diag *d) ATT_MUST_CHECK;

/* Puts one record in or takes it out. RC_STATE: it is there already, or is not there. */
enum rc follow_node_edit(
	struct follow_node *n, const struct incoming_record *r, struct diag *d) ATT_MUST_CHECK;

/* The record's stored form in `out` (REC_VALUE_MAX); *len 0: nothing is left of the name. Whole
 * sets with signatures only. */
enum rc follow_node_write(const struct follow_node *n, uint32_t ttl, uint32_t minimum, uint8_t *out,
	size_t *len, struct diag *d) ATT_MUST_CHECK;

const struct follow_set *follow_node_find(const struct follow_node *n, uint16_t type);
/* The key that the NSEC in the node leads to, and whether its bit map is that of `value`. */
enum rc follow_node_next(const struct follow_node *n, const uint8_t *value, size_t len,
	struct zone_key *next, struct diag *d) ATT_MUST_CHECK;
