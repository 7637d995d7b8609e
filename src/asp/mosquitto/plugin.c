/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/mosquitto/plugin.h"

#include "base/clock.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now_ms(void)
{
	const struct clock *c = clock_system();

	return c->monotonic_ms(c);
}

/* The certificate of a client's TLS session, DER (OPENSSL_free); 0 without one. */
static size_t client_der(const struct mosquitto *client, uint8_t **der)
{
	X509 *cert = mosquitto_client_certificate(client);
	int len = cert ? i2d_X509(cert, der) : 0;

	X509_free(cert);
	return len > 0 && len <= PLUGIN_CERT_MAX ? (size_t)len : 0;
}

static void log_judgement(const struct session *s, const struct attest_result *r)
{
	if (r->reason == ATTEST_OK)
		mosquitto_log_printf(MOSQ_LOG_NOTICE,
			"attest: accepted name=%s service=%s ttl=%u cached=%d", r->name, r->service,
			r->ttl_s, r->cached);
	else
		mosquitto_log_printf(MOSQ_LOG_NOTICE,
			"attest: refused name=%s reason=%s why=\"%s\"", s->name[0] ? s->name : "-",
			attest_reason_text(r->reason), r->text);
}

/* A re-check every TTL; a session without an answer is asked about again soon. */
static void take_judgement(struct plugin *p, struct session *s, const struct attest_result *r)
{
	uint64_t now = now_ms(), ttl_ms = r->ttl_s * 1000ULL;

	s->reason = r->reason;
	memcpy(s->name, r->name, sizeof(s->name));
	s->check_ms =
		now + (r->reason == ATTEST_CANNOT_TELL || ttl_ms < PLUGIN_RETRY_MS ? PLUGIN_RETRY_MS
										   : ttl_ms);
	if (r->reason == ATTEST_OK)
		s->grace_ms = now + ttl_ms + p->grace_ms;
}

/* Judges a client now, waiting for the look-up no longer than configured. NULL: no memory, which
 * allows nothing. */
static struct session *judge(
	struct plugin *p, const struct mosquitto *client, const uint8_t *der, size_t der_len)
{
	struct session *s =
		sessions_put(&p->sessions, client, mosquitto_client_id(client), der, der_len);
	struct attest_result r;

	if (!s)
		return NULL;
	p->counts[attest_check(p->attest, der, der_len, &r)]++;
	take_judgement(p, s, &r);
	log_judgement(s, &r);
	return s;
}

static int on_basic_auth(int event, void *data, void *user)
{
	struct mosquitto_evt_basic_auth *ed = data;
	struct plugin *p = user;
	uint8_t *der = NULL;
	size_t len = client_der(ed->client, &der);
	struct session *s = judge(p, ed->client, der, len);

	(void)event;
	OPENSSL_free(der);
	if (!s || s->reason != ATTEST_OK) {
		/* It never becomes a client, and its client id may be another's: nothing of it
		 * stays that a later tick could act on. */
		sessions_drop(&p->sessions, ed->client);
		return MOSQ_ERR_AUTH;
	}
	return mosquitto_set_username(ed->client, s->name) == MOSQ_ERR_SUCCESS ? MOSQ_ERR_SUCCESS
									       : MOSQ_ERR_AUTH;
}

/* "<topics>/<own name>" and what lies below it; wildcards only below. */
static bool own_topic(const struct plugin *p, const struct session *s, const char *topic)
{
	size_t head = strlen(p->topics), name = strlen(s->name);

	return strncmp(topic, p->topics, head) == 0 && topic[head] == '/' &&
	       strncmp(topic + head + 1, s->name, name) == 0 &&
	       (topic[head + 1 + name] == '\0' || topic[head + 1 + name] == '/');
}

/* The judgement of the very certificate that this client shows. BASIC_AUTH is not called under
 * use_identity_as_username, and a client's address may be used again: so whoever was not judged, or
 * was judged with another certificate or could not be, is judged here. */
static const struct session *judged(struct plugin *p, const struct mosquitto *client)
{
	uint8_t *der = NULL;
	size_t len = client_der(client, &der);
	struct session *s = sessions_get(&p->sessions, client);
	bool same = s && s->der_len == len && (len == 0 || memcmp(s->der, der, len) == 0);

	if (!same || (s->reason != ATTEST_OK && s->check_ms <= now_ms()))
		s = judge(p, client, der, len);
	OPENSSL_free(der);
	return s;
}

static int on_acl_check(int event, void *data, void *user)
{
	struct mosquitto_evt_acl_check *ed = data;
	struct plugin *p = user;
	const struct session *s = judged(p, ed->client);

	(void)event;
	if (!s || s->reason != ATTEST_OK || !ed->topic || !own_topic(p, s, ed->topic))
		return MOSQ_ERR_ACL_DENIED;
	return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *data, void *user)
{
	struct mosquitto_evt_disconnect *ed = data;
	struct plugin *p = user;

	(void)event;
	sessions_drop(&p->sessions, ed->client);
	return MOSQ_ERR_SUCCESS;
}

/* The session's memory is gone after this: the broker calls on_disconnect before it returns. */
static void kick(struct plugin *p, struct session *s, enum attest_reason reason, const char *why)
{
	const struct mosquitto *client = s->client;
	char *id = s->client_id;

	mosquitto_log_printf(MOSQ_LOG_NOTICE, "attest: kicked name=%s reason=%s why=\"%s\"",
		s->name[0] ? s->name : "-", attest_reason_text(reason), why);
	s->client_id = NULL;
	(void)mosquitto_kick_client_by_clientid(id, false);
	free(id);
	sessions_drop(&p->sessions, client);
	p->kicked++;
}

/* Judges a session whose proof has run out. While nobody can tell, an accepted one lives on until
 * its grace ends. */
static void recheck(struct plugin *p, struct session *s)
{
	struct attest_result r;

	p->counts[attest_check_now(p->attest, s->der, s->der_len, &r)]++;
	if (r.reason == ATTEST_OK) {
		take_judgement(p, s, &r);
	} else if (r.reason == ATTEST_CANNOT_TELL && s->reason == ATTEST_OK &&
		   now_ms() < s->grace_ms) {
		s->check_ms = now_ms() + PLUGIN_RETRY_MS;
	} else {
		kick(p, s, r.reason, r.text);
	}
}

/* The next session due at or after the sweep's bucket; NULL when the round is over. */
static struct session *next_due(struct sessions *s, uint64_t now)
{
	for (; s->sweep < s->buckets; s->sweep++)
		for (struct session *one = s->table[s->sweep]; one; one = one->next)
			if (one->check_ms <= now)
				return one;
	return NULL;
}

/* What the feed has said since the last tick; and a word when it comes or goes. */
static void watch_feed(struct plugin *p)
{
	char why[ATTEST_TEXT_MAX];
	bool up;

	if (!p->feed_wanted)
		return;
	heard_apply(&p->heard, &p->sessions);
	up = attest_feed_up(p->attest, why, sizeof(why)) != 0;
	if (up != p->feed_up)
		mosquitto_log_printf(up ? MOSQ_LOG_NOTICE : MOSQ_LOG_WARNING,
			up ? "attest: feed up%s"
			   : "attest: feed down: cut-off takes a TTL meanwhile why=\"%s\"",
			why);
	p->feed_up = up;
}

static int on_tick(int event, void *data, void *user)
{
	struct plugin *p = user;
	uint64_t now = now_ms();

	(void)event;
	(void)data;
	if (now - p->last_tick_ms < PLUGIN_TICK_MS)
		return MOSQ_ERR_SUCCESS;
	p->last_tick_ms = now;
	watch_feed(p);
	if (p->sessions.sweep >= p->sessions.buckets)
		p->sessions.sweep = 0;
	for (unsigned i = 0; i < PLUGIN_TICK_CHECKS; i++) {
		struct session *s = next_due(&p->sessions, now);

		if (!s)
			break;
		recheck(p, s);
	}
	plugin_metrics(p, now);
	return MOSQ_ERR_SUCCESS;
}

static enum rc start(struct plugin *p, const struct settings *set, char *error, size_t cap)
{
	struct attest_feed_options feed = set->feed;

	if (attest_new(&set->attest, &p->attest, error, cap) != ATTEST_SUCCESS)
		return RC_RANGE;
	p->topics = strdup(set->topics);
	p->metrics_file = set->metrics_file ? strdup(set->metrics_file) : NULL;
	p->grace_ms = set->grace_ms;
	if (!p->topics || (set->metrics_file && !p->metrics_file) ||
		sessions_init(&p->sessions) != RC_OK)
		return RC_NOMEM;
	p->feed_wanted = feed.url != NULL;
	feed.heard = heard_add;
	feed.user = &p->heard;
	if (p->feed_wanted && attest_feed_start(p->attest, &feed, error, cap) != ATTEST_SUCCESS)
		return RC_RANGE;
	return RC_OK;
}

static void stop(struct plugin *p)
{
	attest_free(p->attest);
	sessions_fini(&p->sessions);
	heard_fini(&p->heard);
	free(p->metrics_file);
	free(p->topics);
	free(p);
}

static const struct {
	int event;
	MOSQ_FUNC_generic_callback call;
} callbacks[] = {
	{ MOSQ_EVT_BASIC_AUTH, on_basic_auth },
	{ MOSQ_EVT_ACL_CHECK, on_acl_check },
	{ MOSQ_EVT_DISCONNECT, on_disconnect },
	{ MOSQ_EVT_TICK, on_tick },
};

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

/* Any failure here keeps the broker from starting. */
int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata,
	struct mosquitto_opt *options, int option_count)
{
	struct plugin *p = calloc(1, sizeof(*p));
	struct settings set;
	char error[ATTEST_TEXT_MAX] = "";
	int rc = MOSQ_ERR_SUCCESS;

	if (!p)
		return MOSQ_ERR_NOMEM;
	p->id = identifier;
	if (heard_init(&p->heard) != RC_OK) {
		free(p);
		return MOSQ_ERR_NOMEM;
	}
	if (settings_read(options, option_count, &set, error, sizeof(error)) != RC_OK ||
		start(p, &set, error, sizeof(error)) != RC_OK) {
		mosquitto_log_printf(MOSQ_LOG_ERR, "attest: %s", error);
		stop(p);
		return MOSQ_ERR_INVAL;
	}
	for (size_t i = 0; i < ARRAY_LEN(callbacks) && rc == MOSQ_ERR_SUCCESS; i++)
		rc = mosquitto_callback_register(
			identifier, callbacks[i].event, callbacks[i].call, NULL, p);
	if (rc != MOSQ_ERR_SUCCESS) {
		stop(p);
		return rc;
	}
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "attest: ready zone=%s service=%s", set.attest.zone,
		set.attest.service);
	*userdata = p;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	struct plugin *p = userdata;

	(void)options;
	(void)option_count;
	if (!p)
		return MOSQ_ERR_SUCCESS;
	for (size_t i = 0; i < ARRAY_LEN(callbacks); i++)
		(void)mosquitto_callback_unregister(
			p->id, callbacks[i].event, callbacks[i].call, NULL);
	for (int i = 0; i < PLUGIN_REASONS; i++)
		mosquitto_log_printf(MOSQ_LOG_NOTICE, "attest: total %s=%llu",
			attest_reason_text((enum attest_reason)i),
			(unsigned long long)p->counts[i]);
	mosquitto_log_printf(
		MOSQ_LOG_NOTICE, "attest: total kicked=%llu", (unsigned long long)p->kicked);
	stop(p);
	return MOSQ_ERR_SUCCESS;
}
