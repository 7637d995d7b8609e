/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A reader's logical channels and the operations on them; the commands of the applet, one file
 * each. For files of card/ only. */

#include "card/apdu.h"
#include "card/euicc.h"
#include "card/internal.h"
#include "card/sw.h"

#define SESSION_CHANNELS   20  /* 0-3 by classes 0X and 8X, 4-19 by 4X and CX */
#define SESSION_NUMBERS	   8   /* P2 of INIT and UPDATE: clients use 0..5 */
#define SESSION_CAP	   255 /* a response of 256 bytes breaks two clients */
#define SESSION_ANSWER_MAX 600 /* more than SESSION_CAP goes by GET RESPONSE: RSA */
#define SESSION_TAIL_MAX   320 /* bytes kept over blocks: an RSA signature or public key */
#define SESSION_LIST_MAX   16384

enum selected { SELECTED_MF, SELECTED_ICCID, SELECTED_APPLET, SELECTED_ISDR };

enum operation_state {
	OP_CLOSED,
	OP_OPEN, /* after INIT, nothing given yet */
	OP_BUSY, /* in the middle of the data */
	OP_DONE, /* may be opened or closed: most clients never close */
};

/* What an INIT of a signature says. */
struct signature_terms {
	uint8_t id;
	uint8_t mode;	   /* 01 full text, 02 last block, 03 digest */
	uint8_t algorithm; /* tag 92 */
	const EVP_MD *md;
};

/* COMPUTE SIGNATURE, VERIFY SIGNATURE or PUT PUBLIC KEY of one session number. */
struct operation {
	enum operation_state state;
	struct signature_terms terms; /* of PUT PUBLIC KEY the id alone */
	EVP_MD_CTX *hash;	      /* mode 01; owned */
	size_t text_left;	      /* of a text TLV that goes on in the next block */
	bool digested;		      /* modes 02 and 03: the digest is there */
	struct card__digest digest;
	uint8_t *tail; /* what comes after it, in blocks; owned, SESSION_TAIL_MAX */
	size_t tail_len;
};

struct channel {
	enum selected selected;
	uint64_t used_ms;
	struct operation sign[SESSION_NUMBERS];
	struct operation verify[SESSION_NUMBERS];
	struct operation put[SESSION_NUMBERS];
	uint8_t pending[SESSION_ANSWER_MAX];
	size_t pending_at, pending_len;
	size_t list_at; /* where the next part of the object list starts */
};

struct card_session {
	struct card *card;
	struct euicc *euicc;			    /* NULL: of one card for ever */
	uint64_t generation;			    /* of the eUICC when `card` was enabled */
	struct channel *channels[SESSION_CHANNELS]; /* NULL: closed; 0 is always open */
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
command_fn cmd_es10;

/* Turns to the profile that is enabled now, before each command. */
void euicc__follow(struct card_session *s);
/* The eUICC's own state as on disk. */
enum rc euicc__state_parse(struct euicc *e, const uint8_t *bytes, size_t len) ATT_MUST_CHECK;
void euicc__state_write(const struct euicc *e, struct put *p);

/* Closes a channel, if it is open. */
void channel__close(struct card_session *s, size_t n);
/* Opens the channel anew with the MF selected; NULL: no memory. */
struct channel *channel__open(struct card_session *s, size_t n);
/* The channel that a class byte names, and whether the class is one of ours. */
bool channel__of_class(uint8_t cla, size_t *n);

/* Takes an id or label member off `data` and finds its container: `type` is the low nibble of the
 * tags (3 file, 4 private, 5 public, 6 secret key). SW_OK or the refusal. */
uint16_t command__object(const struct card *card, struct cur *data, uint8_t type, uint8_t *id);

/* Lets an INIT open, or close, the operation of P2's number in `ops`; SW_OK with *open true: the
 * caller goes on with the command's data. */
uint16_t command__operation(struct command *cmd, struct operation ops[SESSION_NUMBERS],
	struct operation **op, bool *open);
/* The open operation that an UPDATE goes on with, and whether this is the last block. */
uint16_t command__update(struct command *cmd, struct operation ops[SESSION_NUMBERS],
	struct operation **op, bool *last);
void operation__end(struct operation *op, enum operation_state state);
/* Keeps the rest of a block for the last one. SW_DATA: too much. */
uint16_t operation__keep(struct operation *op, struct cur *data);

/* Whether the remote side is writing this file and the card keeps devices off it. */
bool command__is_busy(const struct card *card, uint8_t id);
/* What a device made in a persistent container goes to disk before it shows; else it is undone. */
uint16_t command__made(struct command *cmd, const struct card__kind *kind);

/* The hash of a tag 91 value; NULL: none of ours. */
const EVP_MD *signature__hash(struct cur bits, uint16_t *bit);
/* signature.c: what an INIT says of a key of `type`, and the state it starts. */
uint16_t signature__terms(struct command *cmd, uint8_t type, struct signature_terms *out);
uint16_t signature__begin(struct operation *op, const struct signature_terms *terms);
/* Takes a block's text or digest off `data`; what follows stays. After the last block the digest is
 * in `op`. */
uint16_t signature__data(struct operation *op, struct cur *data, bool last);
/* lastblock.c: the digest of text whose beginning the host has hashed: 9A, 9C, 9D. */
uint16_t signature__last_block(struct operation *op, struct cur *data);
