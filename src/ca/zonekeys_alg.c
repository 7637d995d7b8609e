/* SPDX-License-Identifier: Apache-2.0 */
/* One algorithm replaces another (RFC 6781 section 4.1.4, RFC 8624 section 3.1). */
#include "base/compiler.h"
#include "ca/zonekeys__.h"

bool ca_zone_keys_signs(const struct ca_zone_keys *keys, enum ca_alg alg)
{
	const struct ca_alg_roll *r = &keys->roll;

	if (!r->phase)
		return alg == keys->zone.alg;
	return alg == r->to || (alg == r->from && r->phase < CA_ALG_CLEANING);
}

bool ca_zone_key_in_dnskey(const struct ca_zone_keys *keys, const struct ca_zone_key *key)
{
	const struct ca_alg_roll *r = &keys->roll;

	if (!r->phase)
		return true;
	return key->pub.alg == r->to ? r->phase >= CA_ALG_PUBLISHED : r->phase < CA_ALG_REMOVED;
}

bool ca_zone_key_in_cds(const struct ca_zone_keys *keys, const struct ca_zone_key *key)
{
	const struct ca_alg_roll *r = &keys->roll;

	if (!key->pub.ksk || key->state > CA_KEY_RETIRING)
		return false;
	if (!r->phase)
		return true;
	return key->pub.alg == r->to ? r->phase >= CA_ALG_DS : r->phase < CA_ALG_WITHDRAWING;
}

static enum rc may_begin(const struct ca_zone_keys *keys, enum ca_alg alg, struct diag *d)
{
	if (keys->roll.phase)
		return diag_set(d, RC_STATE, "zone: an algorithm is being replaced already");
	if (alg == keys->zone.alg)
		return diag_set(d, RC_STATE, "zone: %s signs already", ca_alg_text(keys->zone.alg));
	if (ca_zone_keys_offline(keys))
		return diag_set(d, RC_STATE,
			"zone: the KSK is off-line: bring one on line first (attestry zone "
			"offline-request "
			"--next online)");
	if (keys->count != 2)
		return diag_set(d, RC_STATE,
			"zone: another key is under way, or stands by: wait until it is done");
	return RC_OK;
}

enum rc ca_zone_keys_alg_begin(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, enum ca_alg alg, int64_t now, struct diag *d)
{
	struct ca_zone_key like = { .state = CA_KEY_ACTIVE,
		.times = { [CA_KEY_NONE] = now, [CA_KEY_ACTIVE] = now } };
	struct ca_zone_keys *s = NULL;
	enum rc rc = may_begin(keys, alg, d);

	if (rc != RC_OK)
		return rc;
	s = ca__zone_keys_copy(keys);
	if (!s)
		return RC_NOMEM;
	s->roll = (struct ca_alg_roll){ .phase = CA_ALG_SIGNING,
		.from = keys->zone.alg,
		.to = alg,
		.times = { [CA_ALG_SIGNING] = now } };
	for (unsigned ksk = 0; rc == RC_OK && ksk < 2; ksk++) {
		like.pub.ksk = ksk;
		rc = ca__zone_keys_add(s, folder, alg, &like, d);
	}
	if (rc == RC_OK)
		rc = ca__zone_keys_finish(s, zone, d);
	if (rc == RC_OK)
		rc = ca__zone_keys_save(s, folder, d);
	if (rc == RC_OK)
		*out = s;
	else
		ca_zone_keys_unref(s);
	return rc;
}

/* The old pair leaves the set; what it was stays in `gone`. */
static void drop_old(struct ca_zone_keys *s, struct ca_zone_key gone[2], size_t *count)
{
	for (size_t i = s->count; i-- > 0;)
		if (s->key[i].pub.alg == s->roll.from && *count < 2) {
			gone[(*count)++] = s->key[i];
			ca__zone_keys_drop(s, i);
		}
	s->roll = (struct ca_alg_roll){ 0 };
}

enum rc ca_zone_keys_alg_next(struct ca_zone_keys **out, const struct ca_zone_keys *keys,
	const char *folder, const char *zone, int64_t now, struct diag *d)
{
	struct ca_zone_keys *s;
	struct ca_zone_key gone[2];
	size_t gone_count = 0;
	enum rc rc;

	if (!keys->roll.phase)
		return diag_set(d, RC_STATE, "zone: no algorithm is being replaced");
	s = ca__zone_keys_copy(keys);
	if (!s)
		return RC_NOMEM;
	if (s->roll.phase == CA_ALG_CLEANING) {
		drop_old(s, gone, &gone_count);
	} else {
		s->roll.phase++;
		s->roll.times[s->roll.phase] = now;
	}
	for (size_t i = 0; s->roll.phase == CA_ALG_PUBLISHED && i < s->count; i++)
		if (s->key[i].pub.alg == s->roll.to)
			s->key[i].times[CA_KEY_PUBLISHED] = now;
	rc = ca__zone_keys_finish(s, zone, d);
	if (rc == RC_OK)
		rc = ca__zone_keys_save(s, folder, d);
	for (size_t i = 0; rc == RC_OK && i < gone_count; i++)
		ca__zone_key_destroy(&gone[i], folder);
	if (rc == RC_OK)
		*out = s;
	else
		ca_zone_keys_unref(s);
	return rc;
}
