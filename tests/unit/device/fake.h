/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A card of the test's own, on a thread: enough IoT SAFE to be read, to sign and to agree, with the
 * habits of real cards and modems as switches. It shares no code with what it tests. */

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_FILES_MAX 8

struct fake_file {
	uint8_t id;
	const uint8_t *bytes;
	size_t len;
};

struct fake {
	/* Set before fake_start. */
	bool modem;	    /* a pty with AT commands, else a unix socket */
	bool echo;	    /* ATE1 */
	bool noise;	    /* unsolicited lines around every answer */
	bool no_quotes;	    /* "+CSIM: 4,9000" */
	bool use_61;	    /* data comes by GET RESPONSE */
	bool long_sig;	    /* 33 00 40 instead of 33 40 */
	bool no_channels;   /* MANAGE CHANNEL: 6A81 */
	bool stuck_session; /* the first INIT answers 6A86 until the session is closed */
	bool stuck_hard;    /* ... and closing it does not help: only a block with P1 90 ends it */
	bool no_euicc;	    /* no ISD-R */
	bool m2m_euicc;	    /* an ECASD that says the EID instead */
	bool long_ids; /* names of three bytes: 30 30 and the usual one, of public keys 30 31 */
	bool list_in_parts;
	bool lists_agree_key; /* container 0B stands in the object list too */
	bool no_ccid;	      /* AT+CCID: ERROR */
	EVP_PKEY *sign_key;   /* container 01; borrowed */
	EVP_PKEY *agree_key;  /* container 0B; borrowed */
	struct fake_file files[FAKE_FILES_MAX];
	size_t files_len;
	uint8_t iccid[10];
	/* Also while it runs. */
	atomic_bool blocked;	/* the signature key answers 6985 */
	atomic_bool reset;	/* forget channels and selection once */
	atomic_bool mute;	/* never answer again */
	atomic_bool hang;	/* a modem: no AT+CSIM is answered until AT+CFUN=1,1 */
	atomic_int resets;	/* how often AT+CFUN=1,1 came */
	atomic_int die_at_sign; /* hang up instead of answering the n-th signature (1: next) */
	atomic_int slow_ms;	/* before every answer */
	atomic_bool bad_answer; /* answer nonsense */
	atomic_int signatures;
	atomic_int exchanges;

	/* Filled by fake_start: what iotsafe_open wants. */
	char card[128];

	/* Private. */
	pthread_t thread;
	int fd, listener, stop[2];
	char path[100];
	bool channels[4], selected[4];
	char other[4]; /* selected instead: 'r' ISD-R, 'c' ECASD */
	uint8_t pending[256];
	size_t pending_len;
	uint8_t peer[65];
	bool has_peer, session_open, session_stuck;
	int list_at;
};

void fake_start(struct fake *f);
void fake_stop(struct fake *f);

/* A certificate for a key, signed by `ca_key` (NULL: self-signed CA). */
X509 *fake_cert(EVP_PKEY *key, const char *cn, EVP_PKEY *ca_key, X509 *ca);
