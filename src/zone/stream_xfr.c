/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/stream_internal.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <time.h>

/* Octets that wait for one reader, and messages made before others get their turn. */
#define OUTPUT_ENOUGH (64u << 10)
#define TURN_MAX      4
#define OF_CLIENT_MAX 4u

static void end_transfer(struct stream_transfer *t)
{
	struct stream_client *c = t->client;

	TAILQ_REMOVE(&c->transfers, t, entry);
	c->transfer_count--;
	c->stream->transfers--;
	/* The file's place may be another region's soon. */
	if (c->stream->desk && c->stream->desk->chunk_of == t->xfr.region)
		c->stream->desk->chunk_of = NULL;
	spool_drop(t->xfr.region, &t->wait);
	free(t);
}

void stream__transfers_end(struct stream_client *c)
{
	struct stream_transfer *t;

	while ((t = TAILQ_FIRST(&c->transfers)) != NULL)
		end_transfer(t);
}

static bool refuse(struct stream_client *c, struct xfr_ask *ask)
{
	uint8_t *out = c->stream->out + STREAM_LENGTH_LEN;

	return stream__send(c, xfr_refuse(ask, DNS_SERVFAIL, (int64_t)time(NULL), out));
}

static void on_spooled(void *user)
{
	struct stream_transfer *t = user;
	struct stream_client *c = t->client;

	if (t->xfr.region->state != SPOOL_READY) {
		(void)refuse(c, &t->xfr.ask);
		end_transfer(t);
		return;
	}
	xfr_start(&t->xfr);
	t->ready = true;
	/* From the loop, so that whoever called may still look at the client. */
	bufferevent_trigger(
		c->bev, EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

bool stream__transfer(struct stream_client *c, struct xfr_ask *ask)
{
	struct stream *s = c->stream;
	struct stream_transfer *t = NULL;

	if (s->spool && !s->desk)
		s->desk = calloc(1, sizeof(*s->desk));
	if (s->desk && s->transfers < s->limits.transfers && c->transfer_count < OF_CLIENT_MAX)
		t = calloc(1, sizeof(*t));
	if (!t)
		return refuse(c, ask);
	t->client = c;
	t->wait = (struct spool_wait){ .fn = on_spooled, .user = t };
	t->xfr.ask = *ask;
	if (spool_take(s->spool, ask->whole, ask->from, &t->wait, &t->xfr.region) != RC_OK) {
		free(t);
		return refuse(c, ask);
	}
	TAILQ_INSERT_TAIL(&c->transfers, t, entry);
	c->transfer_count++;
	s->transfers++;
	if (!t->wait.queued)
		on_spooled(t);
	return true;
}

bool stream__transfers_go_on(struct stream_client *c)
{
	struct stream *s = c->stream;
	struct evbuffer *out = bufferevent_get_output(c->bev);
	struct stream_transfer *t, *next;
	int made = 0;

	for (t = TAILQ_FIRST(&c->transfers); t; t = next) {
		next = TAILQ_NEXT(t, entry);
		while (t->ready && made < TURN_MAX && evbuffer_get_length(out) < OUTPUT_ENOUGH) {
			size_t len;

			/* Half a transfer cannot be mended: the client asks anew. */
			if (xfr_next(&t->xfr, s->desk, (int64_t)time(NULL),
				    s->out + STREAM_LENGTH_LEN, &len) != RC_OK)
				return false;
			if (len == 0) {
				end_transfer(t);
				break;
			}
			if (!stream__send(c, len))
				return false;
			made++;
		}
	}
	if (made > 0)
		stream__touch(c);
	return true;
}
