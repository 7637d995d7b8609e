/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include <time.h>

#define LOOKUP_MS 5000

static bool refuse(struct refusal *r, const char *step, const char *reason, bool again)
{
	r->step = step;
	r->reason = reason;
	r->again = again;
	return false;
}

static bool open_card(struct meter *m, struct refusal *r)
{
	struct iotsafe_options o = { .card = m->opt.card };

	if (m->card)
		return true;
	if (iotsafe_open(&o, &m->card, r->why.text, sizeof(r->why.text)) != IOTSAFE_OK)
		return refuse(r, "card", "unavailable", true);
	report_new(m, "card", json_pack("{s:s}", "name", iotsafe_name(m->card)));
	return true;
}

/* What the device already believes; from its file the first time. */
static bool load_state(struct meter *m, struct refusal *r)
{
	enum rc rc;

	if (!m->opt.state || m->state.any)
		return true;
	rc = self_state_load(m->card, m->opt.state, m->opt.slot, &m->state, &r->why);
	return rc == RC_OK || refuse(r, "state", "unreadable", rc == RC_UNAVAILABLE);
}

/* Kept before anything is done in the payload's name. */
static enum rc store_state(struct meter *m, const struct payload_state *accepted, struct diag *d)
{
	enum rc rc = RC_OK;

	if (!accepted->any || payload_state_equal(&m->state, accepted))
		return RC_OK;
	if (m->opt.state)
		rc = self_state_store(m->card, m->opt.state, m->opt.slot, accepted, d);
	if (rc == RC_OK)
		m->state = *accepted;
	return rc;
}

static bool read_payload(struct meter *m, struct refusal *r)
{
	const struct payload *p = &m->self.payload;
	enum rc rc =
		self_read(m->card, m->opt.slot, &m->state, (uint64_t)time(NULL), &m->self, &r->why);

	if (store_state(m, &m->self.state, &r->why) != RC_OK)
		return refuse(r, "state", "unwritable", false);
	switch ((int)rc) {
	case RC_OK: break;
	case RC_NOT_FOUND: return refuse(r, "payload", "none yet", true);
	case RC_CONFLICT: return refuse(r, "payload", "not for this device", true);
	case RC_STATE: return refuse(r, "payload", "withdrawn", false);
	case RC_UNAVAILABLE:
		/* The card is opened anew with the next attempt. */
		return refuse(r, "card", "unavailable", true);
	default: return refuse(r, "payload", rc_text(rc), false);
	}
	if (payload_text_copy(p->service, m->service, sizeof(m->service)) != RC_OK ||
		payload_text_copy(p->fqdn, m->host, sizeof(m->host)) != RC_OK)
		return refuse(r, "payload", "malformed", false);
	report_new(m, "payload",
		json_pack("{s:s, s:I, s:s, s:s, s:i, s:I, s:i}", "owner", m->self.owner, "sequence",
			(json_int_t)p->sequence, "service", m->service, "host", m->host, "port",
			p->port, "expires", (json_int_t)p->expires, "bytes",
			(int)m->self.cose_len));
	return true;
}

static bool prove_key(struct meter *m, struct refusal *r)
{
	enum rc rc = self_prove_key(m->card, &m->self, &r->why);

	if (rc == RC_DENIED)
		return refuse(r, "key", "blocked", false);
	if (rc != RC_OK)
		return refuse(r, "key", rc_text(rc), rc == RC_UNAVAILABLE);
	report_new(m, "key", json_pack("{s:s}", "proved", "on the card, and the certificate's"));
	return true;
}

static void show_wifi(struct meter *m)
{
	struct payload_wifi w;
	struct diag d = { 0 };

	if (!m->self.payload.wifi.at)
		return;
	if (self_wifi(m->card, &m->self, &w, &d) != RC_OK) {
		report_new(m, "wifi", json_pack("{s:s}", "refused", d.text));
		return;
	}
	/* The passphrase is for the radio, not for a log. */
	report_new(m, "wifi",
		json_pack("{s:o, s:i}", "ssid", json_stringn((const char *)w.ssid, w.ssid_len),
			"security", (int)w.security));
	payload_wifi_wipe(&w);
}

static bool check_dns(struct meter *m, struct refusal *r)
{
	struct dane *dane = NULL;
	enum record_verdict v;
	enum rc rc = record_open(&m->self.payload, LOOKUP_MS, &dane, &r->why);

	if (rc != RC_OK)
		return refuse(r, "record", "cannot_tell", false);
	v = record_check(dane, m->self.owner, m->self.cert_sha256, &r->why);
	if (v != RECORD_ATTESTED) {
		dane_free(dane);
		return refuse(r, "record", record_text(v), v == RECORD_CANNOT_TELL);
	}
	report_new(
		m, "record", json_pack("{s:s, s:s}", "name", m->self.owner, "proved", r->why.text));
	rc = record_service(dane, &m->self.payload, &m->pins, &r->why);
	dane_free(dane);
	if (rc != RC_OK)
		return refuse(r, "service", "cannot_tell", rc == RC_UNAVAILABLE);
	report_new(m, "service",
		json_pack("{s:s, s:i, s:s}", "handle", m->service, "pins", (int)m->pins.len, "from",
			m->pins.from_dns ? "zone" : "payload"));
	return true;
}

bool meter_identity(struct meter *m, struct refusal *r)
{
	r->why.text[0] = '\0';
	if (!open_card(m, r) || !load_state(m, r) || !read_payload(m, r) || !prove_key(m, r))
		return false;
	show_wifi(m);
	return check_dns(m, r);
}

enum meter_news meter_news(struct meter *m, struct diag *d)
{
	bool changed = false;
	enum rc rc = self_payload_changed(m->card, &m->self, &changed, d);

	if (rc != RC_OK)
		return NEWS_CARD;
	if (!changed)
		return NEWS_NONE;
	rc = self_read(m->card, m->opt.slot, &m->state, (uint64_t)time(NULL), &m->next, d);
	if (store_state(m, &m->next.state, d) != RC_OK)
		return NEWS_NONE;
	switch ((int)rc) {
	case RC_OK: return NEWS_ELSEWHERE;
	case RC_STATE:
	case RC_NOT_FOUND: return NEWS_WITHDRAWN;
	case RC_UNAVAILABLE: return NEWS_CARD;
	default: return NEWS_REFUSED;
	}
}
