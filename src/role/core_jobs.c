/* SPDX-License-Identifier: Apache-2.0 */
/* The desk where an operator's gateway fetches its jobs: which were handed out, and which are to be
 * handed out again because nothing was heard of them. Only in memory: after a restart every open
 * job is handed out once more, and gateways take a repeat as one. */
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_MAX 100 /* of one answer */

struct lease {
	int64_t job;
	uint64_t until_ms;
};

struct core_desk {
	struct core_desk *next;
	char mno[STORE_ID_MAX];
	int64_t cursor; /* jobs up to this id were looked at */
	int64_t *ready; /* older ones that may go now */
	size_t ready_count, ready_cap;
	struct lease *leases; /* a queue: all live equally long */
	size_t lease_from, lease_to, lease_cap;
};

static struct core_desk *desk_of(struct core *core, const char *mno)
{
	struct core_desk *d = core->desks;

	while (d && strcmp(d->mno, mno) != 0)
		d = d->next;
	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	memcpy(d->mno, mno, strnlen(mno, sizeof(d->mno) - 1));
	d->next = core->desks;
	core->desks = d;
	return d;
}

static bool push_ready(struct core_desk *d, int64_t job)
{
	if (d->ready_count == d->ready_cap) {
		size_t cap = d->ready_cap ? d->ready_cap * 2 : 64;
		int64_t *p = realloc(d->ready, cap * sizeof(*p));

		if (!p)
			return false;
		d->ready = p;
		d->ready_cap = cap;
	}
	d->ready[d->ready_count++] = job;
	return true;
}

/* Without memory for the lease the job goes out again with the next look: never lost. */
static void lease(struct core *core, struct core_desk *d, int64_t job)
{
	uint64_t until = core__now_ms(core) + (uint64_t)core->options.job_retry_s * 1000u;

	if (d->lease_to == d->lease_cap && d->lease_from > d->lease_cap / 2) {
		memmove(d->leases, d->leases + d->lease_from,
			(d->lease_to - d->lease_from) * sizeof(*d->leases));
		d->lease_to -= d->lease_from;
		d->lease_from = 0;
	}
	if (d->lease_to == d->lease_cap) {
		size_t cap = d->lease_cap ? d->lease_cap * 2 : 256;
		struct lease *p = realloc(d->leases, cap * sizeof(*p));

		if (!p)
			return;
		d->leases = p;
		d->lease_cap = cap;
	}
	d->leases[d->lease_to++] = (struct lease){ job, until };
}

static enum rc add(
	struct core *core, struct core_desk *d, struct core_item *item, const struct store_job *job)
{
	Registry__JobListData *out = item->run.reply.job_list;
	bool blocked;
	enum rc rc = registry_job_blocked(&item->run, job, &blocked);

	if (rc != RC_OK || blocked)
		return rc;
	rc = registry_job_message(&item->run, job, &out->jobs[out->n_jobs]);
	if (rc != RC_OK)
		return rc;
	out->n_jobs++;
	lease(core, d, job->id);
	return RC_OK;
}

static enum rc add_ready(
	struct core *core, struct core_desk *d, struct core_item *item, size_t limit)
{
	size_t taken = 0;
	enum rc rc = RC_OK;

	while (taken < d->ready_count && item->run.reply.job_list->n_jobs < limit && rc == RC_OK) {
		struct store_job job;

		rc = store_job_get(core->store, d->ready[taken++], &item->arena, &job);
		if (rc == RC_NOT_FOUND ||
			(rc == RC_OK && job.state != REGISTRY__JOB_STATE__JOBSTATE_OPEN))
			rc = RC_OK;
		else if (rc == RC_OK)
			rc = add(core, d, item, &job);
	}
	d->ready_count -= taken;
	if (d->ready_count)
		memmove(d->ready, d->ready + taken, d->ready_count * sizeof(*d->ready));
	return rc;
}

static enum rc add_new(struct core *core, struct core_desk *d, struct core_item *item, size_t limit)
{
	Registry__JobListData *out = item->run.reply.job_list;
	struct store_job *list;
	size_t n;
	enum rc rc = RC_OK;

	do {
		size_t want = limit - out->n_jobs;

		rc = store_job_open(core->store, d->mno, d->cursor, want, &item->arena, &list, &n);
		for (size_t i = 0; i < n && rc == RC_OK; i++) {
			d->cursor = list[i].id;
			rc = add(core, d, item, &list[i]);
		}
		if (n < want)
			break;
	} while (rc == RC_OK && out->n_jobs < limit);
	return rc;
}

enum rc core__jobs_hand_out(struct core *core, struct core_item *item)
{
	uint32_t asked = item->run.request->job_wait->limit;
	size_t limit = asked == 0 || asked > JOBS_MAX ? JOBS_MAX : asked;
	Registry__JobListData *out = item->run.reply.job_list;
	struct core_desk *d = desk_of(core, item->caller.id);
	enum rc rc;

	if (!d)
		return RC_NOMEM;
	out->jobs = arena_array(&item->arena, limit, sizeof(*out->jobs));
	if (!out->jobs)
		return RC_NOMEM;
	rc = add_ready(core, d, item, limit);
	if (rc == RC_OK && out->n_jobs < limit)
		rc = add_new(core, d, item, limit);
	return rc;
}

void core__job_news(struct core *core, const char *mno, int64_t job)
{
	struct core_desk *d = desk_of(core, mno);

	/* Newer ones are found behind the cursor. */
	if (d && job <= d->cursor && !push_ready(d, job))
		log_write(core->log, LOG_ERROR, "out of memory for jobs mno=%s", mno);
}

void core__jobs_fresh(struct core *core, const char *mno)
{
	struct core_desk *d = desk_of(core, mno);

	if (!d)
		return;
	d->cursor = 0;
	d->ready_count = 0;
	d->lease_from = d->lease_to = 0;
}

bool core__jobs_tick(struct core *core, uint64_t now_ms)
{
	bool any = false;

	for (struct core_desk *d = core->desks; d; d = d->next) {
		while (d->lease_from < d->lease_to && d->leases[d->lease_from].until_ms <= now_ms) {
			if (!push_ready(d, d->leases[d->lease_from].job))
				break;
			d->lease_from++;
		}
		any |= d->ready_count > 0;
	}
	return any;
}

void core__jobs_free(struct core *core)
{
	while (core->desks) {
		struct core_desk *d = core->desks;

		core->desks = d->next;
		free(d->ready);
		free(d->leases);
		free(d);
	}
}
