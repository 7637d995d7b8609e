/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers over TCP (RFC 7766) and TLS (RFC 7858): many requests in flight on a
 * connection, idle ones closed, a bounded number of them. Transfers go out beside other
 * answers, as fast as the client reads, out of the spool. */

#include "base/diag.h"
#include "zone/serve.h"
#include "zone/spool.h"

#include <event2/event.h>
#include <openssl/ssl.h>

struct stream;

struct stream_limits {
	unsigned clients;     /* of this object; the longest idle one makes room for a new one */
	unsigned idle_ms;     /* without a whole request */
	unsigned per_address; /* connections of one client address; 0: no limit */
	unsigned transfers;   /* at a time; 0: none are made */
};

/* Serves the listening socket `fd` (borrowed). `tls` (borrowed) NULL: plain TCP. `spool` (borrowed)
 * NULL: no transfers. */
enum rc stream_new(struct event_base *base, int fd, struct serve *serve, SSL_CTX *tls,
	struct spool *spool, const struct stream_limits *limits,
	struct stream **out) ATT_MUST_CHECK;
void stream_free(struct stream *s);
/* Connections now; NULL: 0. */
unsigned stream_clients(const struct stream *s);

/* A server's context for DNS over TLS: TLS 1.2 and 1.3, ALPN "dot". Files are PEM. */
enum rc stream_tls_new(
	const char *cert, const char *key, SSL_CTX **out, struct diag *d) ATT_MUST_CHECK;
/* Takes another certificate and key for connections that come; the old ones stay when these do not
 * fit together. */
enum rc stream_tls_rotate(
	SSL_CTX *ctx, const char *cert, const char *key, struct diag *d) ATT_MUST_CHECK;
/* Session tickets (TLS 1.3) under keys made from the board's secret, so that any worker resumes
 * what another began. NULL: no tickets until there is a board again. */
void stream_tls_board(SSL_CTX *ctx, const struct snap_board *board);
