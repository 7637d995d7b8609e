/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SMPP 3.4, the part that an operator's gateway speaks with its SMS centre as a transceiver:
 * binding, short messages both ways, link checks. Only bytes: connections, windows and time-outs
 * are the caller's. Must never believe a length that the PDU does not hold. */

#include "base/cur.h"
#include "base/put.h"
#include "base/rc.h"

#define SMPP_HEAD 16
#define SMPP_PDU_MAX                                                                 \
	4096 /* far above any message of ours; a longer one is an attack or an error \
	      */
#define SMPP_ADDR_MAX	  21 /* section 5.2.8, with the NUL */
#define SMPP_NAME_MAX	  16 /* system_id, section 5.2.1 */
#define SMPP_PASSWORD_MAX 9
#define SMPP_ID_MAX	  65 /* message_id, section 5.2.23 */
#define SMPP_TIME_MAX	  17 /* section 7.1.1 */

/* Section 5.1.2.1. */
enum smpp_command {
	SMPP_SUBMIT = 0x04,
	SMPP_DELIVER = 0x05,
	SMPP_UNBIND = 0x06,
	SMPP_BIND_TRANSCEIVER = 0x09,
	SMPP_ENQUIRE_LINK = 0x15,
};
#define SMPP_RESP	  0x80000000u
#define SMPP_GENERIC_NACK 0x80000000u

/* Section 5.1.3. */
enum smpp_status {
	SMPP_OK = 0x00,
	SMPP_INVALID_LENGTH = 0x02,
	SMPP_INVALID_COMMAND = 0x03,
	SMPP_QUEUE_FULL = 0x14,
	SMPP_THROTTLED = 0x58,
	SMPP_TEMPORARY = 0x64, /* ESME_RX_T_APPN */
};

/* esm_class, section 5.2.12. */
#define SMPP_ESM_UDHI	 0x40
#define SMPP_ESM_TYPE	 0x3c
#define SMPP_ESM_RECEIPT 0x04

struct smpp_pdu {
	uint32_t id, status, seq;
	struct cur body; /* borrows from the buffer read */
};

/* submit_sm, deliver_sm (sections 4.4.1, 4.6.1). */
struct smpp_message {
	char from[SMPP_ADDR_MAX], to[SMPP_ADDR_MAX];
	uint8_t esm_class, protocol_id, data_coding, registered_delivery;
	char validity[SMPP_TIME_MAX]; /* "": as long as the centre likes */
	struct cur ud;		      /* header included; when read, borrows */
	char receipted[SMPP_ID_MAX];  /* of a receipt, when read: by option; "": not given */
	uint8_t state;		      /* likewise; 0: not given */
};

/* What became of a message: message_state, section 5.2.28. */
enum smpp_state {
	SMPP_ENROUTE = 1,
	SMPP_DELIVERED = 2,
	SMPP_EXPIRED = 3,
	SMPP_DELETED = 4,
	SMPP_UNDELIVERABLE = 5,
	SMPP_ACCEPTED = 6,
	SMPP_UNKNOWN = 7,
	SMPP_REJECTED = 8,
};

/* Takes the next PDU off `c`. RC_TRUNCATED: not whole yet, `c` is as it was. RC_MALFORMED: the
 * stream cannot be trusted any more. */
enum rc smpp_read(struct cur *c, struct smpp_pdu *out) ATT_MUST_CHECK;
/* The body of a submit_sm or deliver_sm; a message_payload counts where there is no short_message.
 * RC_MALFORMED. */
enum rc smpp_message_read(struct cur body, struct smpp_message *out) ATT_MUST_CHECK;

/* The message's id in a submit_sm_resp. RC_MALFORMED. */
enum rc smpp_submit_resp_read(struct cur body, char id[SMPP_ID_MAX]) ATT_MUST_CHECK;
/* Which message a delivery receipt is of and what became of it: by its options, else by its text
 * (appendix B). RC_MALFORMED: it says neither way. */
enum rc smpp_receipt_read(
	const struct smpp_message *m, char id[SMPP_ID_MAX], enum smpp_state *state) ATT_MUST_CHECK;
/* A validity period of that many seconds from now, at most 99 days. */
void smpp_validity(unsigned seconds, char out[SMPP_TIME_MAX]);

void smpp_bind_write(struct put *p, uint32_t seq, const char *system_id, const char *password);
/* `id` is SMPP_SUBMIT or SMPP_DELIVER; user data of at most 254 octets. */
void smpp_message_write(struct put *p, uint32_t id, uint32_t seq, const struct smpp_message *m);
/* Without body: enquire_link, unbind, answers to them, generic_nack. deliver_sm_resp has an empty
 * message_id. */
void smpp_bare_write(struct put *p, uint32_t id, uint32_t status, uint32_t seq);
