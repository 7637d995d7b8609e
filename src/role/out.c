/* SPDX-License-Identifier: Apache-2.0 */
/* out: the one role that may open connections, so that no other needs to. It tells the secondaries
 * that the zone changed (NOTIFY, RFC 1996) and watches which serial each of them serves; for zone
 * it asks the parent's name servers for our DS (out_parent.c). */
#include "role/out_internal.h"
#include "role/role.h"

#include "out.pb-c.h"
#include "proc/frame.h"
#include "zone/peers.h"
#include "zone/query.h"
#include "zone/rec.h"
#include "zone/rr.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX 1232u
#define HISTORY	    512u
/* NOTIFY and SOA question while a secondary is behind: soon, then less often. */
#define WAIT_MIN_MS 20u
#define WAIT_MAX_MS 2000u
/* How often one that is current is looked at. */
#define WATCH_MS     10000u
#define NOTIFY_EVERY 4u /* of the questions while it is behind: a NOTIFY may be lost */

struct watched {
	struct out *out;
	const struct peer_secondary *peer;
	int fd; /* connected; -1: none */
	struct event *readable;
	struct event *timer;
	unsigned wait_ms;
	unsigned tries; /* since the serial that it is to have is newer than its own */
	uint16_t notify_id, soa_id;
	bool notify_due;
	struct tsig notify_tsig, soa_tsig;
	bool seen;
	uint32_t serial;
	uint32_t lag_ms;
	uint64_t seen_ms; /* when it last answered */
};

struct out {
	struct role *role;
	struct link *core;	   /* NULL: none */
	struct out_parent *parent; /* on a primary */
	struct out_follow *follow; /* on a secondary */
	struct out_follow_opts follow_opts;
	struct out_tlsa *tlsa;
	struct zone_name zone;
	struct tsig_keys *keys;
	struct peers peers;
	struct watched watched[PEERS_SECONDARY_MAX];
	bool have_serial;
	uint32_t serial;
	struct {
		uint32_t serial;
		uint64_t ms; /* when we had it */
	} history[HISTORY];
	unsigned history_at;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void arm(struct watched *w, unsigned ms)
{
	struct timeval t = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

	(void)event_add(w->timer, &t);
}

/* ---- to core */

/* Of one that is behind: since when we have had what it lacks. */
static uint32_t lag_now(const struct watched *w)
{
	const struct out *o = w->out;
	uint64_t since = 0;

	for (unsigned i = 0; w->seen && i < HISTORY; i++)
		if (o->history[i].ms && (int32_t)(o->history[i].serial - w->serial) > 0 &&
			(!since || o->history[i].ms < since))
			since = o->history[i].ms;
	return since ? (uint32_t)(now_ms() - since) : w->lag_ms;
}

static void tell_core(struct watched *w)
{
	Out__Secondary s = OUT__SECONDARY__INIT;
	Out__FromOut m = OUT__FROM_OUT__INIT;

	s.name = (char *)(uintptr_t)w->peer->name;
	s.seen = w->seen;
	s.serial = w->serial;
	s.lag_ms = lag_now(w);
	s.silent_s = w->seen ? (now_ms() - w->seen_ms) / 1000u : 0;
	m.op_case = OUT__FROM_OUT__OP_SECONDARY;
	m.secondary = &s;
	if (w->out->core && link_send(w->out->core, &m.base) != RC_OK)
		log_write(w->out->role->log, LOG_WARNING, "core is not reading");
}

/* ---- messages */

static bool is_behind(const struct watched *w)
{
	return w->out->have_serial && (!w->seen || (int32_t)(w->out->serial - w->serial) > 0);
}

static uint16_t fresh_id(void)
{
	uint8_t id[2] = { 0 };

	(void)!RAND_bytes(id, sizeof(id));
	return rec_get16(id);
}

/* A question for the zone's SOA: a NOTIFY, or to see which serial is served there. */
static void ask(struct watched *w, bool notify)
{
	struct out *o = w->out;
	uint8_t m[MESSAGE_MAX] = { 0 };
	uint16_t id = fresh_id();
	struct tsig *t = notify ? &w->notify_tsig : &w->soa_tsig;
	size_t len = DNS_HEADER_LEN;

	rec_put16(m, id);
	rec_put16(m + 2, notify ? DNS_NOTIFY << 11 | DNS_AA : 0);
	rec_put16(m + 4, 1);
	memcpy(m + len, o->zone.wire, o->zone.len);
	len += o->zone.len;
	rec_put16(m + len, RR_SOA);
	rec_put16(m + len + 2, RR_IN);
	len += 4;
	if (w->peer->key) {
		tsig_start(t, w->peer->key, id);
		len = tsig_sign(t, m, len, o->role->clock->unix_s(o->role->clock));
	}
	*(notify ? &w->notify_id : &w->soa_id) = id;
	/* Nobody there, a full buffer: the timer asks again. */
	(void)!send(w->fd, m, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The serial of the SOA in the answer. */
static bool serial_of(const uint8_t *m, size_t len, const struct query *q, uint32_t *serial)
{
	struct cur c = cur_init(m + q->question_end, len - q->question_end);
	uint16_t rdlen;

	if (rec_get16(m + 6) == 0)
		return false;
	/* The owner is the question's name: a pointer, or the name again. */
	if (cur_peek(&c) >= 0xc0)
		cur_skip(&c, 2);
	else
		cur_skip(&c, q->qname_len);
	if (cur_u16(&c) != RR_SOA || cur_u16(&c) != RR_IN)
		return false;
	cur_skip(&c, 4);
	rdlen = cur_u16(&c);
	/* The numbers stand last: five of 32 bits. */
	if (c.bad || rdlen < 22 || c.left < rdlen)
		return false;
	*serial = rec_get32(c.at + rdlen - 20);
	return true;
}

static void note_serial(struct watched *w, uint32_t serial)
{
	struct out *o = w->out;
	bool news = !w->seen || w->serial != serial;

	w->seen = true;
	w->seen_ms = now_ms();
	w->serial = serial;
	for (unsigned i = 0; news && i < HISTORY; i++)
		if (o->history[i].ms && o->history[i].serial == serial)
			w->lag_ms = (uint32_t)(w->seen_ms - o->history[i].ms);
	if (news)
		tell_core(w);
	if (!is_behind(w))
		arm(w, WATCH_MS);
	else if (news)
		w->wait_ms = WAIT_MIN_MS;
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
	struct watched *w = user;
	uint8_t m[MESSAGE_MAX];
	struct query q;
	uint32_t serial;
	bool notify;
	struct tsig *t;
	ssize_t n = recv(fd, m, sizeof(m), MSG_DONTWAIT);

	(void)what;
	if (n < (ssize_t)DNS_HEADER_LEN || !(m[2] & 0x80))
		return;
	/* Read as the question that it repeats. */
	m[2] &= 0x7f;
	if (query_parse(m, (size_t)n, &q) != RC_OK || q.malformed || !q.has_question)
		return;
	m[2] |= 0x80;
	notify = q.opcode == DNS_NOTIFY;
	t = notify ? &w->notify_tsig : &w->soa_tsig;
	if (rec_get16(m) != (notify ? w->notify_id : w->soa_id) ||
		q.qname_len != w->out->zone.len ||
		zone_name_below(q.qname, q.qname_len, &w->out->zone) != 0)
		return;
	if (w->peer->key && (!q.signed_request || tsig_verify_answer(t, m, (size_t)n, q.tsig_at,
							  w->out->role->clock->unix_s(
								  w->out->role->clock)) != RC_OK))
		return;
	if (notify)
		w->notify_due = false;
	else if ((m[3] & 15) == DNS_NOERROR && serial_of(m, (size_t)n, &q, &serial))
		note_serial(w, serial);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct watched *w = user;
	bool behind = is_behind(w);

	(void)fd;
	(void)what;
	if (behind && (w->notify_due || w->tries % NOTIFY_EVERY == NOTIFY_EVERY - 1))
		ask(w, true);
	ask(w, false);
	w->tries++;
	if (!behind) {
		tell_core(w);
		arm(w, WATCH_MS);
		return;
	}
	w->wait_ms = w->wait_ms * 3 / 2 > WAIT_MAX_MS ? WAIT_MAX_MS : w->wait_ms * 3 / 2;
	if (w->wait_ms == WAIT_MAX_MS)
		tell_core(w);
	arm(w, w->wait_ms);
}

static void new_serial(struct out *o, uint32_t serial)
{
	if (o->have_serial && o->serial == serial)
		return;
	o->have_serial = true;
	o->serial = serial;
	o->history[o->history_at].serial = serial;
	o->history[o->history_at].ms = now_ms();
	o->history_at = (o->history_at + 1) % HISTORY;
	for (unsigned i = 0; i < o->peers.count; i++) {
		struct watched *w = &o->watched[i];

		if (w->fd < 0)
			continue;
		/* One NOTIFY is enough for all serials until it is answered. */
		if (!w->notify_due || w->wait_ms > 4 * WAIT_MIN_MS) {
			w->notify_due = true;
			w->tries = 0;
			w->wait_ms = WAIT_MIN_MS;
			arm(w, 0);
		}
	}
}

/* ---- core */

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct out *out = user;

	(void)why;
	link_free(link);
	out->core = NULL;
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct out *out = user;
	Out__ToOut *m = out__to_out__unpack(NULL, len, bytes);

	if (m && m->op_case == OUT__TO_OUT__OP_SERIAL) {
		new_serial(out, m->serial->serial);
	} else if (m && m->op_case == OUT__TO_OUT__OP_ASK_TLSA) {
		out_tlsa_ask(out->tlsa, m->ask_tlsa);
	} else {
		log_write(out->role->log, LOG_WARNING, "unexpected message peer=core len=%zu", len);
		on_closed(link, RC_MALFORMED, out);
	}
	if (m)
		out__to_out__free_unpacked(m, NULL);
}

static void on_tlsa(void *user, const Out__FoundTlsa *found)
{
	struct out *out = user;
	Out__FromOut m = OUT__FROM_OUT__INIT;

	m.op_case = OUT__FROM_OUT__OP_FOUND_TLSA;
	m.found_tlsa = (Out__FoundTlsa *)(uintptr_t)found;
	if (out->core && link_send(out->core, &m.base) != RC_OK)
		log_write(out->role->log, LOG_WARNING, "core is not reading");
}

static void on_core(struct role *role, const char *peer, int take_fd, void *user)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = user };
	struct out *out = user;

	link_free(out->core);
	out->core = NULL;
	if (link_new(role->base, take_fd, &opts, &out->core) != RC_OK) {
		log_write(role->log, LOG_ERROR, "link peer=%s", peer);
		return;
	}
	for (unsigned i = 0; i < out->peers.count; i++)
		if (out->watched[i].fd >= 0)
			tell_core(&out->watched[i]);
}

/* ---- start */

static enum rc watch(struct out *o, unsigned i)
{
	struct watched *w = &o->watched[i];

	w->out = o;
	w->peer = &o->peers.secondary[i];
	w->wait_ms = WAIT_MIN_MS;
	if (w->peer->quiet)
		return RC_OK;
	w->fd = socket(w->peer->addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0 ||
		connect(w->fd, (const struct sockaddr *)&w->peer->addr, w->peer->addr_len) != 0) {
		log_write(o->role->log, LOG_ERROR, "secondary name=%s why=%s", w->peer->name,
			strerror(errno));
		if (w->fd >= 0)
			close(w->fd);
		w->fd = -1;
		return RC_OK;
	}
	w->readable = event_new(o->role->base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
	w->timer = event_new(o->role->base, -1, 0, on_timer, w);
	if (!w->readable || !w->timer || event_add(w->readable, NULL) != 0)
		return RC_NOMEM;
	arm(w, WATCH_MS);
	return RC_OK;
}

static enum rc open_primary(struct out *o, struct diag *d)
{
	enum rc rc = role_on_link(o->role, "core", on_core, o);

	return rc == RC_OK ? out_parent_new(o->role, &o->parent, d) : rc;
}

static void on_followed(void *user, uint32_t serial)
{
	new_serial(user, serial);
}

/* A secondary tells secondaries of its own. */
static enum rc open_follow(struct out *o, struct diag *d)
{
	const char *key = o->role->config->primary.key;

	o->follow_opts = (struct out_follow_opts){ .serial = on_followed, .user = o };
	if (key[0])
		o->follow_opts.key = tsig_key_find(o->keys, key);
	if (key[0] && !o->follow_opts.key)
		return diag_set(d, RC_NOT_FOUND, "[primary] key: %s is not in the keys' file", key);
	return out_follow_new(o->role, &o->follow_opts, &o->follow, d);
}

static enum rc open_all(struct out *o, struct diag *d)
{
	const struct config *c = o->role->config;
	enum rc rc = zone_name_from_text(c->registry.zone, &o->zone);

	for (unsigned i = 0; i < PEERS_SECONDARY_MAX; i++)
		o->watched[i].fd = -1;
	if (rc == RC_OK && c->dns.transfer_keys[0])
		rc = tsig_keys_read(c->dns.transfer_keys, &o->keys, d);
	if (rc == RC_OK)
		rc = peers_read((const char *const *)c->dns.secondary.items, c->dns.secondary.count,
			o->keys, true, &o->peers, d);
	if (rc == RC_OK)
		rc = config_is_secondary(c) ? open_follow(o, d) : open_primary(o, d);
	if (rc == RC_OK)
		rc = out_tlsa_new(o->role, on_tlsa, o, &o->tlsa, d);
	if (rc == RC_OK)
		rc = role_confine(o->role, d);
	if (rc == RC_OK)
		rc = out_tlsa_start(o->tlsa);
	for (unsigned i = 0; rc == RC_OK && i < o->peers.count; i++)
		rc = watch(o, i);
	return rc;
}

static void close_all(struct out *o)
{
	link_free(o->core);
	for (unsigned i = 0; i < PEERS_SECONDARY_MAX; i++) {
		struct watched *w = &o->watched[i];

		if (w->readable)
			event_free(w->readable);
		if (w->timer)
			event_free(w->timer);
		if (w->fd >= 0)
			close(w->fd);
	}
	out_parent_free(o->parent);
	out_follow_free(o->follow);
	out_tlsa_free(o->tlsa);
	tsig_keys_free(o->keys);
	free(o);
}

enum rc role_out_run(struct role *role)
{
	struct out *out = calloc(1, sizeof(*out));
	struct diag d = { 0 };
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	out->role = role;
	rc = open_all(out, &d);
	if (rc == RC_OK)
		rc = role_ready(role);
	else
		log_write(role->log, LOG_ERROR, "start why=%s", d.text[0] ? d.text : rc_text(rc));
	if (rc == RC_OK)
		rc = role_loop(role);
	close_all(out);
	return rc;
}
