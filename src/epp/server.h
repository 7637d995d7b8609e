/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The EPP server (RFC 5730, 5734): sessions over mutual TLS, strict grammar, answers in order.
 * It turns commands into the typed requests of proto/registry.proto and replies into XML. It
 * decides nothing about objects and holds no data of the registry. */

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "http/tls.h"
#include "registry.pb-c.h"

#include <event2/event.h>

/* What is counted for its rate. Each query and each transform counts twice: for itself and
 * together. */
enum epp_rate {
	EPP_RATE_CHECK,
	EPP_RATE_INFO,
	EPP_RATE_POLL, /* the last query */
	EPP_RATE_CREATE,
	EPP_RATE_UPDATE,
	EPP_RATE_DELETE,
	EPP_RATE_RENEW,
	EPP_RATE_TRANSFER, /* the last transform */
	EPP_RATE_LOGIN,
	EPP_RATE_REFUSED, /* refused commands that go to the audit */
	EPP_RATE_QUERY,
	EPP_RATE_TRANSFORM,
	EPP_RATES
};

struct epp_limits {
	size_t clients;		   /* connections together */
	size_t clients_per_key;	   /* sessions of one client key; 2502 beyond */
	size_t frame_max;	   /* octets of a command's frame */
	unsigned logins;	   /* failed ones on one connection before 2501 */
	uint32_t hello_ms;	   /* from accept to the end of the handshake */
	uint32_t login_ms;	   /* from the greeting to a successful login */
	uint32_t frame_ms;	   /* from a frame's first octet to its last */
	uint32_t idle_ms;	   /* between commands */
	uint32_t session_ms;	   /* from accept to the end, whatever happens */
	uint32_t send_ms;	   /* for an answer that the client does not take */
	unsigned rates[EPP_RATES]; /* commands a second of one client key; 0: no limit */
};

struct epp_session;

struct epp_handler {
	/* Sends it to core; epp_reply answers, now or later. False: it cannot be sent now. */
	bool (*ask)(void *user, struct epp_session *session, Registry__Request *request);
	/* A request whose answer nobody waits for. */
	void (*note)(void *user, Registry__Request *request);
	/* The session ended before its answer: forget it. */
	void (*gone)(void *user, struct epp_session *session);
	/* To the keys role; see ca/seal.h. */
	enum rc (*seal)(void *user, const uint8_t *plain, size_t len, uint8_t *out, size_t cap,
		size_t *out_len);
	void *user;
};

/* Counted since the start, for the log and tests. */
struct epp_counts {
	uint64_t accepted, refused, handshakes_failed, logins, logins_failed, commands, errors,
		limited, limited_by[EPP_RATES], timeouts, bad_frames,
		unkept; /* refusals that were too many for the audit */
	size_t clients;
};

struct epp_options {
	struct event_base *base;
	int listen_fd; /* borrowed, listening */
	SSL_CTX *ctx;
	struct epp_limits limits;
	struct epp_handler handler;
	const struct clock *clock;
	const struct rng *rng;
	const struct log *log;
	const char *server_id; /* svID: 3-64 characters */
};

struct epp_server;

/* All of `options` is borrowed until epp_server_free, the struct itself is copied. */
enum rc epp_server_new(struct epp_server **out, const struct epp_options *options) ATT_MUST_CHECK;
/* Closes every connection without a further callback. NULL-safe. */
void epp_server_free(struct epp_server *server);
/* No new connections; sessions end with the answers that are under way. */
void epp_server_drain(struct epp_server *server);
const struct epp_counts *epp_server_counts(const struct epp_server *server);

/* Core's answer to the request of the session; NULL: core did not give one. */
void epp_reply(struct epp_session *session, const Registry__Reply *reply);
