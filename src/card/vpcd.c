/* SPDX-License-Identifier: Apache-2.0 */
/* The card's end of vpcd: u16 length and a message; one byte is a control, more is a command. */
#include "card/front.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S 1

enum vpcd_control { VPCD_OFF = 0, VPCD_ON = 1, VPCD_RESET = 2, VPCD_ATR = 4 };

struct front_vpcd {
	struct event_base *base;
	struct card_session *session;
	const struct log *log;
	struct sockaddr_storage addr;
	int addr_len;
	struct bufferevent *bev; /* NULL between connections */
	struct event *retry;
};

static void connect_now(struct front_vpcd *v);

static void drop(struct front_vpcd *v)
{
	static const struct timeval wait = { .tv_sec = RETRY_S };

	if (v->bev)
		bufferevent_free(v->bev);
	v->bev = NULL;
	card_session_reset(v->session);
	event_add(v->retry, &wait);
}

static void send_message(struct front_vpcd *v, const uint8_t *bytes, size_t len)
{
	uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };

	bufferevent_write(v->bev, head, sizeof(head));
	bufferevent_write(v->bev, bytes, len);
}

/* T=0 and T=1, historical bytes "attestry", and the check byte (ISO 7816-3 section 8.2). */
static void send_atr(struct front_vpcd *v)
{
	uint8_t atr[13] = { 0x3b, 0x88, 0x80, 0x01, 'a', 't', 't', 'e', 's', 't', 'r', 'y' };

	for (size_t i = 1; i < sizeof(atr) - 1; i++)
		atr[12] = (uint8_t)(atr[12] ^ atr[i]);
	send_message(v, atr, sizeof(atr));
}

static void on_message(struct front_vpcd *v, const uint8_t *bytes, size_t len)
{
	uint8_t out[CARD_RESPONSE_MAX];
	struct put p = put_init(out, sizeof(out));

	if (len > 1) {
		card_session_apdu(v->session, bytes, len, &p);
		send_message(v, out, p.len);
		return;
	}
	switch (bytes[0]) {
	case VPCD_OFF:
	case VPCD_ON:
	case VPCD_RESET: card_session_reset(v->session); break;
	case VPCD_ATR: send_atr(v); break;
	default: break;
	}
}

static void on_read(struct bufferevent *bev, void *user)
{
	struct front_vpcd *v = user;
	struct evbuffer *in = bufferevent_get_input(bev);

	while (evbuffer_get_length(in) >= 2) {
		uint8_t head[2], bytes[CARD_APDU_MAX];
		size_t len;

		evbuffer_copyout(in, head, sizeof(head));
		len = (size_t)head[0] << 8 | head[1];
		if (len == 0 || len > sizeof(bytes)) {
			log_write(
				v->log, LOG_WARNING, "vpcd closed reason=\"bad length %zu\"", len);
			drop(v);
			return;
		}
		if (evbuffer_get_length(in) < 2 + len)
			return;
		evbuffer_drain(in, 2);
		evbuffer_remove(in, bytes, len);
		on_message(v, bytes, len);
	}
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct front_vpcd *v = user;
	int one = 1;

	if (what & BEV_EVENT_CONNECTED) {
		(void)setsockopt(
			bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		log_write(v->log, LOG_INFO, "in a reader of pcscd");
		return;
	}
	drop(v);
}

static void connect_now(struct front_vpcd *v)
{
	v->bev = bufferevent_socket_new(v->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!v->bev) {
		drop(v);
		return;
	}
	bufferevent_setcb(v->bev, on_read, NULL, on_event, v);
	bufferevent_setwatermark(v->bev, EV_READ, 0, 2 * (2 + CARD_APDU_MAX));
	bufferevent_enable(v->bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(v->bev, (struct sockaddr *)&v->addr, v->addr_len) != 0)
		drop(v);
}

static void on_retry(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	connect_now(user);
}

enum rc front_vpcd_new(struct event_base *base, struct euicc *euicc, const char *address,
	const struct log *log, struct front_vpcd **out, struct diag *d)
{
	static const struct timeval at_once = { 0 };
	struct front_vpcd *v = calloc(1, sizeof(*v));
	enum rc rc;

	if (!v)
		return RC_NOMEM;
	v->base = base;
	v->log = log;
	v->addr_len = sizeof(v->addr);
	if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&v->addr, &v->addr_len) != 0 ||
		v->addr_len == 0) {
		front_vpcd_free(v);
		return diag_set(d, RC_RANGE, "vpcd: %s: not an address and a port", address);
	}
	v->retry = evtimer_new(base, on_retry, v);
	rc = v->retry ? euicc_session_new(euicc, &v->session) : RC_NOMEM;
	if (rc == RC_OK && event_add(v->retry, &at_once) != 0)
		rc = RC_NOMEM;
	if (rc != RC_OK) {
		front_vpcd_free(v);
		return rc;
	}
	*out = v;
	return RC_OK;
}

void front_vpcd_free(struct front_vpcd *v)
{
	if (!v)
		return;
	if (v->bev)
		bufferevent_free(v->bev);
	if (v->retry)
		event_free(v->retry);
	card_session_free(v->session);
	free(v);
}
