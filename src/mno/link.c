/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"
#include "mno/smsc.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define WAITING_MAX    (4u << 20) /* bytes not taken yet by the other side */

struct mno_link {
	struct mno__smsc *smsc; /* not NULL: nothing else here is used */
	struct event_base *base;
	char *path;
	struct mno_link_calls calls;
	const struct log *log;
	struct bufferevent *bev; /* NULL: waiting to connect again */
	struct event *timer;
	bool up;
	unsigned backoff_ms;
};

static void try_connect(struct mno_link *l);

static void down(struct mno_link *l)
{
	struct timeval t = { .tv_sec = l->backoff_ms / 1000,
		.tv_usec = (suseconds_t)(l->backoff_ms % 1000) * 1000 };

	if (l->up)
		log_write(l->log, LOG_WARNING, "sms-link-down path=%s", l->path);
	l->up = false;
	if (l->bev)
		bufferevent_free(l->bev);
	l->bev = NULL;
	(void)evtimer_add(l->timer, &t);
	l->backoff_ms = l->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : l->backoff_ms * 2;
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	try_connect(user);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct mno_link *l = user;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		l->up = true;
		l->backoff_ms = BACKOFF_MIN_MS;
		log_write(l->log, LOG_INFO, "sms-link-up path=%s", l->path);
		l->calls.up(l->calls.user);
	} else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		down(l);
	}
}

static void on_read(struct bufferevent *bev, void *user)
{
	struct mno_link *l = user;
	struct evbuffer *in = bufferevent_get_input(bev);
	enum rc rc = RC_OK;

	while (rc == RC_OK) {
		size_t have = evbuffer_get_length(in);
		size_t want = have < SMSLINK_FRAME_MAX ? have : SMSLINK_FRAME_MAX;
		const uint8_t *bytes = want > 0 ? evbuffer_pullup(in, (ev_ssize_t)want) : NULL;
		struct cur c = cur_init(bytes, want);
		struct smslink_frame f;
		uint8_t ud[SCP80_UD_MAX], iccid[IDENT_ICCID_LEN];
		size_t len;

		if (!bytes)
			return;
		rc = smslink_read(&c, &f);
		if (rc != RC_OK)
			break;
		len = f.ud.left;
		cur_copy(&f.ud, ud, len);
		memcpy(iccid, f.iccid, sizeof(iccid));
		evbuffer_drain(in, want - c.left);
		if (f.kind == SMSLINK_FROM_CARD)
			l->calls.sms(l->calls.user, iccid, ud, len);
	}
	if (rc == RC_MALFORMED) {
		log_write(l->log, LOG_ERROR, "sms-link-malformed path=%s", l->path);
		down(l);
	}
}

static void try_connect(struct mno_link *l)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(l->path);

	memcpy(a.sun_path, l->path, len + 1);
	l->bev = bufferevent_socket_new(l->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!l->bev) {
		down(l);
		return;
	}
	bufferevent_setcb(l->bev, on_read, NULL, on_event, l);
	if (bufferevent_enable(l->bev, EV_READ | EV_WRITE) != 0 ||
		bufferevent_socket_connect(l->bev, (struct sockaddr *)&a, sizeof(a)) != 0) {
		/* on_event may have run already and put the next try on the timer. */
		if (l->bev)
			down(l);
	}
}

enum rc mno__link_new(struct event_base *base, const char *path, const struct mno_link_calls *calls,
	const struct log *log, struct mno_link **out)
{
	struct sockaddr_un a;
	struct mno_link *l = NULL;

	if (strlen(path) >= sizeof(a.sun_path))
		return RC_TOO_LARGE;
	l = calloc(1, sizeof(*l));
	if (!l)
		return RC_NOMEM;
	l->base = base;
	l->calls = *calls;
	l->log = log;
	l->backoff_ms = BACKOFF_MIN_MS;
	l->path = strdup(path);
	l->timer = evtimer_new(base, on_timer, l);
	if (!l->path || !l->timer) {
		mno__link_free(l);
		return RC_NOMEM;
	}
	*out = l;
	try_connect(l);
	return RC_OK;
}

enum rc mno__link_new_smpp(struct event_base *base, const struct mno_config *config,
	const struct mno_link_calls *calls, const struct log *log, struct mno_link **out,
	struct diag *d)
{
	struct mno_link *l = calloc(1, sizeof(*l));
	enum rc rc;

	if (!l)
		return RC_NOMEM;
	rc = mno__smsc_new(base, config, calls, log, &l->smsc, d);
	if (rc == RC_OK)
		*out = l;
	else
		free(l);
	return rc;
}

void mno__link_free(struct mno_link *l)
{
	if (!l)
		return;
	mno__smsc_free(l->smsc);
	if (l->bev)
		bufferevent_free(l->bev);
	if (l->timer)
		event_free(l->timer);
	free(l->path);
	free(l);
}

enum rc mno__link_send(struct mno_link *l, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet,
	const uint8_t *ud, size_t len)
{
	uint8_t frame[SMSLINK_FRAME_MAX];
	struct put p = put_init(frame, sizeof(frame));

	if (l->smsc)
		return mno__smsc_send(l->smsc, iccid, packet, ud, len);
	if (!l->up)
		return RC_UNAVAILABLE;
	if (evbuffer_get_length(bufferevent_get_output(l->bev)) > WAITING_MAX)
		return RC_BUSY;
	smslink_write(&p, SMSLINK_TO_CARD, iccid, ud, len);
	if (!put_ok(&p))
		return RC_TOO_LARGE;
	return bufferevent_write(l->bev, frame, p.len) == 0 ? RC_OK : RC_NOMEM;
}
