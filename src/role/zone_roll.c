/* SPDX-License-Identifier: Apache-2.0 */
/* The zone's keys move on when everybody who validates can follow (RFC 7583): a ZSK is published
 * before it signs and stays until no signature of it is left in any cache; a KSK's DS stands at the
 * parent beside the old one's before it signs, and the old one goes when its DS has gone from the
 * parent and from caches (double-DS, by CDS and CDNSKEY: RFC 7344). One step at a time, between
 * pieces of work. What was waited for survives a restart: keys writes down when a state began. */
#include "role/zone_internal.h"

#include <string.h>

#define STATE(id) KEYS__ZONE_KEY_STATE__KEY_##id

#define MOVE_EVERY_MS 900u
/* Wall clock and monotonic clock may drift this far apart between two ticks. */
#define JUMP_S 30
/* After a jump signatures are good by the clock before and by the one after it, as long as keys
 * signs for such a span, and for a day: by then somebody has set the clock right. */
#define DOUBT_MAX_S    (7 * 86400)
#define DOUBT_SPAN_S   (29 * 86400)
#define DOUBT_MS       86400000u
#define PARENT_WAIT_MS 30000u /* then it is asked again */
/* A step that keys refused. */
#define REFUSED_AGAIN_MS 10000u

static uint64_t mono(const struct zone_role *z)
{
	return z->role->clock->monotonic_ms(z->role->clock);
}

static int64_t wall(const struct zone_role *z)
{
	return z->role->clock->unix_s(z->role->clock);
}

/* ---- what keys says */

static const struct zone_life *known_before(
	const struct zone_life *list, unsigned n, const Keys__ZoneKey *k)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].ksk == k->ksk && list[i].tag == k->tag)
			return &list[i];
	return NULL;
}

void zone__roll_keys(struct zone_role *z, const Keys__Public *pub, bool changed)
{
	struct zone_roll *r = &z->roll;
	struct zone_life old[WORK_KEYS_MAX];
	unsigned n = r->keys;
	uint16_t zsk = 0, ksk = 0;

	memcpy(old, r->key, sizeof(old));
	r->keys = 0;
	for (size_t i = 0; i < pub->n_zone_keys && i < WORK_KEYS_MAX; i++) {
		const Keys__ZoneKey *k = pub->zone_keys[i];
		const struct zone_life *was = known_before(old, n, k);
		struct zone_life *l = &r->key[r->keys++];

		*l = was ? *was : (struct zone_life){ .ksk = k->ksk, .tag = (uint16_t)k->tag };
		if (!was || was->state != k->state)
			l->state_ms = mono(z);
		if (was && was->state == STATE(ACTIVE) && k->state == STATE(RETIRING)) {
			zsk = k->ksk ? zsk : l->tag;
			ksk = k->ksk ? l->tag : ksk;
		}
		l->state = k->state;
		l->hold = k->hold;
		/* The order is done: a key stands by, or will. */
		if (l->hold && k->state < STATE(ACTIVE))
			r->want[k->ksk].standby = false;
		l->alg = (uint8_t)k->algorithm;
		l->offline = strcmp(k->where, "off-line") == 0;
		l->token = strcmp(k->where, "token") == 0;
		memcpy(l->times, k->times, sizeof(l->times));
		if (sign_ds(&z->policy.origin, k->rdata.data, k->rdata.len, l->ds) != RC_OK)
			memset(l->ds, 0, sizeof(l->ds));
	}
	zone__algroll_keys(z, pub);
	zone__presigned_keys(z, pub);
	if (changed)
		r->served = false;
	if (zsk || ksk || n == 0)
		sweep_restart(&z->sweep);
	zone__say_keys(z);
}

static struct zone_life *key_in(struct zone_role *z, bool ksk, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < z->roll.keys; i++) {
		struct zone_life *k = &z->roll.key[i];
		if (k->ksk == ksk && k->state >= from && k->state <= to)
			return k;
	}
	return NULL;
}

/* ---- time */

/* Whole seconds: one more than needed has begun. A state that began in the future began before the
 * clock was set back: then the time that this process has seen counts. */
bool zone__waited(const struct zone_role *z, int64_t since, uint64_t known_ms, int64_t need_s)
{
	if (since <= wall(z))
		return wall(z) - since > need_s;
	return mono(z) - known_ms >= (uint64_t)need_s * 1000;
}

static bool waited(const struct zone_role *z, const struct zone_life *k, int64_t need_s)
{
	return zone__waited(z, k->times[k->state], k->state_ms, need_s);
}

int64_t zone__caches_s(const struct zone_role *z)
{
	return (int64_t)z->policy.ttl + z->role->config->zone.propagation_s;
}

static bool seen_for(const struct zone_role *z, uint64_t since_ms, int64_t need_s)
{
	return since_ms && mono(z) - since_ms >= (uint64_t)need_s * 1000;
}

bool zone__clock_is_certain(const struct zone_role *z)
{
	return mono(z) >= z->roll.hold_ms;
}

static void take_doubt(struct zone_role *z, int64_t by)
{
	int64_t doubt = z->policy.doubt_s - by, far = doubt < 0 ? -doubt : doubt;

	/* The clock is back, or nothing bridges that. */
	if (far <= JUMP_S || far > DOUBT_MAX_S || far + z->policy.infra_signature_s > DOUBT_SPAN_S)
		doubt = 0;
	z->policy.doubt_s = doubt;
	z->roll.doubt_ms = mono(z) + DOUBT_MS;
}

/* A jump of the wall clock makes every wait doubtful: nothing is removed until the longest of them
 * has passed by the monotonic clock. */
static void watch_clock(struct zone_role *z)
{
	struct zone_roll *r = &z->roll;
	int64_t now = wall(z);
	uint64_t ms = mono(z);
	int64_t by = now - r->wall_s - (int64_t)((ms - r->wall_ms) / 1000);
	int64_t hold = zone__caches_s(z) + r->parent_ttl;

	if (r->wall_ms && (by > JUMP_S || by < -JUMP_S)) {
		r->hold_ms = ms + (uint64_t)hold * 1000;
		take_doubt(z, by);
		sweep_restart(&z->sweep);
		log_write(z->role->log, LOG_ERROR, "clock_jumped by_s=%lld hold_s=%lld",
			(long long)by, (long long)hold);
	}
	if (z->policy.doubt_s && ms >= r->doubt_ms)
		z->policy.doubt_s = 0;
	r->wall_s = now;
	r->wall_ms = ms;
}

uint32_t zone__pass_time(const struct zone_role *z)
{
	const struct zone_roll *r = &z->roll;
	int64_t roll = z->role->config->zone.roll_time_s;
	uint32_t usual = z->policy.signature_s / WORK_PASSES_OF_LIFE;

	if (z->policy.doubt_s && z->sweep.passes == 0)
		return 0;
	if (r->alg.phase == KEYS_ALG_SIGNING || r->alg.phase == KEYS_ALG_CLEANING)
		return z->sweep.passes > 0 ? 0 : roll < usual ? (uint32_t)roll : usual;
	for (unsigned i = 0; i < r->keys; i++) {
		if (r->key[i].ksk || r->key[i].state != STATE(RETIRING))
			continue;
		/* The first pass signs; those behind it only look whether all is done. */
		if (r->want[0].fast || z->sweep.passes > 0)
			return 0;
		return roll < usual ? (uint32_t)roll : usual;
	}
	return usual;
}

/* ---- the parent */

static bool has_ds(const Zone__ParentServer *s, const struct zone_life *k)
{
	for (size_t i = 0; i < s->n_ds; i++)
		if (s->ds[i].len == DS_LEN && memcmp(s->ds[i].data, k->ds, DS_LEN) == 0)
			return true;
	return false;
}

/* One server that does not answer leaves everything open. */
static void take_parent(struct zone_role *z, const Zone__ParentDs *p)
{
	struct zone_roll *r = &z->roll;
	bool all = p->n_servers > 0;

	r->parent_asked = false;
	for (size_t i = 0; i < p->n_servers; i++) {
		const Zone__ParentServer *s = p->servers[i];

		all = all && s->ok;
		if (s->ok && s->ttl > r->parent_ttl)
			r->parent_ttl = s->ttl;
		if (!s->ok)
			log_write(z->role->log, LOG_WARNING, "parent server=%s why=\"%s\"", s->addr,
				s->why);
	}
	for (unsigned k = 0; all && k < r->keys; k++) {
		struct zone_life *l = &r->key[k];
		size_t have = 0;

		for (size_t i = 0; l->ksk && i < p->n_servers; i++)
			have += has_ds(p->servers[i], l);
		if (!l->ksk)
			continue;
		l->there_ms = have == p->n_servers ? (l->there_ms ? l->there_ms : mono(z)) : 0;
		l->gone_ms = have == 0 ? (l->gone_ms ? l->gone_ms : mono(z)) : 0;
	}
}

static void on_out(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct zone_role *z = user;
	Zone__FromOut *m = zone__from_out__unpack(NULL, len, bytes);

	(void)link;
	if (!m) {
		log_write(z->role->log, LOG_ERROR, "out malformed_message len=%zu", len);
		return;
	}
	if (m->op_case == ZONE__FROM_OUT__OP_PARENT_DS)
		take_parent(z, m->parent_ds);
	zone__from_out__free_unpacked(m, NULL);
}

static void on_out_closed(struct link *link, enum rc why, void *user)
{
	struct zone_role *z = user;

	log_write(z->role->log, LOG_WARNING, "link_closed peer=out why=%s", rc_text(why));
	z->roll.out = NULL;
	link_free(link);
}

void zone__out_link(struct zone_role *z, int take_fd)
{
	struct link_opts opts = { .on_message = on_out, .on_closed = on_out_closed, .user = z };

	link_free(z->roll.out);
	z->roll.out = NULL;
	z->roll.parent_asked = false;
	if (link_new(z->role->base, take_fd, &opts, &z->roll.out) != RC_OK)
		log_write(z->role->log, LOG_ERROR, "link peer=out");
}

bool zone__has_parent(const struct zone_role *z)
{
	const struct conf_list *l = &z->role->config->parent.server;

	return l->count > 0 && l->items[0][0];
}

static void ask_parent(struct zone_role *z)
{
	struct zone_roll *r = &z->roll;
	Zone__AskParent ask = ZONE__ASK_PARENT__INIT;
	Zone__ToOut m = ZONE__TO_OUT__INIT;
	uint64_t every = (uint64_t)z->role->config->parent.check_s * 1000;
	uint64_t since = mono(z) - r->parent_asked_ms;

	if (!r->out || !zone__has_parent(z) || since < (r->parent_asked ? PARENT_WAIT_MS : every))
		return;
	m.op_case = ZONE__TO_OUT__OP_ASK_PARENT;
	m.ask_parent = &ask;
	r->parent_asked_ms = mono(z);
	r->parent_asked = link_send(r->out, &m.base) == RC_OK;
}

/* ---- steps */

static void move(struct zone_role *z, const struct zone_life *k, Keys__ZoneKeyState to)
{
	Keys__MoveZoneKey m = KEYS__MOVE_ZONE_KEY__INIT;

	m.ksk = k->ksk;
	m.tag = k->tag;
	m.to = to;
	z->roll.asked_ksk = k->ksk;
	zone__ask_move(z, &m);
}

static void make(struct zone_role *z, bool ksk)
{
	Keys__MoveZoneKey m = KEYS__MOVE_ZONE_KEY__INIT;

	m.make = true;
	m.ksk = ksk;
	m.hold = z->roll.want[ksk].standby;
	z->roll.asked_ksk = ksk;
	zone__ask_move(z, &m);
}

/* True when the parent gives this key's DS (or no longer does) since long enough. */
bool zone__parent_is(struct zone_role *z, const struct zone_life *k, bool there)
{
	if (z->roll.want[1].confirmed)
		return true;
	ask_parent(z);
	return seen_for(z, there ? k->there_ms : k->gone_ms,
		(int64_t)z->roll.parent_ttl + z->role->config->zone.propagation_s);
}

/* The next key's step; true when one was taken. */
static bool step_next(struct zone_role *z, struct zone_life *k)
{
	const char **waits = &z->roll.waits[k->ksk];

	if (k->state == STATE(PUBLISHED) && k->times[STATE(PUBLISHED)] == 0) {
		move(z, k, STATE(PUBLISHED));
		return true;
	}
	if (k->state == STATE(PUBLISHED)) {
		*waits = "caches to know the next DNSKEY";
		if (!waited(z, k, zone__caches_s(z)))
			return false;
		*waits = zone__has_parent(z) ? "the parent, and caches, to have the next DS"
					     : "confirmation that the parent has the next DS";
		if (k->ksk && !zone__parent_is(z, k, true))
			return false;
		z->roll.want[k->ksk].confirmed = false;
		move(z, k, STATE(READY));
		return true;
	}
	*waits = k->hold && !z->roll.want[k->ksk].go ? "an order: the next key stands by"
						     : "the key before to be gone";
	if ((k->hold && !z->roll.want[k->ksk].go) ||
		key_in(z, k->ksk, STATE(RETIRING), STATE(RETIRED)))
		return false;
	z->roll.want[k->ksk].go = false;
	move(z, k, STATE(ACTIVE));
	return true;
}

/* The old key's. */
static bool step_old(struct zone_role *z, struct zone_life *k)
{
	const char **waits = &z->roll.waits[k->ksk];
	bool clean = z->sweep.passes > 0 && z->sweep.last.foreign == 0;

	if (k->state == STATE(RETIRING)) {
		*waits = k->ksk ? "caches to know the new key's DNSKEY RRset"
				: "the old key's signatures to be replaced";
		if (k->ksk ? !waited(z, k, zone__caches_s(z)) : !clean)
			return false;
		move(z, k, STATE(RETIRED));
		return true;
	}
	*waits = !k->ksk	       ? "caches to forget the old key's signatures"
		 : zone__has_parent(z) ? "the parent, and caches, to have dropped the old DS"
				       : "confirmation that the parent has dropped the old DS";
	if (k->ksk ? !zone__parent_is(z, k, false) : !waited(z, k, zone__caches_s(z)))
		return false;
	z->roll.want[k->ksk].confirmed = false;
	z->roll.want[k->ksk].fast = false;
	move(z, k, STATE(REMOVED));
	return true;
}

static bool life_is_over(struct zone_role *z, bool ksk)
{
	int64_t life = ksk ? z->role->config->zone.ksk_life_s : z->role->config->zone.zsk_life_s;
	const struct zone_life *k = key_in(z, ksk, STATE(ACTIVE), STATE(ACTIVE));

	return life > 0 && k && k->times[STATE(ACTIVE)] > 0 && waited(z, k, life);
}

static bool step(struct zone_role *z, bool ksk)
{
	struct zone_life *old = key_in(z, ksk, STATE(RETIRING), STATE(RETIRED));
	struct zone_life *next = key_in(z, ksk, STATE(PUBLISHED), STATE(READY));

	z->roll.waits[ksk] = "";
	if (old && step_old(z, old))
		return true;
	if (next)
		return step_next(z, next);
	if (old || !(z->roll.want[ksk].go || z->roll.want[ksk].standby || life_is_over(z, ksk)))
		return false;
	make(z, ksk);
	return true;
}

/* Said once a pass: somebody must look before the last third is over. */
static void alarm_late(struct zone_role *z)
{
	struct zone_roll *r = &z->roll;

	if (z->sweep.passes == r->late_pass)
		return;
	r->late_pass = z->sweep.passes;
	if (z->sweep.last.late > 0)
		log_write(z->role->log, LOG_ERROR, "signatures_late count=%llu",
			(unsigned long long)z->sweep.last.late);
}

void zone__roll_tick(struct zone_role *z)
{
	struct zone_roll *r = &z->roll;
	const char *was[2] = { r->waits[0], r->waits[1] };
	const char *was_alg = r->alg.waits;

	if (!z->have_policy)
		return;
	watch_clock(z);
	alarm_late(z);
	if (!z->have || z->doing != DOING_NOTHING || z->rebuild || z->next || z->asked ||
		!z->keys || !zone__may_sign(z))
		return;
	if (!r->served) {
		zone__infra(z);
		return;
	}
	if (mono(z) - r->moved_ms >= MOVE_EVERY_MS && zone__clock_is_certain(z) &&
		(!r->refused_ms || mono(z) - r->refused_ms >= REFUSED_AGAIN_MS)) {
		r->moved_ms = mono(z);
		if (!zone__algroll_step(z) && !r->alg.phase && !step(z, false))
			(void)step(z, true);
	}
	zone__presigned_tick(z);
	zone__orders_save(z);
	if (was_alg != r->alg.waits || was[0] != r->waits[0] || was[1] != r->waits[1] ||
		z->sweep.passes != r->said_passes || r->said_jumped == zone__clock_is_certain(z))
		zone__say_keys(z);
}

void zone__roll_order(struct zone_role *z, const Zone__KeyOrder *order)
{
	bool ksk = order->ksk;

	/* Sent again because core did not hear that it had come. */
	if (order->id && order->id == z->roll.order_id)
		return;
	z->roll.order_id = order->id;
	z->roll.refused_ms = 0;
	log_write(z->role->log, LOG_INFO, "key_order kind=%s action=%d", ksk ? "ksk" : "zsk",
		(int)order->action);
	switch (order->action) {
	case ZONE__KEY_ORDER__ACTION__EMERGENCY: z->roll.want[ksk].fast = true; /* fall through */
	case ZONE__KEY_ORDER__ACTION__ROLL: z->roll.want[ksk].go = true; break;
	case ZONE__KEY_ORDER__ACTION__STANDBY: z->roll.want[ksk].standby = true; break;
	case ZONE__KEY_ORDER__ACTION__CONFIRM: z->roll.want[ksk].confirmed = true; break;
	case ZONE__KEY_ORDER__ACTION__ALGORITHM: z->roll.alg.want = order->algorithm; break;
	case ZONE__KEY_ORDER__ACTION__NONE:
	case _ZONE__KEY_ORDER__ACTION_IS_INT_SIZE:
	default: break;
	}
	zone__orders_save(z);
	zone__say_keys(z);
}
