/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that change their operator: a new SIM under the same device, EID and history. */
#include "base/ident.h"
#include "base/secret.h"
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define SLOTS 9

enum rc reg__device_extras(
	struct registry_run *run, const struct store_device *d, Registry__Device *m)
{
	struct store_blob cert;
	struct store_move move = { 0 };
	enum rc rc = store_attest_get(run->reg->store, d->id, run->arena, &cert);

	m->attestable = rc == RC_OK;
	if (rc == RC_OK || rc == RC_NOT_FOUND)
		rc = store_move_get(run->reg->store, d->id, &move);
	if (rc == RC_OK)
		m->move_to = arena_str(run->arena, move.move_to);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* The present MNO names the next one, or (its own name) takes that back. */
static enum rc set_move_to(
	struct registry_run *run, const char *move_to, const struct store_device *d)
{
	struct store_move move = { 0 };
	struct store_party mno;
	enum rc rc = store_party_get(run->reg->store, move_to, &mno);

	if (rc == RC_NOT_FOUND || (rc == RC_OK && !(mno.roles & ROLE_BIT(MNO))))
		return reg__no(run, CODE(ASSOCIATION_PROHIBITS), "move_to", "no such MNO");
	if (rc == RC_OK)
		rc = store_move_get(run->reg->store, d->id, &move);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	snprintf(move.move_to, sizeof(move.move_to), "%s",
		strcmp(move_to, d->mno) == 0 ? "" : move_to);
	rc = store_move_set(run->reg->store, d->id, &move);
	if (rc == RC_OK && *move.move_to)
		rc = reg__poll(run, move_to, "device.offered", d->iccid,
			"%s lets you take this device over", d->mno);
	return rc;
}

enum rc reg__device_set_extras(
	struct registry_run *run, const Registry__DeviceUpdate *m, const struct store_device *d)
{
	bool mno = reg__is_caller(run, d->mno);
	enum rc rc = RC_OK;

	if (m->attest_cert.len && !mno)
		return reg__no(run, CODE(AUTHORIZATION), "attest_cert", "the MNO knows its cards");
	if (m->attest_cert.len > REGISTRY_ATTEST_MAX)
		return reg__no(
			run, CODE(RANGE), "attest_cert", "at most %d bytes", REGISTRY_ATTEST_MAX);
	if (*m->move_to && !mno)
		return reg__no(
			run, CODE(AUTHORIZATION), "move_to", "the present MNO names the next");
	if (m->attest_cert.len)
		rc = store_attest_set(run->reg->store, d->id,
			(struct store_blob){ m->attest_cert.data, m->attest_cert.len });
	if (rc == RC_OK && *m->move_to)
		rc = set_move_to(run, m->move_to, d);
	if (rc == RC_OK && m->refresh == REGISTRY__FLAG__FLAG_TRUE)
		rc = mno ? reg__trust_refresh(run, d)
			 : reg__no(run, CODE(AUTHORIZATION), "refresh", "the MNO knows its cards");
	return rc;
}

/* ---- the code --------------------------------------------------------------------------- */

enum rc reg__device_set_auth(struct registry_run *run)
{
	const Registry__DeviceSetAuth *m = run->request->device_set_auth;
	struct store_move move = { 0 };
	struct store_device d;
	char code[REG__CODE_LEN + 1];
	enum rc rc;

	if (!reg__device(run, m->iccid, &d, &rc))
		return rc;
	if (!reg__is_caller(run, d.owner) && !(reg__is_caller(run, d.mno) && !*d.owner))
		return reg__no(run, CODE(AUTHORIZATION), "iccid",
			"the owner makes the code; the MNO where there is none");
	if (m->ttl_s > REG__CODE_TTL_MAX_S)
		return reg__no(
			run, CODE(RANGE), "ttl_s", "at most %d seconds", REG__CODE_TTL_MAX_S);
	rc = store_move_get(run->reg->store, d.id, &move);
	if (rc == RC_NOT_FOUND)
		rc = RC_OK;
	if (rc == RC_OK)
		rc = reg__code_make(run, code, move.auth_salt, move.auth_sha256);
	if (rc != RC_OK)
		return rc;
	move.has_auth = true;
	move.auth_tries = 0;
	move.auth_expires = run->now + (m->ttl_s ? m->ttl_s : run->reg->settings.auth_ttl_s);
	rc = store_move_set(run->reg->store, d.id, &move);
	if (rc == RC_OK)
		rc = reg__audit(run, d.iccid, "code set");
	if (rc == RC_OK)
		rc = reg__tell(run, d.mno, "device.auth", d.iccid, &(struct reg__tale){ 0 },
			"a code for a change of operator was made by %s", run->caller->id);
	if (rc == RC_OK)
		rc = reg__code_answer(run, code, move.auth_expires);
	mem_wipe(code, sizeof(code));
	return rc;
}

enum rc reg__device_named(struct registry_run *run, const struct store_device *d, bool *named)
{
	struct store_move move = { 0 };
	enum rc rc = store_move_get(run->reg->store, d->id, &move);

	/* An MNO that gives its own device another SIM needs nobody's leave. */
	*named = reg__is_caller(run, d->mno) || reg__is_caller(run, move.move_to);
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* Wrong codes are counted; at the limit the code is withdrawn. */
static enum rc check_code(struct registry_run *run, const char *code, const struct store_device *d)
{
	struct store_move move = { 0 };
	uint8_t hash[STORE_SHA256];
	enum rc rc = store_move_get(run->reg->store, d->id, &move);
	bool live = move.has_auth && move.auth_expires > run->now;

	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	reg__sha256(move.auth_salt, sizeof(move.auth_salt), code, strlen(code), hash);
	if (mem_equal_ct(hash, move.auth_sha256, sizeof(hash)) && live)
		return RC_OK;
	rc = RC_OK;
	if (live) {
		move.auth_tries++;
		if (move.auth_tries >= REGISTRY_TRIES_MAX)
			move.has_auth = false;
		rc = store_move_set(run->reg->store, d->id, &move);
		if (rc == RC_OK)
			rc = reg__audit(run, d->iccid, "wrong code, attempt %u", move.auth_tries);
		run->keep = true;
	}
	if (rc == RC_OK)
		reg__no(run, CODE(BAD_AUTHINFO), "code", "not the code of this device");
	return rc;
}

/* Whoever has the code may see what it is for. */
enum rc reg__device_look(struct registry_run *run)
{
	const Registry__DeviceLook *m = run->request->device_look;
	struct store_device d;
	char iccid[STORE_ICCID_MAX];
	enum rc rc;

	if (!reg__iccid(run, m->iccid, iccid))
		return RC_OK;
	if (strlen(m->code) > 128)
		return reg__no(run, CODE(VALUE_SYNTAX), "code", "at most 128 bytes");
	rc = store_device_by_iccid(run->reg->store, iccid, &d);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "iccid", "no such device");
	if (rc == RC_OK)
		rc = check_code(run, m->code, &d);
	return rc == RC_OK && !reg__refused(run) ? reg__device_answer(run, &d) : rc;
}

/* ---- the change ------------------------------------------------------------------------- */

/* What is on the old SIM ends: its records go, its key is revoked, it is told to destroy it. */
static enum rc leave(struct registry_run *run, struct store_profile_view *v)
{
	bool on_card = v->p.key || v->p.pending_job || v->p.attempts || v->p.wipe_pending;
	enum rc rc = RC_OK;

	if (v->p.state == STATE(ACTIVATED))
		rc = reg__withdraw(run, v);
	if (rc == RC_OK)
		rc = reg__key_end(run, v);
	if (rc == RC_OK)
		rc = reg__jobs_cancel(run, v, REG__ALL_JOBS, "the device has another SIM");
	if (rc == RC_OK && on_card)
		rc = reg__job_order(run, v, JOB(WIPE), "moved");
	v->p.wipe_pending = on_card;
	return rc;
}

/* A slot that was alive gets a key on the new SIM without anybody's doing. */
static enum rc arrive(struct registry_run *run, struct store_profile_view *v,
	const struct store_device *d, bool was_live)
{
	char old[STORE_ICCID_MAX];
	int64_t job;
	enum rc rc = RC_OK;

	snprintf(old, sizeof(old), "%s", v->iccid);
	snprintf(v->iccid, sizeof(v->iccid), "%s", d->iccid);
	snprintf(v->mno, sizeof(v->mno), "%s", d->mno);
	v->p.state = STATE(REGISTERED);
	v->p.cert = 0;
	v->p.key = 0;
	v->p.card_cert = 0;
	v->p.card_sequence = 0;
	v->p.install_due = 0;
	v->p.pending_job = 0;
	v->p.attempts = 0;
	v->p.has_auth = false;
	v->p.updated = run->now;
	if (was_live)
		rc = reg__job_open(run, v, JOB(KEYGEN), 1, &job);
	if (rc == RC_OK)
		rc = store_profile_save_all(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__poll(run, v->p.sponsor, "device.moved", reg__profile_name(run, v),
			"was %u.%s; new operator %s%s", v->p.slot, old, d->mno,
			was_live ? "; its new SIM makes a new key" : "");
	return rc;
}

static enum rc move_profiles(struct registry_run *run, const struct store_device *d)
{
	struct store_profile_view *v = arena_array(run->arena, SLOTS, sizeof(*v));
	bool live[SLOTS] = { false };
	int64_t ids[SLOTS];
	size_t n = 0;
	enum rc rc = v ? store_device_profiles(run->reg->store, d->id, SLOTS, ids, &n) : RC_NOMEM;

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = store_profile_by_id(run->reg->store, ids[i], &v[i]);
		live[i] = v[i].p.state == STATE(ACTIVATED);
		if (rc == RC_OK)
			rc = leave(run, &v[i]);
	}
	if (rc == RC_OK)
		rc = store_device_rename(run->reg->store, d, run->now);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = arrive(run, &v[i], d, live[i]);
	return rc;
}

static bool take_form(struct registry_run *run, const Registry__DeviceTransfer *m,
	struct store_device *d, const char *mno)
{
	char iccid[STORE_ICCID_MAX];

	if (!reg__iccid(run, m->new_iccid, iccid)) {
		run->reply.field = (char *)(uintptr_t) "new_iccid";
		return false;
	}
	if (!reg__range_ok(run, mno, iccid)) {
		reg__no(run, CODE(AUTHORIZATION), "new_iccid", "outside your ranges of ICCIDs");
		return false;
	}
	if (strcmp(iccid, d->iccid) == 0) {
		reg__no(run, CODE(POLICY), "new_iccid", "is the present one");
		return false;
	}
	if ((m->claim_salt.len || m->claim_sha256.len) &&
		(m->claim_salt.len != STORE_SALT || m->claim_sha256.len != STORE_SHA256)) {
		reg__no(run, CODE(VALUE_SYNTAX), "claim_salt", "16 and 32 bytes, or neither");
		return false;
	}
	if (m->attest_cert.len > REGISTRY_ATTEST_MAX) {
		reg__no(run, CODE(RANGE), "attest_cert", "at most %d bytes", REGISTRY_ATTEST_MAX);
		return false;
	}
	snprintf(d->iccid, sizeof(d->iccid), "%s", iccid);
	snprintf(d->mno, sizeof(d->mno), "%s", mno);
	d->has_claim = m->claim_salt.len != 0;
	if (d->has_claim) {
		memcpy(d->claim_salt, m->claim_salt.data, STORE_SALT);
		memcpy(d->claim_sha256, m->claim_sha256.data, STORE_SHA256);
	}
	return true;
}

static enum rc tell(struct registry_run *run, const struct store_device *was,
	const struct store_device *d, struct reg__tale *t)
{
	struct reg__tale lost = { .before = t->before }, now = { 0 };
	enum rc rc =
		reg__tell(run, was->mno, "device.moved", was->iccid, &lost, "now with %s", d->mno);

	/* Sponsors hear of it for each of their profiles. */
	if (rc == RC_OK)
		rc = reg__before_device(run, d, &now);
	t->after = now.before;
	if (rc == RC_OK)
		rc = reg__tell(run, d->owner, "device.moved", d->iccid, t, "was %s with %s; now %s",
			was->iccid, was->mno, d->mno);
	if (rc == RC_OK)
		rc = reg__audit(run, d->iccid, "was %s with %s", was->iccid, was->mno);
	return rc;
}

enum rc reg__device_may_take(struct registry_run *run, const Registry__DeviceTransfer *m,
	struct store_device *d, const char *mno)
{
	enum rc rc;

	if (d->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "iccid", "the device is locked");
	if (d->stolen)
		return reg__no(run, CODE(STATUS_PROHIBITS), "iccid", "reported stolen");
	if (!take_form(run, m, d, mno))
		return RC_OK;
	rc = store_device_known(run->reg->store, d->iccid);
	if (rc == RC_OK)
		return reg__no(run, CODE(EXISTS), "new_iccid", "the registry knows it already");
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc reg__device_take(struct registry_run *run, const Registry__DeviceTransfer *m,
	struct store_device *d, const char *mno)
{
	struct store_device was = *d;
	struct reg__tale t;
	enum rc rc = reg__device_may_take(run, m, d, mno);

	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = reg__before_device(run, &was, &t);
	if (rc == RC_OK)
		rc = move_profiles(run, d);
	if (rc == RC_OK)
		rc = store_move_drop(run->reg->store, d->id);
	if (rc == RC_OK)
		rc = store_attest_drop(run->reg->store, d->id);
	if (rc == RC_OK && m->attest_cert.len)
		rc = store_attest_set(run->reg->store, d->id,
			(struct store_blob){ m->attest_cert.data, m->attest_cert.len });
	return rc == RC_OK ? tell(run, &was, d, &t) : rc;
}

enum rc reg__device_transfer(struct registry_run *run)
{
	const Registry__DeviceTransfer *m = run->request->device_transfer;
	struct store_device d, was;
	char iccid[STORE_ICCID_MAX];
	bool named = false;
	enum rc rc;

	if (!reg__iccid(run, m->iccid, iccid))
		return RC_OK;
	if (strlen(m->code) > 128)
		return reg__no(run, CODE(VALUE_SYNTAX), "code", "at most 128 bytes");
	rc = store_device_by_iccid(run->reg->store, iccid, &d);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "iccid", "no such device");
	if (rc == RC_OK)
		rc = reg__device_named(run, &d, &named);
	if (rc == RC_OK && !named)
		rc = check_code(run, m->code, &d);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	was = d;
	rc = reg__device_take(run, m, &d, run->caller->id);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	return reg__moving_made(run, &was, &d);
}
