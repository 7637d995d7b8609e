/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Concatenated short messages (3GPP TS 23.040 section 9.2.3.24.1) that carry one SCP80 command
 * packet: cutting and joining. Bounded memory, any order, duplicates; time-outs are the caller's
 * (concat_join_reset). Must never believe a header about how much follows. */

#include "ota/scp80.h"

/* User data of one SMS. */
struct concat_sms {
	uint8_t ud[SCP80_UD_MAX];
	size_t len;
};

/* Cuts a packet into at most SCP80_PARTS_MAX messages with header IE 70; one that fits into one SMS
 * goes without concatenation. `ref` differs from packet to packet. RC_TOO_LARGE. */
enum rc concat_split(const uint8_t *packet, size_t len, uint8_t ref,
	struct concat_sms out[SCP80_PARTS_MAX], size_t *count) ATT_MUST_CHECK;

#define CONCAT_JOINS 4 /* packets in the making at once; the oldest gives way */

/* One packet in the making. */
struct concat_packet {
	uint16_t ref;
	uint8_t total; /* 0: free */
	uint32_t have; /* bit i: part i + 1 is there */
	uint64_t used; /* order of last use */
	uint8_t len[SCP80_PARTS_MAX];
	uint8_t part[SCP80_PARTS_MAX][SCP80_UD_MAX];
};

struct concat_join {
	struct concat_packet packets[CONCAT_JOINS];
	uint64_t clock;
};

/* Forgets all parts. */
void concat_join_reset(struct concat_join *join);
/* Takes one message's user data. RC_OK: a command packet is whole and lies in `out` (room for
 * SCP80_PACKET_MAX). RC_TRUNCATED: kept, more parts are needed (or it was a duplicate).
 * RC_MALFORMED: dropped. RC_UNSUPPORTED: not a command packet. */
enum rc concat_join_add(
	struct concat_join *join, const uint8_t *ud, size_t ud_len, struct put *out) ATT_MUST_CHECK;
