/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The server's side of mutual TLS (1.2 and 1.3) on an event loop: who may
 * connect, and a stream of clear bytes once somebody has. The client's
 * certificate is verified once, in the handshake, against the party CA and
 * nothing else: a device certificate never authenticates a party. No tickets,
 * no resumption, no renegotiation. Knows nothing of HTTP. */

#include "base/diag.h"
#include "http/buf.h"

#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdbool.h>

#define TLS_SPKI_LEN 32

/* A context from PEM files: own chain and key, and the one CA that signs clients' certificates
 * (it may be an intermediate one: it is the anchor). Free with SSL_CTX_free. */
enum rc tls_server_ctx(SSL_CTX **out, const char *cert, const char *key, const char *client_ca,
	struct diag *d) ATT_MUST_CHECK;

/* Lets certificates of another CA in too, beside the parties': tls_peer_anchor tells them apart. */
enum rc tls_server_trust(SSL_CTX *ctx, const char *ca, struct diag *d) ATT_MUST_CHECK;

struct tls_stream;

struct tls_events {
	/* The handshake is over: the certificate's SPKI hash and the time it expires. */
	void (*on_open)(void *user, const uint8_t spki_sha256[TLS_SPKI_LEN], int64_t not_after);
	/* Bytes were added to tls_in. */
	void (*on_bytes)(void *user);
	/* The deadline has passed. Closes the stream unless the callback sets another. */
	void (*on_deadline)(void *user);
	/* All that was queued has left. */
	void (*on_sent)(void *user);
	/* The peer has gone, or what it sent was not TLS. Once, and last: free the stream. */
	void (*on_closed)(void *user, const char *why);
};

/* Takes `fd`, a connected non-blocking socket, also on failure. Callbacks come from the loop, only
 * on_closed also while a call of ours runs is postponed to it: no function here calls back. */
enum rc tls_stream_new(struct tls_stream **out, struct event_base *base, SSL_CTX *ctx, int take_fd,
	const struct tls_events *events, void *user) ATT_MUST_CHECK;
/* Closes at once. NULL-safe; allowed inside every callback. */
void tls_stream_free(struct tls_stream *s);

/* Once open: the certificate that the handshake verified, and the CA that signed it; borrowed. */
X509 *tls_peer(const struct tls_stream *s);
X509 *tls_peer_anchor(const struct tls_stream *s);

/* What has arrived; the owner drops what it has used (buf_drop). */
struct buf *tls_in(struct tls_stream *s);
/* Stops and resumes reading: back pressure. While paused a peer's end is not noticed. */
void tls_pause(struct tls_stream *s, bool paused);

/* Queues bytes and sends what the socket takes. RC_NOMEM; RC_CLOSED. */
enum rc tls_send(struct tls_stream *s, const void *bytes, size_t len) ATT_MUST_CHECK;
/* Bytes that are queued and have not left. */
size_t tls_unsent(const struct tls_stream *s);
/* Says close_notify once all is sent; reading goes on. */
void tls_finish(struct tls_stream *s);

/* One deadline at a time; 0 takes it away. */
void tls_deadline(struct tls_stream *s, uint32_t ms);
