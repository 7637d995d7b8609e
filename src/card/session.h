/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A reader's logical channels and the operations on them; the commands of the applet, one file
 * each. For files of card/ only. */

#include "card/apdu.h"
#include "card/internal.h"
#include "card/sw.h"

#define SESSION_CHANNELS 4   /* 0-3, the interindustry and proprietary classes 0X and 8X */
#define SESSION_NUMBERS	 8   /* P2 of INIT and UPDATE: clients use 0..5 */
#define SESSION_CAP	 255 /* a response of 256 bytes breaks two clients */
#define SESSION_LIST_MAX 8192

enum selected { SELECTED_MF, SELECTED_ICCID, SELECTED_APPLET };

enum operation_state {
	OP_CLOSED,
	OP_OPEN, /* after INIT, nothing given yet */
	OP_BUSY, /* in the middle of the data */
	OP_DONE, /* may be opened or closed: most clients never close */
};

/* COMPUTE SIGNATURE, VERIFY SIGNATURE or PUT PUBLIC KEY of one session number. */
struct operation {
	enum operation_state state;
	uint8_t id;
	uint8_t mode;	  /* of signatures: 01 full text, 03 digest */
	EVP_MD_CTX *hash; /* mode 01; owned */
	size_t text_left; /* of a text TLV that goes on in the next block */
};

struct channel {
	bool open;
	enum selected selected;
	uint64_t used_ms;
	struct operation sign[SESSION_NUMBERS];
	struct operation verify[SESSION_NUMBERS];
	struct operation put[SESSION_NUMBERS];
	uint8_t pending[SESSION_CAP];
	size_t pending_len;
	size_t list_at; /* where the next part of the object list starts */
};

struct card_session {
	struct card *card;
	struct channel channels[SESSION_CHANNELS];
};

/* A command's view of the world. */
struct command {
	struct card_session *session;
	struct card *card;
	struct channel *channel;
	const struct apdu *apdu;
	struct put *out; /* the response's data */
};

typedef uint16_t command_fn(struct command *cmd);

command_fn cmd_manage_channel;
command_fn cmd_select;
command_fn cmd_read_binary;
command_fn cmd_get_data;
command_fn cmd_generate_key;
command_fn cmd_sign_init;
command_fn cmd_sign_update;
command_fn cmd_verify_init;
command_fn cmd_verify_update;
command_fn cmd_hkdf;
command_fn cmd_prf;
command_fn cmd_read_file;
command_fn cmd_read_public_key;
command_fn cmd_put_public_key_init;
command_fn cmd_put_public_key_update;
command_fn cmd_compute_dh;
command_fn cmd_get_random;

void channel__reset(struct channel *ch);
/* Opens the channel with the MF selected. */
void channel__open(const struct card *card, struct channel *ch);

/* Takes an id or label member off `data` and finds its container: `type` is the low nibble of the
 * tags (3 file, 4 private, 5 public key). SW_OK or the refusal. */
uint16_t command__object(const struct card *card, struct cur *data, uint8_t type, uint8_t *id);

/* Lets an INIT open, or close, the operation of P2's number in `ops`; SW_OK with *open true: the
 * caller goes on with the command's data. */
uint16_t command__operation(struct command *cmd, struct operation ops[SESSION_NUMBERS],
	struct operation **op, bool *open);
/* The open operation that an UPDATE goes on with, and whether this is the last block. */
uint16_t command__update(struct command *cmd, struct operation ops[SESSION_NUMBERS],
	struct operation **op, bool *last);
void operation__end(struct operation *op, enum operation_state state);

/* signature.c: what an INIT says of a key of `type`, and the state it starts. */
uint16_t signature__parameters(struct command *cmd, uint8_t type, uint8_t *id, uint8_t *mode);
uint16_t signature__begin(struct operation *op, uint8_t id, uint8_t mode);
/* Takes a block's text or digest off `data`; after the last block `digest` is there. */
uint16_t signature__data(
	struct operation *op, struct cur *data, bool last, uint8_t digest[CARD__DIGEST_LEN]);

/* 34 { 49 { 86 point } }, the form of every public key. */
void command__put_public_key(struct put *p, const uint8_t point[CARD__POINT_LEN]);
