/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <string.h>

enum rc reg__profile_deactivate(struct registry_run *run)
{
	const Registry__ProfileDeactivate *m = run->request->profile_deactivate;
	struct store_profile_view *v;
	struct reg__tale t;
	enum rc rc;

	if (!reg__text_ok(m->reason, 0, 128))
		return reg__no(run, CODE(VALUE_SYNTAX), "reason", "text of at most 128 bytes");
	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	if (!reg__is_caller(run, v->p.sponsor) && !reg__is_caller(run, v->owner) &&
		!reg__has_role(run, ROLE_BIT(OPERATOR)))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if (v->p.state != STATE(ACTIVATED))
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "not activated");
	rc = reg__before_profile(run, v, &t);
	if (rc == RC_OK)
		rc = reg__turn_off(run, v, "deactivated");
	if (rc == RC_OK)
		rc = reg__tell_profile(
			run, v, "profile.deactivated", &t, "deactivated by %s", run->caller->id);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "reason=%s", m->reason);
	return rc == RC_OK ? reg__profile_reply(run, v, NULL, 0) : rc;
}

/* The key's end: it is revoked for ever, and the card is told to destroy it. */
enum rc reg__key_end(struct registry_run *run, struct store_profile_view *v)
{
	enum rc rc = RC_OK;

	if (v->p.cert && (v->cert.state == CERT(VALID) || v->cert.state == CERT(SUSPENDED)))
		rc = store_cert_state(run->reg->store, v->p.cert, CERT(REVOKED));
	if (rc == RC_OK && v->p.key)
		rc = store_key_revoke(run->reg->store, v->p.key);
	return rc;
}

enum rc reg__profile_delete(struct registry_run *run)
{
	struct store_profile_view *v;
	struct store_transfer t;
	struct reg__tale tale;
	bool on_card, waits;
	enum rc rc;

	v = reg__profile(run, run->request->profile_delete->name, &rc);
	if (!v)
		return rc;
	if (!reg__is_caller(run, v->p.sponsor) && !reg__has_role(run, ROLE_BIT(OPERATOR)))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if (v->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "the device is locked");
	rc = reg__transfer_waits(run, v, &t, &waits);
	if (rc == RC_OK && waits)
		return reg__no(
			run, CODE(STATUS_PROHIBITS), "name", "a transfer waits for an answer");
	/* Whether a card may hold anything: a key of ours, or one that a job has asked it to make.
	 */
	on_card = v->p.key || v->p.pending_job || v->p.attempts || v->p.wipe_pending;
	if (rc == RC_OK)
		rc = reg__before_profile(run, v, &tale);
	if (rc == RC_OK && v->p.state == STATE(ACTIVATED))
		rc = reg__withdraw(run, v);
	if (rc == RC_OK)
		rc = reg__key_end(run, v);
	if (rc == RC_OK)
		rc = reg__jobs_cancel(run, v, REG__ALL_JOBS, "deleted");
	v->p.state = STATE(DELETED);
	v->p.wipe_pending = on_card;
	v->p.install_due = 0;
	v->p.cert = 0;
	v->p.key = 0;
	v->p.card_cert = 0;
	v->p.card_sequence = 0;
	v->p.has_auth = false;
	v->p.attempts = 0;
	v->p.updated = run->now;
	if (rc == RC_OK && on_card)
		rc = reg__job_order(run, v, JOB(WIPE), "deleted");
	if (rc == RC_OK)
		rc = store_profile_save_all(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = store_transfer_remove(run->reg->store, v->p.id);
	if (rc == RC_OK)
		rc = reg__tell_profile(
			run, v, "profile.deleted", &tale, "deleted by %s", run->caller->id);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "wipe=%d", on_card);
	return rc == RC_OK ? reg__profile_reply(run, v, NULL, 0) : rc;
}
