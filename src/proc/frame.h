/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A link between two processes: a connected, non-blocking stream socket that
 * carries frames, each a 4-byte big-endian length and that many bytes of one
 * protobuf message. Received frames are handed out where they lie in the
 * receive buffer; sent messages are packed straight into the send buffer and
 * leave in one write per turn of the event loop. A malformed frame ends the
 * link. Never interprets a message. */

#include "base/cur.h"
#include "base/rc.h"

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER   4
#define FRAME_MAX      (16u << 20) /* seams of the registry: a snapshot chunk is the largest */
#define LINK_QUEUE_MAX (64u << 20) /* bytes waiting for a peer that does not read */

/* Takes the next whole frame from `c`; *body borrows its bytes. RC_TRUNCATED: more bytes are
 * needed, `c` has not moved and *need says how many in all from c->at (FRAME_HEADER while the
 * length itself is not there). RC_TOO_LARGE: the length exceeds `max`, known before any of the
 * body. RC_MALFORMED: an empty frame. */
enum rc frame_next(struct cur *c, size_t max, struct cur *body, size_t *need) ATT_MUST_CHECK;

struct link;

/* `bytes` is valid until the callback returns. It may send on, or free, the link. */
typedef void link_message_fn(struct link *link, const uint8_t *bytes, size_t len, void *user);

/* The link is dead: RC_CLOSED the peer closed, RC_TOO_LARGE or RC_MALFORMED a bad frame, RC_IO.
 * Called once, from the event loop, never from link_send; not called after link_free. What was
 * received whole before the end has been delivered. The callback normally frees the link. */
typedef void link_closed_fn(struct link *link, enum rc why, void *user);

struct link_opts {
	size_t max_frame;	     /* 0: FRAME_MAX */
	size_t max_queue;	     /* 0: LINK_QUEUE_MAX */
	link_message_fn *on_message; /* required */
	link_closed_fn *on_closed;   /* required */
	void *user;		     /* borrowed; handed to both */
};

/* Takes `fd` (closed also on failure). *out is freed with link_free. RC_NOMEM, RC_IO. */
enum rc link_new(struct event_base *base, int take_fd, const struct link_opts *opts,
	struct link **out) ATT_MUST_CHECK;

/* Queues one frame. RC_TOO_LARGE: over max_frame. RC_BUSY: the peer does not keep up, nothing
 * was queued. RC_CLOSED: the link is dead. RC_NOMEM. */
enum rc link_send_bytes(struct link *link, const void *bytes, size_t len) ATT_MUST_CHECK;

/* The same, packed in place: link_send(l, &reply.base). */
enum rc link_send(struct link *link, const ProtobufCMessage *message) ATT_MUST_CHECK;

/* Stops (or resumes) delivering messages: back pressure towards the peer. */
void link_pause(struct link *link, bool paused);

/* Writes what is queued now, as far as the socket takes it, without waiting for the loop. */
void link_flush(struct link *link);

/* Bytes that are queued and not yet written. */
size_t link_queued(const struct link *link);
bool link_is_open(const struct link *link);

/* NULL-safe; unsent bytes are dropped. Allowed inside both callbacks. */
void link_free(struct link *link);
