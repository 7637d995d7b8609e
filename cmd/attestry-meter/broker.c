/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include "base/str.h"

#include <mqtt_protocol.h>
#include <openssl/err.h>
#include <string.h>
#include <time.h>

#define CONNECT_MS	 20000
#define KEEPALIVE_S	 30
#define LOOP_MS		 100
#define POLLS_MISSED_MAX 3
#define QOS_ACKED	 1
#define READING_MAX	 256

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool refuse(struct refusal *r, const char *reason, bool again)
{
	r->step = "broker";
	r->reason = reason;
	r->again = again;
	return false;
}

/* Takes the place of OpenSSL's path validation: what the zone or the payload pins decides, and only
 * that (RFC 7671 section 5.1). */
static int verify_server(X509_STORE_CTX *ctx, void *arg)
{
	struct meter *m = arg;
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);

	if (record_server(&m->pins, chain, m->host, &m->server) == RC_OK) {
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_DANE_NO_MATCH);
	return 0;
}

static void on_connect(
	struct mosquitto *mosq, void *arg, int reason, int flags, const mosquitto_property *props)
{
	struct meter *m = arg;

	(void)mosq;
	(void)flags;
	(void)props;
	m->reason = reason;
	m->connected = reason == 0;
	m->ended = reason != 0;
}

static void on_publish(
	struct mosquitto *mosq, void *arg, int mid, int reason, const mosquitto_property *props)
{
	struct meter *m = arg;

	(void)mosq;
	(void)mid;
	(void)props;
	m->reason = reason;
	m->acked = true;
}

static void on_disconnect(
	struct mosquitto *mosq, void *arg, int reason, const mosquitto_property *props)
{
	struct meter *m = arg;

	(void)mosq;
	(void)props;
	if (!m->ended)
		m->reason = reason;
	m->ended = true;
}

/* Why a connection failed: our own refusal of the server, the card's of the signature, TLS, MQTT.
 */
static bool explain(struct meter *m, int err, struct refusal *r)
{
	const char *text = NULL;
	unsigned long e, last = 0;
	int flags = 0;

	if (m->server.text[0]) {
		r->why = m->server;
		return refuse(r, "server refused", false);
	}
	while ((e = ERR_get_error_all(NULL, NULL, NULL, &text, &flags)) != 0) {
		last = e;
		if ((flags & ERR_TXT_STRING) && text && strncmp(text, "iotsafe:", 8) == 0) {
			(void)diag_set(&r->why, RC_DENIED, "%s", text);
			ERR_clear_error();
			return refuse(r, "card refused", true);
		}
	}
	if (m->ended && m->reason > 0x80) {
		(void)diag_set(&r->why, RC_DENIED, "%s", mosquitto_reason_string(m->reason));
		return refuse(r, "refused by the broker", false);
	}
	if (last != 0)
		(void)diag_set(&r->why, RC_AUTH, "TLS: %s", ERR_reason_error_string(last));
	else
		(void)diag_set(&r->why, RC_UNAVAILABLE, "%s", mosquitto_strerror(err));
	return refuse(r, "no connection", true);
}

static bool make_client(struct meter *m, struct refusal *r)
{
	enum iotsafe_error e = iotsafe_ssl_ctx(m->card, m->opt.slot, &m->ctx);

	if (e != IOTSAFE_OK) {
		(void)diag_set(&r->why, RC_UNAVAILABLE, "%s", iotsafe_last_error(m->card));
		return refuse(r, "card", true);
	}
	SSL_CTX_set_cert_verify_callback(m->ctx, verify_server, m);
	m->mosq = mosquitto_new(m->self.owner, true, m);
	/* Without the second option libmosquitto wants CA files to put its own defaults over ours.
	 */
	if (!m->mosq ||
		mosquitto_int_option(m->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5) !=
			MOSQ_ERR_SUCCESS ||
		mosquitto_int_option(m->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0) !=
			MOSQ_ERR_SUCCESS ||
		mosquitto_void_option(m->mosq, MOSQ_OPT_SSL_CTX, m->ctx) != MOSQ_ERR_SUCCESS) {
		(void)diag_set(&r->why, RC_INTERNAL, "libmosquitto");
		return refuse(r, "internal", false);
	}
	mosquitto_connect_v5_callback_set(m->mosq, on_connect);
	mosquitto_publish_v5_callback_set(m->mosq, on_publish);
	mosquitto_disconnect_v5_callback_set(m->mosq, on_disconnect);
	m->connected = m->acked = m->ended = false;
	m->reason = 0;
	m->server.text[0] = '\0';
	return true;
}

/* Turns the wheel until *flag, the end of the session, or the time. */
static int loop_until(struct meter *m, const bool *flag, unsigned ms)
{
	uint64_t end = now_ms() + ms;
	int err = MOSQ_ERR_SUCCESS;

	while (!(flag && *flag) && !m->ended && err == MOSQ_ERR_SUCCESS && now_ms() < end &&
		!meter_stopped())
		err = mosquitto_loop(m->mosq, LOOP_MS, 1);
	if (flag && !*flag && err == MOSQ_ERR_SUCCESS && !m->ended)
		err = MOSQ_ERR_CONN_PENDING;
	return err;
}

static bool publish(struct meter *m, struct refusal *r)
{
	char topic[sizeof("meters/") + IDENT_OWNER_TEXT], body[READING_MAX];
	int len, err;

	(void)!str_format(topic, sizeof(topic), "meters/%s", m->self.owner);
	len = snprintf(body, sizeof(body), "{\"meter\":\"%s\",\"reading\":%lu,\"time\":%lld}",
		m->self.owner, ++m->readings, (long long)time(NULL));
	m->acked = false;
	m->reason = 0;
	err = mosquitto_publish_v5(m->mosq, NULL, topic, len, body, QOS_ACKED, false, NULL);
	if (err == MOSQ_ERR_SUCCESS)
		err = loop_until(m, &m->acked, CONNECT_MS);
	if (meter_stopped())
		return true;
	if (!m->acked)
		return explain(m, err, r);
	if (m->reason >= 0x80) {
		(void)diag_set(
			&r->why, RC_DENIED, "%s: %s", topic, mosquitto_reason_string(m->reason));
		return refuse(r, "refused by the broker", false);
	}
	m->published = true;
	report_forget(m);
	report(m, "published",
		json_pack("{s:s, s:s, s:I}", "service", m->service, "topic", topic, "reading",
			(json_int_t)m->readings));
	return true;
}

/* What is to be done between two polls. */
struct session {
	uint64_t next_reading, next_poll;
	unsigned missed;
	bool silent; /* withdrawn: the session is the provider's to end, and it will */
};

static uint64_t after_s(unsigned seconds)
{
	return now_ms() + UINT64_C(1000) * seconds;
}

/* The registry speaks through the payload. False when this session is over. */
static bool poll_card(struct meter *m, struct session *s, struct refusal *r)
{
	struct diag d = { 0 };

	s->next_poll = after_s(m->opt.poll_s);
	switch (meter_news(m, &d)) {
	case NEWS_NONE: s->silent = false; break;
	case NEWS_ELSEWHERE:
		(void)diag_set(&r->why, RC_OK, "the payload on the card");
		return refuse(r, "changed", true);
	case NEWS_WITHDRAWN:
		s->silent = true;
		report_new(m, "withdrawn", json_pack("{s:s}", "why", d.text));
		break;
	case NEWS_REFUSED: report_new(m, "ignored", json_pack("{s:s}", "why", d.text)); break;
	case NEWS_CARD:
		/* The session needs no card; a modem that is busy is asked again. */
		if (++s->missed < POLLS_MISSED_MAX)
			return true;
		r->why = d;
		return refuse(r, "card", true);
	}
	s->missed = 0;
	return true;
}

/* Publishes at the interval, and looks at the card in between. */
static bool stay(struct meter *m, struct refusal *r)
{
	struct session s = { .next_reading = after_s(m->opt.interval_s),
		.next_poll = after_s(m->opt.poll_s) };

	while (!meter_stopped()) {
		int err = loop_until(m, NULL, LOOP_MS);
		if (m->ended || err != MOSQ_ERR_SUCCESS) {
			(void)diag_set(&r->why, RC_CLOSED, "%s",
				m->reason > 0x80 ? mosquitto_reason_string(m->reason)
						 : mosquitto_strerror(err));
			return refuse(r, "disconnected", true);
		}
		if (now_ms() >= s.next_poll && !poll_card(m, &s, r))
			return false;
		if (now_ms() >= s.next_reading && !s.silent) {
			if (!publish(m, r))
				return false;
			s.next_reading = after_s(m->opt.interval_s);
		}
	}
	return true;
}

bool meter_broker(struct meter *m, struct refusal *r)
{
	bool ok = make_client(m, r);
	int err;

	ERR_clear_error();
	if (ok) {
		err = mosquitto_connect(m->mosq, m->host, m->self.payload.port, KEEPALIVE_S);
		if (err == MOSQ_ERR_SUCCESS)
			err = loop_until(m, &m->connected, CONNECT_MS);
		ok = m->connected || explain(m, err, r);
	}
	if (ok) {
		report(m, "connected",
			json_pack("{s:s, s:s, s:i}", "service", m->service, "host", m->host, "port",
				m->self.payload.port));
		ok = publish(m, r);
	}
	if (ok && !m->opt.once)
		ok = stay(m, r);
	if (m->mosq) {
		(void)mosquitto_disconnect(m->mosq);
		(void)mosquitto_loop(m->mosq, LOOP_MS, 1);
		mosquitto_destroy(m->mosq);
		m->mosq = NULL;
	}
	SSL_CTX_free(m->ctx);
	m->ctx = NULL;
	return ok;
}
