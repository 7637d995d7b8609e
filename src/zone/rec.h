/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the store keeps at an owner name. A device is one fixed-size record: the
 * two hashes and three signatures from which its CERT, TLSA and NSEC RRsets are
 * written at answer time. Everything else (apex, name server, services) is a
 * general record: a list of RRsets, each with its signature. The NSEC RDATA is
 * never stored: the next name is the next key. */

#include "base/diag.h"
#include "zone/name.h"
#include "zone/rr.h"

#include <stdbool.h>

enum rec_kind { REC_DEVICE = 1, REC_GENERAL = 2 };

/* Offsets in a device record; integers big-endian. A span is expiration, inception and key tag
 * as they stand in an RRSIG (RFC 4034 section 3.1), ready to be copied. */
enum rec_device_at {
	REC_KIND = 0,
	REC_FLAGS = 1, /* zero */
	REC_DATA_SPAN = 2,
	REC_NSEC_SPAN = 12, /* at the same place in both kinds */
	REC_NSEC_SIG = 22,
	REC_NOT_AFTER = 86,
	REC_CERT = 94,
	REC_SPKI = 126,
	REC_CERT_SIG = 158,
	REC_TLSA_SIG = 222,
	REC_DEVICE_LEN = 286,
	REC_GENERAL_SETS = 86, /* where the sets of a general record begin */
};

#define REC_SETS_MAX  16u
#define REC_RDATA_MAX 64u    /* records in one RRset */
#define REC_VALUE_MAX 16384u /* a general record; the apex with its CAs is about 1 KiB */

/* One RRset of a general record; RDATA sorted as RFC 4034 section 6.3 sorts it. */
struct rec_set {
	uint16_t type;
	uint16_t count;
	uint32_t ttl;
	const uint8_t *rdata[REC_RDATA_MAX]; /* borrowed */
	uint16_t rdata_len[REC_RDATA_MAX];
	uint8_t *sig; /* RR_SPAN_LEN + RR_SIG_LEN octets; borrowed, written by the signer */
};

/* A general record unfolded: sets in ascending type. */
struct rec_node {
	unsigned count;
	struct rec_set set[REC_SETS_MAX];
};

/* Unfolds a general record; the sets borrow from `value`. RC_MALFORMED. */
enum rc rec_node_parse(uint8_t *value, size_t len, struct rec_node *out) ATT_MUST_CHECK;

/* Folds into `out` (REC_VALUE_MAX); a set without signature gets room with zeros. Then `node`
 * borrows from `out` for its signatures. */
enum rc rec_node_write(struct rec_node *node, uint8_t *out, size_t *len) ATT_MUST_CHECK;

/* The set of a type or NULL. */
struct rec_set *rec_node_find(struct rec_node *node, uint16_t type);

/* Makes (or empties) the set of a type, keeping the order. NULL when full. */
struct rec_set *rec_node_make(struct rec_node *node, uint16_t type, uint32_t ttl);
void rec_node_drop(struct rec_node *node, uint16_t type);

/* Adds a record in canonical order; an equal one is kept once. RC_TOO_LARGE. */
enum rc rec_set_add(struct rec_set *set, const uint8_t *rdata, size_t len) ATT_MUST_CHECK;

/* Steps through a general record's sets without unfolding: the answering path. */
struct rec_iter {
	const uint8_t *at;
	const uint8_t *end;
	unsigned left;
};
struct rec_view {
	uint16_t type;
	uint16_t count;
	uint32_t ttl;
	const uint8_t *rdata; /* count times: length (2), octets */
	const uint8_t *sig;   /* span and signature */
};
struct rec_iter rec_iter_init(const uint8_t *value, size_t len);
bool rec_iter_next(struct rec_iter *it, struct rec_view *out);

/* True when a stored value has the form of its kind. */
bool rec_is_sane(const uint8_t *value, size_t len);

/* The NSEC type bit map (RFC 4034 section 4.1.2) of a record; `out` holds REC_BITMAP_MAX. */
#define REC_BITMAP_MAX 34u
size_t rec_bitmap(const uint8_t *value, size_t len, uint8_t *out);

/* Integers in the store's order. */
static inline void rec_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}
static inline uint32_t rec_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void rec_put64(uint8_t *p, uint64_t v)
{
	rec_put32(p, (uint32_t)(v >> 32));
	rec_put32(p + 4, (uint32_t)v);
}
static inline uint64_t rec_get64(const uint8_t *p)
{
	return (uint64_t)rec_get32(p) << 32 | rec_get32(p + 4);
}
static inline void rec_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline uint16_t rec_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* CERT 1 1 0, TLSA 3 0 1 and TLSA 3 1 1 of a device record, ready as RDATA. */
void rec_device_cert(const uint8_t *value, uint8_t out[RR_CERT_LEN]);
void rec_device_tlsa(const uint8_t *value, uint8_t out[2][RR_TLSA_LEN]);
