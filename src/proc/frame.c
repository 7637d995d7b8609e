/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_FIRST (64u << 10)  /* one read, and the usual batch of messages */
#define BUFFER_KEEP  (1u << 20)	  /* an empty buffer larger than this goes back */
#define FLUSH_EARLY  (256u << 10) /* the peer may start on this much before our turn ends */

/* Bytes [start, end) of a growing allocation. */
struct buffer {
	uint8_t *bytes;
	size_t cap, start, end;
};

struct link {
	int fd;
	struct event *read_ev, *write_ev;
	struct link_opts opts;
	struct buffer in, out;
	enum rc why;	    /* what ended the link, once `ended` */
	bool ended;	    /* nothing more will be received */
	bool send_closed;   /* nothing more can be sent */
	bool reported;	    /* on_closed was called */
	bool paused;	    /* the owner wants no messages now */
	bool flush_waiting; /* write_ev is pending or active */
	bool freed;	    /* link_free inside a callback: memory goes when it returns */
	unsigned depth;	    /* callbacks of this link on the stack */
};

enum rc frame_next(struct cur *c, size_t max, struct cur *body, size_t *need)
{
	struct cur look = *c;
	size_t len = cur_u32(&look);

	*need = FRAME_HEADER;
	if (look.bad)
		return RC_TRUNCATED;
	if (len > max)
		return RC_TOO_LARGE;
	if (len == 0)
		return RC_MALFORMED;
	*need = FRAME_HEADER + len;
	if (look.left < len)
		return RC_TRUNCATED;
	*body = cur_take(&look, len);
	*c = look;
	return RC_OK;
}

static size_t buffer_used(const struct buffer *b)
{
	return b->end - b->start;
}

/* Room for `more` bytes at the end, by moving what is there when that is cheap, else by growing. */
static enum rc buffer_room(struct buffer *b, size_t more)
{
	size_t used = buffer_used(b), cap = b->cap ? b->cap : BUFFER_FIRST;
	uint8_t *grown;

	if (b->cap - b->end >= more)
		return RC_OK;
	if (b->start > 0 && b->cap - used >= more && b->start >= used) {
		memcpy(b->bytes, b->bytes + b->start, used);
		b->start = 0;
		b->end = used;
		return RC_OK;
	}
	while (cap - used < more)
		cap *= 2;
	grown = malloc(cap);
	if (!grown)
		return RC_NOMEM;
	if (used > 0)
		memcpy(grown, b->bytes + b->start, used);
	free(b->bytes);
	*b = (struct buffer){ .bytes = grown, .cap = cap, .end = used };
	return RC_OK;
}

static void buffer_took(struct buffer *b, size_t len)
{
	b->start += len;
	if (b->start < b->end)
		return;
	b->start = b->end = 0;
	if (b->cap > BUFFER_KEEP) {
		free(b->bytes);
		*b = (struct buffer){ 0 };
	}
}

static void link_destroy(struct link *link)
{
	free(link->in.bytes);
	free(link->out.bytes);
	free(link);
}

/* Leaves a callback; true when the link is gone and must not be touched. */
static bool link_leave(struct link *link)
{
	if (--link->depth > 0 || !link->freed)
		return link->freed;
	link_destroy(link);
	return true;
}

static void link_end(struct link *link, enum rc why)
{
	link->why = why;
	link->ended = true;
	link->send_closed = true;
	event_del(link->read_ev);
}

/* Hands out the whole frames that have arrived; false when the link is gone. */
static bool link_deliver(struct link *link)
{
	enum rc rc = RC_OK;

	while (!link->paused && rc == RC_OK) {
		struct cur c = cur_init(link->in.bytes + link->in.start, buffer_used(&link->in));
		struct cur body = { 0 };
		size_t need;

		rc = frame_next(&c, link->opts.max_frame, &body, &need);
		if (rc != RC_OK)
			break;
		link->depth++;
		link->opts.on_message(link, body.at, body.left, link->opts.user);
		if (link_leave(link))
			return false;
		buffer_took(&link->in, need);
	}
	if (rc != RC_OK && rc != RC_TRUNCATED) {
		/* What follows a bad frame means nothing. */
		buffer_took(&link->in, buffer_used(&link->in));
		link_end(link, rc);
	}
	return true;
}

static void link_report_end(struct link *link)
{
	if (!link->ended || link->paused || link->reported)
		return;
	link->reported = true;
	link->depth++;
	link->opts.on_closed(link, link->why, link->opts.user);
	(void)link_leave(link);
}

static void link_receive(struct link *link)
{
	ssize_t n;

	if (buffer_room(&link->in, BUFFER_FIRST / 2) != RC_OK) {
		link_end(link, RC_NOMEM);
		return;
	}
	do
		n = recv(link->fd, link->in.bytes + link->in.end, link->in.cap - link->in.end, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		link->in.end += (size_t)n;
	else if (n == 0 || errno == ECONNRESET)
		link_end(link, RC_CLOSED);
	else if (errno != EAGAIN)
		link_end(link, RC_IO);
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
	struct link *link = user;

	(void)fd;
	(void)what;
	if (!link->ended && !link->paused)
		link_receive(link);
	if (link_deliver(link))
		link_report_end(link);
}

/* The socket takes nothing any more: what has arrived is still delivered, then the end. */
static void link_send_failed(struct link *link)
{
	link->send_closed = true;
	buffer_took(&link->out, buffer_used(&link->out));
	shutdown(link->fd, SHUT_RDWR);
	if (!link->paused)
		event_active(link->read_ev, EV_READ, 1);
}

void link_flush(struct link *link)
{
	while (buffer_used(&link->out) > 0 && !link->send_closed && !link->freed) {
		ssize_t n = send(link->fd, link->out.bytes + link->out.start,
			buffer_used(&link->out), MSG_NOSIGNAL);
		if (n >= 0) {
			buffer_took(&link->out, (size_t)n);
		} else if (errno == EAGAIN) {
			if (event_add(link->write_ev, NULL) == 0) {
				link->flush_waiting = true;
				return;
			}
			link_send_failed(link);
		} else if (errno != EINTR) {
			link_send_failed(link);
		}
	}
}

static void on_writable(evutil_socket_t fd, short what, void *user)
{
	struct link *link = user;

	(void)fd;
	(void)what;
	link->flush_waiting = false;
	link_flush(link);
}

enum rc link_new(
	struct event_base *base, int take_fd, const struct link_opts *opts, struct link **out)
{
	struct link *link = calloc(1, sizeof(*link));
	int flags = fcntl(take_fd, F_GETFL);
	enum rc rc = RC_NOMEM;

	if (!link)
		goto out;
	link->fd = -1;
	link->opts = *opts;
	if (link->opts.max_frame == 0)
		link->opts.max_frame = FRAME_MAX;
	if (link->opts.max_queue == 0)
		link->opts.max_queue = LINK_QUEUE_MAX;
	rc = RC_IO;
	if (flags < 0 || fcntl(take_fd, F_SETFL, flags | O_NONBLOCK) != 0)
		goto out;
	rc = RC_NOMEM;
	link->read_ev = event_new(base, take_fd, EV_READ | EV_PERSIST, on_readable, link);
	link->write_ev = event_new(base, take_fd, EV_WRITE, on_writable, link);
	if (!link->read_ev || !link->write_ev || event_add(link->read_ev, NULL) != 0)
		goto out;
	link->fd = take_fd;
	take_fd = -1;
	*out = link;
	link = NULL;
	rc = RC_OK;
out:
	link_free(link);
	if (take_fd >= 0)
		close(take_fd);
	return rc;
}

/* A frame's place at the end of the send buffer, its length already written. */
static enum rc link_reserve(struct link *link, size_t len, uint8_t **body)
{
	size_t total = FRAME_HEADER + len;
	struct buffer *b = &link->out;
	uint8_t *at;

	if (link->send_closed || link->freed)
		return RC_CLOSED;
	if (len == 0 || len > link->opts.max_frame)
		return len == 0 ? RC_MALFORMED : RC_TOO_LARGE;
	if (buffer_used(b) > 0 && buffer_used(b) + total > link->opts.max_queue)
		return RC_BUSY;
	if (buffer_room(b, total) != RC_OK)
		return RC_NOMEM;
	at = b->bytes + b->end;
	at[0] = (uint8_t)(len >> 24);
	at[1] = (uint8_t)(len >> 16);
	at[2] = (uint8_t)(len >> 8);
	at[3] = (uint8_t)len;
	b->end += total;
	*body = at + FRAME_HEADER;
	return RC_OK;
}

/* Writes after the callbacks of this turn have had their say, so that many messages are one
 * system call: libevent appends an activated event to those being processed. */
static void link_schedule(struct link *link)
{
	if (link->flush_waiting)
		return;
	if (buffer_used(&link->out) >= FLUSH_EARLY) {
		link_flush(link);
		return;
	}
	link->flush_waiting = true;
	event_active(link->write_ev, EV_WRITE, 1);
}

enum rc link_send_bytes(struct link *link, const void *bytes, size_t len)
{
	uint8_t *body;
	enum rc rc = link_reserve(link, len, &body);

	if (rc != RC_OK)
		return rc;
	memcpy(body, bytes, len);
	link_schedule(link);
	return RC_OK;
}

enum rc link_send(struct link *link, const ProtobufCMessage *message)
{
	uint8_t *body;
	enum rc rc = link_reserve(link, protobuf_c_message_get_packed_size(message), &body);

	if (rc != RC_OK)
		return rc;
	protobuf_c_message_pack(message, body);
	link_schedule(link);
	return RC_OK;
}

void link_pause(struct link *link, bool paused)
{
	if (link->paused == paused || link->freed)
		return;
	link->paused = paused;
	if (paused) {
		event_del(link->read_ev);
		return;
	}
	if (!link->ended && event_add(link->read_ev, NULL) != 0)
		link_end(link, RC_NOMEM);
	/* What arrived before the pause, or ended during it, waits in the buffer. */
	event_active(link->read_ev, EV_READ, 1);
}

size_t link_queued(const struct link *link)
{
	return buffer_used(&link->out);
}

bool link_is_open(const struct link *link)
{
	return !link->ended && !link->send_closed && !link->freed;
}

void link_free(struct link *link)
{
	if (!link || link->freed)
		return;
	if (link->read_ev)
		event_free(link->read_ev);
	if (link->write_ev)
		event_free(link->write_ev);
	if (link->fd >= 0)
		close(link->fd);
	link->read_ev = link->write_ev = NULL;
	link->fd = -1;
	link->freed = true;
	if (link->depth == 0)
		link_destroy(link);
}
