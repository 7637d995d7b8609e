/* SPDX-License-Identifier: Apache-2.0 */
/* What an eSIM's manager says of the operator's subscription: with it comes and goes the applet
 * that holds the keys. Nothing is asked of the card: it hears nobody while it is disabled. */
#include "registry/internal.h"

#include <string.h>

#define SLOTS 9

static enum rc suspend(struct registry_run *run, struct store_profile_view *v, struct reg__tale *t)
{
	enum rc rc;

	if (v->p.state != STATE(ACTIVATED))
		return RC_OK;
	rc = reg__withdraw(run, v);
	if (rc == RC_OK)
		rc = store_cert_state(run->reg->store, v->p.cert, CERT(SUSPENDED));
	if (rc == RC_OK)
		rc = store_esim_mark(run->reg->store, v->p.id);
	v->cert.state = CERT(SUSPENDED);
	v->p.state = STATE(DEACTIVATED);
	if (rc == RC_OK)
		rc = reg__tell_profile(
			run, v, "profile.deactivated", t, "its operator has disabled the eSIM");
	return rc;
}

/* Only what an event has suspended wakes up, and only with the certificate that it had. */
static enum rc resume(struct registry_run *run, struct store_profile_view *v, struct reg__tale *t)
{
	bool alive = v->p.state == STATE(DEACTIVATED) && v->cert.state == CERT(SUSPENDED) &&
		     v->cert.not_after > run->now && strcmp(v->cert.service, v->p.service) == 0;
	enum rc rc = store_esim_take(run->reg->store, v->p.id);

	if (rc == RC_NOT_FOUND)
		return RC_OK;
	if (rc != RC_OK || v->p.state != STATE(DEACTIVATED))
		return rc;
	if (v->stolen || v->broken)
		return reg__poll(run, v->p.sponsor, "profile.deactivated",
			reg__profile_name(run, v),
			"the eSIM is enabled again, but the device is reported %s",
			v->stolen ? "stolen" : "broken");
	if (!alive)
		return reg__tell_profile(run, v, "certificate.expired", t,
			"the eSIM is enabled again; activate to renew the certificate");
	rc = store_cert_state(run->reg->store, v->p.cert, CERT(VALID));
	v->cert.state = CERT(VALID);
	v->p.state = STATE(ACTIVATED);
	if (rc == RC_OK)
		rc = reg__publish(run, v, false);
	if (rc == RC_OK)
		rc = reg__tell_profile(
			run, v, "profile.activated", t, "its operator has enabled the eSIM again");
	return rc;
}

/* The applet went with the eSIM, and the keys with the applet: nothing is left to wipe. */
static enum rc end(struct registry_run *run, struct store_profile_view *v, struct reg__tale *t)
{
	enum rc rc = RC_OK;

	if (v->p.state == STATE(ACTIVATED))
		rc = reg__withdraw(run, v);
	if (rc == RC_OK)
		rc = reg__key_end(run, v);
	if (rc == RC_OK)
		rc = reg__jobs_cancel(run, v, REG__ALL_JOBS, "the eSIM was deleted");
	if (rc == RC_OK)
		rc = store_esim_take(run->reg->store, v->p.id);
	if (rc == RC_NOT_FOUND)
		rc = RC_OK;
	v->p.state = STATE(REGISTERED);
	v->p.cert = 0;
	v->p.key = 0;
	v->p.card_cert = 0;
	v->p.card_sequence = 0;
	v->p.install_due = 0;
	v->p.attempts = 0;
	v->p.wipe_pending = false;
	if (rc == RC_OK)
		rc = reg__trust_forget(run, v);
	if (rc == RC_OK)
		rc = reg__tell_profile(run, v, "profile.deactivated", t,
			"its operator has deleted the eSIM; the key is gone");
	return rc;
}

static enum rc on_profile(
	struct registry_run *run, Registry__EsimEvent event, struct store_profile_view *v)
{
	struct reg__tale t;
	enum rc rc = reg__before_profile(run, v, &t);

	if (rc != RC_OK)
		return rc;
	v->p.updated = run->now;
	if (event == REGISTRY__ESIM_EVENT__ESIM_DISABLED)
		return suspend(run, v, &t);
	return event == REGISTRY__ESIM_EVENT__ESIM_ENABLED ? resume(run, v, &t) : end(run, v, &t);
}

enum rc reg__device_event(struct registry_run *run)
{
	static const char *const names[] = { "", "enabled", "disabled", "deleted" };
	const Registry__DeviceEvent *m = run->request->device_event;
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	struct store_device d;
	int64_t ids[SLOTS];
	size_t n = 0;
	enum rc rc;

	if (m->event < REGISTRY__ESIM_EVENT__ESIM_ENABLED ||
		m->event > REGISTRY__ESIM_EVENT__ESIM_DELETED)
		return reg__no(run, CODE(RANGE), "event", "enabled, disabled or deleted");
	if (!reg__device(run, m->iccid, &d, &rc))
		return rc;
	if (!reg__is_caller(run, d.mno))
		return reg__no(run, CODE(AUTHORIZATION), "iccid", "not your SIM");
	rc = v ? store_device_profiles(run->reg->store, d.id, SLOTS, ids, &n) : RC_NOMEM;
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = store_profile_by_id(run->reg->store, ids[i], v);
		if (rc == RC_OK)
			rc = on_profile(run, m->event, v);
		if (rc == RC_OK)
			rc = store_profile_save(run->reg->store, &v->p);
	}
	if (rc == RC_OK)
		rc = reg__audit(run, d.iccid, "esim %s", names[m->event]);
	return rc == RC_OK ? reg__device_answer(run, &d) : rc;
}
