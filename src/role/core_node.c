/* SPDX-License-Identifier: Apache-2.0 */
/* Several nodes on one database (doc/nodes.md): a heartbeat with the lease of who signs, the zone's
 * deltas from the signer's zone into the database and from there to the others'. What the zone
 * serves moves on by what is in the database and by nothing else. */
#include "base/cur.h"
#include "base/put.h"
#include "proc/killpoint.h"
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

#define FOLLOW_MAX    256
#define FOLLOW_BYTES  (4u << 20)
#define AGAIN_MS      100   /* what could not be stored is tried again */
#define LOOK_MS	      20    /* others' news are looked for at most so often */
#define ALIVE_LEASES  3	    /* a node that was silent for longer does not count */
#define LONELY_LEASES 10    /* nobody has the newest content: then it is made anew */
#define TIDY_MS	      60000 /* old deltas and images go */
#define IMAGE_HEAD    8	    /* ttl and minimum before a part's body */

static const struct timeval at_once = { 0, 0 };

static void arm(struct event *e, int64_t ms)
{
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000 };

	event_add(e, &tv);
}

static bool send_zone(struct core *core, Zone__ToZone *m)
{
	if (!core->zone.link || link_send(core->zone.link, &m->base) != RC_OK)
		return false;
	link_flush(core->zone.link);
	return true;
}

static void say_sign(struct core *core, bool on)
{
	Zone__Sign sign = ZONE__SIGN__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	sign.on = on;
	sign.floor = core->node.head.reserved;
	m.op_case = ZONE__TO_ZONE__OP_SIGN;
	m.sign = &sign;
	core->node.sign_sent = on && send_zone(core, &m);
	if (!on)
		(void)send_zone(core, &m);
}

static void say_kept(struct core *core, uint32_t serial, bool ok)
{
	Zone__Kept kept = ZONE__KEPT__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	kept.serial = serial;
	kept.ok = ok;
	m.op_case = ZONE__TO_ZONE__OP_KEPT;
	m.kept = &kept;
	(void)send_zone(core, &m);
}

static void forget_pending(struct core *core)
{
	if (core->node.pending)
		zone__from_zone__free_unpacked(core->node.pending, NULL);
	core->node.pending = NULL;
}

/* Somebody else signs. */
static void lose(struct core *core, const char *why)
{
	if (core->node.token)
		log_write(core->log, LOG_WARNING, "lease lost token=%llu why=\"%s\"",
			(unsigned long long)core->node.token, why);
	core->node.token = 0;
	core->node.reserved = 0;
	core->node.keys_dirty = false;
	forget_pending(core);
	if (core->node.sign_sent)
		say_sign(core, false);
	core->node.sign_sent = false;
}

/* ---- signed here: into the database ------------------------------------------------------- */

static enum rc keep_delta(struct core *core, const Zone__Delta *m)
{
	struct core_node *n = &core->node;
	struct store_delta d = { .serial = m->serial,
		.prev = m->prev,
		.seq = m->seq,
		.body = { m->body.data, m->body.len } };
	enum rc rc = store_delta_add(core->store, n->name, n->token, n->lease_ms, &d);

	if (rc != RC_OK)
		return rc;
	n->head.serial = n->head.reserved = d.serial;
	n->head.seq = d.seq;
	n->head.n = d.n;
	n->deltas++;
	return RC_OK;
}

static enum rc keep_reserve(struct core *core, uint32_t serial)
{
	struct core_node *n = &core->node;
	enum rc rc = store_head_get(core->store, &n->head);

	if (rc == RC_OK)
		rc = store_serial_reserve(core->store, n->name, n->token, n->head.reserved, serial);
	if (rc == RC_OK)
		n->reserved = n->head.reserved = serial;
	return rc;
}

/* The database is asked until it has answered: what it does not say is not known. */
static void keep_pending(struct core *core)
{
	struct core_node *n = &core->node;
	const Zone__FromZone *m = n->pending;
	bool delta = m && m->op_case == ZONE__FROM_ZONE__OP_DELTA;
	uint32_t serial;
	enum rc rc;

	/* Whoever signs next must have the keys that this may publish. */
	if (!m || (n->keys_dirty && n->token))
		return;
	serial = delta ? m->delta->serial : m->reserve->serial;
	kill_point("core-before-delta");
	rc = !n->token ? RC_CONFLICT
	     : delta   ? keep_delta(core, m->delta)
		       : keep_reserve(core, serial);
	kill_point("core-after-delta");
	if (rc != RC_OK && rc != RC_CONFLICT) {
		log_write(core->log, LOG_WARNING, "delta is not stored yet serial=%u why=\"%s\"",
			serial, store_why(core->store));
		arm(n->again, AGAIN_MS);
		return;
	}
	forget_pending(core);
	say_kept(core, serial, rc == RC_OK);
	if (rc == RC_CONFLICT) {
		n->fenced++;
		n->sign_sent = false; /* the zone knows by this answer */
		lose(core, "fenced");
	}
}

/* After a rebuild: what nothing leads to is the newest content now. */
static void keep_whole(struct core *core)
{
	struct core_node *n = &core->node;
	struct store_delta d = { .serial = core->zone.serial, .seq = core->zone.applied };
	enum rc rc;

	if (!n->reserved || n->reserved != core->zone.serial || !n->token)
		return;
	rc = store_whole_add(core->store, n->name, n->token, &d);
	if (rc == RC_CONFLICT) {
		lose(core, "fenced");
		return;
	}
	if (rc != RC_OK)
		return; /* again with the next heartbeat */
	n->reserved = 0;
	n->rebuild = false;
	n->head.serial = d.serial;
	n->head.seq = d.seq;
}

/* ---- signed elsewhere: from the database --------------------------------------------------- */

static bool send_deltas(struct core *core, const struct store_delta *list, size_t count)
{
	Zone__Delta deltas[FOLLOW_MAX], *at[FOLLOW_MAX];
	Zone__Follow follow = ZONE__FOLLOW__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	for (size_t i = 0; i < count; i++) {
		zone__delta__init(&deltas[i]);
		deltas[i].prev = list[i].prev;
		deltas[i].serial = list[i].serial;
		deltas[i].seq = list[i].seq;
		deltas[i].body = (ProtobufCBinaryData){ list[i].body.len,
			(uint8_t *)(uintptr_t)list[i].body.bytes };
		at[i] = &deltas[i];
	}
	follow.n_deltas = count;
	follow.deltas = at;
	m.op_case = ZONE__TO_ZONE__OP_FOLLOW;
	m.follow = &follow;
	return send_zone(core, &m);
}

/* RC_NOT_FOUND: no deltas lead on from where our zone is. */
static enum rc follow(struct core *core)
{
	struct core_node *n = &core->node;
	struct arena a = arena_init(CORE_ARENA_MAX);
	struct store_delta *list = NULL;
	size_t count = 0;
	enum rc rc = n->have ? RC_OK : RC_NOT_FOUND;

	if (rc == RC_OK && n->place_serial != core->zone.serial)
		rc = store_delta_place(core->store, core->zone.serial, &n->place);
	if (rc == RC_OK) {
		n->place_serial = core->zone.serial;
		rc = store_delta_list(
			core->store, n->place, FOLLOW_MAX, FOLLOW_BYTES, &a, &list, &count);
	}
	/* Deltas that were made before we looked may be gone: those would not be the next. */
	if (rc == RC_OK && count && (list[0].whole || list[0].n != n->place + 1))
		rc = RC_NOT_FOUND;
	for (size_t i = 1; rc == RC_OK && i < count; i++)
		if (list[i].whole)
			count = i;
	if (rc == RC_OK && count && send_deltas(core, list, count)) {
		n->busy = true;
		n->place = list[count - 1].n;
		n->place_serial = list[count - 1].serial;
	}
	arena_fini(&a);
	return rc;
}

static bool send_part(struct core *core, const struct store_image *i)
{
	Zone__Image out = ZONE__IMAGE__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;
	struct cur c = cur_init(i->body.bytes, i->body.len);

	out.serial = i->serial;
	out.seq = i->seq;
	out.part = i->part;
	out.last = i->last;
	out.ttl = cur_u32(&c);
	out.minimum = cur_u32(&c);
	out.body = (ProtobufCBinaryData){ c.left, (uint8_t *)(uintptr_t)c.at };
	m.op_case = ZONE__TO_ZONE__OP_IMAGE;
	m.image = &out;
	return !c.bad && send_zone(core, &m);
}

static void load(struct core *core)
{
	struct core_node *n = &core->node;
	struct arena a = arena_init(CORE_ARENA_MAX);
	struct store_image part;

	if (link_queued(core->zone.link) >= CORE_ZONE_QUEUE) {
		arm(n->load, 2);
	} else if (store_image_get(core->store, n->load_serial, n->load_part, &a, &part) != RC_OK ||
		   !send_part(core, &part)) {
		/* It was replaced by a newer one. */
		n->loading = n->busy = false;
	} else if (part.last) {
		n->loading = false; /* busy until the zone has it */
	} else {
		n->load_part++;
		event_add(n->load, &at_once);
	}
	arena_fini(&a);
}

static void on_load(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;

	if (core->node.loading && core->zone.up)
		load(core);
}

/* Nothing leads on from where we are. RC_NOT_FOUND: nobody has given us all of it yet. */
static enum rc copy(struct core *core)
{
	struct core_node *n = &core->node;
	struct store_image found;
	enum rc rc = store_image_find(core->store, &found);

	n->wants_image = rc == RC_NOT_FOUND;
	if (rc != RC_OK)
		return rc;
	log_write(core->log, LOG_INFO, "zone is copied serial=%u", found.serial);
	n->busy = n->loading = true;
	n->load_serial = found.serial;
	n->load_part = 0;
	event_add(n->load, &at_once);
	return RC_OK;
}

/* ---- an image for others ------------------------------------------------------------------ */

static void give(struct core *core, bool first)
{
	Zone__WantImage want = ZONE__WANT_IMAGE__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	want.first = first;
	m.op_case = ZONE__TO_ZONE__OP_WANT_IMAGE;
	m.want_image = &want;
	core->node.giving = send_zone(core, &m);
}

static void on_part(struct core *core, const Zone__Image *m)
{
	struct core_node *n = &core->node;
	struct arena a = arena_init(CORE_ARENA_MAX);
	uint8_t *body = arena_alloc(&a, m->body.len + IMAGE_HEAD);
	struct store_image i = {
		.serial = m->serial, .part = m->part, .seq = m->seq, .last = m->last
	};
	struct put p = put_init(body, IMAGE_HEAD);
	enum rc rc = body ? RC_OK : RC_NOMEM;

	put_u32(&p, m->ttl);
	put_u32(&p, m->minimum);
	if (rc == RC_OK) {
		memcpy(body + IMAGE_HEAD, m->body.data, m->body.len);
		i.body = (struct store_blob){ body, m->body.len + IMAGE_HEAD };
		rc = store_delta_place(core->store, m->serial, &i.n);
	}
	if (rc == RC_OK && m->part == 0)
		rc = store_image_drop(core->store, m->serial);
	if (rc == RC_OK)
		rc = store_image_add(core->store, &i);
	arena_fini(&a);
	n->giving = false;
	if (rc != RC_OK)
		log_write(core->log, LOG_WARNING, "image serial=%u part=%u why=%s", m->serial,
			m->part, rc_text(rc));
	else if (!m->last)
		give(core, false);
	else
		log_write(core->log, LOG_INFO, "image serial=%u parts=%u", m->serial, m->part + 1);
	if (rc == RC_OK && m->last && store_begin(core->store) == RC_OK &&
		store_commit(core->store) != RC_OK) /* who waits for it hears */
		log_write(core->log, LOG_WARNING, "image is not told");
}

/* ---- what is next ------------------------------------------------------------------------- */

static bool abreast(const struct core *core)
{
	const struct core_node *n = &core->node;

	return n->head.serial == 0 || (n->have && core->zone.serial == n->head.serial);
}

static void begin_signing(struct core *core)
{
	struct core_node *n = &core->node;

	log_write(core->log, LOG_INFO, "signs token=%llu serial=%u reserved=%u rebuild=%d",
		(unsigned long long)n->token, core->zone.serial, n->head.reserved, n->rebuild);
	/* A zone from before there were nodes is what all begin with. */
	if (n->head.serial == 0 && n->have && keep_reserve(core, core->zone.serial) == RC_OK)
		keep_whole(core);
	n->wants_image = false;
	n->lonely_ms = 0;
	/* The others get what we have before anything is made with it. */
	n->keys_dirty = true;
	core__node_seal(core);
	say_sign(core, true);
}

/* True when it has been so for long that nobody comes who has the newest content. */
static bool lonely(struct core *core)
{
	struct core_node *n = &core->node;
	uint64_t now = core__now_ms(core);

	if (n->head.abreast) {
		n->lonely_ms = 0;
		return false;
	}
	if (!n->lonely_ms)
		n->lonely_ms = now;
	return now - n->lonely_ms >= (uint64_t)n->lease_ms * LONELY_LEASES;
}

void core__node_step(struct core *core)
{
	struct core_node *n = &core->node;
	enum rc rc;

	if (!n->on || n->removed || !core->zone.up || n->sign_sent || n->busy)
		return;
	if (abreast(core)) {
		n->wants_image = false;
		if (n->token && core__node_keys_ready(core))
			begin_signing(core);
		return;
	}
	rc = follow(core);
	if (rc == RC_NOT_FOUND)
		rc = copy(core);
	if (rc == RC_NOT_FOUND && n->token && lonely(core) && core__node_keys_ready(core)) {
		n->rebuild = true;
		begin_signing(core);
	} else if (rc != RC_OK && rc != RC_NOT_FOUND) {
		log_write(core->log, LOG_WARNING, "following why=\"%s\"", store_why(core->store));
	}
}

/* ---- heartbeat ---------------------------------------------------------------------------- */

static void take_lease(struct core *core)
{
	struct core_node *n = &core->node;
	bool mine = strcmp(n->head.holder, n->name) == 0;
	uint64_t token = 0;
	enum rc rc;

	/* Who has not the newest content leaves it to those who have, as long as there are any. */
	if (!n->token && ((n->head.left_ms > 0 && !mine) || !core->zone.up ||
				 (!abreast(core) && !lonely(core))))
		return;
	rc = store_lease_take(core->store, n->name, n->token, n->lease_ms, &token);
	if (rc == RC_CONFLICT || (rc == RC_OK && n->token && token != n->token))
		lose(core, "another node has it");
	if (rc != RC_OK || token == n->token)
		return;
	n->token = token;
	n->taken++;
	log_write(core->log, LOG_INFO, "lease taken token=%llu", (unsigned long long)token);
}

static void tidy(struct core *core)
{
	struct core_node *n = &core->node;
	uint64_t now = core__now_ms(core);

	if (!n->token || now - n->tidied_ms < TIDY_MS)
		return;
	n->tidied_ms = now;
	if (n->head.n > STORE_DELTAS_KEEP &&
		store_delta_prune(core->store, n->head.n - STORE_DELTAS_KEEP) != RC_OK)
		log_write(core->log, LOG_WARNING, "old deltas stay");
	if (!n->head.wanting && !n->giving && store_image_drop(core->store, 0) != RC_OK)
		log_write(core->log, LOG_WARNING, "old images stay");
}

static enum rc beat(struct core *core)
{
	struct core_node *n = &core->node;
	struct store_beat b = { .name = n->name,
		.serial = core->zone.serial,
		.seq = core->zone.applied,
		.wants_image = n->wants_image,
		/* Known to the second: half of one is the least wrong. */
		.now_ms = core->options.clock->unix_s(core->options.clock) * 1000 + 500,
		.keys_version = n->keys_version,
		.alive_ms = n->lease_ms * ALIVE_LEASES };
	struct store_image found;
	enum rc rc = store_beat(core->store, &b, &n->head);

	if (rc != RC_OK)
		return rc;
	n->beat_ms = core__now_ms(core);
	if (!n->head.known) {
		if (!n->removed)
			log_write(core->log, LOG_ERROR, "this node was removed name=%s", n->name);
		n->removed = true;
		lose(core, "removed");
		return RC_OK;
	}
	n->removed = false;
	take_lease(core);
	keep_whole(core);
	if (n->sign_sent && (n->keys_dirty || n->head.keyless))
		core__node_seal(core);
	if (!n->sign_sent && n->head.keys_version > n->keys_version)
		(void)core__node_keys_ready(core);
	core__node_audit(core);
	if (n->sign_sent && n->head.wanting && !n->giving &&
		store_image_find(core->store, &found) == RC_NOT_FOUND)
		give(core, true);
	tidy(core);
	return RC_OK;
}

static void follow_changes(struct core *core)
{
	if (core->node.sign_sent && core->zone.sent < store_change_last(core->store))
		event_add(core->zone.pump, &at_once);
}

static void listen_on(struct core *core);

static void on_beat(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;
	struct core_node *n = &core->node;
	struct diag d = { "" };

	if (beat(core) != RC_OK) {
		n->beats_failed++;
		log_write(core->log, LOG_WARNING, "heartbeat failed why=\"%s\"",
			store_why(core->store));
	} else {
		if (store_ear_fd(n->ear) < 0 && store_ear_again(n->ear, &d) == RC_OK)
			listen_on(core);
		core__node_step(core);
		follow_changes(core);
	}
	arm(n->beat, n->lease_ms / 4);
}

/* ---- others have committed ----------------------------------------------------------------- */

static void on_heard(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;
	struct core_node *n = &core->node;
	bool lost = false;
	bool heard = store_ear_heard(n->ear, core->store, &lost);

	if (lost) {
		event_del(n->heard);
		log_write(core->log, LOG_WARNING, "database: others are not heard");
		return;
	}
	if (!heard)
		return;
	memset(core->party_cache, 0, sizeof(core->party_cache));
	if (core->waiters && !event_pending(n->look, EV_TIMEOUT, NULL))
		arm(n->look, LOOK_MS);
	if (store_head_get(core->store, &n->head) != RC_OK)
		return;
	core__node_step(core);
	follow_changes(core);
}

static void on_look(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	core__waiters_look(user);
}

void core__node_keep(struct core *core)
{
	keep_pending(core);
}

static void on_again(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	keep_pending(user);
}

static void listen_on(struct core *core)
{
	struct core_node *n = &core->node;

	if (n->heard)
		event_free(n->heard);
	n->heard =
		event_new(core->base, store_ear_fd(n->ear), EV_READ | EV_PERSIST, on_heard, core);
	if (!n->heard || event_add(n->heard, NULL) != 0)
		log_write(core->log, LOG_ERROR, "database: others are not heard");
}

/* ---- from core_zone.c ---------------------------------------------------------------------- */

void core__node_hello(struct core *core, bool have)
{
	struct core_node *n = &core->node;

	n->have = have;
	n->busy = n->loading = n->giving = false;
	if (store_head_get(core->store, &n->head) == RC_OK)
		core__node_step(core);
}

void core__node_applied(struct core *core)
{
	struct core_node *n = &core->node;

	n->have = true;
	n->busy = false;
	keep_whole(core);
	core__node_step(core);
}

void core__node_zone_gone(struct core *core)
{
	struct core_node *n = &core->node;

	forget_pending(core);
	n->sign_sent = n->busy = n->loading = n->giving = n->have = false;
	n->reserved = 0;
}

bool core__node_message(struct core *core, Zone__FromZone *take_message)
{
	if (take_message->op_case == ZONE__FROM_ZONE__OP_IMAGE) {
		on_part(core, take_message->image);
		return false;
	}
	forget_pending(core);
	core->node.pending = take_message;
	keep_pending(core);
	return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

enum rc core__node_open(struct core *core, struct diag *d)
{
	struct core_node *n = &core->node;
	const struct core_options *o = &core->options;
	enum rc rc;

	if (!o->node || !*o->node)
		return RC_OK;
	n->name = o->node;
	n->lease_ms = o->lease_ms;
	rc = store_node_set(core->store, n->name);
	if (rc != RC_OK)
		return diag_set(d, rc, "[node] name: %s", rc_text(rc));
	n->on = true;
	n->beat = event_new(core->base, -1, 0, on_beat, core);
	n->again = event_new(core->base, -1, 0, on_again, core);
	n->load = event_new(core->base, -1, 0, on_load, core);
	n->look = event_new(core->base, -1, 0, on_look, core);
	if (!n->beat || !n->again || !n->load || !n->look)
		return RC_NOMEM;
	return store_ear_open(o->database, &n->ear, d);
}

enum rc core__node_start(struct core *core, struct diag *d)
{
	struct core_node *n = &core->node;
	enum rc rc;

	if (!n->on)
		return RC_OK;
	listen_on(core);
	rc = beat(core);
	if (rc != RC_OK)
		return diag_set(d, rc, "database: %s", store_why(core->store));
	if (n->removed)
		return diag_set(d, RC_DENIED,
			"[node] name: the database knows no node %s: see attestry node add",
			n->name);
	event_add(n->beat, &at_once);
	return RC_OK;
}

static void drop_event(struct event **e)
{
	if (*e)
		event_free(*e);
	*e = NULL;
}

void core__node_close(struct core *core)
{
	struct core_node *n = &core->node;

	/* The next one need not wait until it ends. */
	if (n->token && store_lease_leave(core->store, n->name, n->token) != RC_OK)
		log_write(core->log, LOG_WARNING, "lease is not left");
	forget_pending(core);
	drop_event(&n->beat);
	drop_event(&n->again);
	drop_event(&n->load);
	drop_event(&n->look);
	drop_event(&n->heard);
	store_ear_close(n->ear);
	n->ear = NULL;
}
