/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libiotsafe: the IoT SAFE applet of a SIM, from the device's side. It finds the card, reads its
 * files, lets it sign and agree on keys, and makes TLS use the key on it. A private key never
 * leaves the card, so there is no function that could return one.
 *
 * Several processes and threads may use one modem: every process opens its own logical channel,
 * every operation runs under flock(2) of the modem and under the handle's lock. */

#include <openssl/types.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum iotsafe_error {
	IOTSAFE_OK = 0,
	IOTSAFE_EINVAL,	   /* an argument is wrong */
	IOTSAFE_ENOCARD,   /* no modem, no card, or it went away */
	IOTSAFE_ETIMEOUT,  /* modem or card did not answer in time */
	IOTSAFE_EPROTO,	   /* the answer makes no sense */
	IOTSAFE_ENOTFOUND, /* no applet, no such object */
	IOTSAFE_EDENIED,   /* the card refuses: a blocked or empty key, an unreadable file */
	IOTSAFE_ECARD,	   /* the card refuses for another reason */
	IOTSAFE_ETOOLARGE, /* the caller's buffer is too small, or an object larger than allowed */
	IOTSAFE_ECRYPTO,   /* OpenSSL refused */
	IOTSAFE_ENOMEM,
};

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
};

#define IOTSAFE_ERROR_MAX  256
#define IOTSAFE_LABEL_MAX  61 /* 60 bytes and NUL */
#define IOTSAFE_ID_MAX	   20
#define IOTSAFE_ICCID_TEXT 21 /* 19 digits and 'f', or 20 digits, and NUL */
#define IOTSAFE_POINT_LEN  65 /* 04 | x | y */
#define IOTSAFE_DIGEST_LEN 32
#define IOTSAFE_SIG_LEN	   64 /* r | s */
#define IOTSAFE_SECRET_LEN 32 /* the x coordinate that ECDH gives */
#define IOTSAFE_FILE_MAX   65535

enum iotsafe_type {
	IOTSAFE_PRIVATE_KEY = 0xc1,
	IOTSAFE_PUBLIC_KEY = 0xc2,
	IOTSAFE_FILE = 0xc3,
	IOTSAFE_SECRET_KEY = 0xc4,
};

/* What the card says of one object (IoT.05 v1: GET DATA). Fields that it did not send are 0. */
struct iotsafe_object {
	enum iotsafe_type type;
	unsigned char id[IOTSAFE_ID_MAX];
	size_t id_len;
	char label[IOTSAFE_LABEL_MAX]; /* control characters replaced */
	unsigned char access;	       /* 01 read, 02 update */
	unsigned char state;	       /* 01 activated or filled */
	unsigned char key_type;	       /* 13 P-256 persistent, 14 volatile ... */
	unsigned char usage;	       /* of a key, or of a file (02: X.509) */
	unsigned char functions;       /* 01 sign, 02 generate, 04 agree, 08 derive */
	size_t size;		       /* of a file */
};

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
