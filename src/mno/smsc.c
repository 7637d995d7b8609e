/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/smsc.h"

#include "ota/smpp.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define PAUSE_MIN_MS   100 /* after "throttled"; doubles */
#define PAUSE_MAX_MS   5000
#define WAITING_MAX    100000 /* messages not sent yet */
#define ANSWER_MS      10000  /* to a bind or an enquire_link */
#define VALIDITY_MIN_S 60

/* 3GPP TS 31.115 section 4: SIM data download, 8-bit, class 2. */
#define PID_SIM_DATA 0x7f
#define DCS_CLASS_2  0xf6

struct message {
	struct message *next;
	uint32_t seq; /* once sent */
	uint64_t packet;
	uint8_t iccid[IDENT_ICCID_LEN];
	char to[MNO_MSISDN_MAX];
	size_t len;
	uint8_t ud[SCP80_UD_MAX];
};

struct mno__smsc {
	struct event_base *base;
	const struct mno_config *config;
	struct mno_link_calls calls;
	const struct log *log;
	SSL_CTX *tls;		 /* NULL: in clear */
	struct bufferevent *bev; /* NULL: waiting to connect again */
	struct event *again;	 /* to connect */
	struct event *pause;	 /* throttled */
	struct event *beat;	 /* enquire_link, or the answer to one that did not come */
	bool bound, paused, asked;
	uint32_t seq;
	unsigned backoff_ms, pause_ms;
	struct message *waiting, **waiting_end;
	size_t n_waiting;
	struct message *sent; /* at most `window` */
	size_t n_sent;
	json_t *held; /* with the centre; outlives a connection */
};

static void try_connect(struct mno__smsc *s);
static void flush(struct mno__smsc *s);

static struct timeval ms_of(unsigned ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

static void after(struct event *e, unsigned ms)
{
	struct timeval t = ms_of(ms);

	(void)evtimer_add(e, &t);
}

static void drop_list(struct message *m)
{
	while (m) {
		struct message *next = m->next;

		free(m);
		m = next;
	}
}

/* What was on its way is sent anew by the gateway once it is told that the link is up. */
static void down(struct mno__smsc *s, const char *why)
{
	log_write(s->log, LOG_WARNING, "smpp-down why=\"%s\"", why);
	if (s->bev)
		bufferevent_free(s->bev);
	s->bev = NULL;
	s->bound = false;
	s->paused = false;
	s->asked = false;
	drop_list(s->waiting);
	drop_list(s->sent);
	s->waiting = NULL;
	s->waiting_end = &s->waiting;
	s->sent = NULL;
	s->n_waiting = 0;
	s->n_sent = 0;
	(void)evtimer_del(s->beat);
	(void)evtimer_del(s->pause);
	after(s->again, s->backoff_ms);
	s->backoff_ms = s->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : s->backoff_ms * 2;
}

static void send_put(struct mno__smsc *s, const struct put *p)
{
	if (put_ok(p))
		(void)bufferevent_write(s->bev, p->buf, p->len);
}

static void send_bare(struct mno__smsc *s, uint32_t id, uint32_t status, uint32_t seq)
{
	uint8_t bytes[SMPP_HEAD + 1];
	struct put p = put_init(bytes, sizeof(bytes));

	smpp_bare_write(&p, id, status, seq);
	send_put(s, &p);
}

static uint32_t next_seq(struct mno__smsc *s)
{
	s->seq = s->seq >= 0x7fffffffu ? 1 : s->seq + 1;
	return s->seq;
}

/* As many as the window lets through. */
static void flush(struct mno__smsc *s)
{
	while (s->bound && !s->paused && s->waiting && s->n_sent < s->config->smpp.window) {
		struct message *m = s->waiting;
		uint8_t bytes[512];
		struct put p = put_init(bytes, sizeof(bytes));
		struct smpp_message sms = { .esm_class = SMPP_ESM_UDHI,
			.protocol_id = PID_SIM_DATA,
			.data_coding = DCS_CLASS_2,
			.registered_delivery = 1,
			.ud = cur_init(m->ud, m->len) };

		/* When the gateway sends the next, the centre need not keep this one. */
		smpp_validity(s->config->por_timeout_max_ms / 1000 > VALIDITY_MIN_S
				      ? s->config->por_timeout_max_ms / 1000
				      : VALIDITY_MIN_S,
			sms.validity);
		memcpy(sms.from, s->config->smpp.source, strlen(s->config->smpp.source) + 1);
		memcpy(sms.to, m->to, sizeof(m->to));
		s->waiting = m->next;
		if (!s->waiting)
			s->waiting_end = &s->waiting;
		s->n_waiting--;
		m->seq = next_seq(s);
		m->next = s->sent;
		s->sent = m;
		s->n_sent++;
		smpp_message_write(&p, SMPP_SUBMIT, m->seq, &sms);
		send_put(s, &p);
	}
}

static void on_pause(evutil_socket_t fd, short what, void *user)
{
	struct mno__smsc *s = user;

	(void)fd;
	(void)what;
	s->paused = false;
	flush(s);
}

/* The centre is busy: this one first, a little later. */
static void throttled(struct mno__smsc *s, struct message *take_message)
{
	struct message *m = take_message;

	m->next = s->waiting;
	if (!s->waiting)
		s->waiting_end = &m->next;
	s->waiting = m;
	s->n_waiting++;
	if (s->paused)
		return;
	s->paused = true;
	log_write(s->log, LOG_INFO, "smpp-throttled pause_ms=%u", s->pause_ms);
	after(s->pause, s->pause_ms);
	s->pause_ms = s->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : s->pause_ms * 2;
}

static void take_submit_resp(struct mno__smsc *s, const struct smpp_pdu *pdu)
{
	struct message **at = &s->sent, *m;

	while (*at && (*at)->seq != pdu->seq)
		at = &(*at)->next;
	m = *at;
	if (!m)
		return;
	*at = m->next;
	s->n_sent--;
	if (pdu->status == SMPP_THROTTLED || pdu->status == SMPP_QUEUE_FULL) {
		throttled(s, m);
		return;
	}
	if (pdu->status != SMPP_OK) {
		log_write(s->log, LOG_WARNING, "smpp-refused to=%s status=0x%x", m->to,
			(unsigned)pdu->status);
		s->calls.receipt(s->calls.user, m->iccid, m->packet, false);
	} else {
		char id[SMPP_ID_MAX];

		s->pause_ms = PAUSE_MIN_MS;
		if (smpp_submit_resp_read(pdu->body, id) == RC_OK)
			mno__held_add(s->held, id, m->iccid, m->packet);
	}
	free(m);
	flush(s);
}

static int cmp_number(const void *key, const void *sim)
{
	return strcmp(key, (*(const struct mno_sim_key *const *)sim)->msisdn);
}

static const struct mno_sim_key *by_msisdn(const struct mno_config *c, const char *msisdn)
{
	const struct mno_sim_key *const *found = bsearch(
		msisdn, c->by_msisdn, c->n_msisdns, sizeof(const struct mno_sim_key *), cmp_number);

	return found ? *found : NULL;
}

/* What became of one of ours; that it is still on its way is no news. */
static void take_receipt(struct mno__smsc *s, const struct smpp_message *m)
{
	uint8_t iccid[IDENT_ICCID_LEN];
	enum smpp_state state;
	char id[SMPP_ID_MAX];
	uint64_t packet;

	if (smpp_receipt_read(m, id, &state) != RC_OK) {
		log_write(s->log, LOG_WARNING, "smpp-receipt-unreadable");
		return;
	}
	if (state == SMPP_ENROUTE || state == SMPP_ACCEPTED ||
		!mno__held_take(s->held, id, iccid, &packet))
		return;
	s->calls.receipt(s->calls.user, iccid, packet, state == SMPP_DELIVERED);
}

/* A card's message, or the centre's receipt for one of ours. */
static void take_deliver(struct mno__smsc *s, const struct smpp_pdu *pdu)
{
	const struct mno_sim_key *sim = NULL;
	struct smpp_message m;
	const char *from;

	if (smpp_message_read(pdu->body, &m) != RC_OK) {
		send_bare(s, SMPP_DELIVER | SMPP_RESP, SMPP_INVALID_LENGTH, pdu->seq);
		return;
	}
	send_bare(s, SMPP_DELIVER | SMPP_RESP, SMPP_OK, pdu->seq);
	from = m.from + (m.from[0] == '+');
	if ((m.esm_class & SMPP_ESM_TYPE) == SMPP_ESM_RECEIPT) {
		take_receipt(s, &m);
		return;
	}
	if (*from)
		sim = by_msisdn(s->config, from);
	if (sim && (m.esm_class & SMPP_ESM_UDHI) && m.ud.left > 0 && m.ud.left <= SCP80_UD_MAX)
		s->calls.sms(s->calls.user, sim->ef, m.ud.at, m.ud.left);
}

static void take_bind_resp(struct mno__smsc *s, const struct smpp_pdu *pdu)
{
	if (pdu->status != SMPP_OK) {
		log_write(
			s->log, LOG_ERROR, "smpp-bind-refused status=0x%x", (unsigned)pdu->status);
		down(s, "bind refused");
		return;
	}
	s->bound = true;
	s->asked = false;
	s->backoff_ms = BACKOFF_MIN_MS;
	s->pause_ms = PAUSE_MIN_MS;
	after(s->beat, s->config->smpp.enquire_ms);
	log_write(s->log, LOG_INFO, "smpp-bound host=%s port=%u", s->config->smpp.host,
		s->config->smpp.port);
	s->calls.up(s->calls.user);
}

/* False: the connection has gone. */
static bool take_pdu(struct mno__smsc *s, const struct smpp_pdu *pdu)
{
	switch (pdu->id) {
	case SMPP_BIND_TRANSCEIVER | SMPP_RESP: take_bind_resp(s, pdu); break;
	case SMPP_SUBMIT | SMPP_RESP: take_submit_resp(s, pdu); break;
	case SMPP_DELIVER: take_deliver(s, pdu); break;
	case SMPP_ENQUIRE_LINK:
		send_bare(s, SMPP_ENQUIRE_LINK | SMPP_RESP, SMPP_OK, pdu->seq);
		break;
	case SMPP_ENQUIRE_LINK | SMPP_RESP:
		s->asked = false;
		after(s->beat, s->config->smpp.enquire_ms);
		break;
	case SMPP_UNBIND:
		send_bare(s, SMPP_UNBIND | SMPP_RESP, SMPP_OK, pdu->seq);
		(void)bufferevent_flush(s->bev, EV_WRITE, BEV_FLUSH);
		down(s, "unbound by the SMS centre");
		break;
	case SMPP_GENERIC_NACK:
		log_write(s->log, LOG_WARNING, "smpp-nack status=0x%x", (unsigned)pdu->status);
		take_submit_resp(s, pdu);
		break;
	default:
		if (!(pdu->id & SMPP_RESP))
			send_bare(s, SMPP_GENERIC_NACK, SMPP_INVALID_COMMAND, pdu->seq);
		break;
	}
	return s->bev != NULL;
}

static void on_read(struct bufferevent *bev, void *user)
{
	struct mno__smsc *s = user;
	struct evbuffer *in = bufferevent_get_input(bev);

	for (;;) {
		size_t have = evbuffer_get_length(in);
		size_t want = have < SMPP_PDU_MAX ? have : SMPP_PDU_MAX;
		uint8_t bytes[SMPP_PDU_MAX];
		struct cur c = cur_init(bytes, want);
		struct smpp_pdu pdu;
		enum rc rc;

		if (want == 0 || evbuffer_copyout(in, bytes, want) != (ev_ssize_t)want)
			return;
		rc = smpp_read(&c, &pdu);
		if (rc == RC_TRUNCATED)
			return;
		if (rc != RC_OK) {
			down(s, "not SMPP");
			return;
		}
		(void)evbuffer_drain(in, want - c.left);
		if (!take_pdu(s, &pdu))
			return;
	}
}

/* What TLS has against the centre is said; it is mostly a matter of configuration. */
static void lost(struct mno__smsc *s)
{
	SSL *ssl = s->tls ? bufferevent_openssl_get_ssl(s->bev) : NULL;
	long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;

	if (verdict != X509_V_OK)
		down(s, X509_verify_cert_error_string(verdict));
	else
		down(s, ssl && !SSL_is_init_finished(ssl) ? "no TLS" : "connection lost");
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct mno__smsc *s = user;
	uint8_t bytes[128];
	struct put p = put_init(bytes, sizeof(bytes));

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		smpp_bind_write(
			&p, next_seq(s), s->config->smpp.system_id, s->config->smpp.password);
		send_put(s, &p);
		mem_wipe(bytes, sizeof(bytes));
		s->asked = true;
		after(s->beat, ANSWER_MS);
	} else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		lost(s);
	}
}

static void on_beat(evutil_socket_t fd, short what, void *user)
{
	struct mno__smsc *s = user;

	(void)fd;
	(void)what;
	if (s->asked) {
		down(s, "no answer");
		return;
	}
	s->asked = true;
	send_bare(s, SMPP_ENQUIRE_LINK, SMPP_OK, next_seq(s));
	after(s->beat, ANSWER_MS);
}

static void on_again(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	try_connect(user);
}

static void try_connect(struct mno__smsc *s)
{
	SSL *ssl = s->tls ? mno__smsc_tls_session(s->tls, s->config) : NULL;

	if (ssl)
		s->bev = bufferevent_openssl_socket_new(
			s->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
	else if (!s->tls)
		s->bev = bufferevent_socket_new(s->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!s->bev) {
		down(s, "no memory");
		return;
	}
	/* Until it stands; a centre that takes the connection and says nothing is none. */
	s->asked = true;
	after(s->beat, ANSWER_MS);
	bufferevent_setcb(s->bev, on_read, NULL, on_event, s);
	if (bufferevent_enable(s->bev, EV_READ | EV_WRITE) != 0 ||
		bufferevent_socket_connect_hostname(s->bev, NULL, AF_UNSPEC, s->config->smpp.host,
			(int)s->config->smpp.port) != 0) {
		if (s->bev)
			down(s, "cannot connect");
	}
}

enum rc mno__smsc_new(struct event_base *base, const struct mno_config *config,
	const struct mno_link_calls *calls, const struct log *log, struct mno__smsc **out,
	struct diag *d)
{
	struct mno__smsc *s = calloc(1, sizeof(*s));
	enum rc rc;

	if (!s)
		return RC_NOMEM;
	s->base = base;
	s->config = config;
	s->calls = *calls;
	s->log = log;
	s->backoff_ms = BACKOFF_MIN_MS;
	s->pause_ms = PAUSE_MIN_MS;
	s->waiting_end = &s->waiting;
	rc = config->smpp.tls_ca ? mno__smsc_tls_new(config, &s->tls, d) : RC_OK;
	if (rc != RC_OK) {
		free(s);
		return rc;
	}
	s->again = evtimer_new(base, on_again, s);
	s->pause = evtimer_new(base, on_pause, s);
	s->beat = evtimer_new(base, on_beat, s);
	s->held = mno__held_new();
	if (!s->again || !s->pause || !s->beat || !s->held) {
		mno__smsc_free(s);
		return RC_NOMEM;
	}
	*out = s;
	try_connect(s);
	return RC_OK;
}

void mno__smsc_free(struct mno__smsc *s)
{
	struct event *timers[3];

	if (!s)
		return;
	timers[0] = s->again;
	timers[1] = s->pause;
	timers[2] = s->beat;
	for (size_t i = 0; i < ARRAY_LEN(timers); i++)
		if (timers[i])
			event_free(timers[i]);
	drop_list(s->waiting);
	drop_list(s->sent);
	if (s->bev)
		bufferevent_free(s->bev);
	SSL_CTX_free(s->tls);
	json_decref(s->held);
	free(s);
}

static int cmp_ef(const void *key, const void *sim)
{
	return memcmp(key, ((const struct mno_sim_key *)sim)->ef, IDENT_ICCID_LEN);
}

enum rc mno__smsc_send(struct mno__smsc *s, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet,
	const uint8_t *ud, size_t len)
{
	const struct mno_sim_key *sim;
	struct message *m;

	if (!s->bound)
		return RC_UNAVAILABLE;
	if (s->n_waiting >= WAITING_MAX)
		return RC_BUSY;
	sim = bsearch(iccid, s->config->sims, s->config->n_sims, sizeof(*sim), cmp_ef);
	if (!sim || !*sim->msisdn)
		return RC_NOT_FOUND;
	if (len > SCP80_UD_MAX)
		return RC_TOO_LARGE;
	m = calloc(1, sizeof(*m));
	if (!m)
		return RC_NOMEM;
	memcpy(m->to, sim->msisdn, sizeof(m->to));
	memcpy(m->iccid, sim->ef, sizeof(m->iccid));
	m->packet = packet;
	memcpy(m->ud, ud, len);
	m->len = len;
	*s->waiting_end = m;
	s->waiting_end = &m->next;
	s->n_waiting++;
	flush(s);
	return RC_OK;
}
