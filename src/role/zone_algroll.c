/* SPDX-License-Identifier: Apache-2.0 */
/* One algorithm replaces another, the conservative way (RFC 6781 section 4.1.4): signatures first,
 * then DNSKEYs, then the DS; away in the opposite order. A validator that has any older RRset
 * cached still finds a whole chain of one algorithm. Each phase is durable in keys before it is
 * served. */
#include "role/zone_internal.h"

#include "base/str.h"

#include <string.h>

static uint64_t mono(const struct zone_role *z)
{
	return z->role->clock->monotonic_ms(z->role->clock);
}

void zone__algroll_keys(struct zone_role *z, const Keys__Public *pub)
{
	struct zone_algroll *a = &z->roll.alg;
	const Keys__AlgorithmRoll *in = pub->algorithm_roll;
	unsigned phase = in ? in->phase : KEYS_ALG_NONE;

	if (phase != a->phase) {
		a->clean_ms = 0;
		/* Each of the two makes or takes away signatures everywhere. */
		sweep_restart(&z->sweep);
	}
	a->phase = phase;
	a->from = in ? in->from : 0;
	a->to = in ? in->to : 0;
	if (str_copy(a->phase_text, sizeof(a->phase_text), in ? in->phase_text : "") != RC_OK)
		a->phase_text[0] = '\0';
	for (size_t i = 0; in && i < in->n_times && i < ZONE_ALG_PHASES; i++)
		a->times[i] = in->times[i];
	if (!in)
		a->waits = "";
}

static const struct zone_life *ksk_of(const struct zone_role *z, unsigned alg)
{
	for (unsigned i = 0; i < z->roll.keys; i++)
		if (z->roll.key[i].ksk && z->roll.key[i].alg == alg)
			return &z->roll.key[i];
	return NULL;
}

/* Every name was found with exactly the signatures that it shall have. */
static bool is_clean(struct zone_role *z)
{
	struct zone_algroll *a = &z->roll.alg;

	if (z->sweep.passes == 0 || z->sweep.last.foreign > 0)
		a->clean_ms = 0;
	else if (!a->clean_ms)
		a->clean_ms = mono(z);
	return a->clean_ms != 0;
}

static bool caches_follow(const struct zone_role *z)
{
	const struct zone_algroll *a = &z->roll.alg;

	return zone__waited(z, a->times[a->phase], z->roll.wall_ms, zone__caches_s(z));
}

/* Whether the phase has lasted as long as it must; *waits says for what. */
static bool is_over(struct zone_role *z, const char **waits)
{
	struct zone_algroll *a = &z->roll.alg;
	bool asks = zone__has_parent(z);
	const struct zone_life *ksk;

	switch (a->phase) {
	case KEYS_ALG_SIGNING:
		*waits = "every name to be signed by the new algorithm";
		if (!is_clean(z))
			return false;
		*waits = "caches to forget what has old signatures only";
		return mono(z) - a->clean_ms >= (uint64_t)zone__caches_s(z) * 1000;
	case KEYS_ALG_PUBLISHED: *waits = "caches to know the new DNSKEYs"; return caches_follow(z);
	case KEYS_ALG_DS:
		*waits = asks ? "the parent, and caches, to have the new DS"
			      : "confirmation that the parent has the new DS";
		ksk = ksk_of(z, a->to);
		return ksk && zone__parent_is(z, ksk, true);
	case KEYS_ALG_WITHDRAWING:
		*waits = asks ? "the parent, and caches, to have dropped the old DS"
			      : "confirmation that the parent has dropped the old DS";
		ksk = ksk_of(z, a->from);
		return ksk && zone__parent_is(z, ksk, false);
	case KEYS_ALG_REMOVED: *waits = "caches to forget the old DNSKEYs"; return caches_follow(z);
	case KEYS_ALG_CLEANING: *waits = "the old signatures to be gone"; return is_clean(z);
	default: return false;
	}
}

static bool only_active_keys(const struct zone_role *z)
{
	for (unsigned i = 0; i < z->roll.keys; i++)
		if (z->roll.key[i].state != KEYS__ZONE_KEY_STATE__KEY_ACTIVE)
			return false;
	return true;
}

bool zone__algroll_step(struct zone_role *z)
{
	struct zone_algroll *a = &z->roll.alg;
	Keys__MoveZoneKey m = KEYS__MOVE_ZONE_KEY__INIT;

	if (!a->phase && !a->want)
		return false;
	if (!a->phase) {
		a->waits = "other keys to be done";
		if (!only_active_keys(z))
			return false;
		m.algorithm = a->want;
		a->want = 0;
	} else {
		if (!is_over(z, &a->waits))
			return false;
		if (a->phase == KEYS_ALG_DS || a->phase == KEYS_ALG_WITHDRAWING)
			z->roll.want[1].confirmed = false;
		m.advance = true;
	}
	zone__ask_move(z, &m);
	return true;
}
