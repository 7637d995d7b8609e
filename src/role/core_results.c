/* SPDX-License-Identifier: Apache-2.0 */
/* Several results of jobs in one request: taken apart, so that each goes its own way through the
 * batch with a savepoint of its own, and put together again when the last is answered. What one of
 * them is refused for is nothing to the others. */
#include "role/core_internal.h"

#include <stdlib.h>

#define RESULTS_MAX 200 /* of one request */

/* One result as a request of its own; it borrows from the whole, which outlives it. */
static struct core_item *part_new(struct core_item *whole, Registry__JobResult *m, size_t at)
{
	struct core_item *part = calloc(1, sizeof(*part));
	Registry__Request *request;

	if (!part)
		return NULL;
	part->arena = arena_init(CORE_ARENA_MAX);
	part->made_arena = arena_init(1u << 20);
	request = arena_alloc(&part->arena, sizeof(*request));
	if (!request) {
		arena_fini(&part->arena);
		free(part);
		return NULL;
	}
	registry__request__init(request);
	request->id = whole->run.request->id;
	request->peer = whole->run.request->peer;
	request->op_case = REGISTRY__REQUEST__OP_JOB_RESULT;
	request->job_result = m;
	part->core = whole->core;
	part->front = whole->front;
	part->generation = whole->generation;
	part->bytes = registry__job_result__get_packed_size(m);
	part->caller = whole->caller;
	part->has_caller = whole->has_caller;
	part->whole = whole;
	part->at = at;
	part->front->under_way++;
	registry_run_init(&part->run, &whole->core->registry, &part->arena, part->front->class,
		part->has_caller ? &part->caller : NULL, request);
	return part;
}

static bool prepare(struct core_item *whole, Registry__JobResultsData *out)
{
	const Registry__JobResults *m = whole->run.request->job_results;
	Registry__JobResultItem *items = arena_array(&whole->arena, m->n_results, sizeof(*items));

	registry__job_results_data__init(out);
	out->results = arena_array(&whole->arena, m->n_results, sizeof(*out->results));
	if (!items || !out->results)
		return false;
	for (size_t i = 0; i < m->n_results; i++) {
		registry__job_result_item__init(&items[i]);
		items[i].id = m->results[i]->id;
		items[i].code = REGISTRY__CODE__CODE_FAILED;
		items[i].reason = (char *)"out of memory";
		out->results[i] = &items[i];
	}
	out->n_results = m->n_results;
	return true;
}

/* Whoever may not give a result is told so by each of the parts; here only the form is looked at.
 */
static bool refused(struct core_item *whole)
{
	size_t n = whole->run.request->job_results->n_results;

	if (n == 0)
		registry_refuse(&whole->run, REGISTRY__CODE__CODE_MISSING, "results", "no results");
	else if (n > RESULTS_MAX)
		registry_refuse(&whole->run, REGISTRY__CODE__CODE_RANGE, "results", "at most %d",
			RESULTS_MAX);
	else if (whole->front->under_way + n > CORE_QUEUE_MAX)
		registry_refuse(&whole->run, REGISTRY__CODE__CODE_LIMIT, "",
			"too many requests are under way");
	else if (!whole->has_caller)
		registry_refuse(&whole->run, REGISTRY__CODE__CODE_AUTHENTICATION, "",
			"the client certificate belongs to no party");
	else
		return false;
	return true;
}

void core__results(struct core *core, struct core_item *whole)
{
	const Registry__JobResults *m = whole->run.request->job_results;
	Registry__JobResultsData *out = arena_alloc(&whole->arena, sizeof(*out));

	if (refused(whole)) {
		core__answer(whole);
		return;
	}
	if (!out || !prepare(whole, out)) {
		registry_refuse(&whole->run, REGISTRY__CODE__CODE_FAILED, "", "out of memory");
		core__answer(whole);
		return;
	}
	whole->run.reply.code = REGISTRY__CODE__CODE_OK;
	whole->run.reply.result_case = REGISTRY__REPLY__RESULT_JOB_RESULTS;
	whole->run.reply.job_results = out;
	whole->parts = 1; /* until all have been put into the line */
	for (size_t i = 0; i < m->n_results; i++) {
		struct core_item *part = part_new(whole, m->results[i], i);

		if (!part)
			break;
		whole->parts++;
		core__enqueue(core, part);
	}
	if (--whole->parts == 0)
		core__answer(whole);
}

void core__result_part(struct core_item *part)
{
	struct core_item *whole = part->whole;
	const Registry__Reply *r = &part->run.reply;
	Registry__JobResultItem *out = whole->run.reply.job_results->results[part->at];
	void *der;

	out->code = r->code;
	out->reason = arena_str(&whole->arena, r->reason);
	out->field = arena_str(&whole->arena, r->field);
	if (r->result_case == REGISTRY__REPLY__RESULT_JOB && r->job->certificate.len) {
		der = arena_dup(&whole->arena, r->job->certificate.data, r->job->certificate.len);
		if (der)
			out->certificate = (ProtobufCBinaryData){ r->job->certificate.len, der };
	}
	if (!out->reason || !out->field)
		out->reason = out->field = (char *)"";
	core__item_free(part);
	if (--whole->parts == 0)
		core__answer(whole);
}
