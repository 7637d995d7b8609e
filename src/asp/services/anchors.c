/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5011 section 4: what becomes of an anchor when its zone's keys are seen. A key that was never
 * seen, or has gone before it counted, is not in the list (states "Start" and, once a revoked one
 * is old enough, "Removed"). */
#include "asp/services/internal.h"

#include <string.h>

const char *const svc__state_words[SVC_STATES] = { "pending", "valid", "missing", "revoked" };

bool svc__anchor_counts(const struct svc_anchor *a)
{
	return a->state == SVC_VALID || a->state == SVC_MISSING;
}

static bool same_key(const struct dane_anchor *a, const struct dane_anchor *b)
{
	return a->tag == b->tag && a->algorithm == b->algorithm && strcmp(a->name, b->name) == 0 &&
	       memcmp(a->digest, b->digest, 32) == 0;
}

static const struct dane_zonekey *find(const struct dane_keyset *seen, const struct dane_anchor *ds)
{
	for (size_t i = 0; i < seen->n; i++)
		if (same_key(&seen->keys[i].ds, ds))
			return &seen->keys[i];
	return NULL;
}

static bool known(const struct svc_anchors *a, const struct dane_anchor *ds)
{
	for (size_t i = 0; i < a->n; i++)
		if (same_key(&a->list[i].ds, ds))
			return true;
	return false;
}

static void become(struct svc_anchor *a, enum svc_anchor_state state, int64_t now)
{
	a->state = state;
	a->since = now;
}

/* One known anchor; false: it is forgotten. */
static bool follow_one(struct svc_anchor *a, const struct dane_zonekey *key, bool proved,
	int64_t now, uint32_t add_s, uint32_t remove_s)
{
	bool revoked = key && key->revoked && key->self_signed;

	switch (a->state) {
	case SVC_PENDING:
		if (!proved)
			return true;
		if (!key || key->revoked)
			return false;
		if (now - a->since >= add_s)
			become(a, SVC_VALID, now);
		return true;
	case SVC_VALID:
	case SVC_MISSING:
		/* A revocation needs no other signature than its own (section 2.1). */
		if (revoked)
			become(a, SVC_REVOKED, now);
		else if (proved && !key && a->state == SVC_VALID)
			become(a, SVC_MISSING, now);
		else if (proved && key && a->state == SVC_MISSING)
			become(a, SVC_VALID, now);
		return true;
	case SVC_REVOKED: return now - a->since < remove_s || (key && key->revoked);
	case SVC_STATES: break;
	}
	return false;
}

/* Whoever is trusted now vouches for the set, so it may show new keys. */
static void add_new(struct svc_anchors *a, const struct dane_keyset *seen, int64_t now)
{
	for (size_t i = 0; i < seen->n && a->n < SVC_ANCHORS_MAX; i++) {
		const struct dane_zonekey *k = &seen->keys[i];

		if (k->revoked || known(a, &k->ds))
			continue;
		a->list[a->n].ds = k->ds;
		become(&a->list[a->n++], SVC_PENDING, now);
	}
}

static size_t counted(const struct svc_anchors *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += svc__anchor_counts(&a->list[i]);
	return n;
}

bool svc__anchors_follow(struct svc_anchors *a, const struct dane_keyset *seen, int64_t now,
	uint32_t add_s, uint32_t remove_s)
{
	size_t before = counted(a), n = 0;
	bool changed = false;

	for (size_t i = 0; i < a->n; i++) {
		struct svc_anchor one = a->list[i];
		bool did = svc__anchor_counts(&one);

		if (seen->n && strcmp(one.ds.name, seen->keys[0].ds.name) != 0) {
			a->list[n++] = one; /* of another zone */
			continue;
		}
		if (follow_one(&one, find(seen, &one.ds), seen->proved, now, add_s, remove_s))
			a->list[n++] = one;
		changed = changed || did != svc__anchor_counts(&one);
	}
	a->n = n;
	if (seen->proved)
		add_new(a, seen, now);
	return changed || before != counted(a);
}
