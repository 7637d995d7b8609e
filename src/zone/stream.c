/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/stream_internal.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Answers written before another connection gets its turn. */
#define TURN_MAX   256
#define ACCEPT_MAX 64
/* A reader is given more when no more than this waits for it. */
#define OUTPUT_LOW (32u << 10)

static void client_close(struct stream_client *c)
{
	struct stream *s = c->stream;

	stream__transfers_end(c);
	TAILQ_REMOVE(&s->clients, c, in_line);
	s->count--;
	bufferevent_free(c->bev);
	free(c);
}

void stream__touch(struct stream_client *c)
{
	TAILQ_REMOVE(&c->stream->clients, c, in_line);
	TAILQ_INSERT_TAIL(&c->stream->clients, c, in_line);
}

bool stream__send(struct stream_client *c, size_t len)
{
	uint8_t *out = c->stream->out;

	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	return bufferevent_write(c->bev, out, STREAM_LENGTH_LEN + len) == 0;
}

/* RFC 9103 section 7.1: a transfer's TLS is 1.3, with "dot" agreed upon. */
static bool is_xot(const struct stream_client *c)
{
	const SSL *ssl = bufferevent_openssl_get_ssl(c->bev);
	const unsigned char *alpn = NULL;
	unsigned len = 0;

	if (!ssl)
		return false;
	SSL_get0_alpn_selected(ssl, &alpn, &len);
	return SSL_version(ssl) == TLS1_3_VERSION && len == 3 && memcmp(alpn, "dot", 3) == 0;
}

/* One request from the front of the input; false: none is whole yet. *bad: to be closed. */
static bool answer_one(struct stream_client *c, struct evbuffer *in, bool xot, bool *bad)
{
	struct stream *s = c->stream;
	struct xfr_ask ask;
	struct serve_client client = { .via = SERVE_STREAM,
		.tls = s->tls != NULL,
		.tls13 = xot,
		.from = (const struct sockaddr *)&c->from,
		.ask = s->spool ? &ask : NULL };
	uint8_t head[STREAM_LENGTH_LEN];
	uint8_t *frame;
	size_t want, len;

	if (evbuffer_copyout(in, head, STREAM_LENGTH_LEN) != STREAM_LENGTH_LEN)
		return false;
	want = (size_t)(head[0] << 8 | head[1]);
	if (evbuffer_get_length(in) < STREAM_LENGTH_LEN + want)
		return false;
	frame = evbuffer_pullup(in, (ev_ssize_t)(STREAM_LENGTH_LEN + want));
	if (!frame) {
		*bad = true;
		return false;
	}
	len = serve_answer_to(
		s->serve, &client, frame + STREAM_LENGTH_LEN, want, s->out + STREAM_LENGTH_LEN);
	evbuffer_drain(in, STREAM_LENGTH_LEN + want);
	if (client.granted)
		*bad = !stream__transfer(c, &ask);
	else if (len > 0)
		*bad = !stream__send(c, len);
	return !*bad;
}

static void client_serve(struct stream_client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer *out = bufferevent_get_output(c->bev);
	bool bad = false;
	bool xot = is_xot(c);
	unsigned n = 0;

	serve_begin(c->stream->serve);
	while (evbuffer_get_length(out) < STREAM_OUTPUT_MAX && n < TURN_MAX &&
		answer_one(c, in, xot, &bad))
		n++;
	serve_end(c->stream->serve);
	if (bad) {
		client_close(c);
		return;
	}
	if (n > 0)
		stream__touch(c);
	if (evbuffer_get_length(out) >= STREAM_OUTPUT_MAX)
		bufferevent_disable(c->bev, EV_READ);
	else if (n == TURN_MAX)
		bufferevent_trigger(
			c->bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

static void on_read(struct bufferevent *bev, void *user)
{
	(void)bev;
	client_serve(user);
}

/* The output has drained: go on reading, and answer what was read meanwhile. */
static void on_written(struct bufferevent *bev, void *user)
{
	struct stream_client *c = user;

	if (!stream__transfers_go_on(c)) {
		client_close(c);
		return;
	}
	if (bufferevent_get_enabled(bev) & EV_READ)
		return;
	bufferevent_enable(bev, EV_READ);
	client_serve(c);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct stream_client *c = user;

	if (what & BEV_EVENT_CONNECTED)
		return;
	/* Who is being sent a zone has nothing to say meanwhile. */
	if (what == (BEV_EVENT_TIMEOUT | BEV_EVENT_READING) && c->transfer_count > 0) {
		bufferevent_enable(bev, EV_READ);
		return;
	}
	/* Idle, closed, or broken: nothing that a client could be told. */
	ERR_clear_error();
	client_close(c);
}

static struct bufferevent *transport(struct stream *s, int fd)
{
	SSL *ssl;
	struct bufferevent *bev;

	if (!s->tls)
		return bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	ssl = SSL_new(s->tls);
	if (!ssl)
		return NULL;
	bev = bufferevent_openssl_socket_new(
		s->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		SSL_free(ssl);
	else
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

static const void *address_of(const struct sockaddr_storage *a, size_t *len)
{
	const struct sockaddr_in *a4 = (const void *)a;
	const struct sockaddr_in6 *a6 = (const void *)a;

	*len = a->ss_family == AF_INET ? 4 : 16;
	return a->ss_family == AF_INET ? (const void *)&a4->sin_addr : (const void *)&a6->sin6_addr;
}

/* RFC 7766 section 6.2.2: nobody needs many. */
static bool has_too_many(const struct stream *s, const struct sockaddr_storage *from)
{
	const struct stream_client *c;
	size_t len, other_len;
	const void *addr = address_of(from, &len);
	unsigned n = 0;

	if (s->limits.per_address == 0)
		return false;
	TAILQ_FOREACH(c, &s->clients, in_line)
	{
		const void *other = address_of(&c->from, &other_len);

		n += other_len == len && memcmp(addr, other, len) == 0;
	}
	return n >= s->limits.per_address;
}

static void client_open(struct stream *s, int fd, const struct sockaddr_storage *from)
{
	struct stream_client *c = has_too_many(s, from) ? NULL : calloc(1, sizeof(*c));
	struct timeval idle = { (time_t)(s->limits.idle_ms / 1000),
		(suseconds_t)(s->limits.idle_ms % 1000) * 1000 };
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (c)
		c->bev = transport(s, fd);
	if (!c || !c->bev) {
		close(fd);
		free(c);
		return;
	}
	if (s->count == s->limits.clients)
		client_close(TAILQ_FIRST(&s->clients));
	c->stream = s;
	c->from = *from;
	TAILQ_INIT(&c->transfers);
	TAILQ_INSERT_TAIL(&s->clients, c, in_line);
	s->count++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_set_timeouts(c->bev, &idle, &idle);
	bufferevent_setwatermark(c->bev, EV_WRITE, OUTPUT_LOW, 0);
	bufferevent_setwatermark(c->bev, EV_READ, 0, STREAM_LENGTH_LEN + SERVE_TCP_MAX);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_accept(evutil_socket_t fd, short what, void *user)
{
	(void)what;
	for (int i = 0; i < ACCEPT_MAX; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof(from);
		int peer =
			accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer < 0)
			return;
		client_open(user, peer, &from);
	}
}

enum rc stream_new(struct event_base *base, int fd, struct serve *serve, SSL_CTX *tls,
	struct spool *spool, const struct stream_limits *limits, struct stream **out)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return RC_NOMEM;
	s->base = base;
	s->fd = fd;
	s->serve = serve;
	s->tls = tls;
	s->spool = spool;
	s->limits = *limits;
	TAILQ_INIT(&s->clients);
	s->event = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, s);
	if (!s->event || event_add(s->event, NULL) != 0) {
		stream_free(s);
		return RC_NOMEM;
	}
	*out = s;
	return RC_OK;
}

unsigned stream_clients(const struct stream *s)
{
	return s ? s->count : 0;
}

void stream_free(struct stream *s)
{
	struct stream_client *c;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->clients)) != NULL)
		client_close(c);
	if (s->event)
		event_free(s->event);
	free(s->desk);
	free(s);
}
