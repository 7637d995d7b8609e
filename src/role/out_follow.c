/* SPDX-License-Identifier: Apache-2.0 */
/* Where this node is a secondary: fetches the zone from its primary (AXFR, IXFR; TLS as RFC 9103
 * says; TSIG) and hands the records to zone, which says what it has. One request at a time over one
 * connection that is kept while the primary keeps it. */
#include "base/rng.h"
#include "proc/frame.h"
#include "role/out_internal.h"
#include "zone/incoming.h"

#include "zone.pb-c.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define SILENCE_S    30
#define RETRY_MIN_MS 1000u
#define RETRY_MAX_MS 60000u
/* Records on their way to zone beyond which the primary has to wait. */
#define QUEUE_ENOUGH ((size_t)8 << 20)
#define PAUSE_MS     2
#define RECORDS	     512u
#define OCTETS	     (512u << 10)
#define RECORD_MAX   (ZONE_KEY_MAX + 65535u)

enum doing {
	IDLE,
	ASKED,	  /* the answer is on its way */
	APPLYING, /* zone has all of it */
};

/* What goes to zone in one frame. */
struct parcel {
	bool begin, whole;
	size_t count, used;
	Zone__TransferRecord record[RECORDS];
	Zone__TransferRecord *list[RECORDS];
	uint8_t octets[OCTETS];
};

struct out_follow {
	struct role *role;
	const struct out_follow_opts *opts;
	struct zone_name name;
	SSL_CTX *tls; /* NULL: plain TCP */
	struct link *zone;
	struct bufferevent *bev;
	struct event *timer;
	enum doing doing;
	bool known, have, whole; /* as zone said */
	uint32_t serial;
	bool again;	    /* NOTIFY came meanwhile */
	bool fresh;	    /* the connection was made for this request */
	bool no_difference; /* the primary does not know IXFR */
	unsigned retry_ms;
	struct incoming in;
	struct tsig tsig;
	struct tsig_unsigned open;
	struct parcel parcel;
};

static void ask(struct out_follow *f);

static void arm(struct out_follow *f, uint64_t ms)
{
	struct timeval t = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

	(void)event_add(f->timer, &t);
}

/* ---- to zone */

static void send_transfer(struct out_follow *f, Zone__Transfer *t)
{
	Zone__FromOut m = ZONE__FROM_OUT__INIT;

	m.op_case = ZONE__FROM_OUT__OP_TRANSFER;
	m.transfer = t;
	if (f->zone && link_send(f->zone, &m.base) != RC_OK)
		log_write(f->role->log, LOG_ERROR, "zone is not reading");
}

static void send_parcel(struct out_follow *f, bool end)
{
	Zone__Transfer t = ZONE__TRANSFER__INIT;
	struct parcel *p = &f->parcel;

	if (p->count == 0 && !p->begin && !end)
		return;
	t.begin = p->begin;
	t.whole = p->whole;
	t.n_records = p->count;
	t.records = p->list;
	t.end = end;
	send_transfer(f, &t);
	p->count = p->used = 0;
	p->begin = false;
}

static enum rc on_begin(bool whole, void *user)
{
	struct out_follow *f = user;

	f->parcel.count = f->parcel.used = 0;
	f->parcel.begin = true;
	f->parcel.whole = whole;
	return RC_OK;
}

static ProtobufCBinaryData put_octets(struct parcel *p, const uint8_t *bytes, size_t len)
{
	uint8_t *at = p->octets + p->used;

	if (len)
		memcpy(at, bytes, len);
	p->used += len;
	return (ProtobufCBinaryData){ len, at };
}

static enum rc on_record(const struct incoming_record *r, void *user)
{
	struct out_follow *f = user;
	struct parcel *p = &f->parcel;
	Zone__TransferRecord *t;

	if (p->count == RECORDS || p->used + RECORD_MAX > OCTETS)
		send_parcel(f, false);
	t = &p->record[p->count];
	zone__transfer_record__init(t);
	t->gone = r->gone;
	t->type = r->type;
	t->ttl = r->ttl;
	t->key = put_octets(p, r->key.bytes, r->key.len);
	t->rdata = put_octets(p, r->rdata, r->len);
	p->list[p->count++] = t;
	return RC_OK;
}

/* ---- how it ends */

static void disconnect(struct out_follow *f)
{
	if (f->bev)
		bufferevent_free(f->bev);
	f->bev = NULL;
}

static void fail(struct out_follow *f, const char *why)
{
	Zone__Transfer t = ZONE__TRANSFER__INIT;
	char addr[CONF_ADDR_TEXT];

	conf_addr_write(&f->role->config->primary.addr, addr);
	log_write(f->role->log, LOG_WARNING, "transfer failed primary=%s why=%s", addr, why);
	t.failed = (char *)(uintptr_t)why;
	if (f->doing == ASKED)
		send_transfer(f, &t);
	disconnect(f);
	f->doing = IDLE;
	f->retry_ms = f->retry_ms < RETRY_MIN_MS ? RETRY_MIN_MS : 2 * f->retry_ms;
	if (f->retry_ms > RETRY_MAX_MS)
		f->retry_ms = RETRY_MAX_MS;
	arm(f, f->retry_ms);
}

static void rest(struct out_follow *f)
{
	f->doing = IDLE;
	f->retry_ms = 0;
	if (f->bev)
		bufferevent_set_timeouts(f->bev, NULL, NULL);
	arm(f, f->again ? 0 : (uint64_t)f->role->config->primary.look_s * 1000u);
}

static void on_end(struct out_follow *f)
{
	Zone__Transfer t = ZONE__TRANSFER__INIT;

	if (f->open.count > 0) {
		fail(f, "the last message is not signed (RFC 8945 section 5.3.1)");
		return;
	}
	if (f->in.state == INCOMING_DONE) {
		send_parcel(f, true);
		f->doing = APPLYING;
		return;
	}
	t.current = true;
	send_transfer(f, &t);
	rest(f);
}

/* ---- the primary's messages */

static enum rc on_dns(struct out_follow *f, const uint8_t *wire, size_t len, struct diag *d)
{
	struct incoming_sink sink = { on_begin, on_record, f };
	int64_t now = f->role->clock->unix_s(f->role->clock);
	size_t at = 0;
	enum rc rc = incoming_tsig_at(wire, len, &at);

	if (rc != RC_OK)
		return diag_set(d, rc, "a message that cannot be read");
	if (f->opts->key) {
		rc = tsig_verify_next(&f->tsig, &f->open, wire, len, at, now);
		if (rc != RC_OK)
			return diag_set(d, rc, "its signature is not good (response code %u)",
				wire[3] & 15u);
	}
	rc = incoming_message(&f->in, wire, at ? at : len, &sink, d);
	if (rc == RC_OK)
		send_parcel(f, false);
	return rc;
}

/* One message, if it is there and zone keeps up. */
static bool take_message(struct out_follow *f)
{
	struct evbuffer *in = bufferevent_get_input(f->bev);
	const uint8_t *head, *all;
	struct diag d = { 0 };
	enum rc rc;
	size_t len;

	if (!f->zone || link_queued(f->zone) > QUEUE_ENOUGH) {
		bufferevent_disable(f->bev, EV_READ);
		arm(f, PAUSE_MS);
		return false;
	}
	head = evbuffer_pullup(in, 2);
	len = head ? (size_t)head[0] << 8 | head[1] : 0;
	if (!head || evbuffer_get_length(in) < len + 2)
		return false;
	all = evbuffer_pullup(in, (ev_ssize_t)(len + 2));
	rc = all ? on_dns(f, all + 2, len, &d) : RC_NOMEM;
	if (rc == RC_DENIED && f->in.rcode && f->in.difference && !f->no_difference &&
		(f->in.rcode == 1 || f->in.rcode == 4)) {
		f->no_difference = true;
		rc = diag_set(&d, RC_DENIED, "it does not know IXFR: the whole zone then");
	}
	if (rc != RC_OK) {
		fail(f, d.text[0] ? d.text : rc_text(rc));
		return false;
	}
	evbuffer_drain(in, len + 2);
	if (f->in.state == INCOMING_DONE || f->in.state == INCOMING_CURRENT)
		on_end(f);
	return true;
}

static void on_read(struct bufferevent *bev, void *user)
{
	struct out_follow *f = user;

	(void)bev;
	while (f->bev && f->doing == ASKED && take_message(f))
		;
	/* What nobody asked for. */
	if (f->bev && f->doing != ASKED && evbuffer_get_length(bufferevent_get_input(f->bev)) > 0)
		disconnect(f);
}

static const char *why_closed(struct bufferevent *bev, short what)
{
	unsigned long e = bufferevent_get_openssl_error(bev);
	const char *text = e ? ERR_reason_error_string(e) : NULL;

	if (text)
		return text;
	return what & BEV_EVENT_TIMEOUT ? "it says nothing"
	       : what & BEV_EVENT_EOF	? "it closed the connection"
					: "no connection";
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct out_follow *f = user;

	if (what & BEV_EVENT_CONNECTED)
		return;
	if (f->doing == ASKED && !f->fresh && f->in.messages == 0) {
		/* It closed the idle connection just then. */
		disconnect(f);
		f->doing = IDLE;
		ask(f);
	} else if (f->doing == ASKED) {
		fail(f, why_closed(bev, what));
	} else {
		disconnect(f);
	}
}

/* ---- asking */

static enum rc connect_to(struct out_follow *f)
{
	const struct config *c = f->role->config;
	int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	SSL *ssl = f->tls ? SSL_new(f->tls) : NULL;

	f->fresh = true;
	if (!f->tls) {
		f->bev = bufferevent_socket_new(f->role->base, -1, options);
	} else {
		if (!ssl || SSL_set1_host(ssl, c->primary.tls_name) != 1 ||
			SSL_set_tlsext_host_name(ssl, c->primary.tls_name) != 1) {
			SSL_free(ssl);
			return RC_NOMEM;
		}
		f->bev = bufferevent_openssl_socket_new(
			f->role->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING, options);
		if (f->bev)
			bufferevent_openssl_set_allow_dirty_shutdown(f->bev, 1);
	}
	if (!f->bev)
		return RC_NOMEM;
	bufferevent_setcb(f->bev, on_read, NULL, on_event, f);
	return bufferevent_socket_connect(f->bev, (const struct sockaddr *)&c->primary.addr.sa,
		       (int)c->primary.addr.len) == 0
		       ? RC_OK
		       : RC_UNAVAILABLE;
}

static void ask(struct out_follow *f)
{
	static const struct timeval silence = { SILENCE_S, 0 };
	bool difference = f->have && !f->whole && !f->no_difference;
	uint8_t m[2 + INCOMING_ASK_MAX + TSIG_ROOM];
	uint16_t id = 0;
	size_t len;

	f->again = false;
	f->fresh = false;
	f->doing = ASKED;
	if (rng_system()->fill(rng_system(), &id, sizeof(id)) != RC_OK) {
		fail(f, "no random numbers");
		return;
	}
	len = incoming_ask(&f->in, &f->name, id, difference, f->serial, m + 2);
	f->open.count = 0;
	f->open.len = 0;
	if (f->opts->key) {
		tsig_start(&f->tsig, f->opts->key, id);
		len = tsig_sign(&f->tsig, m + 2, len, f->role->clock->unix_s(f->role->clock));
		/* The answer's first message has all variables under its signature. */
		f->tsig.chained = false;
	}
	m[0] = (uint8_t)(len >> 8);
	m[1] = (uint8_t)len;
	if (!f->bev && connect_to(f) != RC_OK) {
		fail(f, "no connection");
		return;
	}
	bufferevent_set_timeouts(f->bev, &silence, &silence);
	if (bufferevent_write(f->bev, m, len + 2) != 0 ||
		bufferevent_enable(f->bev, EV_READ | EV_WRITE) != 0)
		fail(f, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct out_follow *f = user;

	(void)fd;
	(void)what;
	if (f->doing == ASKED && f->bev) {
		/* It was to wait for zone. */
		bufferevent_enable(f->bev, EV_READ);
		on_read(f->bev, f);
	} else if (f->doing == IDLE && f->known) {
		ask(f);
	}
}

/* ---- zone */

static void on_following(struct out_follow *f, const Zone__Following *m)
{
	bool first = !f->known, applied = f->doing == APPLYING;

	f->known = true;
	f->have = m->have;
	f->whole = m->whole;
	f->serial = m->serial;
	if (f->have)
		f->opts->serial(f->opts->user, f->serial);
	if (applied && !f->whole) {
		rest(f);
	} else if (f->whole && !first) {
		/* Soon, but not again and again. */
		fail(f, "zone refused it; the whole zone is asked for");
	} else if (f->doing == IDLE) {
		arm(f, 0);
	}
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct out_follow *f = user;
	Zone__ToOut *m = zone__to_out__unpack(NULL, len, bytes);

	(void)link;
	if (m && m->op_case == ZONE__TO_OUT__OP_FOLLOWING) {
		on_following(f, m->following);
	} else if (m && m->op_case == ZONE__TO_OUT__OP_LOOK) {
		f->again = f->doing != IDLE;
		if (f->doing == IDLE && f->known)
			arm(f, 0);
	}
	if (m)
		zone__to_out__free_unpacked(m, NULL);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct out_follow *f = user;

	(void)why;
	link_free(link);
	f->zone = NULL;
	f->known = false;
	disconnect(f);
	f->doing = IDLE;
}

static void on_zone(struct role *role, const char *peer, int take_fd, void *user)
{
	struct out_follow *f = user;
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = f };

	if (f->zone)
		on_closed(f->zone, RC_CLOSED, f);
	if (link_new(role->base, take_fd, &opts, &f->zone) != RC_OK)
		log_write(role->log, LOG_ERROR, "link peer=%s", peer);
}

/* RFC 9103 section 7: TLS 1.3, strict (section 9.3.2): the name must be in the certificate. */
static enum rc open_tls(struct out_follow *f, struct diag *d)
{
	static const uint8_t alpn[] = { 3, 'd', 'o', 't' };
	const char *ca = f->role->config->primary.tls_ca;

	f->tls = SSL_CTX_new(TLS_client_method());
	if (!f->tls)
		return RC_NOMEM;
	SSL_CTX_set_verify(f->tls, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_min_proto_version(f->tls, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_alpn_protos(f->tls, alpn, sizeof(alpn)) != 0)
		return RC_CRYPTO;
	if (SSL_CTX_load_verify_file(f->tls, ca) != 1)
		return diag_set(d, RC_NOT_FOUND, "[primary] tls_ca: %s holds no certificate", ca);
	return RC_OK;
}

enum rc out_follow_new(struct role *role, const struct out_follow_opts *opts,
	struct out_follow **out, struct diag *d)
{
	struct out_follow *f = calloc(1, sizeof(*f));
	enum rc rc;

	if (!f)
		return RC_NOMEM;
	f->role = role;
	f->opts = opts;
	rc = zone_name_from_text(role->config->registry.zone, &f->name);
	zone_name_lower(&f->name);
	f->timer = event_new(role->base, -1, 0, on_timer, f);
	if (!f->timer)
		rc = RC_NOMEM;
	if (rc == RC_OK && role->config->primary.tls_name[0])
		rc = open_tls(f, d);
	if (rc == RC_OK)
		rc = role_on_link(role, "zone", on_zone, f);
	if (rc != RC_OK) {
		out_follow_free(f);
		return rc;
	}
	*out = f;
	return RC_OK;
}

void out_follow_free(struct out_follow *f)
{
	if (!f)
		return;
	disconnect(f);
	link_free(f->zone);
	if (f->timer)
		event_free(f->timer);
	SSL_CTX_free(f->tls);
	tsig_unsigned_free(&f->open);
	free(f);
}
