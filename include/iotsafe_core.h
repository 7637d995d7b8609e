/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The part of libiotsafe that a microcontroller takes: the applet's commands over any way to
 * exchange an APDU, and the AT framing of one over a serial line. Freestanding C: no libc, no
 * allocation, no files, no threads; all state is the caller's, about 1.1 KiB. Nothing is sized by
 * what a card states. libiotsafe itself is this with modems, locks, time-outs and OpenSSL around.
 *
 * Compile src/device/core and src/base/{cur,put,tlv,hex}.c with your firmware (make mcu shows how);
 * the compiler may ask for memcpy, memset and memcmp. */

#include "iotsafe_types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One exchange: 5 + 255 + 1 bytes out, 256 + 2 bytes back. */
#define IOTSAFE_APDU_MAX  261
#define IOTSAFE_REPLY_MAX 258
/* Data of one command with all its GET RESPONSE steps. */
#define IOTSAFE_ANSWER_MAX 1024
#define IOTSAFE_ICCID_LEN  10 /* EF_ICCID */
#define IOTSAFE_EID_LEN	   16

struct iotsafe_core {
	/* The caller's: sends an APDU, waits for its answer, writes at most IOTSAFE_REPLY_MAX
	 * bytes. IOTSAFE_ENOCARD or IOTSAFE_ETIMEOUT end the operation. */
	enum iotsafe_error (*exchange)(void *arg, const unsigned char *apdu, size_t len,
		unsigned char *reply, size_t *reply_len);
	void *arg;
	/* The caller's, or found by iotsafe_core_select (len 0). */
	unsigned char aid[IOTSAFE_AID_MAX];
	size_t aid_len;

	/* Ours. */
	unsigned char channel;
	unsigned short sw; /* of the last command */
	const char *what;  /* its name, for messages */
	size_t answer_len;
	unsigned char answer[IOTSAFE_ANSWER_MAX];
};

/* Opens a logical channel (the basic one serves where none is free) and selects the applet. With
 * aid_len 0 the known identifiers are tried one after the other. IOTSAFE_ENOTFOUND: no applet. */
enum iotsafe_error iotsafe_core_open(struct iotsafe_core *core);
/* Selects it (again) on the channel that is open. */
enum iotsafe_error iotsafe_core_select(struct iotsafe_core *core);
/* Closes the channel, if it is not the basic one. */
void iotsafe_core_close(struct iotsafe_core *core);

/* What the applet says of itself. */
enum iotsafe_error iotsafe_core_applet(struct iotsafe_core *core, struct iotsafe_applet *out);
/* What a card's objects make of its slots: how many hold anything. */
size_t iotsafe_slots(const struct iotsafe_object *objects, size_t count,
	struct iotsafe_slot out[IOTSAFE_SLOTS_MAX]);
/* All objects. `list` holds the list as it comes; IOTSAFE_ETOOLARGE when it is too small, or when
 * there are more than `cap` objects (*count is their number then). */
enum iotsafe_error iotsafe_core_list(struct iotsafe_core *core, unsigned char *list,
	size_t list_cap, struct iotsafe_object *out, size_t cap, size_t *count);
enum iotsafe_error iotsafe_core_file_info(
	struct iotsafe_core *core, struct iotsafe_id id, struct iotsafe_object *out);
/* A whole file, by the size that the card states. */
enum iotsafe_error iotsafe_core_read_file(struct iotsafe_core *core, struct iotsafe_id id,
	unsigned char *out, size_t cap, size_t *len);
enum iotsafe_error iotsafe_core_public_key(
	struct iotsafe_core *core, struct iotsafe_id id, unsigned char point[IOTSAFE_POINT_LEN]);
/* ECDSA over a SHA-256 digest. A session that an aborted signature has left half open is brought
 * to its end first. */
enum iotsafe_error iotsafe_core_sign(struct iotsafe_core *core, struct iotsafe_id id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN]);
/* ECDH of key `id` with `peer`, which goes through container `peer_id`. */
enum iotsafe_error iotsafe_core_ecdh(struct iotsafe_core *core, struct iotsafe_id id,
	struct iotsafe_id peer_id, const unsigned char peer[IOTSAFE_POINT_LEN],
	unsigned char secret[IOTSAFE_SECRET_LEN]);
enum iotsafe_error iotsafe_core_random(struct iotsafe_core *core, unsigned char *out, size_t len);
/* EF_ICCID as it is stored, and the eUICC's identifier (IOTSAFE_ENOTFOUND: not an eUICC, or one
 * that does not say). Both select something else on the channel, and the applet again. */
enum iotsafe_error iotsafe_core_iccid(
	struct iotsafe_core *core, unsigned char ef[IOTSAFE_ICCID_LEN]);
enum iotsafe_error iotsafe_core_eid(struct iotsafe_core *core, unsigned char eid[IOTSAFE_EID_LEN]);

/* AT+CSIM (3GPP TS 27.007 section 8.17): the command for an APDU, with CR and LF and a NUL; 0 when
 * it does not fit into `cap` (2 * len + 32 suffice). */
size_t iotsafe_core_at_write(const unsigned char *apdu, size_t len, char *out, size_t cap);
/* A line of the modem without its end. */
enum iotsafe_line {
	IOTSAFE_LINE_NOISE, /* an echo, an unsolicited code, empty */
	IOTSAFE_LINE_OK,
	IOTSAFE_LINE_ERROR,
	IOTSAFE_LINE_CSIM, /* the answer; then the final OK comes */
	IOTSAFE_LINE_BAD_CSIM,
};
enum iotsafe_line iotsafe_core_at_line(
	const char *line, size_t len, unsigned char reply[IOTSAFE_REPLY_MAX], size_t *reply_len);

#ifdef __cplusplus
}
#endif
