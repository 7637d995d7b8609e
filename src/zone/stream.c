/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_LEN 2u
/* A client that asks without reading its answers is not read from beyond this. */
#define OUTPUT_MAX (256u << 10)
/* Answers written before another connection gets its turn. */
#define TURN_MAX   256
#define ACCEPT_MAX 64

struct client {
	TAILQ_ENTRY(client) in_line; /* longest idle first */
	struct stream *stream;
	struct bufferevent *bev;
};

struct stream {
	struct event_base *base;
	int fd;
	struct serve *serve;
	SSL_CTX *tls;
	struct stream_limits limits;
	struct event *event;
	unsigned count;
	TAILQ_HEAD(, client) clients;
	uint8_t out[LENGTH_LEN + SERVE_TCP_MAX];
};

static void client_close(struct client *c)
{
	struct stream *s = c->stream;

	TAILQ_REMOVE(&s->clients, c, in_line);
	s->count--;
	bufferevent_free(c->bev);
	free(c);
}

static void client_touch(struct client *c)
{
	TAILQ_REMOVE(&c->stream->clients, c, in_line);
	TAILQ_INSERT_TAIL(&c->stream->clients, c, in_line);
}

/* One request from the front of the input; false: none is whole yet. *bad: to be closed. */
static bool answer_one(struct client *c, struct evbuffer *in, bool *bad)
{
	struct stream *s = c->stream;
	uint8_t head[LENGTH_LEN];
	uint8_t *frame;
	size_t want, len;

	if (evbuffer_copyout(in, head, LENGTH_LEN) != LENGTH_LEN)
		return false;
	want = (size_t)(head[0] << 8 | head[1]);
	if (evbuffer_get_length(in) < LENGTH_LEN + want)
		return false;
	frame = evbuffer_pullup(in, (ev_ssize_t)(LENGTH_LEN + want));
	if (!frame) {
		*bad = true;
		return false;
	}
	len = serve_answer(s->serve, frame + LENGTH_LEN, want, SERVE_STREAM, s->out + LENGTH_LEN);
	evbuffer_drain(in, LENGTH_LEN + want);
	if (len > 0) {
		s->out[0] = (uint8_t)(len >> 8);
		s->out[1] = (uint8_t)len;
		*bad = bufferevent_write(c->bev, s->out, LENGTH_LEN + len) != 0;
	}
	return !*bad;
}

static void client_serve(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer *out = bufferevent_get_output(c->bev);
	bool bad = false;
	unsigned n = 0;

	serve_begin(c->stream->serve);
	while (evbuffer_get_length(out) < OUTPUT_MAX && n < TURN_MAX && answer_one(c, in, &bad))
		n++;
	serve_end(c->stream->serve);
	if (bad) {
		client_close(c);
		return;
	}
	if (n > 0)
		client_touch(c);
	if (evbuffer_get_length(out) >= OUTPUT_MAX)
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
	struct client *c = user;

	if (bufferevent_get_enabled(bev) & EV_READ)
		return;
	bufferevent_enable(bev, EV_READ);
	client_serve(c);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	(void)bev;
	if (what & BEV_EVENT_CONNECTED)
		return;
	/* Idle, closed, or broken: nothing that a client could be told. */
	ERR_clear_error();
	client_close(user);
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

static void client_open(struct stream *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
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
	TAILQ_INSERT_TAIL(&s->clients, c, in_line);
	s->count++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_set_timeouts(c->bev, &idle, &idle);
	bufferevent_setwatermark(c->bev, EV_READ, 0, LENGTH_LEN + SERVE_TCP_MAX);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_accept(evutil_socket_t fd, short what, void *user)
{
	(void)what;
	for (int i = 0; i < ACCEPT_MAX; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer < 0)
			return;
		client_open(user, peer);
	}
}

enum rc stream_new(struct event_base *base, int fd, struct serve *serve, SSL_CTX *tls,
	const struct stream_limits *limits, struct stream **out)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return RC_NOMEM;
	s->base = base;
	s->fd = fd;
	s->serve = serve;
	s->tls = tls;
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

void stream_free(struct stream *s)
{
	struct client *c;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->clients)) != NULL)
		client_close(c);
	if (s->event)
		event_free(s->event);
	free(s);
}

/* RFC 7858 needs no ALPN; who offers some must offer "dot" (RFC 7301 section 3.2). */
static int pick_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *user)
{
	static const unsigned char dot[] = { 3, 'd', 'o', 't' };

	(void)ssl;
	(void)user;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, dot, sizeof(dot), in,
		    in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

enum rc stream_tls_new(const char *cert, const char *key, SSL_CTX **out, struct diag *d)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		return RC_NOMEM;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, pick_alpn, NULL);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(ctx) != 1) {
		diag_set(d, RC_CRYPTO, "DNS over TLS: %s, %s: %s", cert, key,
			ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		SSL_CTX_free(ctx);
		return RC_CRYPTO;
	}
	*out = ctx;
	return RC_OK;
}
