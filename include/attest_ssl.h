/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libattest in a TLS or DTLS server on OpenSSL: the handshake itself refuses
 * whoever is not attested, or lets the server hold application data until the
 * verdict. Uses the certificate's verify call-back only, never
 * SSL_set_retry_verify: on a server that completes the handshake. */

#include "attest.h"

#include <openssl/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum attest_dance {
	ATTEST_DANCE_OFF,
	ATTEST_DANCE_OFFERED,  /* a client may name itself (TLS 1.3, extension dane_clientid) */
	ATTEST_DANCE_REQUIRED, /* TLS 1.3 only; a client that does not is refused */
};

/* Zero-initialise, then set what you need. */
struct attest_ssl_options {
	/* 0: the handshake waits for the verdict, wait_ms at most, and fails without one.
	 * 1: the handshake checks what the certificate shows; the server calls attest_ssl_start
	 * when it is done, and neither reads nor writes before the verdict. For event loops. */
	int hold;
	enum attest_dance dance;
	/* Asked before any look-up whether the name a client sent may go on; NULL: every one may,
	 * and must then be that of its certificate. */
	int (*allow)(const char *client_name, void *user);
	void *user;
};

/* Prepares a server's context: a certificate is demanded, sessions are not resumed and not
 * renegotiated (both would pass the judgement by), failures of every kind are one alert,
 * handshake_failure. Call it after the server's own settings and before its first SSL_new; `attest`
 * must live longer than the context. ATTEST_EINVAL: DANCE required where TLS 1.3 cannot be. */
enum attest_error attest_ssl_ctx(
	struct attest *attest, SSL_CTX *ctx, const struct attest_ssl_options *options);

/* What the handshake found; without one "unauthenticated". Under `hold` ATTEST_OK means no more
 * than that the certificate is worth a look-up. Into the connection's memory. */
const struct attest_result *attest_ssl_result(struct attest *attest, const SSL *ssl);
/* The name from dane_clientid, "" without one. */
const char *attest_ssl_client_name(struct attest *attest, const SSL *ssl);

/* Begins the look-up for the peer of a finished handshake, as attest_check_start. */
enum attest_error attest_ssl_start(struct attest *attest, const SSL *ssl, attest_done *done,
	void *user, struct attest_op **out);

/* The client's end: sends `name`, the complete owner name of its TLSA record without trailing dot,
 * to servers that ask for it. Any program; needs no struct attest. ATTEST_EINVAL: not such a name.
 */
enum attest_error attest_dance_client(SSL_CTX *ctx, const char *name);

#ifdef __cplusplus
}
#endif
