/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The authoritative answer to one request, out of one snapshot of the zone. No
 * sockets: bytes in, bytes out. Transfers are only granted here (xfr.h makes them). */

#include "zone/peers.h"
#include "zone/query.h"
#include "zone/rrl.h"
#include "zone/snap.h"
#include "zone/xfr.h"

#define SERVE_UDP_MAX_DEFAULT 1232u
#define SERVE_UDP_CLASSIC     512u
#define SERVE_TCP_MAX	      65535u
#define SERVE_NSID_MAX	      64u

struct serve;

/* Answers out of `reader` (borrowed). `udp_max` is the largest UDP answer and the EDNS payload
 * that is announced. */
enum rc serve_new(struct snap_reader *reader, uint16_t udp_max, struct serve **out) ATT_MUST_CHECK;
void serve_free(struct serve *s);

/* What goes beyond the bare answer; all pointers are borrowed, zero leaves a thing out. */
struct serve_options {
	const char *nsid;	      /* who we are (RFC 5001) */
	const struct tsig_keys *keys; /* RFC 8945 */
	const struct peers *peers;    /* who may have the zone */
	/* A secondary's primary: whose NOTIFY is heard; NULL: nobody's. */
	const struct peers *primary;
	const struct zone_name *primary_zone;
	void (*notified)(void *user);
	void *user;
	const struct snap_board *board; /* secret of cookies (RFC 9018); NULL: no cookies */
	struct rrl *rrl;		/* answers over UDP */
	uint32_t idle_ms;		/* said in edns-tcp-keepalive (RFC 7828) */
};
void serve_setup(struct serve *s, const struct serve_options *options);

/* Counted since the start. */
struct serve_counts {
	uint64_t answers, transfers, transfers_refused, bad_tsig, limited, good_cookies;
};
const struct serve_counts *serve_counts(const struct serve *s);

/* Enters the newest snapshot and looks at the clock; call after the requests were received. While
 * there is none every answer is SERVFAIL. */
void serve_begin(struct serve *s);
void serve_end(struct serve *s);
int64_t serve_now(const struct serve *s);

enum serve_via { SERVE_UDP, SERVE_STREAM };

/* Who asks, and how. */
struct serve_client {
	enum serve_via via;
	bool tls;
	bool tls13;
	const struct sockaddr *from; /* NULL: unknown, so nothing that needs it */
	struct xfr_ask *ask;	     /* where a granted transfer is noted; NULL: none here */
	bool granted;		     /* it was */
};

/* Writes the answer into `out` (udp_max + TSIG_ROOM, or 65,535 octets). 0: to be dropped, or, when
 * client->granted, to be transferred. */
size_t serve_answer_to(struct serve *s, struct serve_client *client, const uint8_t *wire,
	size_t len, uint8_t *out);
/* The same for nobody in particular. */
size_t serve_answer(
	struct serve *s, const uint8_t *wire, size_t len, enum serve_via via, uint8_t *out);
