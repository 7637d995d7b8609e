/* SPDX-License-Identifier: Apache-2.0 */
#include "gate_cmd.h"

#include "asp/gate.h"
#include "base/compiler.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define IDLE_S		60
#define LINGER_S	2
#define ANSWER_MAX	1024
#define METRICS_MAX	16384

/* One connection of the web server: one request at a time, answered in order. */
struct conn {
	struct conn *next, **prev;
	struct gate *gate;
	struct bufferevent *bev;
	struct attest_op *op; /* the look-up of the request at hand */
	bool keep_alive;
	bool closing; /* what still comes is thrown away: closing on unread bytes loses the answer
		       */
};

struct gate {
	const struct log *log;
	struct attest *attest;
	struct evconnlistener *listener;
	struct event *ended;
	struct conn *conns;
	size_t n_conns;
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool bound;
};

static void next_request(struct conn *c);

static void conn_free(struct conn *c)
{
	attest_cancel(c->op);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->gate->n_conns--;
	bufferevent_free(c->bev);
	free(c);
}

/* Closes once everything is written. */
static void on_written(struct bufferevent *bev, void *user)
{
	struct conn *c = user;

	if (c->keep_alive || c->op)
		return;
	if (c->closing)
		(void)shutdown(bufferevent_getfd(bev), SHUT_WR);
	else
		conn_free(c);
}

static void reply(struct conn *c, const char *status, const char *fields, const char *body)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	evbuffer_add_printf(out,
		"HTTP/1.1 %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s%s\r\n%s",
		status, strlen(body), fields, c->keep_alive ? "" : "Connection: close\r\n", body);
}

static void on_verdict(struct attest_op *op, const struct attest_result *r, void *user)
{
	struct conn *c = user;
	char fields[ANSWER_MAX];

	(void)op;
	c->op = NULL;
	log_write(c->gate->log, LOG_INFO, "checked reason=%s name=%s service=%s ttl=%u cached=%d",
		attest_reason_text(r->reason), r->name[0] ? r->name : "-",
		r->service[0] ? r->service : "-", r->ttl_s, r->cached);
	(void)snprintf(fields, sizeof(fields),
		"X-Attest-Reason: %s\r\nX-Attest-Name: %s\r\nX-Attest-Service: %s\r\n"
		"X-Attest-TTL: %u\r\n",
		attest_reason_text(r->reason), r->name, r->service, r->ttl_s);
	reply(c,
		r->reason == ATTEST_OK		      ? "204 No Content"
		: r->reason == ATTEST_UNAUTHENTICATED ? "401 Unauthorized"
						      : "403 Forbidden",
		fields, "");
	if (c->keep_alive)
		next_request(c);
}

static void refuse(struct conn *c, const char *status)
{
	const struct timeval linger = { .tv_sec = LINGER_S };
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->keep_alive = false;
	c->closing = true;
	evbuffer_drain(in, evbuffer_get_length(in));
	bufferevent_set_timeouts(c->bev, &linger, &linger);
	reply(c, status, "", "");
}

static void metrics(struct conn *c)
{
	char text[METRICS_MAX];

	(void)attest_metrics_text(c->gate->attest, text, sizeof(text));
	reply(c, "200 OK", "Content-Type: text/plain; version=0.0.4\r\n", text);
}

static void answer(struct conn *c, const struct gate_request *req)
{
	c->keep_alive = req->keep_alive;
	if (strcmp(req->path, "/metrics") == 0)
		metrics(c);
	else if (strcmp(req->path, "/check") != 0)
		reply(c, "404 Not Found", "", "");
	else if (attest_check_start(c->gate->attest, req->der, req->der_len, NULL, on_verdict, c,
			 &c->op) != ATTEST_SUCCESS)
		refuse(c, "503 Service Unavailable");
}

/* Takes what has arrived, one request after the other's answer. */
static void next_request(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	while (!c->op && c->keep_alive) {
		size_t len = evbuffer_get_length(in), head;
		const uint8_t *bytes = len ? evbuffer_pullup(in, -1) : NULL;
		struct gate_request req;

		if (!bytes)
			return;
		head = gate_head_len(bytes, len < GATE_HEAD_MAX ? len : GATE_HEAD_MAX);
		if (head == 0) {
			if (len >= GATE_HEAD_MAX)
				refuse(c, "431 Request Header Fields Too Large");
			return;
		}
		if (gate_request_parse(bytes, head, &req) != RC_OK) {
			refuse(c, "400 Bad Request");
			return;
		}
		evbuffer_drain(in, head);
		answer(c, &req);
	}
}

static void on_read(struct bufferevent *bev, void *user)
{
	struct conn *c = user;

	if (c->closing)
		evbuffer_drain(bufferevent_get_input(bev),
			evbuffer_get_length(bufferevent_get_input(bev)));
	else
		next_request(c);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		conn_free(user);
}

static void on_accept(
	struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len, void *user)
{
	const struct timeval idle = { .tv_sec = IDLE_S };
	struct gate *g = user;
	struct conn *c = g->n_conns < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;

	(void)addr;
	(void)len;
	if (c)
		c->bev = bufferevent_socket_new(
			evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->bev) {
		free(c);
		close(fd);
		return;
	}
	c->gate = g;
	c->keep_alive = true;
	c->next = g->conns;
	c->prev = &g->conns;
	if (c->next)
		c->next->prev = &c->next;
	g->conns = c;
	g->n_conns++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_set_timeouts(c->bev, &idle, &idle);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 2 * GATE_HEAD_MAX);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_ended(evutil_socket_t fd, short what, void *user)
{
	struct gate *g = user;

	(void)fd;
	(void)what;
	(void)attest_dispatch(g->attest);
}

/* An old socket is taken over only when nobody listens at it. */
static int bind_at(struct gate *g, unsigned mode, struct diag *d)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t old;
	int rc;

	memcpy(a.sun_path, g->socket, sizeof(a.sun_path));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 && errno == ECONNREFUSED)
		(void)unlink(g->socket);
	if (fd >= 0)
		close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	old = umask((mode_t)(~mode & 0777));
	rc = fd >= 0 ? bind(fd, (struct sockaddr *)&a, sizeof(a)) : -1;
	umask(old);
	if (rc != 0) {
		diag_set(d, RC_IO, "%s: %s", g->socket, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	g->bound = true;
	return fd;
}

enum rc gate_new(struct event_base *base, const struct gate_config *config, const struct log *log,
	struct gate **out, struct diag *d)
{
	struct gate *g = calloc(1, sizeof(*g));
	char error[ATTEST_TEXT_MAX] = "";
	enum rc rc = RC_NOMEM;
	int fd;

	if (!g)
		return rc;
	g->log = log;
	if (strlen(config->socket) >= sizeof(g->socket)) {
		rc = diag_set(d, RC_RANGE, "socket: path too long");
		goto out;
	}
	memcpy(g->socket, config->socket, strlen(config->socket) + 1);
	if (attest_new(&config->attest, &g->attest, error, sizeof(error)) != ATTEST_SUCCESS ||
		(config->feed.url && attest_feed_start(g->attest, &config->feed, error,
					     sizeof(error)) != ATTEST_SUCCESS)) {
		rc = diag_set(d, RC_RANGE, "%s", error);
		goto out;
	}
	fd = bind_at(g, config->socket_mode, d);
	if (fd < 0) {
		rc = RC_IO;
		goto out;
	}
	g->listener = evconnlistener_new(base, on_accept, g, LEV_OPT_CLOSE_ON_FREE, 1024, fd);
	g->ended = event_new(base, attest_fd(g->attest), EV_READ | EV_PERSIST, on_ended, g);
	if (g->listener && g->ended && event_add(g->ended, NULL) == 0)
		rc = RC_OK;
	else if (!g->listener)
		close(fd);
out:
	if (rc != RC_OK)
		gate_free(g);
	else
		*out = g;
	return rc;
}

void gate_free(struct gate *gate)
{
	if (!gate)
		return;
	while (gate->conns)
		conn_free(gate->conns);
	if (gate->ended)
		event_free(gate->ended);
	if (gate->listener)
		evconnlistener_free(gate->listener);
	if (gate->bound)
		(void)unlink(gate->socket);
	attest_free(gate->attest);
	free(gate);
}
