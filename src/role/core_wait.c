/* SPDX-License-Identifier: Apache-2.0 */
/* Long polls: answered when there is something, or when their time is over. */
#include "role/core_internal.h"

#include "base/str.h"

#include <string.h>

#define OP(id) REGISTRY__REQUEST__OP_##id

static bool is_for(const struct core_item *item, Registry__Request__OpCase op)
{
	return item->run.request->op_case == op;
}

static uint32_t wanted_s(const struct core_item *item)
{
	const Registry__Request *r = item->run.request;
	uint32_t wait = is_for(item, OP(JOB_WAIT))    ? r->job_wait->wait
			: is_for(item, OP(FEED_WAIT)) ? r->feed_wait->wait
						      : r->poll_request->wait;

	return wait > CORE_WAIT_MAX_S ? CORE_WAIT_MAX_S : wait;
}

/* Looks once; true when the reply says something, a refusal too. */
static bool look(struct core *core, struct core_item *item)
{
	struct registry_run *run = &item->run;
	enum rc rc;

	core->registry.served = core->zone.served;
	registry_run_init(run, &core->registry, &item->arena, item->front->class,
		item->has_caller ? &item->caller : NULL, run->request);
	rc = registry_execute(run);
	if (rc == RC_OK && run->reply.result_case == REGISTRY__REPLY__RESULT_JOB_LIST) {
		if (run->request->job_wait->fresh)
			core__jobs_fresh(core, item->caller.id);
		run->request->job_wait->fresh = false; /* once, not at every look */
		rc = core__jobs_hand_out(core, item);
	}
	if (rc != RC_OK) {
		registry_refuse(
			run, REGISTRY__CODE__CODE_FAILED, "", "the registry's storage failed");
		return true;
	}
	if (run->reply.result_case == REGISTRY__REPLY__RESULT_JOB_LIST)
		return run->reply.job_list->n_jobs > 0;
	return run->reply.code != REGISTRY__CODE__CODE_NO_MESSAGES;
}

void core__wait(struct core *core, struct core_item *item)
{
	if (look(core, item) || wanted_s(item) == 0) {
		core__answer(item);
		return;
	}
	if (core->waiter_count >= CORE_WAITERS_MAX) {
		registry_refuse(
			&item->run, REGISTRY__CODE__CODE_LIMIT, "", "too many clients wait");
		core__answer(item);
		return;
	}
	item->deadline_ms = core__now_ms(core) + wanted_s(item) * 1000u;
	item->next = core->waiters;
	core->waiters = item;
	core->waiter_count++;
}

static void unlink_and_answer(struct core *core, struct core_item **at)
{
	struct core_item *item = *at;

	*at = item->next;
	core->waiter_count--;
	core__answer(item);
}

static void wake(struct core *core, const char *party, Registry__Request__OpCase op)
{
	struct core_item **at = &core->waiters;

	while (*at) {
		struct core_item *item = *at;

		if (is_for(item, op) && strcmp(item->caller.id, party) == 0 && look(core, item))
			unlink_and_answer(core, at);
		else
			at = &item->next;
	}
}

void core__news(struct core *core, const struct registry_news *news)
{
	for (; news; news = news->next) {
		if (news->job)
			core__job_news(core, news->party, news->job);
		if (core->waiters && news->poll)
			wake(core, news->party, OP(POLL_REQUEST));
		if (core->waiters && news->feed)
			wake(core, news->party, OP(FEED_WAIT));
		if (core->waiters && news->job)
			wake(core, news->party, OP(JOB_WAIT));
	}
}

void core__waiters_served(struct core *core)
{
	struct core_item **at = &core->waiters;

	while (*at) {
		struct core_item *item = *at;

		if (item->run.held && look(core, item))
			unlink_and_answer(core, at);
		else
			at = &item->next;
	}
}

void core__waiters_look(struct core *core)
{
	struct core_item **at = &core->waiters;

	while (*at) {
		if (look(core, *at))
			unlink_and_answer(core, at);
		else
			at = &(*at)->next;
	}
}

void core__waiters_tick(struct core *core, uint64_t now_ms)
{
	struct core_item **at = &core->waiters;
	bool ready = core__jobs_tick(core, now_ms), others;

	others = core->shared && now_ms - core->looked_ms >= CORE_LOOK_MS;
	if (others)
		core->looked_ms = now_ms;
	while (*at) {
		struct core_item *item = *at;

		if ((ready && is_for(item, OP(JOB_WAIT)) && look(core, item)) ||
			((item->run.held || (others && is_for(item, OP(FEED_WAIT)))) &&
				look(core, item)) ||
			item->deadline_ms <= now_ms)
			unlink_and_answer(core, at);
		else
			at = &item->next;
	}
}

void core__waiters_drop(struct core *core, const struct core_front *front)
{
	struct core_item **at = &core->waiters;

	while (*at) {
		struct core_item *item = *at;

		if (item->front != front) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		core->waiter_count--;
		core__item_free(item);
	}
}

/* Jobs that reached nobody need not wait for their lease to end. */
static void take_back(struct core *core, struct core_item *item)
{
	const Registry__ClientGone *m = item->run.request->client_gone;

	for (size_t i = 0; i < m->n_jobs; i++) {
		struct store_job job;
		uint64_t id;

		if (u64_read(m->jobs[i], 1, INT64_MAX, &id) != RC_OK ||
			store_job_get(core->store, (int64_t)id, &item->arena, &job) != RC_OK ||
			job.state != REGISTRY__JOB_STATE__JOBSTATE_OPEN)
			continue;
		core__job_news(core, job.mno, job.id);
		wake(core, job.mno, true);
	}
}

void core__client_gone(struct core *core, struct core_item *gone)
{
	uint64_t request = gone->run.request->client_gone->request;
	struct core_item **at = &core->waiters;

	while (*at && !((*at)->front == gone->front && (*at)->run.request->id == request))
		at = &(*at)->next;
	if (request && *at)
		unlink_and_answer(core, at); /* with nothing: front's place is free again */
	take_back(core, gone);
	core__item_free(gone);
}
