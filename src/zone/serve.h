/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The authoritative answer to one request, out of one snapshot of the zone. No
 * sockets and no clock: bytes in, bytes out. */

#include "zone/query.h"
#include "zone/snap.h"

#define SERVE_UDP_MAX_DEFAULT 1232u
#define SERVE_UDP_CLASSIC     512u
#define SERVE_TCP_MAX	      65535u

struct serve;

/* Answers out of `reader` (borrowed). `udp_max` is the largest UDP answer and the EDNS payload
 * that is announced. */
enum rc serve_new(struct snap_reader *reader, uint16_t udp_max, struct serve **out) ATT_MUST_CHECK;
void serve_free(struct serve *s);

/* Enters the newest snapshot; call after the requests were received. While there is none every
 * answer is SERVFAIL. */
void serve_begin(struct serve *s);
void serve_end(struct serve *s);

enum serve_via { SERVE_UDP, SERVE_STREAM };

/* Writes the answer into `out` (at least udp_max or 65,535 octets). 0: to be dropped. */
size_t serve_answer(
	struct serve *s, const uint8_t *wire, size_t len, enum serve_via via, uint8_t *out);
