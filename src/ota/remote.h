/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Remote commands to the IoT SAFE applet, carried in SCP80 packets (formats.md section 3): the
 * operator's builder and reader of answers, and the card's parser with its loop over a list of
 * commands. What a command does is the card's business. */

#include "base/rc.h"
#include "base/cur.h"
#include "base/put.h"

#define REMOTE_ANSWERS_MAX 97	/* all answers of one packet: one protected receipt */
#define REMOTE_BLOCK_MAX   0x5d /* bytes of one READ BLOCK */
#define REMOTE_FILE_MAX	   65535
#define REMOTE_NONCE_LEN   16
#define REMOTE_HASH_LEN	   32
#define REMOTE_BUFFER	   0x00 /* READ BLOCK: the transfer buffer */

enum remote_tag {
	REMOTE_CREATE_SLOT = 0xd0,
	REMOTE_GENERATE_KEY = 0xd1,
	REMOTE_MAKE_CSR = 0xd2,
	REMOTE_READ_BLOCK = 0xd3,
	REMOTE_WRITE_BEGIN = 0xd4,
	REMOTE_WRITE_BLOCK = 0xd5,
	REMOTE_WRITE_COMMIT = 0xd6,
	REMOTE_KEY_STATE = 0xd7,
	REMOTE_DELETE_FILE = 0xda,
	REMOTE_WIPE_SLOT = 0xdb,
	REMOTE_STATUS = 0xdc,
};

enum remote_key_state {
	REMOTE_KEY_BLOCKED = 0x00,
	REMOTE_KEY_ACTIVE = 0x01,
	REMOTE_KEY_NONE = 0xff, /* in a command: destroy; in STATUS: there is none */
};

/* --- the operator's end: each appends one command to the packet's data --- */

void remote_put_create_slot(struct put *p, unsigned slot);
void remote_put_generate_key(struct put *p, uint8_t id);
void remote_put_make_csr(
	struct put *p, uint8_t id, const char *owner_name, const uint8_t nonce[REMOTE_NONCE_LEN]);
void remote_put_read_block(struct put *p, uint8_t id, uint16_t offset, uint8_t len);
void remote_put_write_begin(
	struct put *p, uint8_t id, uint16_t total, const uint8_t sha256[REMOTE_HASH_LEN]);
void remote_put_write_block(struct put *p, uint16_t offset, const void *bytes, size_t len);
void remote_put_write_commit(struct put *p, uint8_t id);
void remote_put_key_state(struct put *p, uint8_t id, enum remote_key_state state);
void remote_put_delete_file(struct put *p, uint8_t id);
void remote_put_wipe_slot(struct put *p, unsigned slot);
void remote_put_status(struct put *p, unsigned slot);

/* A file on its way to a card, over as many packets as it takes. */
struct remote_write {
	uint8_t id;
	const uint8_t *bytes; /* borrowed until the last packet */
	size_t len;
	size_t done; /* bytes put into packets so far */
	bool begun;
	bool committed;
	uint8_t sha256[REMOTE_HASH_LEN];
};

/* RC_TOO_LARGE over REMOTE_FILE_MAX, RC_CRYPTO. */
enum rc remote_write_init(
	struct remote_write *w, uint8_t id, const void *bytes, size_t len) ATT_MUST_CHECK;
/* Appends to `p` (whose capacity is that of a packet, see scp80_capacity) as many of the file's
 * commands as fit, and returns true when COMMIT is among them. False: send `p`, take an empty one
 * and call again. A packet of 98 bytes always makes progress. */
bool remote_write_fill(struct remote_write *w, struct put *p);

/* One answer of a list. */
struct remote_answer {
	uint8_t tag;
	uint16_t sw;
	struct cur data; /* borrowed */
};

/* The next answer; false at the end, with `c` bad when the bytes are not answers. A list that the
 * card did not finish has fewer answers than there were commands. */
bool remote_answer_next(struct cur *c, struct remote_answer *out);

/* Data of MAKE CSR's answer. */
struct remote_csr {
	uint16_t len;
	uint8_t sha256[REMOTE_HASH_LEN];
};

enum rc remote_csr_read(struct cur data, struct remote_csr *out) ATT_MUST_CHECK;

/* Data of STATUS's answer. */
struct remote_slot_status {
	uint8_t slot;
	uint8_t key1; /* enum remote_key_state */
	uint8_t keyb;
	uint8_t certificate[REMOTE_HASH_LEN]; /* SHA-256 of file 2, zeros when empty */
	uint8_t payload[REMOTE_HASH_LEN];     /* SHA-256 of file D, zeros when empty */
};

#define REMOTE_STATUS_LEN (3 + 2 * REMOTE_HASH_LEN)

enum rc remote_status_read(struct cur data, struct remote_slot_status *out) ATT_MUST_CHECK;
void remote_status_write(struct put *p, const struct remote_slot_status *status);

/* --- the card's end --- */

/* One command taken apart. A member that the tag does not use is zero. */
struct remote_command {
	uint8_t tag;
	uint8_t id;	       /* 83 or 84 */
	uint8_t number;	       /* 80 of one byte: slot or state */
	uint16_t offset;       /* 80 of two bytes: offset, or total length */
	uint8_t len;	       /* READ BLOCK's 81 */
	struct cur data;       /* WRITE BLOCK's 81; borrowed, as the rest */
	struct cur owner_name; /* D8 */
	const uint8_t *nonce;  /* D9, REMOTE_NONCE_LEN */
	const uint8_t *sha256; /* 82, REMOTE_HASH_LEN */
};

/* Carries one command out: returns the status word and appends the answer's data (only with 9000).
 */
typedef uint16_t remote_run_fn(void *card, const struct remote_command *cmd, struct put *data);

/* Runs a list of commands, stopping at the first that fails, and appends their answers, at most
 * REMOTE_ANSWERS_MAX bytes in all. A command whose answer might not fit is not carried out and
 * answers 6700; malformed values answer 6A80, unknown tags 6D00, a broken list 6700. */
void remote_run(struct cur commands, remote_run_fn *run, void *card, struct put *answers);
