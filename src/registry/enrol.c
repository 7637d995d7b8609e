/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment beside the JSON jobs: devices that renew their own certificates, renewals whose old
 * certificate stays published for a while, refusals that stay in the audit. */
#include "registry/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- overlap ---------------------------------------------------------------------------- */

/* RDATA as devices' records have it: CERT 1 1 0, TLSA 3 0 1, TLSA 3 1 1. */
static const uint8_t cert_head[] = { 0, 1, 0, 1, 0 };
static const uint8_t tlsa_cert_head[] = { 3, 0, 1 };
static const uint8_t tlsa_spki_head[] = { 3, 1, 1 };

static void rdata(struct arena *a, const uint8_t *head, size_t len, const uint8_t *hash,
	ProtobufCBinaryData *out)
{
	*out = (ProtobufCBinaryData){ len + STORE_SHA256, arena_alloc(a, len + STORE_SHA256) };
	if (!out->data)
		return;
	memcpy(out->data, head, len);
	memcpy(out->data + len, hash, STORE_SHA256);
}

enum rc reg__overlap_records(struct arena *a, const uint8_t cert[STORE_SHA256],
	const uint8_t previous[STORE_SHA256], const uint8_t spki[STORE_SHA256],
	struct store_blob *out)
{
	ProtobufCBinaryData certs[2], tlsas[3];
	Zone__Change m = ZONE__CHANGE__INIT;
	uint8_t *bytes;

	rdata(a, cert_head, sizeof(cert_head), cert, &certs[0]);
	rdata(a, cert_head, sizeof(cert_head), previous, &certs[1]);
	rdata(a, tlsa_cert_head, sizeof(tlsa_cert_head), cert, &tlsas[0]);
	rdata(a, tlsa_cert_head, sizeof(tlsa_cert_head), previous, &tlsas[1]);
	rdata(a, tlsa_spki_head, sizeof(tlsa_spki_head), spki, &tlsas[2]);
	m.cert = certs;
	m.n_cert = 2;
	m.tlsa = tlsas;
	m.n_tlsa = 3;
	if (a->failed)
		return RC_NOMEM;
	bytes = arena_alloc(a, zone__change__get_packed_size(&m));
	if (!bytes)
		return RC_NOMEM;
	*out = (struct store_blob){ bytes, zone__change__pack(&m, bytes) };
	return RC_OK;
}

enum rc reg__overlap_begin(
	struct registry_run *run, const struct store_profile_view *v, const struct store_cert *next)
{
	const struct store_cert *old = &v->cert;
	int64_t ends = run->now + run->reg->settings.overlap_s, until;
	struct store_cert before;
	enum rc rc = store_overlap_get(run->reg->store, v->p.id, &before, &until);

	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	/* Only a renewal: whoever moves to another service is refused at the old one at once. */
	if (old->state != CERT(VALID) || strcmp(old->service, next->service) != 0 ||
		memcmp(old->spki, next->spki, STORE_SHA256) != 0 || ends <= run->now ||
		old->not_after <= run->now)
		return store_overlap_drop(run->reg->store, v->p.id);
	/* Renewed twice before the card confirmed: what it has is the one to keep. */
	if (rc == RC_OK && before.id == v->p.card_cert)
		return RC_OK;
	rc = store_overlap_drop(run->reg->store, v->p.id);
	if (rc != RC_OK)
		return rc;
	return store_overlap_put(
		run->reg->store, v->p.id, old->id, ends < old->not_after ? ends : old->not_after);
}

enum rc reg__overlap_end(struct registry_run *run, const struct store_profile_view *v)
{
	struct store_cert old;
	int64_t ends;
	enum rc rc = store_overlap_get(run->reg->store, v->p.id, &old, &ends);

	if (rc != RC_OK)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	rc = store_overlap_drop(run->reg->store, v->p.id);
	return rc == RC_OK && v->p.state == STATE(ACTIVATED) ? reg__publish(run, v, true) : rc;
}

enum rc reg__overlap_hold(struct registry_run *run, const struct store_profile_view *v)
{
	int64_t known = v->cert.not_before + REG__BACKDATE_S + run->reg->settings.hold_s, ends;
	struct store_cert old;
	enum rc rc;

	if (v->p.state != STATE(ACTIVATED) || run->now >= known)
		return RC_OK;
	rc = store_overlap_get(run->reg->store, v->p.id, &old, &ends);
	if (rc == RC_NOT_FOUND)
		return RC_OK;
	return rc == RC_OK ? RC_STATE : rc;
}

enum rc reg__overlap_show(
	struct registry_run *run, const struct store_profile_view *v, Registry__Profile *m)
{
	struct store_cert old;
	int64_t ends;
	enum rc rc = v->p.state == STATE(ACTIVATED)
			     ? store_overlap_get(run->reg->store, v->p.id, &old, &ends)
			     : RC_NOT_FOUND;

	if (rc != RC_OK)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	m->overlap = arena_alloc(run->arena, sizeof(*m->overlap));
	if (!m->overlap)
		return RC_NOMEM;
	registry__overlap__init(m->overlap);
	old.state = CERT(VALID); /* for who looks into the DNS */
	m->overlap->certificate = reg__cert_message(run, &old, NULL);
	m->overlap->ends = ends;
	return m->overlap->certificate ? RC_OK : RC_NOMEM;
}

/* ---- a device's own renewal --------------------------------------------------------------- */

/* The certificate with which the device has come must be one that is published now. */
static enum rc check_device(
	struct registry_run *run, const struct store_profile_view *v, bool *repeated)
{
	const Registry__Request *q = run->request;
	struct store_cert old = { 0 };
	int64_t ends;
	enum rc rc;

	*repeated = false;
	if (q->spki_sha256.len != STORE_SHA256 ||
		memcmp(q->spki_sha256.data, v->key_spki, STORE_SHA256) != 0)
		return reg__no(run, CODE(AUTHORIZATION), "", "not the key of this profile");
	if (v->p.state == STATE(DEACTIVATED))
		return reg__no(run, CODE(STATUS_PROHIBITS), "name",
			"deactivated: its sponsor activates it again");
	if (v->p.state != STATE(ACTIVATED))
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "not activated");
	if (reg__reported(run, v))
		return RC_OK;
	rc = store_overlap_get(run->reg->store, v->p.id, &old, &ends);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	/* The last renewal's answer may have been lost, or the card has not confirmed it yet. */
	*repeated = rc == RC_OK;
	if (memcmp(q->cert_sha256.data, v->cert.sha256, STORE_SHA256) == 0 ||
		(rc == RC_OK && memcmp(q->cert_sha256.data, old.sha256, STORE_SHA256) == 0))
		return RC_OK;
	return reg__no(run, CODE(AUTHORIZATION), "", "not the present certificate of this profile");
}

static enum rc answer_current(struct registry_run *run, const struct store_profile_view *v)
{
	struct store_blob der = { 0 };
	struct store_cert c;
	enum rc rc = store_cert_get(run->reg->store, v->p.cert, run->arena, &c, &der);

	run->uses_zone = true;
	run->change_seq = store_change_last(run->reg->store);
	return rc == RC_OK ? reg__profile_reply(run, v, &der, 0) : rc;
}

static enum rc renew(struct registry_run *run, struct store_profile_view *v)
{
	struct store_blob der = { 0 };
	struct reg__csr stored;
	struct reg__tale t;
	bool done = false;
	enum rc rc = reg__stored_csr(run, v, &stored);

	if (rc == RC_OK)
		rc = reg__before_profile(run, v, &t);
	if (rc == RC_OK)
		rc = reg__issue(run, v, &stored, &der, &done);
	if (rc != RC_OK || !done)
		return rc;
	rc = reg__jobs_cancel(run, v, 1u << JOB(INSTALL), "renewed");
	if (rc == RC_OK)
		rc = store_profile_save(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__tell_profile(run, v, "certificate.renewed", &t,
			"the device has renewed its certificate");
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "renewed by the device");
	return rc == RC_OK ? reg__profile_reply(run, v, &der, 0) : rc;
}

enum rc reg__profile_reenrol(struct registry_run *run)
{
	const Registry__Request *q = run->request;
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	struct store_cert c;
	char iccid[STORE_ICCID_MAX];
	bool repeated;
	uint32_t slot;
	enum rc rc;

	if (!v)
		return RC_NOMEM;
	if (q->cert_sha256.len != STORE_SHA256)
		return reg__no(run, CODE(AUTHENTICATION), "", "a device's certificate is needed");
	if (!reg__name(run, q->profile_reenrol->name, &slot, iccid))
		return RC_OK;
	rc = store_cert_by_sha256(run->reg->store, q->cert_sha256.data, &c);
	if (rc == RC_OK)
		rc = store_profile_by_id(run->reg->store, c.profile, v);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(AUTHENTICATION), "", "the registry knows no such device");
	if (rc != RC_OK)
		return rc;
	if (v->p.slot != slot || strcmp(v->iccid, iccid) != 0)
		return reg__no(run, CODE(AUTHORIZATION), "name",
			"the certificate is of %u.%s: names do not change by renewal", v->p.slot,
			v->iccid);
	rc = check_device(run, v, &repeated);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	if (repeated)
		return run->planning ? RC_OK : answer_current(run, v);
	return renew(run, v);
}

/* ---- refusals --------------------------------------------------------------------------- */

/* Which object a request was about, as far as it says: its first text named so. */
static const char *object_of(const Registry__Request *q)
{
	static const char *const names[] = { "name", "iccid", "id" };
	const ProtobufCFieldDescriptor *op = protobuf_c_message_descriptor_get_field(
		&registry__request__descriptor, (unsigned)q->op_case);
	const ProtobufCMessage *m =
		*(ProtobufCMessage *const *)(const void *)((const uint8_t *)q + op->offset);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const ProtobufCFieldDescriptor *f =
			protobuf_c_message_descriptor_get_field_by_name(m->descriptor, names[i]);
		const char *text;

		if (!f || f->type != PROTOBUF_C_TYPE_STRING ||
			f->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		text = *(const char *const *)(const void *)((const uint8_t *)m + f->offset);
		if (*text)
			return text;
	}
	return "";
}

/* Text of a client's: short, and nothing that a reader of the audit could mistake. */
static const char *tame(struct registry_run *run, const char *text)
{
	char *copy = arena_printf(run->arena, "%.200s", text);

	for (char *at = copy; at && *at; at++) {
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	}
	return copy ? copy : "";
}

static const Registry__Request__OpCase audited_ops[] = {
	REGISTRY__REQUEST__OP_JOB_RESULT,
	REGISTRY__REQUEST__OP_PROFILE_ACTIVATE,
	REGISTRY__REQUEST__OP_PROFILE_REENROL,
	REGISTRY__REQUEST__OP_DEVICE_UPDATE,
	REGISTRY__REQUEST__OP_DEVICE_TRANSFER,
	REGISTRY__REQUEST__OP_DEVICE_MOVE,
	REGISTRY__REQUEST__OP_DEVICE_LOOK,
	REGISTRY__REQUEST__OP_PROFILE_LOOK,
	REGISTRY__REQUEST__OP_DEVICE_EVENT,
	REGISTRY__REQUEST__OP_DEVICE_DELETE,
};

enum rc registry_refusal(struct registry_run *run)
{
	const char *object;
	bool audited = false;
	enum rc rc = reg__refused(run) ? reg__keep_refused(run) : RC_OK;

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(audited_ops); i++)
		audited = audited || audited_ops[i] == run->request->op_case;
	if (!audited || !reg__refused(run) || run->reply.code == CODE(FAILED) ||
		(!run->caller && !run->request->cert_sha256.len))
		return RC_OK;
	object = object_of(run->request);
	if (run->request->op_case == REGISTRY__REQUEST__OP_JOB_RESULT &&
		!*run->request->job_result->name)
		object = arena_printf(run->arena, "job %.24s", object);
	return reg__audit(
		run, tame(run, object), "refused: %d %s", (int)run->reply.code, run->reply.reason);
}

/* A command of EPP that core did not see itself: as it came, without what is secret. */
static enum rc keep_refusal(struct registry_run *run, const char *reason)
{
	struct store_audit row = { .time = run->now,
		.party = run->caller ? run->caller->id : "",
		.operation = "epp.refused",
		.object = run->request->sv_trid,
		.detail = arena_printf(
			run->arena, "%s: %s", tame(run, reason), run->request->frame) };

	run->reply.code = CODE(OK);
	return row.detail ? store_audit_add(run->reg->store, &row) : RC_NOMEM;
}

/* What front has refused before it was a request. */
enum rc reg__refusal(struct registry_run *run)
{
	const Registry__Refusal *m = run->request->refusal;
	enum rc rc;

	if (!run->caller && !run->request->cert_sha256.len)
		return reg__no(run, CODE(AUTHENTICATION), "", "nobody we know");
	if (*run->request->frame)
		return keep_refusal(run, m->reason);
	rc = reg__audit(run, tame(run, m->object), "%s refused: %s", tame(run, m->operation),
		tame(run, m->reason));
	run->reply.code = CODE(OK);
	return rc;
}
