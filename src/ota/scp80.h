/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* SCP80: secured packets to and from a card (ETSI TS 102 225, over SMS per 3GPP TS 31.115), both
 * ends. Only one profile: SPI 16 19 or 16 39 (counter higher, ciphered, cryptographic checksum; a
 * protected proof of receipt always, by DELIVER-REPORT or by SMS-SUBMIT), AES of 128, 192 or 256
 * bits, 8-byte CMAC. Pure functions over buffers: counters, keys and time-outs are the caller's.
 * Must never accept less protection than the profile, nor take an unprotected receipt for a
 * proof. */

#include "base/rc.h"
#include "base/cur.h"
#include "base/put.h"

#define SCP80_KEY_LEN	  16 /* AES-128 */
#define SCP80_KEY_MAX	  32 /* AES-256 */
#define SCP80_TAR_LEN	  3
#define SCP80_COUNTER_MAX 0xffffffffffu /* five bytes */
#define SCP80_UD_MAX \
	140 /* user data of one SMS, header included (3GPP TS 23.040 section 9.2.3.16) */
#define SCP80_PARTS_MAX 16 /* of one packet; enough for a 2,000-byte file at once */
#define SCP80_FIRST_MAX                                                          \
	132 /* octets of a packet in the first part: header 07 00 03 r n i 70 00 \
	     */
#define SCP80_NEXT_MAX	   134 /* and in each further one: header 05 00 03 r n i */
#define SCP80_PACKET_MAX   (SCP80_FIRST_MAX + (SCP80_PARTS_MAX - 1) * SCP80_NEXT_MAX)
#define SCP80_RESPONSE_MAX 97 /* data of a protected response of one 128-octet SMS */

/* The IoT SAFE applet's toolkit application reference: "ISA". */
extern const uint8_t scp80_tar_isa[SCP80_TAR_LEN];

/* Response status codes, TS 102 225 section 5.2. */
enum scp80_status {
	SCP80_OK = 0x00,
	SCP80_CC_FAILED = 0x01,
	SCP80_COUNTER_LOW = 0x02,
	SCP80_COUNTER_HIGH = 0x03,
	SCP80_COUNTER_BLOCKED = 0x04,
	SCP80_CIPHERING = 0x05,
	SCP80_UNIDENTIFIED = 0x06,
	SCP80_NO_MEMORY = 0x07,
	SCP80_MORE_TIME = 0x08,
	SCP80_TAR_UNKNOWN = 0x09,
	SCP80_LEVEL = 0x0a, /* insufficient security level */
};

/* The text of a status; never NULL. */
const char *scp80_status_text(unsigned status);

/* Keys that are not here but in a token that uses them: AES-CMAC by KID, AES-CBC with IV 0 by KIc.
 * `which` is the keyset's, for the engine to know. */
struct scp80_engine {
	enum rc (*mac)(
		void *user, const void *which, const uint8_t *bytes, size_t len, uint8_t out[16]);
	enum rc (*cbc)(void *user, const void *which, bool encrypt, const uint8_t *in, size_t len,
		uint8_t *out);
	void *user;
};

/* One keyset of one card. */
struct scp80_keys {
	unsigned kvn;			   /* key version, 1..15 */
	const uint8_t *kic;		   /* `len` bytes, borrowed */
	const uint8_t *kid;		   /* `len` bytes, borrowed */
	size_t len;			   /* 16, 24 or 32; 0 stands for SCP80_KEY_LEN */
	const struct scp80_engine *engine; /* not NULL: kic, kid and len are not looked at */
	const void *which;
};

/* Whether AES has keys of this length. */
bool scp80_key_len_ok(size_t len);

/* A command packet, TS 102 225 section 5.1. */
struct scp80_command {
	uint8_t tar[SCP80_TAR_LEN];
	uint64_t counter;
	bool por_submit; /* SPI 16 39: the receipt comes as a message of the card's own */
	struct cur data; /* borrows from the buffer that the reader was given */
};

/* A response packet, TS 102 225 section 5.2. */
struct scp80_response {
	uint8_t tar[SCP80_TAR_LEN];
	uint64_t counter;
	uint8_t status;
	bool proven;	 /* ciphered and its checksum right: only then does it prove anything */
	struct cur data; /* empty unless proven; borrows from the buffer given */
};

/* Octets of command data that `sms` concatenated messages carry (98, 242, 370, 498, 642, ...); 0
 * when `sms` is 0 or more than SCP80_PARTS_MAX. */
size_t scp80_capacity(unsigned sms);

/* --- the operator's end --- */

/* Appends the packet (CPL to the end, without user data header). RC_RANGE for kvn or counter,
 * RC_TOO_LARGE when it needs more than SCP80_PARTS_MAX messages, RC_CRYPTO. */
enum rc scp80_command_write(const struct scp80_keys *keys, const struct scp80_command *cmd,
	struct put *out) ATT_MUST_CHECK;

/* Reads a response from the user data of one SMS (header 02 71 00 included). `plain`, of at least
 * SCP80_UD_MAX bytes, receives the deciphered part. RC_MALFORMED; RC_SIGNATURE when the checksum is
 * wrong, or when an unprotected response claims success. An unprotected error gives RC_OK with
 * `proven` false. The caller compares tar and counter with what is outstanding. */
enum rc scp80_response_read(const struct scp80_keys *keys, const uint8_t *ud, size_t ud_len,
	uint8_t *plain, struct scp80_response *out) ATT_MUST_CHECK;

/* --- the card's end --- */

/* What a card's application holds against a packet. */
struct scp80_receiver {
	struct scp80_keys keys;
	uint8_t tar[SCP80_TAR_LEN];
	uint64_t last_counter; /* the highest accepted so far */
};

/* Checks and deciphers a whole packet into `plain` (at least `len` bytes). SCP80_OK: the caller
 * stores cmd->counter durably, together with what the command does, before it answers. Otherwise
 * *out has the tar and `authentic` tells whether the sender is known (counter too low), in which
 * case the refusal may be protected. */
enum scp80_status scp80_command_read(const struct scp80_receiver *receiver, const uint8_t *packet,
	size_t len, uint8_t *plain, struct scp80_command *out, bool *authentic) ATT_MUST_CHECK;

/* Appends the user data of the response SMS, header included: protected when `keys` is given, else
 * the bare error form. RC_TOO_LARGE beyond SCP80_RESPONSE_MAX bytes of data, RC_CRYPTO. */
enum rc scp80_response_write(const struct scp80_keys *keys, const struct scp80_response *resp,
	struct put *out) ATT_MUST_CHECK;
