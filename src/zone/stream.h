/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Answers over TCP (RFC 7766) and TLS (RFC 7858): many requests in flight on a
 * connection, idle ones closed, a bounded number of them. */

#include "base/diag.h"
#include "zone/serve.h"

#include <event2/event.h>
#include <openssl/ssl.h>

struct stream;

struct stream_limits {
	unsigned clients; /* of this object; the longest idle one makes room for a new one */
	unsigned idle_ms; /* without a whole request */
};

/* Serves the listening socket `fd` (borrowed). `tls` (borrowed) NULL: plain TCP. */
enum rc stream_new(struct event_base *base, int fd, struct serve *serve, SSL_CTX *tls,
	const struct stream_limits *limits, struct stream **out) ATT_MUST_CHECK;
void stream_free(struct stream *s);

/* A server's context for DNS over TLS: TLS 1.2 and 1.3, ALPN "dot". Files are PEM. */
enum rc stream_tls_new(
	const char *cert, const char *key, SSL_CTX **out, struct diag *d) ATT_MUST_CHECK;
