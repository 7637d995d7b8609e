/* SPDX-License-Identifier: Apache-2.0 */
#include "card/peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUE_HIGH 65536      /* unread answers: above, nothing more is read from that peer */
#define LINGER_S   2	      /* a refused peer may finish what it is sending, so that it sees */
#define LINGER_MAX (1u << 20) /* the end of the stream and not a reset; but no more than this */

struct peer {
	struct peers *all;
	struct peer *next;
	struct bufferevent *bev;
	void *state;
	bool closing; /* no more input; goes when its answers are out */
	bool refused; /* what it still sends is thrown away */
	size_t thrown;
};

struct peers {
	struct peers_opts opts;
	const struct log *log;
	char *path;
	struct evconnlistener *listener;
	struct peer *first;
	size_t count;
};

static void drop(struct peer *p)
{
	struct peers *all = p->all;

	for (struct peer **at = &all->first; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	all->count--;
	if (all->opts.on_close)
		all->opts.on_close(p->state, all->opts.user);
	if (p->bev)
		bufferevent_free(p->bev);
	free(p);
}

static size_t queued(struct peer *p)
{
	return evbuffer_get_length(bufferevent_get_output(p->bev));
}

/* Hands out the messages that are whole. False: the peer is gone or going. */
static bool deliver(struct peer *p)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);

	while (evbuffer_get_length(in) >= 2 && queued(p) <= QUEUE_HIGH) {
		const uint8_t *at = evbuffer_pullup(in, 2);
		size_t len = at ? (size_t)at[0] << 8 | at[1] : 0;
		enum rc rc;

		if (!at || len == 0 || len > p->all->opts.message_max) {
			log_write(
				p->all->log, LOG_WARNING, "closed reason=\"bad length %zu\"", len);
			return false;
		}
		if (evbuffer_get_length(in) < 2 + len)
			return true;
		at = evbuffer_pullup(in, (ev_ssize_t)(2 + len));
		if (!at)
			return false;
		rc = p->all->opts.on_message(p, cur_init(at + 2, len), p->all->opts.user);
		evbuffer_drain(in, 2 + len);
		if (rc != RC_OK) {
			log_write(p->all->log, LOG_WARNING, "closed reason=\"%s\"", rc_text(rc));
			return false;
		}
	}
	return true;
}

static void discard(struct peer *p)
{
	struct evbuffer *in = bufferevent_get_input(p->bev);

	p->thrown += evbuffer_get_length(in);
	evbuffer_drain(in, evbuffer_get_length(in));
	if (p->thrown > LINGER_MAX)
		drop(p);
}

static void refuse(struct peer *p)
{
	static const struct timeval linger = { .tv_sec = LINGER_S };
	evutil_socket_t fd = bufferevent_getfd(p->bev);

	p->refused = true;
	(void)evbuffer_write(bufferevent_get_output(p->bev), fd);
	(void)shutdown(fd, SHUT_WR);
	bufferevent_disable(p->bev, EV_WRITE);
	bufferevent_set_timeouts(p->bev, &linger, NULL);
	bufferevent_enable(p->bev, EV_READ);
	discard(p);
}

static void advance(struct peer *p)
{
	if (p->refused) {
		discard(p);
		return;
	}
	if (!deliver(p)) {
		if (p->closing)
			drop(p);
		else
			refuse(p);
		return;
	}
	if (p->closing && queued(p) == 0) {
		drop(p);
		return;
	}
	if (queued(p) > QUEUE_HIGH)
		bufferevent_disable(p->bev, EV_READ);
	else if (!p->closing)
		bufferevent_enable(p->bev, EV_READ);
}

static void on_read(struct bufferevent *bev, void *user)
{
	(void)bev;
	advance(user);
}

static void on_written(struct bufferevent *bev, void *user)
{
	(void)bev;
	advance(user);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct peer *p = user;

	(void)bev;
	if (p->refused || (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))) {
		drop(p);
		return;
	}
	if (what & BEV_EVENT_EOF) {
		p->closing = true;
		advance(p);
	}
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
	int addr_len, void *user)
{
	struct peers *all = user;
	struct peer *p = all->count < PEERS_MAX ? calloc(1, sizeof(*p)) : NULL;

	(void)addr;
	(void)addr_len;
	if (!p) {
		close(fd);
		return;
	}
	p->all = all;
	if (all->opts.on_open && all->opts.on_open(&p->state, all->opts.user) != RC_OK) {
		free(p);
		close(fd);
		return;
	}
	p->next = all->first;
	all->first = p;
	all->count++;
	p->bev = bufferevent_socket_new(
		evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
	if (!p->bev) {
		close(fd);
		drop(p);
		return;
	}
	bufferevent_setcb(p->bev, on_read, on_written, on_event, p);
	bufferevent_setwatermark(p->bev, EV_READ, 0, 2 * (2 + all->opts.message_max));
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

enum rc peers_new(struct event_base *base, const char *path, const struct peers_opts *opts,
	const struct log *log, struct peers **out, struct diag *d)
{
	struct peers *all = calloc(1, sizeof(*all));
	int fd = -1;
	enum rc rc;

	if (!all)
		return RC_NOMEM;
	all->opts = *opts;
	all->log = log;
	rc = front__listen(path, &fd, d);
	if (rc != RC_OK)
		goto out;
	rc = RC_NOMEM;
	all->path = strdup(path);
	all->listener = evconnlistener_new(
		base, on_accept, all, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!all->listener) {
		close(fd);
		goto out;
	}
	if (!all->path)
		goto out;
	*out = all;
	return RC_OK;
out:
	peers_free(all);
	return rc;
}

void peers_free(struct peers *peers)
{
	if (!peers)
		return;
	while (peers->first)
		drop(peers->first);
	if (peers->listener)
		evconnlistener_free(peers->listener);
	if (peers->path)
		unlink(peers->path);
	free(peers->path);
	free(peers);
}

void *peer_state(struct peer *peer)
{
	return peer->state;
}

void peer_send(struct peer *peer, const void *bytes, size_t len)
{
	bufferevent_write(peer->bev, bytes, len);
}

void peers_tell(struct peers *peers, const void *bytes, size_t len)
{
	for (struct peer *p = peers->first; p; p = p->next)
		if (!p->closing && !p->refused && queued(p) <= QUEUE_HIGH)
			peer_send(p, bytes, len);
}
