/* SPDX-License-Identifier: Apache-2.0 */
/* zone, where this node is a secondary: out fetches, this applies and publishes. No keys, no core;
 * everything that dns sees is as on a primary. */
#include "role/zone_internal.h"
#include "zone/follow.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How often "nothing newer" is written down: it must survive a restart, and costs a commit. */
#define CONFIRM_S 60

struct zone_follow {
	struct zone_role *zone;
	struct link *out;
	struct zone_name origin;
	struct follow *transfer; /* under way; NULL: none */
	bool whole;		 /* it is one of the whole zone */
	bool want_whole;
	bool expired;
	int64_t confirmed, confirmed_kept; /* wall clock, s; 0: never */
	uint32_t expire;
	uint64_t transfers, failures;
	uint64_t apply_us; /* of the last difference */
};

static int64_t now_of(const struct zone_follow *f)
{
	return f->zone->role->clock->unix_s(f->zone->role->clock);
}

static uint64_t now_us(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static enum rc committed(void *user)
{
	struct zone_follow *f = user;

	return snap_writer_publish(f->zone->snaps);
}

static void say_following(struct zone_follow *f)
{
	Zone__Following following = ZONE__FOLLOWING__INIT;
	Zone__ToOut m = ZONE__TO_OUT__INIT;

	following.have = f->zone->have;
	following.serial = f->zone->serial;
	following.whole = f->want_whole;
	m.op_case = ZONE__TO_OUT__OP_FOLLOWING;
	m.following = &following;
	if (f->out && link_send(f->out, &m.base) != RC_OK)
		log_write(f->zone->role->log, LOG_WARNING, "out is not reading");
}

void zone__follow_look(struct zone_role *z)
{
	Zone__Look look = ZONE__LOOK__INIT;
	Zone__ToOut m = ZONE__TO_OUT__INIT;

	m.op_case = ZONE__TO_OUT__OP_LOOK;
	m.look = &look;
	/* A lost one is made good by the next regular look. */
	if (z->follow && z->follow->out)
		(void)!link_send(z->follow->out, &m.base);
}

static void drop_transfer(struct zone_follow *f)
{
	follow_free(f->transfer);
	f->transfer = NULL;
}

/* Out of date for longer than the zone allows (RFC 1035 section 3.3.13): no answers any more. */
static void look_at_age(struct zone_follow *f)
{
	int64_t age = now_of(f) - f->confirmed;
	bool expired = f->zone->have && f->expire > 0 && age > (int64_t)f->expire;

	if (expired != f->expired)
		log_write(f->zone->role->log, expired ? LOG_ERROR : LOG_INFO,
			"zone %s after_s=%lld", expired ? "expired" : "is fresh again",
			(long long)age);
	f->expired = expired;
	snap_writer_expire(f->zone->snaps, expired);
}

static void confirm(struct zone_follow *f, bool now)
{
	struct diag d = { 0 };

	f->confirmed = now_of(f);
	look_at_age(f);
	if (!now && f->confirmed - f->confirmed_kept < CONFIRM_S &&
		f->confirmed >= f->confirmed_kept)
		return;
	if (follow_confirm(f->zone->db, f->confirmed, &d) != RC_OK || committed(f) != RC_OK)
		log_write(f->zone->role->log, LOG_ERROR, "confirm why=%s", d.text);
	else
		f->confirmed_kept = f->confirmed;
}

static enum rc on_record(struct zone_follow *f, const Zone__TransferRecord *t, struct diag *d)
{
	struct incoming_record r = { .gone = t->gone,
		.type = (uint16_t)t->type,
		.ttl = t->ttl,
		.rdata = t->rdata.data,
		.len = t->rdata.len };

	if (t->key.len < 1 || t->key.len > ZONE_KEY_MAX || t->type > UINT16_MAX ||
		t->rdata.len > UINT16_MAX)
		return diag_set(d, RC_MALFORMED, "a record out of bounds");
	r.key.len = (uint16_t)t->key.len;
	memcpy(r.key.bytes, t->key.data, t->key.len);
	return follow_record(f->transfer, &r, d);
}

static enum rc end_transfer(struct zone_follow *f, struct diag *d)
{
	struct zone_role *z = f->zone;
	struct zone_state state;
	uint64_t start = now_us();
	enum rc rc = follow_end(f->transfer, &state, d);

	if (rc != RC_OK)
		return rc;
	if (!f->whole)
		f->apply_us = now_us() - start;
	drop_transfer(f);
	zone__wrote(f->zone, true);
	f->transfers++;
	f->want_whole = false;
	z->serial = state.serial;
	z->have = true;
	if (!z->content)
		zone__greet_again(z);
	z->content = true;
	f->expire = follow_expire(z->db);
	confirm(f, f->whole);
	if (f->whole)
		log_write(z->role->log, LOG_INFO, "transferred serial=%u", state.serial);
	say_following(f);
	return RC_OK;
}

static enum rc on_transfer(struct zone_follow *f, const Zone__Transfer *t, struct diag *d)
{
	struct follow_hook hook = { committed, f };
	enum rc rc = RC_OK;

	if (t->begin) {
		drop_transfer(f);
		f->whole = t->whole;
		rc = follow_new(f->zone->db, &f->origin, t->whole, &hook, &f->transfer, d);
	}
	if (t->failed && t->failed[0])
		drop_transfer(f);
	if (t->current)
		confirm(f, false);
	if (!f->transfer)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < t->n_records; i++)
		rc = on_record(f, t->records[i], d);
	return rc == RC_OK && t->end ? end_transfer(f, d) : rc;
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct zone_follow *f = user;
	Zone__FromOut *m = zone__from_out__unpack(NULL, len, bytes);
	struct diag d = { 0 };
	enum rc rc = RC_MALFORMED;

	(void)link;
	if (m && m->op_case == ZONE__FROM_OUT__OP_TRANSFER)
		rc = on_transfer(f, m->transfer, &d);
	if (m)
		zone__from_out__free_unpacked(m, NULL);
	if (rc == RC_OK)
		return;
	/* RC_STATE: a difference that does not fit is no error of the primary's; all else may be,
	 * and then the whole zone tells. */
	if (rc == RC_IO)
		zone__wrote(f->zone, false);
	log_write(f->zone->role->log, rc == RC_STATE ? LOG_WARNING : LOG_ERROR,
		"transfer refused why=%s", d.text[0] ? d.text : rc_text(rc));
	drop_transfer(f);
	f->failures++;
	f->want_whole = true;
	say_following(f);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct zone_follow *f = user;

	(void)why;
	link_free(link);
	f->out = NULL;
	drop_transfer(f);
}

static void on_out_link(struct role *role, const char *peer, int take_fd, void *user)
{
	struct zone_role *z = user;
	struct zone_follow *f = z->follow;
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = f };

	(void)peer;
	if (f->out)
		on_closed(f->out, RC_CLOSED, f);
	if (link_new(role->base, take_fd, &opts, &f->out) == RC_OK)
		say_following(f);
}

enum rc zone__follow_open(struct zone_role *z)
{
	struct zone_follow *f = calloc(1, sizeof(*f));
	struct zone_state state;
	enum rc rc;

	if (!f)
		return RC_NOMEM;
	z->follow = f;
	f->zone = z;
	rc = zone_name_from_text(z->role->config->registry.zone, &f->origin);
	if (rc != RC_OK)
		return rc;
	zone_name_lower(&f->origin);
	state = zone__state(z);
	/* Another zone's folder: begun anew. */
	z->have = state.have && state.origin.len == f->origin.len &&
		  memcmp(state.origin.wire, f->origin.wire, f->origin.len) == 0;
	z->serial = z->have ? state.serial : 0;
	f->confirmed = f->confirmed_kept = follow_confirmed(z->db);
	f->expire = follow_expire(z->db);
	look_at_age(f);
	return role_on_link(z->role, "out", on_out_link, z);
}

void zone__follow_tick(struct zone_role *z)
{
	look_at_age(z->follow);
}

void zone__follow_metrics(const struct zone_role *z, struct role_metrics *m)
{
	const struct zone_follow *f = z->follow;

	role_metric(m, "soa_serial", z->serial);
	role_metric(m, "zone_has_content", z->have);
	role_metric(m, "zone_expired", f->expired);
	role_metric(
		m, "primary_silent_seconds", f->confirmed ? (double)(now_of(f) - f->confirmed) : 0);
	role_metric(m, "transfers_total", (double)f->transfers);
	role_metric(m, "transfers_refused_total", (double)f->failures);
	role_metric(m, "apply_us", (double)f->apply_us);
}

void zone__follow_close(struct zone_role *z)
{
	if (!z->follow)
		return;
	link_free(z->follow->out);
	drop_transfer(z->follow);
	free(z->follow);
	z->follow = NULL;
}
