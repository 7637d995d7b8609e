/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An HTTP/1.1 server for parties: mutual TLS, one request at a time per
 * connection, every answer JSON, every limit a number. It frames and bounds;
 * what a request means is its handler's business. */

#include "base/log.h"
#include "http/head.h"
#include "http/tls.h"

#include <event2/event.h>

struct http_limits {
	size_t clients;		/* connections together */
	size_t clients_per_key; /* connections of one client key */
	uint32_t idle_ms;	/* between requests */
	uint32_t hello_ms;	/* from accept to the end of the handshake */
	uint32_t head_ms;	/* from the first byte of a head to its last */
	uint32_t body_ms;	/* for a body */
	uint32_t send_ms;	/* for an answer that the client does not take */
};

/* What front starts with; each number has its test. */
#define HTTP_LIMITS_DEFAULT                                                                  \
	(struct http_limits)                                                                 \
	{                                                                                    \
		.clients = 1024, .clients_per_key = 64, .idle_ms = 75000, .hello_ms = 10000, \
		.head_ms = 10000, .body_ms = 30000, .send_ms = 30000                         \
	}

struct http_conn;

/* A whole request; borrowed until the callback returns (the body is wiped after it). */
struct http_request {
	const struct http_head *head;
	const uint8_t *body;
	size_t body_len;
	const uint8_t *spki_sha256;
	const char *peer; /* "127.0.0.1:40000" */
	X509 *cert;	  /* of the client, verified; borrowed */
	X509 *anchor;	  /* and its CA */
};

struct http_handler {
	/* The most bytes that a body of this request may have. */
	size_t (*body_max)(void *user, const struct http_head *head);
	/* Answer it with http_reply, now or later. */
	void (*on_request)(void *user, struct http_conn *conn, const struct http_request *request);
	/* The client went away before its answer: forget the connection. */
	void (*on_gone)(void *user, struct http_conn *conn);
	/* A request with a good head was refused here (its body is too large, late or malformed):
	 * for the audit; no answer is wanted, and no body is there. NULL: nobody cares. */
	void (*on_refused)(void *user, const struct http_request *request, const char *why);
	void *user;
};

/* Counted since the start, for the log and tests. */
struct http_counts {
	uint64_t accepted, refused, handshakes_failed, requests, bad_requests;
	size_t clients;
};

struct http_server;

/* Serves on `listen_fd` (borrowed, listening). All of it borrowed until http_server_free. */
enum rc http_server_new(struct http_server **out, struct event_base *base, int listen_fd,
	SSL_CTX *ctx, const struct http_limits *limits, const struct http_handler *handler,
	const struct log *log) ATT_MUST_CHECK;
/* Closes every connection without a further callback. NULL-safe. */
void http_server_free(struct http_server *server);
/* No new connections, and keep-alive ends with the answers that are under way. */
void http_server_drain(struct http_server *server);
const struct http_counts *http_server_counts(const struct http_server *server);

/* The answer of a request: JSON text, or NULL for none. `allow` (405) may be NULL; 429 and 503
 * carry Retry-After. */
void http_reply(
	struct http_conn *conn, unsigned status, const char *json, size_t len, const char *allow);

/* An answer of another type. `fields` NULL, or whole header lines with their ends. */
struct http_answer {
	unsigned status;
	const char *type;
	const char *fields;
	const void *body;
	size_t len;
};
void http_reply_as(struct http_conn *conn, const struct http_answer *answer);
