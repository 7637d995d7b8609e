/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to stream*.c. */

#include "zone/stream.h"

#include <event2/bufferevent.h>
#include <sys/queue.h>

#define STREAM_LENGTH_LEN 2u
/* A client that asks without reading its answers is not read from beyond this. */
#define STREAM_OUTPUT_MAX (256u << 10)

struct stream_transfer {
	TAILQ_ENTRY(stream_transfer) entry;
	struct stream_client *client;
	struct spool_wait wait;
	struct xfr xfr;
	bool ready;
};

struct stream_client {
	TAILQ_ENTRY(stream_client) in_line; /* longest idle first */
	struct stream *stream;
	struct bufferevent *bev;
	struct sockaddr_storage from;
	TAILQ_HEAD(, stream_transfer) transfers;
	unsigned transfer_count;
};

struct stream {
	struct event_base *base;
	int fd;
	struct serve *serve;
	SSL_CTX *tls;
	struct spool *spool;
	struct stream_limits limits;
	struct event *event;
	unsigned count;
	unsigned transfers;
	TAILQ_HEAD(, stream_client) clients;
	struct xfr_desk *desk;
	uint8_t out[STREAM_LENGTH_LEN + SERVE_TCP_MAX];
};

/* stream.c: sends s->out's message. False: to be closed. */
bool stream__send(struct stream_client *c, size_t len);
void stream__touch(struct stream_client *c);

/* stream_xfr.c */
/* A granted transfer: sent beside the other answers. False: to be closed. */
bool stream__transfer(struct stream_client *c, struct xfr_ask *ask);
/* Sends on while the client reads. False: to be closed. */
bool stream__transfers_go_on(struct stream_client *c);
void stream__transfers_end(struct stream_client *c);
