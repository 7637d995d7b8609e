/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of operator without a code: another MNO asks, and the owner or the present MNO approves,
 * rejects, or says nothing. One that nobody answers is cancelled: silence never moves a device. */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

static Registry__Transfer *message(struct registry_run *run, const struct store_moving *t)
{
	Registry__Transfer *m = arena_alloc(run->arena, sizeof(*m));

	if (!m)
		return NULL;
	registry__transfer__init(m);
	m->name = arena_str(run->arena, t->iccid);
	m->new_iccid = arena_str(run->arena, t->new_iccid);
	m->device = arena_printf(run->arena, "D%lld-IOT", (long long)t->device);
	m->status = arena_str(run->arena, t->status);
	m->requester = arena_str(run->arena, t->requester);
	m->requested = t->requested;
	m->actor = arena_str(run->arena, t->actor);
	m->act_date = t->act_date;
	return m;
}

static enum rc answer(struct registry_run *run, const struct store_moving *t, Registry__Code code)
{
	Registry__TransferData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__transfer_data__init(out);
	out->transfer = message(run, t);
	run->reply.code = code;
	if (code == CODE(PENDING))
		run->reply.reason =
			(char *)(uintptr_t) "the owner and the present operator are asked";
	run->reply.result_case = REGISTRY__REPLY__RESULT_TRANSFER;
	run->reply.transfer = out;
	return out->transfer ? RC_OK : RC_NOMEM;
}

static bool waits(const struct store_moving *t)
{
	return strcmp(t->status, "pending") == 0;
}

static enum rc last(struct registry_run *run, int64_t device, struct store_moving *t)
{
	enum rc rc;

	*t = (struct store_moving){ .device = device };
	rc = store_moving_get(run->reg->store, device, run->arena, t);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc reg__moving_show(
	struct registry_run *run, const struct store_device *d, Registry__Device *m)
{
	struct store_moving t;
	enum rc rc = last(run, d->id, &t);

	m->transfer_pending = waits(&t);
	return rc;
}

static enum rc end(struct registry_run *run, const struct store_device *d, struct store_moving *t,
	const char *status)
{
	const char *const who[3] = { t->requester, d->mno, d->owner };
	enum rc rc;

	snprintf(t->status, sizeof(t->status), "%s", status);
	snprintf(t->actor, sizeof(t->actor), "%s", run->caller ? run->caller->id : "registry");
	t->act_date = run->now;
	rc = store_moving_save(run->reg->store, t);
	if (rc == RC_OK)
		rc = reg__tell_ended(run, who, t->iccid, message(run, t));
	return rc == RC_OK
		       ? reg__audit(run, t->iccid, "transfer to=%s status=%s", t->requester, status)
		       : rc;
}

enum rc reg__moving_expire(struct registry_run *run, int64_t device)
{
	struct store_moving t;
	struct store_device d;
	enum rc rc = last(run, device, &t);

	if (rc != RC_OK || !waits(&t))
		return rc;
	rc = store_device_by_iccid(run->reg->store, t.iccid, &d);
	return rc == RC_OK ? end(run, &d, &t, "serverCancelled") : rc;
}

enum rc reg__moving_made(
	struct registry_run *run, const struct store_device *was, const struct store_device *d)
{
	struct store_moving t;
	struct store_device now = *d;
	enum rc rc = last(run, d->id, &t);

	/* Who has the code need not wait for an answer, and nobody else's request outlives it. */
	if (rc == RC_OK && waits(&t))
		rc = end(run, was, &t, "serverCancelled");
	t = (struct store_moving){ .device = d->id,
		.status = "serverApproved",
		.requested = run->now,
		.act_date = run->now };
	snprintf(t.requester, sizeof(t.requester), "%s", run->caller->id);
	snprintf(t.actor, sizeof(t.actor), "%s", run->caller->id);
	snprintf(t.iccid, sizeof(t.iccid), "%s", was->iccid);
	snprintf(t.new_iccid, sizeof(t.new_iccid), "%s", d->iccid);
	if (rc == RC_OK)
		rc = store_moving_save(run->reg->store, &t);
	if (rc == RC_OK)
		rc = reg__device_answer(run, &now);
	if (rc == RC_OK)
		run->reply.device->transfer = message(run, &t);
	return rc;
}

/* ---- request ------------------------------------------------------------------------------ */

static enum rc request(
	struct registry_run *run, const struct store_device *d, const struct store_moving *before)
{
	const Registry__DeviceMove *q = run->request->device_move;
	Registry__DeviceTransfer m = REGISTRY__DEVICE_TRANSFER__INIT;
	struct store_device wanted = *d;
	struct store_moving t = { .device = d->id,
		.status = "pending",
		.requested = run->now,
		.act_date = run->now + run->reg->settings.transfer_wait_s };
	struct reg__tale tale = { 0 };
	bool named = false;
	enum rc rc;

	if (!reg__has_role(run, ROLE_BIT(MNO)))
		return reg__no(run, CODE(AUTHORIZATION), "", "not for a party in your role");
	m.new_iccid = q->new_iccid;
	m.claim_salt = q->claim_salt;
	m.claim_sha256 = q->claim_sha256;
	m.attest_cert = q->attest_cert;
	rc = reg__device_named(run, d, &named);
	if (rc == RC_OK && named) {
		rc = reg__device_take(run, &m, &wanted, run->caller->id);
		return rc == RC_OK && !reg__refused(run) ? reg__moving_made(run, d, &wanted) : rc;
	}
	if (rc == RC_OK && waits(before))
		return reg__no(run, CODE(TRANSFER_PENDING), "iccid",
			"a change of operator waits for its answer");
	if (rc == RC_OK)
		rc = reg__device_may_take(run, &m, &wanted, run->caller->id);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	snprintf(t.requester, sizeof(t.requester), "%s", run->caller->id);
	snprintf(t.actor, sizeof(t.actor), "%s", d->mno);
	snprintf(t.iccid, sizeof(t.iccid), "%s", d->iccid);
	snprintf(t.new_iccid, sizeof(t.new_iccid), "%s", wanted.iccid);
	t.has_claim = wanted.has_claim && m.claim_salt.len;
	memcpy(t.claim_salt, wanted.claim_salt, sizeof(t.claim_salt));
	memcpy(t.claim_sha256, wanted.claim_sha256, sizeof(t.claim_sha256));
	t.attest_cert = (struct store_blob){ m.attest_cert.data, m.attest_cert.len };
	rc = store_moving_save(run->reg->store, &t);
	if (rc == RC_OK)
		rc = reg__shoot_transfer(run, message(run, &t), &tale.after);
	if (rc == RC_OK)
		rc = reg__tell(run, d->mno, "transfer.requested", d->iccid, &tale,
			"%s asks for the device", run->caller->id);
	if (rc == RC_OK)
		rc = reg__tell(run, d->owner, "transfer.requested", d->iccid, &tale,
			"%s asks for the device", run->caller->id);
	if (rc == RC_OK)
		rc = reg__audit(run, d->iccid, "transfer to=%s status=pending", run->caller->id);
	return rc == RC_OK ? answer(run, &t, CODE(PENDING)) : rc;
}

/* ---- the answer --------------------------------------------------------------------------- */

/* The SIM may have been seen elsewhere since, the device locked. */
static enum rc approve(struct registry_run *run, struct store_device *d, struct store_moving *t)
{
	Registry__DeviceTransfer m = REGISTRY__DEVICE_TRANSFER__INIT;
	struct store_device was = *d;
	enum rc rc;

	m.new_iccid = t->new_iccid;
	if (t->has_claim) {
		m.claim_salt = (ProtobufCBinaryData){ sizeof(t->claim_salt), t->claim_salt };
		m.claim_sha256 = (ProtobufCBinaryData){ sizeof(t->claim_sha256), t->claim_sha256 };
	}
	m.attest_cert = (ProtobufCBinaryData){ t->attest_cert.len,
		(uint8_t *)(uintptr_t)t->attest_cert.bytes };
	rc = reg__device_take(run, &m, d, t->requester);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = end(run, &was, t, "clientApproved");
	return rc == RC_OK ? answer(run, t, CODE(OK)) : rc;
}

static enum rc act(struct registry_run *run, struct store_device *d, struct store_moving *t,
	Registry__TransferStep step)
{
	bool gainer = reg__is_caller(run, t->requester);
	bool loser = reg__is_caller(run, d->mno) || reg__is_caller(run, d->owner);
	bool cancel = step == REGISTRY__TRANSFER_STEP__TRANSFER_CANCEL;
	enum rc rc;

	if (cancel ? !gainer : !loser)
		return reg__no(run, CODE(AUTHORIZATION), "iccid", "not for this side");
	if (!waits(t))
		return reg__no(
			run, CODE(TRANSFER_NOT_PENDING), "iccid", "no change of operator waits");
	if (step == REGISTRY__TRANSFER_STEP__TRANSFER_APPROVE)
		return approve(run, d, t);
	rc = end(run, d, t, cancel ? "clientCancelled" : "clientRejected");
	return rc == RC_OK ? answer(run, t, CODE(OK)) : rc;
}

enum rc reg__device_move(struct registry_run *run)
{
	const Registry__DeviceMove *m = run->request->device_move;
	char iccid[STORE_ICCID_MAX];
	struct store_moving t;
	struct store_device d;
	bool seen = false;
	enum rc rc;

	if (!reg__iccid(run, m->iccid, iccid))
		return RC_OK;
	rc = store_device_by_iccid(run->reg->store, iccid, &d);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "iccid", "no such device");
	if (rc == RC_OK)
		rc = last(run, d.id, &t);
	if (rc != RC_OK)
		return rc;
	if (m->step == REGISTRY__TRANSFER_STEP__TRANSFER_REQUEST)
		return request(run, &d, &t);
	rc = reg__device_seen(run, &d, &seen);
	if (rc != RC_OK)
		return rc;
	if (!seen && !reg__is_caller(run, t.requester))
		return reg__no(run, CODE(NOT_FOUND), "iccid", "no such device");
	if (m->step == REGISTRY__TRANSFER_STEP__TRANSFER_NONE)
		return reg__no(run, CODE(MISSING), "step", "which step?");
	if (m->step != REGISTRY__TRANSFER_STEP__TRANSFER_QUERY)
		return act(run, &d, &t, m->step);
	return *t.requester
		       ? answer(run, &t, CODE(OK))
		       : reg__no(run, CODE(TRANSFER_NOT_PENDING), "iccid", "none was asked for");
}
