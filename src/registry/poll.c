/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

/* What may stand at the head of a party's queue: a message, or a job of an operator that takes its
 * jobs here. */
struct head {
	uint32_t count;
	bool has_message, has_job;
	struct store_poll message;
	struct store_job job;
};

static enum rc look(struct registry_run *run, bool jobs, struct head *h)
{
	struct store *store = run->reg->store;
	uint32_t waiting = 0;
	enum rc rc = store_poll_head(store, run->caller->id, run->arena, &h->message, &h->count);

	h->has_message = rc == RC_OK;
	if (rc == RC_NOT_FOUND)
		rc = RC_OK;
	if (rc != RC_OK || !jobs || !reg__has_role(run, ROLE_BIT(MNO)))
		return rc;
	rc = store_job_queue_head(store, run->caller->id, run->arena, &h->job, &waiting);
	h->has_job = rc == RC_OK;
	h->count += waiting;
	/* First in, first out. */
	if (h->has_job && h->has_message) {
		h->has_job = h->job.created < h->message.date;
		h->has_message = !h->has_job;
	}
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static void *take(void *user, size_t len)
{
	return arena_alloc(user, len);
}

static void give_back(void *user ATT_UNUSED, void *p ATT_UNUSED)
{
}

static enum rc tell(
	struct registry_run *run, Registry__PollMessage *out, const struct store_poll *m)
{
	ProtobufCAllocator alloc = { take, give_back, run->arena };
	static const char *const states[] = { "", "before", "after" };

	out->state = (char *)(uintptr_t)states[m->state > 0 && m->state < 3 ? m->state : 0];
	out->reason = (char *)(uintptr_t)m->reason;
	out->case_id = (char *)(uintptr_t)m->case_id;
	if (m->object.len) {
		out->object = registry__poll_object__unpack(&alloc, m->object.len, m->object.bytes);
		if (!out->object)
			return RC_INTERNAL;
	}
	out->date = m->date;
	out->event = (char *)(uintptr_t)m->event;
	out->name = (char *)(uintptr_t)m->name;
	out->text = (char *)(uintptr_t)m->text;
	out->who = (char *)(uintptr_t)m->who;
	out->trid = (char *)(uintptr_t)m->trid;
	out->pending_cl_trid = (char *)(uintptr_t)m->ended_cl_trid;
	out->pending_sv_trid = (char *)(uintptr_t)m->ended_sv_trid;
	return RC_OK;
}

static enum rc tell_job(
	struct registry_run *run, Registry__PollMessage *out, const struct store_job *job)
{
	out->date = job->created;
	out->event = (char *)(uintptr_t) "job";
	out->name = arena_printf(run->arena, "%u.%s", job->slot, job->iccid);
	out->text = (char *)(uintptr_t) "a job for your gateway";
	out->who = (char *)(uintptr_t) "registry";
	return registry_job_message(run, job, &out->job);
}

/* The oldest message, again and again until it is acknowledged. */
static enum rc head(struct registry_run *run, bool ack, bool jobs)
{
	Registry__PollData *out = arena_alloc(run->arena, sizeof(*out));
	struct head h = { 0 };
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	registry__poll_data__init(out);
	rc = look(run, jobs, &h);
	if (rc != RC_OK)
		return rc;
	out->count = h.count;
	run->reply.code = h.count && !ack ? CODE(ACK_TO_DEQUEUE)
			  : ack		  ? CODE(OK)
					  : CODE(NO_MESSAGES);
	run->reply.result_case = REGISTRY__REPLY__RESULT_POLL;
	run->reply.poll = out;
	if (!h.count)
		return RC_OK;
	/* After an acknowledgement only the next one's id is told (RFC 5730 section 2.9.2.3). */
	out->message = arena_alloc(run->arena, sizeof(*out->message));
	if (!out->message)
		return RC_NOMEM;
	registry__poll_message__init(out->message);
	out->message->id = h.has_job ? (uint64_t)h.job.id : h.message.id;
	if (h.has_job && ack) {
		out->message->job = arena_alloc(run->arena, sizeof(*out->message->job));
		if (!out->message->job)
			return RC_NOMEM;
		registry__job__init(out->message->job);
	} else if (h.has_job) {
		return tell_job(run, out->message, &h.job);
	}
	return ack ? RC_OK : tell(run, out->message, &h.message);
}

enum rc reg__poll_request(struct registry_run *run)
{
	return head(run, false, run->request->poll_request->jobs);
}

enum rc reg__poll_ack(struct registry_run *run)
{
	const Registry__PollAck *m = run->request->poll_ack;
	enum rc rc;

	if (!m->id)
		return reg__no(run, CODE(MISSING), "id", "which message?");
	rc = m->job ? store_job_queue_take(run->reg->store, run->caller->id, (int64_t)m->id)
		    : store_poll_remove(run->reg->store, run->caller->id, m->id);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "id", "no such message");
	return rc == RC_OK ? head(run, true, m->jobs) : rc;
}

/* ---- answers given as pending ----------------------------------------------------------- */

enum rc registry_pending(struct registry_run *run, const struct registry_run *of)
{
	struct store_wait w = { .seq = of->change_seq };
	const Registry__Reply *r = &of->reply;

	if (!of->caller)
		return RC_OK;
	snprintf(w.party, sizeof(w.party), "%s", of->caller->id);
	snprintf(w.operation, sizeof(w.operation), "%s", registry_op(of->request)->name);
	if (r->result_case == REGISTRY__REPLY__RESULT_PROFILE && r->profile->profile)
		snprintf(w.name, sizeof(w.name), "%s", r->profile->profile->name);
	else if (r->result_case == REGISTRY__REPLY__RESULT_SERVICE && r->service->service)
		snprintf(w.name, sizeof(w.name), "%s", r->service->service->handle);
	else if (r->result_case == REGISTRY__REPLY__RESULT_JOB && r->job->job)
		snprintf(w.name, sizeof(w.name), "%u.%s", r->job->job->slot, r->job->job->iccid);
	snprintf(w.cl_trid, sizeof(w.cl_trid), "%s", of->request->cl_trid);
	snprintf(w.sv_trid, sizeof(w.sv_trid), "%s", of->request->sv_trid);
	return store_wait_add(run->reg->store, &w);
}

enum rc registry_published(struct registry_run *run, uint64_t upto, size_t limit, bool *more)
{
	struct store_wait *list = NULL;
	size_t n = 0;
	enum rc rc = store_wait_list(run->reg->store, upto, limit, run->arena, &list, &n);

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		run->ended_cl_trid = list[i].cl_trid;
		run->ended_sv_trid = list[i].sv_trid;
		rc = reg__poll(run, list[i].party, "published", list[i].name,
			"%s is done and served", list[i].operation);
		if (rc == RC_OK)
			rc = store_wait_remove(run->reg->store, list[i].id);
	}
	*more = n == limit;
	return rc;
}
