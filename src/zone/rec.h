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
	REC_FLAGS =
		1, /* REC_HAS_ED, REC_NO_P256; of a general record also the number of its sets */
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
	/* While one algorithm replaces another each RRset has two signatures: the second ones. */
	REC_DATA_SPAN2 = 286,
	REC_CERT_SIG2 = 296,
	REC_TLSA_SIG2 = 360,
	REC_DEVICE_NSEC2 = 424, /* span and signature */
	REC_DEVICE_TWO_LEN = 498,
	REC_GENERAL_NSEC2 = 86,
	REC_GENERAL_SETS_TWO = 160,
};

#define REC_HAS_ED  0x40u
#define REC_NO_P256 0x80u
#define REC_COUNT   0x1fu

/* Algorithms by which a record may be signed, in the order of their signatures in it. A form is
 * the set of those that it has: bit 0 P-256, bit 1 Ed25519. */
enum rec_alg { REC_P256, REC_ED25519, REC_ALGS };
#define REC_FORM_P256 1u
#define REC_FORM_ED   2u
static inline unsigned rec_form(const uint8_t *value)
{
	return (value[REC_FLAGS] & REC_NO_P256 ? 0 : REC_FORM_P256) |
	       (value[REC_FLAGS] & REC_HAS_ED ? REC_FORM_ED : 0);
}
static inline bool rec_form_has(unsigned form, unsigned alg)
{
	return form >> alg & 1;
}
static inline uint8_t rec_form_flags(unsigned form)
{
	return (uint8_t)((form & REC_FORM_P256 ? 0 : REC_NO_P256) |
			 (form & REC_FORM_ED ? REC_HAS_ED : 0));
}
static inline bool rec_form_is_two(unsigned form)
{
	return form == (REC_FORM_P256 | REC_FORM_ED);
}
static inline uint8_t rec_alg_number(unsigned alg)
{
	return alg == REC_ED25519 ? RR_ALG_ED25519 : RR_ALG_P256;
}
/* Where a device record, or the NSEC of any, has the signature of an algorithm of its form. */
struct rec_at {
	size_t span, sig;
};
static inline bool rec_is_second(unsigned form, unsigned alg)
{
	return alg == REC_ED25519 && rec_form_is_two(form);
}
static inline struct rec_at rec_nsec_at(const uint8_t *value, unsigned alg)
{
	size_t second = value[REC_KIND] == REC_DEVICE ? REC_DEVICE_NSEC2 : REC_GENERAL_NSEC2;

	return rec_is_second(rec_form(value), alg) ? (struct rec_at){ second, second + RR_SPAN_LEN }
						   : (struct rec_at){ REC_NSEC_SPAN, REC_NSEC_SIG };
}
static inline struct rec_at rec_data_at(const uint8_t *value, unsigned alg, uint16_t type)
{
	if (rec_is_second(rec_form(value), alg))
		return (struct rec_at){ REC_DATA_SPAN2,
			type == RR_CERT ? REC_CERT_SIG2 : REC_TLSA_SIG2 };
	return (struct rec_at){ REC_DATA_SPAN, type == RR_CERT ? REC_CERT_SIG : REC_TLSA_SIG };
}
static inline size_t rec_device_len(unsigned form)
{
	return rec_form_is_two(form) ? REC_DEVICE_TWO_LEN : REC_DEVICE_LEN;
}
static inline size_t rec_sets_at(unsigned form)
{
	return rec_form_is_two(form) ? REC_GENERAL_SETS_TWO : REC_GENERAL_SETS;
}
/* Copies the signatures of an NSEC that both have, by algorithm. */
void rec_copy_nsec(uint8_t *to, const uint8_t *from);

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
	/* By algorithm, NULL: none; RR_SPAN_LEN + RR_SIG_LEN octets; borrowed, written by the
	 * signer */
	uint8_t *sig[REC_ALGS];
};

/* A general record unfolded: sets in ascending type. */
struct rec_node {
	unsigned form; /* 0: P-256 alone */
	unsigned count;
	struct rec_set set[REC_SETS_MAX];
};

/* Unfolds a general record; the sets borrow from `value`. RC_MALFORMED. */
enum rc rec_node_parse(uint8_t *value, size_t len, struct rec_node *out) ATT_MUST_CHECK;

/* Folds into `out` (REC_VALUE_MAX) in the node's form; a set without signature gets room with
 * zeros. Then `node` borrows from `out` for its signatures. */
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
	unsigned form;
};
struct rec_view {
	uint16_t type;
	uint16_t count;
	uint32_t ttl;
	const uint8_t *rdata; /* count times: length (2), octets */
	const uint8_t *sig;   /* span and signature; of the second algorithm behind it */
	unsigned form;
};
/* Span and signature of an algorithm of its form. */
static inline const uint8_t *rec_view_sig(const struct rec_view *v, unsigned alg)
{
	return v->sig + (rec_is_second(v->form, alg) ? RR_SPAN_LEN + RR_SIG_LEN : 0);
}
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
