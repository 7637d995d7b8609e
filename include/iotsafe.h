/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libiotsafe: the IoT SAFE applet of a SIM, from the device's side. It finds the card, reads its
 * files, lets it sign and agree on keys, and makes TLS use the key on it. A private key never
 * leaves the card, so there is no function that could return one.
 *
 * Several processes and threads may use one modem: every process opens its own logical channel,
 * every operation runs under flock(2) of the modem and under the handle's lock. */

#include "iotsafe_core.h"

#include <openssl/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open card. */
struct iotsafe;

struct iotsafe_options {
	/* "tty:PATH", "pcsc:READER" ("pcsc:": any) or "socket:PATH"; NULL: the environment's
	 * IOTSAFE_CARD. */
	const char *card;
	/* Application identifier; NULL: those that are known, one after the other. */
	const unsigned char *aid;
	size_t aid_len;
	/* For one exchange with the card; 0: 5,000. A whole operation takes 12 of them at most. */
	unsigned timeout_ms;
	/* What to do when a modem's card does not answer in time: NULL: what the environment's
	 * IOTSAFE_RESET says, else nothing; "at": AT+CFUN=1,1; "/PATH": run that program with the
	 * modem's device as its argument. The operation is then done once more. At most one reset
	 * in half a minute: a modem that carries data loses its connection by it. */
	const char *reset;
};

#define IOTSAFE_ERROR_MAX  256
#define IOTSAFE_ICCID_TEXT 21 /* 19 digits and 'f', or 20 digits, and NUL */
#define IOTSAFE_EID_TEXT   33 /* 32 digits and NUL */

/* Opens the modem or socket, a logical channel, and selects the applet. `error` (may be NULL)
 * receives a sentence. Free with iotsafe_close. */
enum iotsafe_error iotsafe_open(
	const struct iotsafe_options *options, struct iotsafe **out, char *error, size_t error_cap);
/* Closes the channel. Every EVP_PKEY, SSL and SSL_CTX made from the card must be gone before. */
void iotsafe_close(struct iotsafe *card);

const char *iotsafe_error_text(enum iotsafe_error error);
/* A sentence about the last failure on this handle; valid until the next call on it. */
const char *iotsafe_last_error(const struct iotsafe *card);
/* How the card was named. */
const char *iotsafe_name(const struct iotsafe *card);

/* ICCID from EF_ICCID or, where the card does not let it be read, from the modem (AT+CCID). */
enum iotsafe_error iotsafe_iccid(struct iotsafe *card, char out[IOTSAFE_ICCID_TEXT]);

/* The eUICC's identifier. IOTSAFE_ENOTFOUND: not an eUICC, or one that does not say. */
enum iotsafe_error iotsafe_eid(struct iotsafe *card, char out[IOTSAFE_EID_TEXT]);
/* Resets the modem (by the option `reset`; without it, AT+CFUN=1,1) or the card in a reader now,
 * and waits until the card answers; not again within a second. IOTSAFE_EINVAL for cards that cannot
 * be reset (socket:). */
enum iotsafe_error iotsafe_reset(struct iotsafe *card);

/* What the applet says of itself: version, room, algorithms. IOTSAFE_EPROTO: an applet that is
 * known to get this wrong. */
enum iotsafe_error iotsafe_applet(struct iotsafe *card, struct iotsafe_applet *out);
/* All objects; *count is their number, also when it is above `cap` (IOTSAFE_ETOOLARGE). */
enum iotsafe_error iotsafe_list(
	struct iotsafe *card, struct iotsafe_object *out, size_t cap, size_t *count);
enum iotsafe_error iotsafe_file_info(
	struct iotsafe *card, unsigned char id, struct iotsafe_object *out);
/* A whole file, by the size that the card states. IOTSAFE_ETOOLARGE when that is above `cap`. */
enum iotsafe_error iotsafe_read_file(
	struct iotsafe *card, unsigned char id, unsigned char *out, size_t cap, size_t *len);

enum iotsafe_error iotsafe_public_key(
	struct iotsafe *card, unsigned char id, unsigned char point[IOTSAFE_POINT_LEN]);
/* ECDSA over a digest that the caller made. IOTSAFE_EDENIED for a blocked key. */
enum iotsafe_error iotsafe_sign(struct iotsafe *card, unsigned char id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN]);
/* ECDH of a key on the card with `peer`, which goes through container `peer_id` (05, 25, ...). */
enum iotsafe_error iotsafe_ecdh(struct iotsafe *card, unsigned char id, unsigned char peer_id,
	const unsigned char peer[IOTSAFE_POINT_LEN], unsigned char secret[IOTSAFE_SECRET_LEN]);
/* The same for cards whose containers have longer names than one byte. */
enum iotsafe_error iotsafe_read_file_by_id(
	struct iotsafe *card, struct iotsafe_id id, unsigned char *out, size_t cap, size_t *len);
enum iotsafe_error iotsafe_public_key_by_id(
	struct iotsafe *card, struct iotsafe_id id, unsigned char point[IOTSAFE_POINT_LEN]);
enum iotsafe_error iotsafe_sign_by_id(struct iotsafe *card, struct iotsafe_id id,
	const unsigned char digest[IOTSAFE_DIGEST_LEN], unsigned char sig[IOTSAFE_SIG_LEN]);
enum iotsafe_error iotsafe_ecdh_by_id(struct iotsafe *card, struct iotsafe_id id,
	struct iotsafe_id peer_id, const unsigned char peer[IOTSAFE_POINT_LEN],
	unsigned char secret[IOTSAFE_SECRET_LEN]);
/* Random bytes of the card, in steps of at most 127: some cards answer zeros above. */
enum iotsafe_error iotsafe_random(struct iotsafe *card, unsigned char *out, size_t len);

/* The one-byte id of object `n` (1..14) of slot 1..9. */
unsigned char iotsafe_container(unsigned slot, unsigned n);

struct iotsafe_found {
	char card[256];
	char iccid[IOTSAFE_ICCID_TEXT]; /* "" when it cannot be read */
};
/* Tries IOTSAFE_CARD, the serial devices and the PC/SC readers of this machine, `timeout_ms` each
 * (0: 500). Returns how many cards with the applet were found; at most `cap` are written. Sends AT
 * commands to every serial device that is not in use, so it is for set-up time. */
size_t iotsafe_discover(struct iotsafe_found *out, size_t cap, unsigned timeout_ms);

/* The key in container `id` as an EVP_PKEY whose private part stays on the card. */
enum iotsafe_error iotsafe_evp_pkey(struct iotsafe *card, unsigned char id, EVP_PKEY **out);
/* A client context: TLS 1.2 or later, certificate 2 and issuing CA 7 of the slot, key 1 on the
 * card, peer verification on with an empty trust store: the caller says whom to trust. A TLS 1.3
 * server that asks for the name of the client's TLSA records (dane_clientid) is told it. */
enum iotsafe_error iotsafe_ssl_ctx(struct iotsafe *card, unsigned slot, SSL_CTX **out);
/* The same certificate and key for a context that somebody else made (libcurl's
 * CURLOPT_SSL_CTX_FUNCTION); what it says of versions and trust stays. */
enum iotsafe_error iotsafe_ssl_ctx_use(struct iotsafe *card, unsigned slot, SSL_CTX *ctx);
/* The same for one connection, DTLS 1.2 too (libcoap: of coap_session_get_tls, at once after the
 * session was made). */
enum iotsafe_error iotsafe_ssl(struct iotsafe *card, unsigned slot, SSL *ssl);

#ifdef __cplusplus
}
#endif
