/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A transfer under way: the messages of AXFR (RFC 5936) or IXFR (RFC 1995) made
 * one by one out of a spool's region, as fast as the client reads them. Each is signed
 * when the request was. Knows no socket. */

#include "zone/query.h"
#include "zone/rrs.h"
#include "zone/spool.h"
#include "zone/tsig.h"

/* What was asked; filled by serve_answer_to for who may. */
struct xfr_ask {
	bool whole;
	uint32_t from; /* IXFR: the client's serial */
	uint16_t id;
	bool rd;
	size_t question_len;
	uint8_t question[ZONE_NAME_MAX + 4];
	bool is_signed;
	struct tsig tsig;
};

enum xfr_stage { XFR_FIRST, XFR_OLD, XFR_DELETE, XFR_NEW, XFR_ADD, XFR_LAST, XFR_DONE };

struct xfr {
	struct xfr_ask ask;
	struct spool_region *region;
	enum xfr_stage stage;
	off_t at;    /* in the region: next item */
	unsigned rr; /* of that item: next record */
};

/* Room to work in, shared by all transfers of a loop. */
#define XFR_CHUNK (128u << 10)
struct xfr_desk {
	struct rrs old, new;
	off_t chunk_at;
	const struct spool_region *chunk_of; /* NULL: none */
	size_t chunk_len;
	uint8_t chunk[XFR_CHUNK];
};

/* When the region is ready. */
void xfr_start(struct xfr *x);
/* The next message into `out` (65,535 octets); *len 0: that was all. RC_IO, RC_MALFORMED. */
enum rc xfr_next(struct xfr *x, struct xfr_desk *desk, int64_t now, uint8_t *out,
	size_t *len) ATT_MUST_CHECK;
/* A single message that says why not. */
size_t xfr_refuse(struct xfr_ask *ask, unsigned rcode, int64_t now, uint8_t *out);
