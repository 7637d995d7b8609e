/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <string.h>

/* A certificate's end: the records go (the zone drops them by itself at the same second), and
 * activation makes a new certificate of the same key. */
static enum rc expire(struct registry_run *run, int64_t profile)
{
	struct store_profile_view v;
	struct reg__tale t;
	enum rc rc = store_profile_by_id(run->reg->store, profile, &v);

	if (rc == RC_OK)
		rc = reg__before_profile(run, &v, &t);
	if (rc != RC_OK)
		return rc;
	rc = reg__withdraw(run, &v);
	if (rc == RC_OK)
		rc = store_cert_state(run->reg->store, v.cert.id, CERT(EXPIRED));
	v.cert.state = CERT(EXPIRED);
	if (rc == RC_OK)
		rc = reg__jobs_cancel(run, &v, 1u << JOB(INSTALL), "certificate expired");
	v.p.state = STATE(DEACTIVATED);
	v.p.install_due = 0;
	v.p.updated = run->now;
	if (rc == RC_OK)
		rc = store_profile_save(run->reg->store, &v.p);
	if (rc == RC_OK)
		rc = reg__tell_profile(run, &v, "certificate.expired", &t,
			"the certificate has expired; activate to renew it");
	return rc == RC_OK ? reg__audit(run, reg__profile_name(run, &v), "certificate expired")
			   : rc;
}

/* The card has not confirmed the new certificate in time: the old one ends all the same. */
static enum rc end_overlap(struct registry_run *run, int64_t profile)
{
	struct store_profile_view v;
	enum rc rc = store_profile_by_id(run->reg->store, profile, &v);

	if (rc == RC_OK)
		rc = reg__overlap_end(run, &v);
	if (rc == RC_OK)
		rc = reg__tell_profile(run, &v, "certificate.superseded", &(struct reg__tale){ 0 },
			"the card has not confirmed its renewed certificate in time; the old one "
			"is withdrawn");
	return rc == RC_OK ? reg__audit(run, reg__profile_name(run, &v), "overlap ended") : rc;
}

static enum rc expire_job(struct registry_run *run, int64_t id)
{
	struct store_profile_view v;
	struct store_job job;
	enum rc rc = store_job_get(run->reg->store, id, run->arena, &job);

	if (rc == RC_OK)
		rc = store_profile_by_id(run->reg->store, job.profile, &v);
	if (rc == RC_OK)
		rc = reg__job_failed(run, &v, &job, JOBSTATE(EXPIRED), "no result in time");
	return rc == RC_OK ? reg__audit(run, reg__profile_name(run, &v), "job expired") : rc;
}

enum rc registry_sweep(struct registry_run *run, size_t limit, bool *more)
{
	int64_t ids[REG__SWEEP_MAX];
	size_t overlaps = 0;
	size_t certs = 0;
	size_t jobs = 0;
	size_t transfers = 0;
	size_t signers = 0;
	size_t moves = 0;
	enum rc rc;

	if (limit > REG__SWEEP_MAX)
		limit = REG__SWEEP_MAX;
	rc = store_overlap_due(run->reg->store, run->now, limit, ids, &overlaps);
	for (size_t i = 0; i < overlaps && rc == RC_OK; i++)
		rc = end_overlap(run, ids[i]);
	if (rc == RC_OK)
		rc = store_profile_expired(run->reg->store, run->now, limit, ids, &certs);
	for (size_t i = 0; i < certs && rc == RC_OK; i++)
		rc = expire(run, ids[i]);
	if (rc == RC_OK)
		rc = store_job_expired(run->reg->store, run->now, limit, ids, &jobs);
	for (size_t i = 0; i < jobs && rc == RC_OK; i++)
		rc = expire_job(run, ids[i]);
	if (rc == RC_OK)
		rc = store_transfer_due(run->reg->store, run->now, limit, ids, &transfers);
	for (size_t i = 0; i < transfers && rc == RC_OK; i++)
		rc = reg__transfer_expire(run, ids[i]);
	if (rc == RC_OK)
		rc = reg__trust_sweep(run, limit, &signers);
	if (rc == RC_OK)
		rc = store_moving_due(run->reg->store, run->now, limit, ids, &moves);
	for (size_t i = 0; i < moves && rc == RC_OK; i++)
		rc = reg__moving_expire(run, ids[i]);
	if (rc == RC_OK)
		rc = store_idem_expire(run->reg->store, run->now, limit);
	if (rc == RC_OK)
		rc = store_feed_prune(run->reg->store, run->now - run->reg->settings.feed_s, limit);
	*more = overlaps == limit || certs == limit || jobs == limit || transfers == limit ||
		signers == limit || moves == limit;
	return rc;
}
