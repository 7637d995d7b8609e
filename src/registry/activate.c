/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "registry/internal.h"

#include <inttypes.h>
#include <string.h>

/* A certificate may be renewed in the last third of its life. */
#define RENEW_SHARE 3

/* The CSR that made the profile's key known; it serves for every later certificate of the key. */
enum rc reg__stored_csr(
	struct registry_run *run, const struct store_profile_view *v, struct reg__csr *out)
{
	struct store_key k;
	enum rc rc = store_key_get(run->reg->store, v->p.key, run->arena, &k);

	if (rc == RC_OK)
		*out = (struct reg__csr){ .bytes = k.csr, .stored = true };
	return rc;
}

static bool same_csr(const struct reg__csr *a, const ProtobufCBinaryData *b)
{
	return a->bytes.len == b->len && memcmp(a->bytes.bytes, b->data, b->len) == 0;
}

static enum rc say_current(struct registry_run *run, const struct store_profile_view *v)
{
	struct store_blob der;
	struct store_cert c;
	enum rc rc = store_cert_get(run->reg->store, v->p.cert, run->arena, &c, &der);

	if (rc != RC_OK)
		return rc;
	/* Nothing was written, but the first answer may have been lost before it was served. */
	run->uses_zone = true;
	run->change_seq = store_change_last(run->reg->store);
	return reg__profile_reply(run, v, &der, 0);
}

/* Without a CSR the card is asked to make the key: 1001, and the rest follows the job. */
static enum rc start_keygen(struct registry_run *run, struct store_profile_view *v)
{
	int64_t id = 0;
	/* Not by pending_job: a wipe left over from before may stand there. */
	enum rc rc = reg__job_find(run, v, JOB(KEYGEN), &id);

	if (rc == RC_OK && !id) {
		rc = reg__job_open(run, v, JOB(KEYGEN), v->p.attempts + 1, &id);
		v->p.updated = run->now;
		if (rc == RC_OK)
			rc = store_profile_save(run->reg->store, &v->p);
		if (rc == RC_OK && *run->request->sv_trid)
			rc = store_pending_save(run->reg->store, v->p.id, run->request->cl_trid,
				run->request->sv_trid);
		if (rc == RC_OK)
			rc = reg__audit(run, reg__profile_name(run, v), "job=%" PRId64, id);
	}
	if (rc != RC_OK)
		return rc;
	run->reply.code = CODE(PENDING);
	run->reply.reason = (char *)"the card makes its key; the result comes by poll";
	return reg__profile_reply(run, v, NULL, id);
}

static enum rc issue(
	struct registry_run *run, struct store_profile_view *v, const struct reg__csr *csr)
{
	char hex[2 * STORE_SHA256 + 1];
	bool renewed = v->p.state == STATE(ACTIVATED);
	struct store_blob der;
	struct reg__tale t;
	bool done = false;
	enum rc rc = reg__before_profile(run, v, &t);

	if (rc == RC_OK)
		rc = reg__issue(run, v, csr, &der, &done);
	if (rc != RC_OK || !done)
		return rc;
	if (v->p.pending_job)
		rc = reg__jobs_cancel(run, v, 1u << JOB(KEYGEN) | 1u << JOB(INSTALL), "activated");
	if (rc == RC_OK)
		rc = store_profile_save(run->reg->store, &v->p);
	hex_write(v->cert.sha256, STORE_SHA256, hex);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "cert=%s", hex);
	if (rc == RC_OK)
		rc = reg__tell_profile(run, v, renewed ? "profile.renewed" : "profile.activated",
			&t, "%s by %s", renewed ? "renewed" : "activated", run->caller->id);
	return rc == RC_OK ? reg__profile_reply(run, v, &der, 0) : rc;
}

static enum rc activate_registered(
	struct registry_run *run, struct store_profile_view *v, const ProtobufCBinaryData *csr)
{
	struct reg__csr given = { .bytes = { csr->data, csr->len } };

	if (csr->len)
		return issue(run, v, &given);
	return run->planning ? RC_OK : start_keygen(run, v);
}

/* The payload once more, for a card that has not confirmed the last one. */
static enum rc push_again(struct registry_run *run, struct store_profile_view *v)
{
	enum rc rc;

	if (run->planning)
		return RC_OK;
	v->p.install_due++;
	v->p.attempts = 0;
	run->install = true;
	rc = store_profile_save(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "payload sent again");
	return rc == RC_OK ? say_current(run, v) : rc;
}

static enum rc activate_activated(
	struct registry_run *run, struct store_profile_view *v, const ProtobufCBinaryData *csr)
{
	int64_t life = v->cert.not_after - v->cert.not_before;
	bool renew = v->cert.not_after - run->now < life / RENEW_SHARE;
	bool current = v->p.card_cert == v->p.cert && v->p.card_sequence == v->p.sequence;
	struct reg__csr stored;
	enum rc rc = reg__stored_csr(run, v, &stored);

	if (rc != RC_OK)
		return rc;
	if (csr->len && same_csr(&stored, csr))
		return run->planning ? RC_OK : say_current(run, v);
	if (!csr->len && renew)
		return issue(run, v, &stored);
	if (!csr->len && !current && !v->p.install_due && !v->p.pending_job)
		return push_again(run, v);
	return reg__no(run, CODE(STATUS_PROHIBITS), "name", "activated already");
}

/* The same certificate comes back while it may: suspended, not ended, naming this service. */
static enum rc unsuspend(struct registry_run *run, struct store_profile_view *v)
{
	enum rc rc = store_cert_state(run->reg->store, v->p.cert, CERT(VALID));

	v->cert.state = CERT(VALID);
	if (rc == RC_OK)
		rc = reg__publish(run, v, false);
	v->p.state = STATE(ACTIVATED);
	v->p.install_due++;
	v->p.attempts = 0;
	v->p.updated = run->now;
	run->install = true;
	return rc;
}

static enum rc reactivate(
	struct registry_run *run, struct store_profile_view *v, const ProtobufCBinaryData *csr)
{
	bool same = v->cert.state == CERT(SUSPENDED) && v->cert.not_after > run->now &&
		    strcmp(v->cert.service, v->p.service) == 0;
	bool issued = false;
	struct reg__csr stored;
	struct store_blob der = { 0 };
	struct reg__tale t;
	int64_t job;
	enum rc rc = reg__stored_csr(run, v, &stored);

	if (rc == RC_OK)
		rc = reg__before_profile(run, v, &t);
	if (rc != RC_OK)
		return rc;
	if (csr->len && !same_csr(&stored, csr))
		return reg__no(run, CODE(STATUS_PROHIBITS), "csr",
			"re-activation restores the same key; delete and register for another");
	if (!same) {
		rc = reg__issue(run, v, &stored, &der, &issued);
		if (rc != RC_OK || !issued)
			return rc;
	} else if (run->planning) {
		return RC_OK;
	} else {
		rc = unsuspend(run, v);
	}
	if (rc == RC_OK)
		rc = reg__jobs_cancel(run, v, REG__ALL_JOBS & ~(1u << JOB(WIPE)), "activated");
	v->p.wipe_pending = false;
	if (rc == RC_OK)
		rc = reg__job_open(run, v, JOB(UNBLOCK), 1, &job);
	if (rc == RC_OK)
		rc = store_profile_save(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v),
			issued ? "re-activated, new certificate" : "re-activated");
	if (rc == RC_OK)
		rc = reg__tell_profile(
			run, v, "profile.activated", &t, "activated by %s", run->caller->id);
	if (rc == RC_OK && !issued) {
		struct store_cert c;

		rc = store_cert_get(run->reg->store, v->p.cert, run->arena, &c, &der);
	}
	return rc == RC_OK ? reg__profile_reply(run, v, &der, 0) : rc;
}

enum rc reg__profile_activate(struct registry_run *run)
{
	const Registry__ProfileActivate *m = run->request->profile_activate;
	struct store_profile_view *v;
	enum rc rc;

	if (m->csr.len > REGISTRY_CSR_MAX)
		return reg__no(run, CODE(RANGE), "csr", "at most %d bytes", REGISTRY_CSR_MAX);
	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	if (!reg__is_caller(run, v->p.sponsor))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if (reg__reported(run, v))
		return RC_OK;
	rc = store_esim_marked(run->reg->store, v->p.id);
	if (rc == RC_OK)
		return reg__no(run, CODE(STATUS_PROHIBITS), "name",
			"its operator has disabled the eSIM; it comes back with that");
	if (rc != RC_NOT_FOUND)
		return rc;
	switch (v->p.state) {
	case STATE(REGISTERED): return activate_registered(run, v, &m->csr);
	case STATE(ACTIVATED): return activate_activated(run, v, &m->csr);
	case STATE(DEACTIVATED): return reactivate(run, v, &m->csr);
	default: return RC_INTERNAL;
	}
}

/* A new certificate for the same key, before the old one ends. */
enum rc reg__profile_renew(struct registry_run *run)
{
	const Registry__ProfileRenew *m = run->request->profile_renew;
	struct store_profile_view *v;
	struct reg__csr stored;
	enum rc rc;

	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	if (!reg__is_caller(run, v->p.sponsor))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if (v->p.state != STATE(ACTIVATED))
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "not activated");
	if (reg__reported(run, v))
		return RC_OK;
	if (m->not_after != v->cert.not_after)
		return reg__no(
			run, CODE(POLICY), "not_after", "not the end of the present certificate");
	if (run->now + run->reg->settings.cert_s <= v->cert.not_after)
		return reg__no(run, CODE(NOT_RENEWABLE), "name",
			"the present certificate ends no sooner than a new one would");
	rc = reg__stored_csr(run, v, &stored);
	return rc == RC_OK ? issue(run, v, &stored) : rc;
}
