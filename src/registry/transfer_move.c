/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers that the losing sponsor answers: request, query, cancel, approve, reject. One that
 * nobody answers is cancelled by the registry: silence never moves a device. */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

Registry__Transfer *reg__transfer_message(struct registry_run *run,
	const struct store_profile_view *v, const struct store_transfer *t)
{
	Registry__Transfer *m = arena_alloc(run->arena, sizeof(*m));

	if (!m)
		return NULL;
	registry__transfer__init(m);
	m->name = (char *)(uintptr_t)reg__profile_name(run, v);
	m->status = arena_str(run->arena, t->status);
	m->requester = arena_str(run->arena, t->requester);
	m->service = arena_str(run->arena, t->service);
	m->requested = t->requested;
	m->actor = arena_str(run->arena, t->actor);
	m->act_date = t->act_date;
	return m;
}

enum rc reg__transfer_waits(struct registry_run *run, const struct store_profile_view *v,
	struct store_transfer *t, bool *waits)
{
	enum rc rc = store_transfer_get(run->reg->store, v->p.id, t);

	*waits = rc == RC_OK && strcmp(t->status, "pending") == 0;
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc answer(struct registry_run *run, const struct store_profile_view *v,
	const struct store_transfer *t, Registry__Code code)
{
	Registry__TransferData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__transfer_data__init(out);
	out->transfer = reg__transfer_message(run, v, t);
	run->reply.code = code;
	if (code == CODE(PENDING))
		run->reply.reason = (char *)(uintptr_t) "the present sponsor is asked";
	run->reply.result_case = REGISTRY__REPLY__RESULT_TRANSFER;
	run->reply.transfer = out;
	return out->transfer ? RC_OK : RC_NOMEM;
}

/* Sets the end of a transfer and tells all three. */
static enum rc end(struct registry_run *run, const struct store_profile_view *v,
	struct store_transfer *t, const char *status)
{
	const char *const who[3] = { t->requester, v->p.sponsor, v->owner };
	enum rc rc;

	snprintf(t->status, sizeof(t->status), "%s", status);
	snprintf(t->actor, sizeof(t->actor), "%s", run->caller ? run->caller->id : "registry");
	t->act_date = run->now;
	rc = store_transfer_save(run->reg->store, t);
	if (rc == RC_OK)
		rc = reg__tell_ended(
			run, who, reg__profile_name(run, v), reg__transfer_message(run, v, t));
	return rc == RC_OK ? reg__audit(run, reg__profile_name(run, v), "transfer to=%s status=%s",
				     t->requester, status)
			   : rc;
}

enum rc reg__transfer_expire(struct registry_run *run, int64_t profile)
{
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	struct store_transfer t;
	bool waits = false;
	enum rc rc = v ? store_profile_by_id(run->reg->store, profile, v) : RC_NOMEM;

	if (rc == RC_OK)
		rc = reg__transfer_waits(run, v, &t, &waits);
	return rc == RC_OK && waits ? end(run, v, &t, "serverCancelled") : rc;
}

static enum rc request(struct registry_run *run, struct store_profile_view *v, bool waits)
{
	const Registry__TransferMove *m = run->request->transfer_move;
	struct store_transfer t = { .profile = v->p.id,
		.status = "pending",
		.requested = run->now,
		.act_date = run->now + run->reg->settings.transfer_wait_s };
	struct reg__tale tale = { 0 };
	enum rc rc;

	if (!reg__has_role(run, ROLE_BIT(ASP)))
		return reg__no(run, CODE(AUTHORIZATION), "", "not for a party in your role");
	if (reg__is_caller(run, v->p.sponsor))
		return reg__no(run, CODE(USE), "name", "the profile is yours already");
	if (!reg__own_service(run, m->service, v->p.kind, &rc))
		return rc;
	if (waits)
		return reg__no(run, CODE(TRANSFER_PENDING), "name",
			"a transfer waits for the sponsor's answer");
	if (v->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "the device is locked");
	if (v->stolen)
		return reg__no(
			run, CODE(STATUS_PROHIBITS), "name", "the device is reported stolen");
	snprintf(t.requester, sizeof(t.requester), "%s", run->caller->id);
	snprintf(t.service, sizeof(t.service), "%s", m->service);
	snprintf(t.actor, sizeof(t.actor), "%s", v->p.sponsor);
	rc = store_transfer_save(run->reg->store, &t);
	if (rc == RC_OK)
		rc = reg__shoot_transfer(run, reg__transfer_message(run, v, &t), &tale.after);
	if (rc == RC_OK)
		rc = reg__tell(run, v->p.sponsor, "transfer.requested", reg__profile_name(run, v),
			&tale, "%s asks for the transfer", run->caller->id);
	if (rc == RC_OK)
		rc = reg__tell(run, v->owner, "transfer.requested", reg__profile_name(run, v),
			&tale, "%s asks for the transfer", run->caller->id);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "transfer to=%s status=pending",
			run->caller->id);
	return rc == RC_OK ? answer(run, v, &t, CODE(PENDING)) : rc;
}

static enum rc cancel_or_reject(struct registry_run *run, struct store_profile_view *v,
	struct store_transfer *t, bool cancel)
{
	enum rc rc = end(run, v, t, cancel ? "clientCancelled" : "clientRejected");

	return rc == RC_OK ? answer(run, v, t, CODE(OK)) : rc;
}

/* What was asked for may have changed since. */
static enum rc still_possible(struct registry_run *run, const struct store_profile_view *v,
	const struct store_transfer *t)
{
	struct store_service s;
	enum rc rc = store_service_get(run->reg->store, t->service, NULL, &s);

	if (rc == RC_NOT_FOUND || (rc == RC_OK && strcmp(s.asp, t->requester) != 0))
		return reg__no(run, CODE(ASSOCIATION_PROHIBITS), "name",
			"the service that it was to move to is gone");
	if (rc != RC_OK)
		return rc;
	if (v->locked || v->stolen)
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "the device is %s",
			v->locked ? "locked" : "reported stolen");
	return RC_OK;
}

static enum rc approve(
	struct registry_run *run, struct store_profile_view *v, struct store_transfer *t)
{
	struct store_blob der = { 0 };
	bool done = true;
	enum rc rc = still_possible(run, v, t);

	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = reg__move(run, v, t->requester, t->service, &der, &done);
	if (rc != RC_OK || !done || run->planning)
		return rc;
	rc = end(run, v, t, "clientApproved");
	return rc == RC_OK ? answer(run, v, t, CODE(OK)) : rc;
}

/* Which side may take the step; 0: refused. */
static bool may(struct registry_run *run, const struct store_profile_view *v,
	const struct store_transfer *t, Registry__TransferStep step)
{
	bool loser = reg__is_caller(run, v->p.sponsor);
	bool gainer = reg__is_caller(run, t->requester);

	switch (step) {
	case REGISTRY__TRANSFER_STEP__TRANSFER_CANCEL: return gainer;
	case REGISTRY__TRANSFER_STEP__TRANSFER_APPROVE:
	case REGISTRY__TRANSFER_STEP__TRANSFER_REJECT: return loser;
	case REGISTRY__TRANSFER_STEP__TRANSFER_QUERY: return gainer || reg__may_see(run, v);
	case REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST:
	case REGISTRY__TRANSFER_STEP__TRANSFER_NONE:
	case _REGISTRY__TRANSFER_STEP_IS_INT_SIZE:
	default: return false;
	}
}

enum rc reg__transfer_move(struct registry_run *run)
{
	const Registry__TransferMove *m = run->request->transfer_move;
	struct store_transfer t = { 0 };
	struct store_profile_view *v;
	bool waits;
	enum rc rc;

	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	rc = reg__transfer_waits(run, v, &t, &waits);
	if (rc != RC_OK)
		return rc;
	if (m->step == REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST)
		return run->planning ? RC_OK : request(run, v, waits);
	if (!*t.requester) {
		if (!reg__may_see(run, v))
			return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
		return reg__no(run, CODE(TRANSFER_NOT_PENDING), "name", "no transfer");
	}
	if (!may(run, v, &t, m->step))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not for this side");
	if (m->step == REGISTRY__TRANSFER_STEP__TRANSFER_QUERY)
		return answer(run, v, &t, CODE(OK));
	if (!waits)
		return reg__no(run, CODE(TRANSFER_NOT_PENDING), "name", "no transfer waits");
	if (m->step == REGISTRY__TRANSFER_STEP__TRANSFER_APPROVE)
		return approve(run, v, &t);
	return run->planning ? RC_OK
			     : cancel_or_reject(run, v, &t,
				       m->step == REGISTRY__TRANSFER_STEP__TRANSFER_CANCEL);
}
