/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The link on which an operator's gateway and cards exchange short messages where there is no
 * network: frames on a stream socket, u16 length of the rest | u8 kind | EF_ICCID | user data.
 * Lossy by nature: nothing here acknowledges. */

#include "base/cur.h"
#include "base/ident.h"
#include "base/put.h"
#include "ota/scp80.h"

#define SMSLINK_TO_CARD	  1
#define SMSLINK_FROM_CARD 2
#define SMSLINK_HEAD	  (2 + 1 + IDENT_ICCID_LEN)
#define SMSLINK_FRAME_MAX (SMSLINK_HEAD + SCP80_UD_MAX)

struct smslink_frame {
	uint8_t kind;
	uint8_t iccid[IDENT_ICCID_LEN];
	struct cur ud; /* borrowed from the buffer read */
};

void smslink_write(struct put *p, uint8_t kind, const uint8_t iccid[IDENT_ICCID_LEN],
	const uint8_t *ud, size_t ud_len);
/* Takes the next frame off `c`. RC_TRUNCATED: not whole yet, `c` is as it was. RC_MALFORMED: the
 * stream cannot be trusted any more, close it. */
enum rc smslink_read(struct cur *c, struct smslink_frame *out) ATT_MUST_CHECK;
