/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "registry/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JOBS_OF_PROFILE_MAX 16
#define JOB_FILES_MAX	    9 /* certificate, three CA files, four of a kit, payload */

/* Objects of a slot on the card (formats section 1). */
enum card_file { CARD_CERT = 0x02, CARD_PAYLOAD = 0x0D };

/* ---- opening and closing ---------------------------------------------------------------- */

bool reg__job_here(const struct store_profile_view *v, const struct store_job *job)
{
	return strcmp(job->iccid, v->iccid) == 0;
}

enum rc reg__job_insert(
	struct registry_run *run, struct store_profile_view *v, struct store_job *job)
{
	enum rc rc;

	job->profile = v->p.id;
	job->state = JOBSTATE(OPEN);
	job->slot = v->p.slot;
	job->created = run->now;
	job->not_after = run->now + run->reg->settings.job_ttl_s;
	if (!*job->iccid) {
		memcpy(job->iccid, v->iccid, sizeof(job->iccid));
		memcpy(job->mno, v->mno, sizeof(job->mno));
	}
	rc = store_job_add(run->reg->store, job);
	if (rc != RC_OK)
		return rc;
	if (reg__job_here(v, job))
		v->p.pending_job = job->id;
	return reg__news_job(run, job->mno, job->id);
}

enum rc reg__job_open(struct registry_run *run, struct store_profile_view *v, int kind,
	uint32_t attempt, int64_t *id)
{
	struct store_job job = { .kind = kind, .attempt = attempt };
	enum rc rc = RC_OK;

	if (kind == JOB(KEYGEN)) {
		job.has_nonce = true;
		rc = run->reg->rng->fill(run->reg->rng, job.nonce, sizeof(job.nonce));
	}
	if (rc == RC_OK)
		rc = reg__job_insert(run, v, &job);
	if (rc == RC_OK)
		*id = job.id;
	return rc;
}

enum rc reg__job_order(
	struct registry_run *run, struct store_profile_view *v, int kind, const char *cause)
{
	struct store_job job = { .kind = kind, .attempt = 1 };

	snprintf(job.cause, sizeof(job.cause), "%s", cause);
	return reg__job_insert(run, v, &job);
}

static enum rc close_job(struct registry_run *run, struct store_profile_view *v,
	struct store_job *job, int state, const char *reason)
{
	int64_t next;
	size_t n;
	enum rc rc;

	job->state = state;
	job->closed = run->now;
	snprintf(job->reason, sizeof(job->reason), "%s", reason);
	rc = store_job_close(run->reg->store, job);
	if (v->p.pending_job == job->id)
		v->p.pending_job = 0;
	/* A gateway that took it from its queue is told that nobody waits for its result any more.
	 */
	if (rc == RC_OK && job->polled && state != JOBSTATE(DONE) && !reg__is_caller(run, job->mno))
		rc = reg__poll(run, job->mno, "job.ended",
			arena_printf(run->arena, "%u.%s", job->slot, job->iccid),
			"job %" PRId64 ": %s", job->id, reason);
	/* The job behind it may now be handed out. */
	if (rc == RC_OK)
		rc = store_job_of_profile(run->reg->store, v->p.id, &next, 1, &n);
	if (rc == RC_OK && n && next > job->id)
		rc = reg__news_job(run, v->mno, next);
	return rc;
}

enum rc reg__job_find(
	struct registry_run *run, const struct store_profile_view *v, int kind, int64_t *id)
{
	int64_t ids[JOBS_OF_PROFILE_MAX];
	size_t n = 0;
	enum rc rc = store_job_of_profile(run->reg->store, v->p.id, ids, JOBS_OF_PROFILE_MAX, &n);

	*id = 0;
	for (size_t i = 0; i < n && rc == RC_OK && !*id; i++) {
		struct store_job job;

		rc = store_job_get(run->reg->store, ids[i], run->arena, &job);
		if (rc == RC_OK && (int)job.kind == kind)
			*id = ids[i];
	}
	return rc;
}

enum rc reg__jobs_cancel(
	struct registry_run *run, struct store_profile_view *v, unsigned kinds, const char *why)
{
	int64_t ids[JOBS_OF_PROFILE_MAX];
	size_t n = 0;
	enum rc rc = store_job_of_profile(run->reg->store, v->p.id, ids, JOBS_OF_PROFILE_MAX, &n);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		struct store_job job;

		rc = store_job_get(run->reg->store, ids[i], run->arena, &job);
		if (rc == RC_OK && (kinds & (1u << job.kind)) && reg__job_here(v, &job)) {
			char reason[64];

			snprintf(reason, sizeof(reason), "superseded: %s", why);
			rc = close_job(run, v, &job, JOBSTATE(FAILED), reason);
		}
	}
	return rc;
}

/* The same once more, for the SIM that it was for. */
static enum rc open_again(
	struct registry_run *run, struct store_profile_view *v, const struct store_job *job)
{
	struct store_job next = { .kind = job->kind, .attempt = job->attempt + 1 };

	memcpy(next.iccid, job->iccid, sizeof(next.iccid));
	memcpy(next.mno, job->mno, sizeof(next.mno));
	memcpy(next.cause, job->cause, sizeof(next.cause));
	return reg__job_insert(run, v, &next);
}

enum rc reg__job_failed(struct registry_run *run, struct store_profile_view *v,
	struct store_job *job, int state, const char *reason)
{
	enum rc rc = close_job(run, v, job, state, reason);

	if (reg__job_here(v, job))
		v->p.attempts++;
	v->p.updated = run->now;
	if (rc == RC_OK && job->kind == JOB(KEYGEN))
		rc = reg__ended(run, v->p.id);
	if (rc == RC_OK)
		rc = reg__poll(run, v->p.sponsor, "job.failed", reg__profile_name(run, v),
			"job %" PRId64 " %s: %s", job->id,
			state == JOBSTATE(EXPIRED) ? "expired" : "failed", reason);
	/* What must not be dropped is asked for again: for ever when nobody answered, a few times
	 * when the gateway said no. */
	if (rc == RC_OK &&
		(job->kind == JOB(BLOCK) || job->kind == JOB(UNBLOCK) || job->kind == JOB(WIPE)) &&
		(state == JOBSTATE(EXPIRED) || job->attempt < REGISTRY_ATTEMPTS_MAX))
		rc = open_again(run, v, job);
	/* What a SIM that was off has missed goes out anew. When the gateway said no, a live
	 * payload waits for its sponsor to activate again; a withdrawal has nobody who would ask.
	 */
	if (job->kind == JOB(INSTALL) && reg__job_here(v, job) &&
		(state == JOBSTATE(EXPIRED)
				? v->p.state == STATE(ACTIVATED) || v->p.state == STATE(DEACTIVATED)
				: v->p.state == STATE(DEACTIVATED) &&
					  v->p.attempts < REGISTRY_ATTEMPTS_MAX)) {
		v->p.install_due++;
		run->install = true;
	}
	return rc == RC_OK ? store_profile_save(run->reg->store, &v->p) : rc;
}

/* ---- message form ------------------------------------------------------------------------ */

static enum rc add_file(
	struct registry_run *run, Registry__Job *m, const char *id, struct store_blob data)
{
	Registry__JobFile *f = arena_alloc(run->arena, sizeof(*f));
	char *hex = arena_alloc(run->arena, 2 * STORE_SHA256 + 1);
	uint8_t hash[STORE_SHA256];

	if (!f || !hex)
		return RC_NOMEM;
	registry__job_file__init(f);
	reg__sha256(data.bytes, data.len, NULL, 0, hash);
	hex_write(hash, sizeof(hash), hex);
	f->id = (char *)(uintptr_t)id;
	f->sha256 = hex;
	f->data = (ProtobufCBinaryData){ data.len, (uint8_t *)(uintptr_t)data.bytes };
	m->files[m->n_files++] = f;
	return RC_OK;
}

/* Slot 1 uses 01..0E, slots 2 to 9 (slot << 4) | n. */
static const char *file_id(struct registry_run *run, uint32_t slot, unsigned n)
{
	return arena_printf(run->arena, "%02X", slot == 1 ? n : slot << 4 | n);
}

static enum rc add_extra(struct registry_run *run, const struct store_job *job, Registry__Job *m)
{
	Registry__JobExtra *extra = registry__job_extra__unpack(NULL, job->kit.len, job->kit.bytes);
	enum rc rc = extra ? RC_OK : RC_INTERNAL;

	for (size_t i = 0; extra && i < extra->n_files && rc == RC_OK; i++) {
		const Registry__JobFile *f = extra->files[i];
		struct store_blob data = { arena_dup(run->arena, f->data.data, f->data.len),
			f->data.len };

		rc = add_file(run, m, arena_str(run->arena, f->id), data);
	}
	registry__job_extra__free_unpacked(extra, NULL);
	return rc;
}

static enum rc add_files(struct registry_run *run, const struct store_job *job, Registry__Job *m)
{
	enum rc rc = RC_OK;

	m->files = arena_array(run->arena, JOB_FILES_MAX, sizeof(*m->files));
	if (!m->files)
		return RC_NOMEM;
	if (job->with_cert) {
		struct store_blob der;
		struct store_cert c;

		rc = store_cert_get(run->reg->store, job->cert, run->arena, &c, &der);
		if (rc == RC_OK)
			rc = add_file(run, m, file_id(run, job->slot, CARD_CERT), der);
	}
	if (rc == RC_OK && job->kit.len)
		rc = add_extra(run, job, m);
	if (rc == RC_OK)
		rc = add_file(run, m, file_id(run, job->slot, CARD_PAYLOAD), job->payload);
	return rc;
}

static enum rc add_receipts(struct registry_run *run, const struct store_job *job, Registry__Job *m)
{
	struct store_receipt *list = NULL;
	size_t n = 0;
	enum rc rc = store_receipt_list(run->reg->store, job->id, run->arena, &list, &n);

	m->receipts = arena_array(run->arena, n, sizeof(*m->receipts));
	for (size_t i = 0; rc == RC_OK && m->receipts && i < n; i++) {
		Registry__Receipt *r = arena_alloc(run->arena, sizeof(*r));

		if (!r)
			return RC_NOMEM;
		registry__receipt__init(r);
		r->id = list[i].file;
		r->por = (ProtobufCBinaryData){ list[i].por.len,
			(uint8_t *)(uintptr_t)list[i].por.bytes };
		r->received = list[i].received;
		m->receipts[m->n_receipts++] = r;
	}
	return rc;
}

enum rc registry_job_message(
	struct registry_run *run, const struct store_job *job, Registry__Job **out)
{
	Registry__Job *m = arena_alloc(run->arena, sizeof(*m));
	enum rc rc = RC_OK;

	if (!m)
		return RC_NOMEM;
	registry__job__init(m);
	m->id = arena_printf(run->arena, "%" PRId64, job->id);
	m->kind = (Registry__JobKind)job->kind;
	m->iccid = arena_str(run->arena, job->iccid);
	m->slot = job->slot;
	m->not_after = job->not_after;
	m->attempt = job->attempt;
	m->state = (Registry__JobState)job->state;
	m->reason = arena_str(run->arena, job->reason);
	m->cause = arena_str(run->arena, job->cause);
	if (job->kind == JOB(KEYGEN)) {
		char hex[2 * sizeof(job->nonce) + 1];

		hex_write(job->nonce, sizeof(job->nonce), hex);
		m->nonce = arena_str(run->arena, hex);
		m->owner_name = arena_printf(
			run->arena, "%u.%s.%s", job->slot, job->iccid, run->reg->settings.zone);
	}
	if (job->kind == JOB(INSTALL) && job->state == JOBSTATE(OPEN))
		rc = add_files(run, job, m);
	else if (job->state == JOBSTATE(DONE))
		rc = add_receipts(run, job, m);
	if (run->arena->failed)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		*out = m;
	return rc;
}

enum rc registry_job_blocked(struct registry_run *run, const struct store_job *job, bool *blocked)
{
	int64_t ids[JOBS_OF_PROFILE_MAX];
	struct store_job older;
	size_t n = 0;
	enum rc rc =
		store_job_of_profile(run->reg->store, job->profile, ids, JOBS_OF_PROFILE_MAX, &n);

	/* One for another SIM (which the device has left) holds up nothing here. */
	*blocked = false;
	for (size_t i = 0; i < n && rc == RC_OK && ids[i] < job->id && !*blocked; i++) {
		rc = store_job_get(run->reg->store, ids[i], run->arena, &older);
		*blocked = rc == RC_OK && strcmp(older.iccid, job->iccid) == 0;
	}
	return rc;
}

/* ---- operations --------------------------------------------------------------------------- */

/* Which jobs go out now is core's to know: it keeps who was handed what. */
enum rc reg__job_wait(struct registry_run *run)
{
	Registry__JobListData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__job_list_data__init(out);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_JOB_LIST;
	run->reply.job_list = out;
	return RC_OK;
}

static enum rc answer(
	struct registry_run *run, const struct store_job *job, const struct store_blob *der)
{
	Registry__JobData *out = arena_alloc(run->arena, sizeof(*out));
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	registry__job_data__init(out);
	rc = registry_job_message(run, job, &out->job);
	if (der)
		out->certificate =
			(ProtobufCBinaryData){ der->len, (uint8_t *)(uintptr_t)der->bytes };
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_JOB;
	run->reply.job = out;
	return rc;
}

enum rc reg__job_info(struct registry_run *run)
{
	struct store_profile_view v;
	struct store_job job;
	int64_t id;
	enum rc rc;

	if (!reg__id(run, run->request->job_info->id, "id", &id))
		return RC_OK;
	rc = store_job_get(run->reg->store, id, run->arena, &job);
	if (rc == RC_OK && !reg__is_caller(run, job.mno)) {
		rc = store_profile_by_id(run->reg->store, job.profile, &v);
		if (rc == RC_OK && !reg__may_see(run, &v))
			rc = RC_NOT_FOUND;
	}
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "id", "no such job");
	return rc == RC_OK ? answer(run, &job, NULL) : rc;
}

/* ---- results ------------------------------------------------------------------------------ */

static bool check_result(struct registry_run *run, const Registry__JobResult *m)
{
	bool ok = strcmp(m->status, "ok") == 0;

	if (!ok && strcmp(m->status, "failed") != 0) {
		reg__no(run, *m->status ? CODE(RANGE) : CODE(MISSING), "status", "ok or failed");
		return false;
	}
	if (!reg__text_ok(m->reason, 0, 128)) {
		reg__no(run, CODE(VALUE_SYNTAX), "reason", "text of at most 128 bytes");
		return false;
	}
	if (m->csr.len > REGISTRY_CSR_MAX) {
		reg__no(run, CODE(RANGE), "csr", "at most %d bytes", REGISTRY_CSR_MAX);
		return false;
	}
	if (m->n_receipts > REGISTRY_RECEIPTS_MAX) {
		reg__no(run, CODE(RANGE), "receipts", "at most %d", REGISTRY_RECEIPTS_MAX);
		return false;
	}
	for (size_t i = 0; i < m->n_receipts; i++) {
		if (!reg__text_ok(m->receipts[i]->id, 1, 8) ||
			m->receipts[i]->por.len > REGISTRY_POR_MAX) {
			reg__no(run, CODE(VALUE_SYNTAX), "receipts",
				"a file id and at most %d bytes", REGISTRY_POR_MAX);
			return false;
		}
	}
	return true;
}

static enum rc result_hash(
	struct registry_run *run, const Registry__JobResult *m, struct store_job *job)
{
	Registry__JobResult bare = *m;
	uint8_t *bytes;
	size_t len;

	/* By whichever name it was found. */
	bare.id = (char *)protobuf_c_empty_string;
	bare.name = (char *)protobuf_c_empty_string;
	len = registry__job_result__get_packed_size(&bare);
	bytes = arena_alloc(run->arena, len);
	if (!bytes)
		return RC_NOMEM;
	registry__job_result__pack(&bare, bytes);
	reg__sha256(bytes, len, NULL, 0, job->result_sha256);
	job->has_result = true;
	return RC_OK;
}

/* A result comes once; the same one again is answered as the first was. */
static enum rc answer_closed(
	struct registry_run *run, const Registry__JobResult *m, const struct store_job *job)
{
	struct store_job now = *job;
	struct store_blob der = { 0 };
	struct store_cert c;
	enum rc rc;

	if (!job->has_result)
		return reg__no(
			run, CODE(STATUS_PROHIBITS), "id", "the job has ended: %s", job->reason);
	rc = result_hash(run, m, &now);
	if (rc != RC_OK)
		return rc;
	if (memcmp(now.result_sha256, job->result_sha256, STORE_SHA256) != 0)
		return reg__no(run, CODE(STATUS_PROHIBITS), "id", "the job has another result");
	if (job->kind == JOB(KEYGEN) && job->cert) {
		rc = store_cert_get(run->reg->store, job->cert, run->arena, &c, &der);
		run->uses_zone = true;
		run->change_seq = store_change_last(run->reg->store);
	}
	return rc == RC_OK ? answer(run, job, &der) : rc;
}

static enum rc keygen_done(struct registry_run *run, struct store_profile_view *v,
	struct store_job *job, const Registry__JobResult *m)
{
	struct reg__csr csr = { .bytes = { m->csr.data, m->csr.len }, .nonce = job->nonce };
	struct store_blob der;
	struct reg__tale t;
	bool done = false;
	enum rc rc;

	if (!m->csr.len)
		return reg__no(run, CODE(MISSING), "csr", "the card's CSR is needed");
	if (v->p.state != STATE(REGISTERED))
		return reg__no(run, CODE(STATUS_PROHIBITS), "id", "the profile waits for no key");
	rc = reg__before_profile(run, v, &t);
	if (rc == RC_OK)
		rc = reg__issue(run, v, &csr, &der, &done);
	if (rc != RC_OK || !done)
		return rc;
	job->cert = v->p.cert;
	rc = close_job(run, v, job, JOBSTATE(DONE), "");
	if (rc == RC_OK)
		rc = store_profile_save(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__ended(run, v->p.id);
	/* A command that waits for it is told its end (panData), everybody else the change. */
	t.sponsor_knows = run->ended_sv_trid && *run->ended_sv_trid;
	if (rc == RC_OK && t.sponsor_knows)
		rc = reg__poll(run, v->p.sponsor, "profile.activated", reg__profile_name(run, v),
			"the card made its key; the certificate is published");
	if (rc == RC_OK)
		rc = reg__tell_profile(run, v, "profile.activated", &t,
			"the card made its key; the certificate is published");
	return rc == RC_OK ? answer(run, job, &der) : rc;
}

static enum rc installed(
	struct registry_run *run, struct store_profile_view *v, const struct store_job *job)
{
	Registry__JobExtra *extra =
		job->kit.len ? registry__job_extra__unpack(NULL, job->kit.len, job->kit.bytes)
			     : NULL;
	enum rc rc = RC_OK;

	if (job->with_cert)
		v->p.card_cert = job->cert;
	v->p.card_sequence = job->sequence;
	if (job->with_cert && job->cert == v->p.cert)
		rc = reg__overlap_end(run, v);
	if (rc == RC_OK && reg__job_here(v, job))
		rc = reg__trust_confirmed(run, v, extra);
	registry__job_extra__free_unpacked(extra, NULL);
	return rc;
}

static enum rc card_done(struct registry_run *run, struct store_profile_view *v,
	struct store_job *job, const Registry__JobResult *m)
{
	static const char *const kinds[] = { "", "keygen", "install", "block", "unblock", "wipe",
		"status" };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < m->n_receipts && rc == RC_OK; i++) {
		struct store_blob por = { m->receipts[i]->por.data, m->receipts[i]->por.len };

		rc = store_receipt_add(run->reg->store, job->id, m->receipts[i]->id, por, run->now);
	}
	if (rc == RC_EXISTS)
		return reg__no(run, CODE(VALUE_SYNTAX), "receipts", "one receipt per file");
	if (rc == RC_OK)
		rc = close_job(run, v, job, JOBSTATE(DONE), "");
	if (rc == RC_OK && job->kind == JOB(INSTALL))
		rc = installed(run, v, job);
	if (job->kind == JOB(WIPE) || (job->kind == JOB(BLOCK) && v->p.state == STATE(DEACTIVATED)))
		v->p.wipe_pending = false;
	if (reg__job_here(v, job))
		v->p.attempts = 0;
	v->p.updated = run->now;
	if (rc == RC_OK)
		rc = store_profile_save(run->reg->store, &v->p);
	if (rc == RC_OK && !reg__refused(run))
		rc = reg__tell(run, v->p.sponsor, "job.done", reg__profile_name(run, v),
			&(struct reg__tale){ 0 }, "job %" PRId64 ": the card has confirmed %s",
			job->id, job->kind > 0 && job->kind < 7 ? kinds[job->kind] : "it");
	return rc == RC_OK ? answer(run, job, NULL) : rc;
}

/* The job that a result is for: by its id, or for a CSR that came by itself the open keygen job of
 * the name in it. A CSR that has been answered finds its job again. */
static enum rc find_job(
	struct registry_run *run, const Registry__JobResult *m, struct store_job *job)
{
	char iccid[STORE_ICCID_MAX];
	struct store_profile_view v;
	uint32_t slot;
	int64_t id;
	enum rc rc;

	if (!*m->name) {
		if (!reg__id(run, m->id, "id", &id))
			return RC_OK;
		rc = store_job_get(run->reg->store, id, run->arena, job);
		if (rc == RC_NOT_FOUND || (rc == RC_OK && !reg__is_caller(run, job->mno)))
			return reg__no(run, CODE(NOT_FOUND), "id", "no such job");
		return rc;
	}
	if (*m->id)
		return reg__no(run, CODE(USE), "name", "id or name, not both");
	if (!reg__name(run, m->name, &slot, iccid))
		return RC_OK;
	rc = store_profile_get(run->reg->store, iccid, slot, &v);
	if (rc == RC_NOT_FOUND || (rc == RC_OK && !reg__is_caller(run, v.mno)))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not a SIM of yours");
	if (rc == RC_OK && !reg__range_ok(run, run->caller->id, v.iccid))
		return reg__no(run, CODE(AUTHORIZATION), "name", "outside your ranges of ICCIDs");
	if (rc == RC_OK)
		rc = reg__job_find(run, &v, JOB(KEYGEN), &id);
	if (rc == RC_OK && !id)
		rc = store_job_last(run->reg->store, v.p.id, JOB(KEYGEN), &id);
	if (rc == RC_OK)
		rc = store_job_get(run->reg->store, id, run->arena, job);
	if (rc == RC_OK && (job->state == JOBSTATE(OPEN) ||
				   (job->state == JOBSTATE(DONE) && job->cert == v.p.cert)))
		return RC_OK;
	return rc == RC_OK || rc == RC_NOT_FOUND
		       ? reg__no(run, CODE(STATUS_PROHIBITS), "name",
				 "no job waits for a key of this SIM's slot")
		       : rc;
}

enum rc reg__job_result(struct registry_run *run)
{
	const Registry__JobResult *m = run->request->job_result;
	bool failed = strcmp(m->status, "failed") == 0;
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	struct store_job job;
	enum rc rc;

	if (!v)
		return RC_NOMEM;
	if (!check_result(run, m))
		return RC_OK;
	rc = find_job(run, m, &job);
	if (reg__refused(run))
		return rc;
	if (rc == RC_OK && job.state != JOBSTATE(OPEN))
		return run->planning ? RC_OK : answer_closed(run, m, &job);
	if (rc == RC_OK)
		rc = store_profile_by_id(run->reg->store, job.profile, v);
	if (rc == RC_OK)
		rc = result_hash(run, m, &job);
	if (rc != RC_OK)
		return rc;
	if (run->planning && (failed || job.kind != JOB(KEYGEN)))
		return RC_OK;
	if (failed) {
		/* A gateway that gives up when the time is over says no more than our own clock. */
		rc = reg__job_failed(run, v, &job,
			run->now >= job.not_after ? JOBSTATE(EXPIRED) : JOBSTATE(FAILED),
			*m->reason ? m->reason : "no reason given");
		if (rc == RC_OK)
			rc = answer(run, &job, NULL);
	} else {
		rc = job.kind == JOB(KEYGEN) ? keygen_done(run, v, &job, m)
					     : card_done(run, v, &job, m);
	}
	if (rc != RC_OK || reg__refused(run) || run->planning || run->again)
		return rc;
	return reg__audit(run, reg__profile_name(run, v), "job=%" PRId64 " kind=%d %s %s", job.id,
		job.kind, m->status, m->reason);
}
