/* SPDX-License-Identifier: Apache-2.0 */
/* What ends or interrupts a device's life: reports that it is stolen or broken, and the end of its
 * operator's stewardship. */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define SLOTS 9

/* ---- turning off ------------------------------------------------------------------------ */

enum rc reg__turn_off(struct registry_run *run, struct store_profile_view *v, const char *cause)
{
	enum rc rc = reg__withdraw(run, v);

	if (rc == RC_OK)
		rc = store_cert_state(run->reg->store, v->p.cert, CERT(SUSPENDED));
	if (rc == RC_OK)
		rc = reg__jobs_cancel(run, v, REG__ALL_JOBS & ~(1u << JOB(WIPE)), cause);
	v->cert.state = CERT(SUSPENDED);
	v->p.state = STATE(DEACTIVATED);
	v->p.wipe_pending = true;
	v->p.install_due++;
	v->p.attempts = 0;
	v->p.updated = run->now;
	run->install = true;
	if (rc == RC_OK)
		rc = reg__job_order(run, v, JOB(BLOCK), cause);
	return rc == RC_OK ? store_profile_save(run->reg->store, &v->p) : rc;
}

/* A live profile is turned off. One that an eSIM event has suspended will not wake with the eSIM,
 * and a card that was asked for a key is asked no more. */
static enum rc turn_off_reported(
	struct registry_run *run, struct store_profile_view *v, const char *flag)
{
	struct reg__tale t;
	enum rc rc = store_esim_take(run->reg->store, v->p.id);

	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	rc = reg__before_profile(run, v, &t);
	if (rc != RC_OK)
		return rc;
	if (v->p.state == STATE(ACTIVATED))
		rc = reg__turn_off(run, v, flag);
	else if (v->p.state == STATE(REGISTERED)) {
		rc = reg__jobs_cancel(run, v, 1u << JOB(KEYGEN), flag);
		if (rc == RC_OK)
			rc = store_profile_save(run->reg->store, &v->p);
	}
	if (rc == RC_OK)
		rc = reg__tell_profile(run, v, "profile.deactivated", &t,
			"the device is reported %s by %s", flag, run->caller->id);
	return rc == RC_OK ? reg__audit(run, reg__profile_name(run, v), "reported %s", flag) : rc;
}

/* ---- flags ------------------------------------------------------------------------------ */

bool reg__reported(struct registry_run *run, const struct store_profile_view *v)
{
	if (!v->stolen && !v->broken)
		return false;
	(void)reg__no(run, CODE(STATUS_PROHIBITS), "name", "the device is reported %s",
		v->stolen ? "stolen" : "broken");
	return true;
}

/* Who reported it; "" when nobody did. */
static enum rc reporter(struct registry_run *run, const struct store_device *d, const char *flag,
	char who[STORE_ID_MAX])
{
	struct store_flag *list = NULL;
	size_t n = 0;
	enum rc rc = store_flag_list(run->reg->store, d->id, run->arena, &list, &n);

	who[0] = '\0';
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		if (strcmp(list[i].flag, flag) == 0)
			snprintf(who, STORE_ID_MAX, "%s", list[i].who);
	}
	return rc;
}

static enum rc lift(struct registry_run *run, const struct store_device *d, const char *flag)
{
	bool owner = reg__has_role(run, ROLE_BIT(OPERATOR)) || reg__is_caller(run, d->owner);
	char who[STORE_ID_MAX];
	enum rc rc = reporter(run, d, flag, who);

	if (rc != RC_OK)
		return rc;
	if (!owner && !(reg__is_caller(run, d->mno) && (!*d->owner || reg__is_caller(run, who))))
		return reg__no(run, CODE(AUTHORIZATION), flag,
			"reported by %s: the owner or the registry takes that back", who);
	return store_flag_drop(run->reg->store, d->id, flag);
}

static enum rc raise(struct registry_run *run, const struct store_device *d, const char *flag,
	const char *reason)
{
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	struct store_flag f = { .since = run->now };
	int64_t ids[SLOTS];
	size_t n = 0;
	enum rc rc;

	if (!v)
		return RC_NOMEM;
	snprintf(f.flag, sizeof(f.flag), "%s", flag);
	snprintf(f.who, sizeof(f.who), "%s", run->caller->id);
	snprintf(f.reason, sizeof(f.reason), "%s", reason);
	rc = store_flag_set(run->reg->store, d->id, &f);
	if (rc == RC_OK)
		rc = store_device_profiles(run->reg->store, d->id, SLOTS, ids, &n);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = store_profile_by_id(run->reg->store, ids[i], v);
		if (rc == RC_OK)
			rc = turn_off_reported(run, v, flag);
	}
	return rc;
}

static enum rc change_flag(struct registry_run *run, const struct store_device *d, bool *value,
	Registry__Flag wanted, const char *flag, const char *reason)
{
	bool on = wanted == REGISTRY__FLAG__FLAG_TRUE;
	bool may = reg__has_role(run, ROLE_BIT(OPERATOR)) || reg__is_caller(run, d->owner) ||
		   reg__is_caller(run, d->mno);

	if (wanted == REGISTRY__FLAG__FLAG_KEEP)
		return RC_OK;
	if (!may)
		return reg__no(run, CODE(AUTHORIZATION), flag, "the owner or the operator says so");
	if (on == *value)
		return RC_OK;
	*value = on;
	return on ? raise(run, d, flag, reason) : lift(run, d, flag);
}

enum rc reg__device_flags(
	struct registry_run *run, const Registry__DeviceUpdate *m, struct store_device *d)
{
	enum rc rc;

	if (!reg__text_ok(m->reason, 0, 128))
		return reg__no(run, CODE(VALUE_SYNTAX), "reason", "text of at most 128 bytes");
	if (*m->reason && m->stolen != REGISTRY__FLAG__FLAG_TRUE &&
		m->broken != REGISTRY__FLAG__FLAG_TRUE)
		return reg__no(run, CODE(USE), "reason", "goes with stolen or broken");
	rc = change_flag(run, d, &d->stolen, m->stolen, "stolen", m->reason);
	if (rc == RC_OK && !reg__refused(run))
		rc = change_flag(run, d, &d->broken, m->broken, "broken", m->reason);
	return rc;
}

static char **names(
	struct registry_run *run, const struct store_device *d, uint32_t mask, size_t *n)
{
	char **list = arena_array(run->arena, SLOTS, sizeof(*list));

	*n = 0;
	for (unsigned slot = 1; list && slot <= SLOTS; slot++) {
		if (mask & (1u << slot))
			list[(*n)++] = arena_printf(run->arena, "%u.%s", slot, d->iccid);
	}
	return list;
}

enum rc reg__flags_show(struct registry_run *run, const struct store_device *d, Registry__Device *m)
{
	struct store_flag *list = NULL;
	uint32_t mask = 0;
	size_t n = 0;
	enum rc rc = store_device_wipes(run->reg->store, d->id, &mask);

	if (rc == RC_OK && mask)
		m->wipe_pending = names(run, d, mask, &m->n_wipe_pending);
	if (rc != RC_OK || (!d->stolen && !d->broken))
		return rc;
	rc = store_flag_list(run->reg->store, d->id, run->arena, &list, &n);
	m->flags = arena_array(run->arena, n, sizeof(*m->flags));
	for (size_t i = 0; rc == RC_OK && m->flags && i < n; i++) {
		Registry__DeviceFlag *f = arena_alloc(run->arena, sizeof(*f));

		if (!f)
			return RC_NOMEM;
		registry__device_flag__init(f);
		f->flag = list[i].flag;
		f->who = list[i].who;
		f->since = list[i].since;
		f->reason = list[i].reason;
		m->flags[m->n_flags++] = f;
	}
	return rc;
}

/* ---- the end of stewardship ------------------------------------------------------------- */

/* What stands in the way: a lock, a report of theft, profiles, keys that are not yet destroyed. */
static enum rc check_delete(struct registry_run *run, const struct store_device *d)
{
	uint32_t slots = 0, wipes = 0;
	enum rc rc = store_device_slots(run->reg->store, d->id, &slots);

	if (rc == RC_OK)
		rc = store_device_wipes(run->reg->store, d->id, &wipes);
	if (rc != RC_OK)
		return rc;
	if (d->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "iccid",
			"the device is locked; its owner unlocks it");
	if (d->stolen)
		return reg__no(run, CODE(STATUS_PROHIBITS), "iccid", "reported stolen");
	for (unsigned slot = 1; slot <= SLOTS; slot++) {
		if (slots & (1u << slot))
			return reg__no(run, CODE(ASSOCIATION_PROHIBITS), "iccid",
				"profile %u.%s stands; its sponsor deletes it first", slot,
				d->iccid);
		/* A broken device will never say that its key is gone. */
		if ((wipes & (1u << slot)) && !d->broken)
			return reg__no(run, CODE(STATUS_PROHIBITS), "iccid",
				"wipe pending: the SIM has not confirmed that slot %u's key is "
				"destroyed",
				slot);
	}
	return RC_OK;
}

static enum rc forget(struct registry_run *run, const struct store_device *d)
{
	struct store *s = run->reg->store;
	enum rc rc = store_consent_drop_all(s, d->id);

	if (rc == RC_OK)
		rc = store_move_drop(s, d->id);
	if (rc == RC_OK)
		rc = reg__moving_expire(run, d->id);
	if (rc == RC_OK)
		rc = store_moving_drop(s, d->id);
	if (rc == RC_OK)
		rc = store_attest_drop(s, d->id);
	if (rc == RC_OK)
		rc = store_flag_drop(s, d->id, "stolen");
	if (rc == RC_OK)
		rc = store_flag_drop(s, d->id, "broken");
	return rc == RC_OK ? store_device_remove(s, d->id, run->now) : rc;
}

enum rc reg__device_delete(struct registry_run *run)
{
	struct store_device d;
	struct reg__tale t;
	enum rc rc;

	if (!reg__device(run, run->request->device_delete->iccid, &d, &rc))
		return rc;
	if (!reg__is_caller(run, d.mno) && !reg__has_role(run, ROLE_BIT(OPERATOR)))
		return reg__no(run, CODE(AUTHORIZATION), "iccid", "not your SIM");
	rc = check_delete(run, &d);
	if (rc == RC_OK && !reg__refused(run))
		rc = reg__before_device(run, &d, &t);
	if (rc == RC_OK && !reg__refused(run))
		rc = forget(run, &d);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = reg__tell(run, d.owner, "device.deleted", d.iccid, &t,
		"its operator %s has given it up", d.mno);
	if (rc == RC_OK)
		rc = reg__tell(
			run, d.mno, "device.deleted", d.iccid, &t, "removed by the registry");
	if (rc == RC_OK)
		rc = reg__audit(run, d.iccid, "removed id=%lld eid=%s mno=%s owner=%s",
			(long long)d.id, d.eid, d.mno, d.owner);
	return rc == RC_OK ? reg__device_answer(run, &d) : rc;
}
