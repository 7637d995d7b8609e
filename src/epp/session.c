/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: who may come in, how long anything may take, frames in, frames out. */
#include "epp/frame.h"
#include "epp/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPTS_PER_TURN = 32,
	PIPELINE_MAX = 256 * 1024, /* octets waiting behind a command that is under way */
	UNSENT_MAX = 1024 * 1024,  /* of answers that the client does not take */
	LINGER_MS = 2000	   /* so that the last answer is read before the end */
};

static void work(struct epp_session *s);

static uint64_t now_ms(const struct epp_server *server)
{
	return server->o.clock->monotonic_ms(server->o.clock);
}

size_t epp__sessions_of(const struct epp_session *s)
{
	size_t n = 0;

	for (const struct epp_session *o = s->server->sessions; o; o = o->next)
		n += o->client == s->client && o->logged_in;
	return n;
}

/* ---- life ---- */

static void session_free(struct epp_session *s)
{
	if (s->in_work) {
		s->freed_soon = true;
		return;
	}
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->server->counts.clients--;
	if (s->client)
		s->client->sessions--;
	tls_stream_free(s->stream);
	epp__command_free(s->cmd);
	free(s);
}

static void session_end(struct epp_session *s)
{
	if (s->state == SESSION_BUSY && !s->freed_soon)
		s->server->o.handler.gone(s->server->o.handler.user, s);
	session_free(s);
}

/* The earliest of what is waited for. */
static void set_deadline(struct epp_session *s)
{
	const struct epp_limits *l = &s->server->o.limits;
	uint64_t now = now_ms(s->server), at = s->started_ms + l->session_ms;

	if (s->state == SESSION_LINGER)
		return;
	if (s->state == SESSION_HELLO) {
		at = s->started_ms + l->hello_ms;
	} else {
		if (!s->logged_in && s->login_by_ms < at)
			at = s->login_by_ms;
		if (s->frame_begun && s->frame_by_ms < at)
			at = s->frame_by_ms;
		if (s->state == SESSION_OPEN && s->last_ms + l->idle_ms < at)
			at = s->last_ms + l->idle_ms;
		if (tls_unsent(s->stream) && s->send_by_ms < at)
			at = s->send_by_ms;
	}
	tls_deadline(s->stream, at > now ? (uint32_t)(at - now) : 1);
}

static void linger(struct epp_session *s)
{
	s->state = SESSION_LINGER;
	if (!s->stream)
		return;
	tls_finish(s->stream);
	tls_pause(s->stream, false);
	tls_deadline(s->stream, LINGER_MS);
}

void epp__end(struct epp_session *s)
{
	s->ending = true;
	if (s->state != SESSION_LINGER && s->state != SESSION_BUSY)
		linger(s);
}

static void send_frame(struct epp_session *s, struct out *take)
{
	uint8_t head[EPP_FRAME_HEADER];
	struct out frame = { 0 };

	if (!take->bad) {
		epp_frame_head(take->len, head);
		out_bytes(&frame, head, sizeof(head));
		out_bytes(&frame, take->bytes, take->len);
	}
	if (take->bad || frame.bad || tls_send(s->stream, frame.bytes, frame.len) != RC_OK)
		s->ending = true;
	s->send_by_ms = now_ms(s->server) + s->server->o.limits.send_ms;
	out_free(&frame);
	out_free(take);
}

void epp__send(struct epp_session *s, struct out *take)
{
	if (!s->stream) {
		s->sink->bad = take->bad;
		out_bytes(s->sink, take->bytes, take->len);
		out_free(take);
		return;
	}
	send_frame(s, take);
}

/* ---- what the stream tells ---- */

static void on_open(void *user, const uint8_t spki_sha256[TLS_SPKI_LEN], int64_t not_after)
{
	struct epp_session *s = user;

	s->client = epp__client_of(s->server, spki_sha256);
	if (!s->client) {
		tls_deadline(s->stream, 1);
		return;
	}
	/* Sessions that have not logged in yet count too: twice the cap ends them at their login.
	 */
	s->over_limit = s->client->sessions >= 2 * s->server->o.limits.clients_per_key;
	s->client->sessions++;
	memcpy(s->spki_sha256, spki_sha256, sizeof(s->spki_sha256));
	s->not_after = not_after;
	s->state = SESSION_OPEN;
	s->last_ms = now_ms(s->server);
	s->login_by_ms = s->last_ms + s->server->o.limits.login_ms;
	epp__greet(s);
	set_deadline(s);
}

static void on_closed(void *user, const char *why)
{
	struct epp_session *s = user;

	if (s->state == SESSION_HELLO) {
		s->server->counts.handshakes_failed++;
		log_write(s->server->o.log, LOG_INFO, "handshake failed peer=%s why=\"%s\"",
			s->peer, why);
	}
	session_end(s);
}

/* RFC 5730 section 2: the server may end a session that has been open or idle too long. */
static void on_deadline(void *user)
{
	struct epp_session *s = user;

	if (s->state == SESSION_HELLO) {
		s->server->counts.handshakes_failed++;
		session_end(s);
		return;
	}
	if (s->state == SESSION_LINGER || !s->client) {
		session_end(s);
		return;
	}
	s->server->counts.timeouts++;
	log_write(s->server->o.log, LOG_INFO, "session ended by time peer=%s party=%s", s->peer,
		s->logged_in ? s->id : "-");
	if (s->state == SESSION_BUSY || tls_unsent(s->stream))
		session_end(s);
	else
		linger(s);
}

static void on_sent(void *user)
{
	struct epp_session *s = user;

	if (s->state == SESSION_LINGER)
		return;
	work(s);
}

/* One frame, if a whole one is there. False: nothing more can be done now. */
static bool read_frame(struct epp_session *s)
{
	struct buf *in = tls_in(s->stream);
	size_t len = 0;
	enum rc rc = epp_frame_next(buf_at(in), buf_len(in), s->server->o.limits.frame_max, &len);

	if (rc == RC_TRUNCATED) {
		if (buf_len(in) && !s->frame_begun) {
			s->frame_begun = true;
			s->frame_by_ms = now_ms(s->server) + s->server->o.limits.frame_ms;
		}
		return false;
	}
	if (rc != RC_OK) {
		/* What follows has no known beginning: nothing can be answered. */
		s->server->counts.bad_frames++;
		log_write(s->server->o.log, LOG_INFO, "bad frame peer=%s why=\"%s\"", s->peer,
			rc_text(rc));
		epp__end(s);
		return false;
	}
	s->frame_begun = false;
	s->last_ms = now_ms(s->server);
	epp__frame(s, buf_at(in) + EPP_FRAME_HEADER, len);
	buf_drop(tls_in(s->stream), EPP_FRAME_HEADER + len);
	return true;
}

/* Commands one after the other: the answers keep their order, and a command sees what the one
 * before it did. */
static void work(struct epp_session *s)
{
	if (s->in_work)
		return; /* the loop below goes on */
	s->in_work = true;
	while (!s->freed_soon && s->state == SESSION_OPEN && !s->ending &&
		tls_unsent(s->stream) < UNSENT_MAX && read_frame(s))
		;
	s->in_work = false;
	if (s->freed_soon) {
		session_free(s);
		return;
	}
	if (s->ending && s->state == SESSION_OPEN)
		linger(s);
	if (s->state == SESSION_LINGER)
		return;
	tls_pause(s->stream, buf_len(tls_in(s->stream)) > PIPELINE_MAX);
	set_deadline(s);
}

static void on_bytes(void *user)
{
	struct epp_session *s = user;
	struct buf *in = tls_in(s->stream);

	if (s->state == SESSION_LINGER) {
		buf_drop(in, buf_len(in));
		return;
	}
	if (s->state == SESSION_BUSY) {
		if (buf_len(in) > PIPELINE_MAX)
			tls_pause(s->stream, true);
		return;
	}
	work(s);
}

void epp_reply(struct epp_session *s, const Registry__Reply *reply)
{
	if (s->state != SESSION_BUSY)
		return;
	epp__core_reply(s, reply);
	s->last_ms = now_ms(s->server);
	if (s->state == SESSION_BUSY)
		return; /* asks once more */
	if (s->stream && s->state != SESSION_LINGER)
		work(s);
}

/* ---- accepting ---- */

static void peer_text(const struct sockaddr_storage *sa, char *out, size_t cap)
{
	char addr[INET6_ADDRSTRLEN] = "?";

	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		(void)inet_ntop(AF_INET, &in->sin_addr, addr, sizeof(addr));
		(void)snprintf(out, cap, "%s:%u", addr, ntohs(in->sin_port));
	} else if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, addr, sizeof(addr));
		(void)snprintf(out, cap, "[%s]:%u", addr, ntohs(in6->sin6_port));
	} else {
		(void)snprintf(out, cap, "local");
	}
}

static void take_client(struct epp_server *server, int fd, const struct sockaddr_storage *sa)
{
	static const struct tls_events events = { .on_open = on_open,
		.on_bytes = on_bytes,
		.on_deadline = on_deadline,
		.on_sent = on_sent,
		.on_closed = on_closed };
	struct epp_session *s = NULL;
	int one = 1;

	if (server->counts.clients >= server->o.limits.clients || !(s = calloc(1, sizeof(*s)))) {
		server->counts.refused++;
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->server = server;
	s->started_ms = now_ms(server);
	peer_text(sa, s->peer, sizeof(s->peer));
	if (tls_stream_new(&s->stream, server->o.base, server->o.ctx, fd, &events, s) != RC_OK) {
		server->counts.refused++;
		free(s);
		return;
	}
	s->next = server->sessions;
	s->link = &server->sessions;
	if (s->next)
		s->next->link = &s->next;
	server->sessions = s;
	server->counts.clients++;
	server->counts.accepted++;
	set_deadline(s);
}

static void on_accept(evutil_socket_t fd, short what, void *user)
{
	struct epp_server *server = user;
	const struct timeval soon = { .tv_usec = 100000 };
	struct sockaddr_storage sa;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		socklen_t len = sizeof(sa);
		int client =
			accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			take_client(server, client, &sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			event_del(server->acceptor);
			(void)event_add(server->again, &soon);
		}
		return;
	}
}

static void on_again(evutil_socket_t fd, short what, void *user)
{
	struct epp_server *server = user;

	(void)fd;
	(void)what;
	if (!server->draining)
		(void)event_add(server->acceptor, NULL);
}

/* RFC 5730 section 2.1: svTRID is unique; before the dash it tells one start of the server from
 * every other. */
static enum rc name_transactions(struct epp_server *server)
{
	uint32_t bits;
	enum rc rc = server->o.rng->fill(server->o.rng, &bits, sizeof(bits));

	if (rc == RC_OK)
		(void)snprintf(server->trid_prefix, sizeof(server->trid_prefix), "%llx%08x-",
			(unsigned long long)server->o.clock->unix_s(server->o.clock), bits);
	return rc;
}

enum rc epp_server_new(struct epp_server **out, const struct epp_options *options)
{
	struct epp_server *server = calloc(1, sizeof(*server));
	enum rc rc;

	if (!server)
		return RC_NOMEM;
	server->o = *options;
	rc = name_transactions(server);
	server->acceptor = event_new(
		options->base, options->listen_fd, EV_READ | EV_PERSIST, on_accept, server);
	server->again = event_new(options->base, -1, 0, on_again, server);
	if (rc == RC_OK &&
		(!server->acceptor || !server->again || event_add(server->acceptor, NULL) < 0))
		rc = RC_NOMEM;
	if (rc != RC_OK) {
		epp_server_free(server);
		return rc;
	}
	*out = server;
	return RC_OK;
}

void epp_server_drain(struct epp_server *server)
{
	struct epp_session *next;

	server->draining = true;
	event_del(server->acceptor);
	for (struct epp_session *s = server->sessions; s; s = next) {
		next = s->next;
		if (s->state == SESSION_HELLO)
			session_end(s);
		else
			epp__end(s);
	}
}

void epp_server_free(struct epp_server *server)
{
	if (!server)
		return;
	while (server->sessions) {
		server->sessions->in_work = false;
		session_free(server->sessions);
	}
	epp__clients_free(server);
	if (server->spare) {
		xml_free(server->spare->xml);
		free(server->spare);
	}
	if (server->acceptor)
		event_free(server->acceptor);
	if (server->again)
		event_free(server->again);
	free(server);
}

const struct epp_counts *epp_server_counts(const struct epp_server *server)
{
	return &server->counts;
}
