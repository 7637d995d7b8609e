/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

/* The oldest message, again and again until it is acknowledged. */
static enum rc head(struct registry_run *run, bool ack)
{
	Registry__PollData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_poll m;
	uint32_t count = 0;
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	registry__poll_data__init(out);
	rc = store_poll_head(run->reg->store, run->caller->id, run->arena, &m, &count);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	out->count = count;
	run->reply.code = count && !ack ? CODE(ACK_TO_DEQUEUE) : ack ? CODE(OK) : CODE(NO_MESSAGES);
	run->reply.result_case = REGISTRY__REPLY__RESULT_POLL;
	run->reply.poll = out;
	if (!count)
		return RC_OK;
	/* After an acknowledgement only the next one's id is told (RFC 5730 section 2.9.2.3). */
	out->message = arena_alloc(run->arena, sizeof(*out->message));
	if (!out->message)
		return RC_NOMEM;
	registry__poll_message__init(out->message);
	out->message->id = m.id;
	if (ack)
		return RC_OK;
	out->message->date = m.date;
	out->message->event = (char *)(uintptr_t)m.event;
	out->message->name = (char *)(uintptr_t)m.name;
	out->message->text = (char *)(uintptr_t)m.text;
	out->message->who = (char *)(uintptr_t)m.who;
	out->message->trid = (char *)(uintptr_t)m.trid;
	out->message->pending_cl_trid = (char *)(uintptr_t)m.ended_cl_trid;
	out->message->pending_sv_trid = (char *)(uintptr_t)m.ended_sv_trid;
	return RC_OK;
}

enum rc reg__poll_request(struct registry_run *run)
{
	return head(run, false);
}

enum rc reg__poll_ack(struct registry_run *run)
{
	uint64_t id = run->request->poll_ack->id;
	enum rc rc;

	if (!id)
		return reg__no(run, CODE(MISSING), "id", "which message?");
	rc = store_poll_remove(run->reg->store, run->caller->id, id);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "id", "no such message");
	return rc == RC_OK ? head(run, true) : rc;
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
