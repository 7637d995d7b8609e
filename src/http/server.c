/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include "base/secret.h"
#include "base/str.h"

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
	LINGER_MS = 2000,	  /* so that a refusal is read before the reset */
	LINGER_BYTES = 8 << 20,	  /* and what is still on its way is thrown away */
	PIPELINE_MAX = 64 * 1024, /* waiting behind a request that is under way */
	RETRY_AFTER_S = 1
};

/* CONN_HEAD covers idleness too: a head of which nothing is there. */
enum conn_state { CONN_HELLO, CONN_HEAD, CONN_BODY, CONN_BUSY, CONN_SEND, CONN_LINGER };

struct http_conn {
	struct http_server *server;
	struct http_conn *next, **link; /* in server->conns */
	struct tls_stream *stream;
	enum conn_state state;
	bool over_key_limit;
	bool head_begun; /* its deadline runs */
	bool in_work;	 /* work() is on the stack */
	bool freed_soon; /* free when work() is done */
	bool close_after;
	bool head_only; /* HEAD: the body of the answer stays here */
	size_t lingered;
	uint8_t spki_sha256[TLS_SPKI_LEN];
	int64_t not_after; /* of the client's certificate */
	char peer[INET6_ADDRSTRLEN + 10];
	struct http_head head;
	struct http_chunks chunks;
	struct buf body;
	size_t body_max;
};

struct http_server {
	struct event_base *base;
	struct event *acceptor;
	struct event *again; /* accepting was out of descriptors */
	int listen_fd;
	SSL_CTX *ctx;
	struct http_limits limits;
	struct http_handler handler;
	const struct log *log;
	struct http_conn *conns;
	struct http_counts counts;
	bool draining;
};

static void work(struct http_conn *c);

/* ---- life of a connection ---- */

static void conn_free(struct http_conn *c)
{
	if (c->in_work) {
		c->freed_soon = true;
		return;
	}
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->server->counts.clients--;
	tls_stream_free(c->stream);
	buf_free(&c->body);
	free(c);
}

static void conn_end(struct http_conn *c)
{
	if (c->state == CONN_BUSY)
		c->server->handler.on_gone(c->server->handler.user, c);
	conn_free(c);
}

static size_t conns_of_key(const struct http_server *s, const uint8_t spki[TLS_SPKI_LEN])
{
	size_t n = 0;

	for (const struct http_conn *c = s->conns; c; c = c->next)
		n += c->state != CONN_HELLO && memcmp(c->spki_sha256, spki, TLS_SPKI_LEN) == 0;
	return n;
}

static void on_open(void *user, const uint8_t spki_sha256[TLS_SPKI_LEN], int64_t not_after)
{
	struct http_conn *c = user;

	c->over_key_limit =
		conns_of_key(c->server, spki_sha256) >= c->server->limits.clients_per_key;
	memcpy(c->spki_sha256, spki_sha256, TLS_SPKI_LEN);
	c->not_after = not_after;
	c->state = CONN_HEAD;
	tls_deadline(c->stream, c->server->limits.head_ms);
}

static void on_closed(void *user, const char *why)
{
	struct http_conn *c = user;

	if (c->state == CONN_HELLO) {
		c->server->counts.handshakes_failed++;
		log_write(c->server->log, LOG_INFO, "handshake failed peer=%s why=\"%s\"", c->peer,
			why);
	}
	conn_end(c);
}

/* ---- answers ---- */

static void linger(struct http_conn *c)
{
	c->state = CONN_LINGER;
	tls_finish(c->stream);
	tls_pause(c->stream, false);
	tls_deadline(c->stream, LINGER_MS);
}

static void after_reply(struct http_conn *c)
{
	if (c->close_after) {
		linger(c);
		return;
	}
	c->state = CONN_HEAD;
	c->head_begun = false;
	tls_pause(c->stream, false);
	tls_deadline(c->stream, c->server->limits.idle_ms);
	work(c); /* the next one may be here already */
}

static void on_sent(void *user)
{
	struct http_conn *c = user;

	if (c->state == CONN_SEND)
		after_reply(c);
}

static int head_text(char *out, size_t cap, const struct http_conn *c, const struct http_answer *a)
{
	char retry[32] = "";

	if (a->status == 429 || a->status == 503)
		(void)snprintf(retry, sizeof(retry), "Retry-After: %d\r\n", RETRY_AFTER_S);
	return snprintf(out, cap,
		"HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\n%s%s%s\r\n",
		a->status, http_phrase(a->status), a->type, a->len, retry,
		a->fields ? a->fields : "", c->close_after ? "Connection: close\r\n" : "");
}

/* Head and body leave in one write, and so in one segment for most answers. */
static enum rc send_reply(struct http_conn *c, const struct http_answer *a)
{
	char stack[4096], *text = stack;
	size_t body = c->head_only ? 0 : a->len;
	int n = head_text(stack, sizeof(stack), c, a);
	enum rc rc;

	if (n < 0 || (size_t)n >= sizeof(stack))
		return RC_INTERNAL;
	if ((size_t)n + body > sizeof(stack)) {
		text = malloc((size_t)n + body);
		if (!text)
			return RC_NOMEM;
		memcpy(text, stack, (size_t)n);
	}
	if (body)
		memcpy(text + n, a->body, body);
	rc = tls_send(c->stream, text, (size_t)n + body);
	mem_wipe(text, (size_t)n + body); /* an authorization code may be in it */
	if (text != stack)
		free(text);
	return rc;
}

void http_reply_as(struct http_conn *c, const struct http_answer *answer)
{
	if (c->server->draining)
		c->close_after = true;
	c->state = CONN_SEND;
	/* A stream that cannot take it is dead and says so from the loop, or dies by this
	 * deadline. */
	tls_deadline(c->stream, c->server->limits.send_ms);
	if (send_reply(c, answer) != RC_OK)
		tls_deadline(c->stream, 1);
	else if (!tls_unsent(c->stream))
		after_reply(c);
}

void http_reply(
	struct http_conn *c, unsigned status, const char *json, size_t len, const char *allow)
{
	char fields[64] = "";
	struct http_answer answer = { .status = status,
		.type = "application/json",
		.fields = fields,
		.body = json,
		.len = len };

	if (allow)
		(void)snprintf(fields, sizeof(fields), "Allow: %s\r\n", allow);
	http_reply_as(c, &answer);
}

static struct http_request request_of(const struct http_conn *c, const uint8_t *body, size_t len)
{
	return (struct http_request){ .head = &c->head,
		.body = body,
		.body_len = len,
		.spki_sha256 = c->spki_sha256,
		.peer = c->peer,
		.cert = tls_peer(c->stream),
		.anchor = tls_peer_anchor(c->stream) };
}

/* A request that cannot be framed ends its connection: what follows has no known beginning. */
static void refuse(struct http_conn *c, unsigned status, const char *why)
{
	char json[160];
	/* The sentences are ours: nothing in them needs quoting. */
	int len = snprintf(json, sizeof(json), "{\"code\":2001,\"reason\":\"%s\"}", why);

	c->server->counts.bad_requests++;
	if (c->state == CONN_BODY && c->server->handler.on_refused) {
		struct http_request request = request_of(c, NULL, 0);

		c->server->handler.on_refused(c->server->handler.user, &request, why);
	}
	c->close_after = true;
	http_reply(c, status, json, len > 0 ? (size_t)len : 0, NULL);
}

static void on_deadline(void *user)
{
	struct http_conn *c = user;

	if ((c->state == CONN_HEAD && c->head_begun) || c->state == CONN_BODY) {
		refuse(c, 408, "the request did not arrive in time");
		return;
	}
	if (c->state == CONN_HELLO)
		c->server->counts.handshakes_failed++;
	conn_end(c);
}

/* ---- requests ---- */

static bool cert_expired(const struct http_conn *c)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec > c->not_after;
}

static void dispatch(struct http_conn *c, const uint8_t *body, size_t len)
{
	struct http_request request = request_of(c, body, len);

	c->state = CONN_BUSY;
	c->head_only = strcmp(c->head.method, "HEAD") == 0;
	c->close_after = !c->head.keep_alive;
	c->server->counts.requests++;
	tls_deadline(c->stream, 0);
	c->server->handler.on_request(c->server->handler.user, c, &request);
}

/* Both return true when there is more to do at once. */
static bool read_head(struct http_conn *c)
{
	struct buf *in = tls_in(c->stream);
	const char *why = NULL;
	unsigned status = 0;
	size_t len = 0;
	enum rc rc;

	/* RFC 9112 section 2.2: an empty line before a request is an old client's habit. */
	if (!c->head_begun && buf_len(in) >= 2 && memcmp(buf_at(in), "\r\n", 2) == 0)
		buf_drop(in, 2);
	if (!buf_len(in))
		return false;
	if (!c->head_begun) {
		c->head_begun = true;
		tls_deadline(c->stream, c->server->limits.head_ms);
	}
	rc = http_head_end(buf_at(in), buf_len(in), &len);
	if (rc == RC_TRUNCATED)
		return false;
	if (rc != RC_OK) {
		refuse(c, 431, "the request head is over 8192 bytes");
		return false;
	}
	rc = http_head_parse(buf_at(in), len, &c->head, &status, &why);
	buf_drop(in, len);
	if (rc != RC_OK) {
		refuse(c, status, why);
		return false;
	}
	if (c->over_key_limit) {
		refuse(c, 429, "too many connections with this certificate");
		return false;
	}
	if (cert_expired(c)) {
		refuse(c, 401, "the client certificate has expired");
		return false;
	}
	c->body_max = c->server->handler.body_max(c->server->handler.user, &c->head);
	c->chunks = (struct http_chunks){ 0 };
	c->state = CONN_BODY;
	tls_deadline(c->stream, c->server->limits.body_ms);
	return true;
}

static void say_continue(struct http_conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!c->head.expect_continue)
		return;
	c->head.expect_continue = false;
	if (tls_send(c->stream, go_on, sizeof(go_on) - 1) != RC_OK)
		tls_deadline(c->stream, 1);
}

static void read_chunked(struct http_conn *c)
{
	enum rc rc = http_chunks_read(&c->chunks, tls_in(c->stream), &c->body, c->body_max);

	if (rc == RC_TRUNCATED) {
		say_continue(c);
		return;
	}
	if (rc == RC_OK)
		dispatch(c, buf_at(&c->body), buf_len(&c->body));
	else if (rc == RC_TOO_LARGE)
		refuse(c, 413, "the body is too large");
	else
		refuse(c, 400, "malformed chunk");
	buf_free(&c->body);
}

static void read_body(struct http_conn *c)
{
	struct buf *in = tls_in(c->stream);
	size_t len = (size_t)c->head.content_length;

	if (c->head.chunked) {
		read_chunked(c);
		return;
	}
	if (c->head.content_length > c->body_max) {
		refuse(c, 413, "the body is too large");
		return;
	}
	if (buf_len(in) < len) {
		say_continue(c);
		return;
	}
	dispatch(c, buf_at(in), len);
	buf_drop(in, len);
}

/* Everything that what has arrived allows. */
static void work(struct http_conn *c)
{
	enum conn_state before;

	if (c->in_work)
		return; /* the loop below goes on */
	c->in_work = true;
	do {
		before = c->state;
		if (c->state == CONN_HEAD && read_head(c))
			read_body(c);
		else if (c->state == CONN_BODY && before == CONN_BODY)
			read_body(c);
	} while (!c->freed_soon && c->state == CONN_HEAD && !c->head_begun &&
		 buf_len(tls_in(c->stream)));
	c->in_work = false;
	if (c->freed_soon)
		conn_free(c);
}

static void on_bytes(void *user)
{
	struct http_conn *c = user;
	struct buf *in = tls_in(c->stream);

	if (c->state == CONN_LINGER) {
		c->lingered += buf_len(in);
		buf_drop(in, buf_len(in));
		if (c->lingered > LINGER_BYTES)
			conn_end(c);
		return;
	}
	if (c->state == CONN_BUSY || c->state == CONN_SEND) {
		if (buf_len(in) > PIPELINE_MAX)
			tls_pause(c->stream, true);
		return;
	}
	work(c);
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

static void take_client(struct http_server *s, int fd, const struct sockaddr_storage *sa)
{
	static const struct tls_events events = { .on_open = on_open,
		.on_bytes = on_bytes,
		.on_deadline = on_deadline,
		.on_sent = on_sent,
		.on_closed = on_closed };
	struct http_conn *c = NULL;
	int one = 1;

	if (s->counts.clients >= s->limits.clients || !(c = calloc(1, sizeof(*c)))) {
		s->counts.refused++;
		close(fd);
		return;
	}
	/* Without it an answer of two segments waits for the client's delayed ACK. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->server = s;
	peer_text(sa, c->peer, sizeof(c->peer));
	if (tls_stream_new(&c->stream, s->base, s->ctx, fd, &events, c) != RC_OK) {
		s->counts.refused++;
		free(c);
		return;
	}
	c->next = s->conns;
	c->link = &s->conns;
	if (c->next)
		c->next->link = &c->next;
	s->conns = c;
	s->counts.clients++;
	s->counts.accepted++;
	tls_deadline(c->stream, s->limits.hello_ms);
}

static void on_accept(evutil_socket_t fd, short what, void *user)
{
	struct http_server *s = user;
	struct sockaddr_storage sa;
	const struct timeval soon = { .tv_usec = 100000 };

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		socklen_t len = sizeof(sa);
		memset(&sa, 0, sizeof(sa));
		int client =
			accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0) {
			take_client(s, client, &sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The listener stays readable: do not spin on it. */
			log_write(s->log, LOG_WARNING, "accept failed errno=%d", errno);
			event_del(s->acceptor);
			(void)event_add(s->again, &soon);
		}
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void on_again(evutil_socket_t fd, short what, void *user)
{
	struct http_server *s = user;

	(void)fd;
	(void)what;
	if (!s->draining)
		(void)event_add(s->acceptor, NULL);
}

enum rc http_server_new(struct http_server **out, struct event_base *base, int listen_fd,
	SSL_CTX *ctx, const struct http_limits *limits, const struct http_handler *handler,
	const struct log *log)
{
	struct http_server *s = calloc(1, sizeof(*s));

	if (!s)
		return RC_NOMEM;
	*s = (struct http_server){ .base = base,
		.listen_fd = listen_fd,
		.ctx = ctx,
		.limits = *limits,
		.handler = *handler,
		.log = log };
	s->acceptor = event_new(base, listen_fd, EV_READ | EV_PERSIST, on_accept, s);
	s->again = event_new(base, -1, 0, on_again, s);
	if (!s->acceptor || !s->again || event_add(s->acceptor, NULL) < 0) {
		http_server_free(s);
		return RC_NOMEM;
	}
	*out = s;
	return RC_OK;
}

void http_server_drain(struct http_server *s)
{
	struct http_conn *next;

	s->draining = true;
	event_del(s->acceptor);
	for (struct http_conn *c = s->conns; c; c = next) {
		next = c->next;
		if (c->state == CONN_HELLO || (c->state == CONN_HEAD && !c->head_begun))
			conn_end(c);
	}
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	while (s->conns) {
		s->conns->in_work = false;
		conn_free(s->conns);
	}
	if (s->acceptor)
		event_free(s->acceptor);
	if (s->again)
		event_free(s->again);
	free(s);
}

const struct http_counts *http_server_counts(const struct http_server *s)
{
	return &s->counts;
}
