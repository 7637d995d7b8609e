/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include <string.h>

#define JOBS_SHOWN 100
#define STEP_MAX   128

struct view {
	json_t *jobs;
	uint64_t kinds[MNO_KINDS]; /* open jobs of each */
};

static const char *failed_text(const json_t *result)
{
	const char *status = json_string_value(json_object_get(result, "status"));

	return status && strcmp(status, "failed") == 0 ? "failed" : "done";
}

/* An open job as the task that it is: its step in words, its place in its life. */
static json_t *open_job(const struct mno_kept *k, struct view *v)
{
	struct mno_task *t = NULL;
	struct diag d = { 0 };
	char step[STEP_MAX] = "";
	json_t *j;

	if (!k->job || mno__task_new(k->job, &t, &d) != RC_OK)
		return json_pack("{s:s, s:s}", "id", k->id, "state", "open");
	mno__task_resume(t, k->progress);
	mno__task_step(t, k->progress, step, sizeof(step));
	v->kinds[t->kind]++;
	j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:I, s:I}", "id", k->id, "state", "open",
		"kind", mno__kind_text(t->kind), "iccid", t->iccid, "slot", (int)t->slot, "step",
		step, "tries", (int)k->tries, "since", (json_int_t)k->since_s, "not_after",
		(json_int_t)t->not_after);
	mno__task_free(t);
	return j;
}

static void show_job(void *user, const struct mno_kept *k)
{
	struct view *v = user;
	json_t *j;

	if (k->state == MNO_JOB_OPEN) {
		j = open_job(k, v);
	} else {
		j = json_pack("{s:s, s:s}", "id", k->id, "state", failed_text(k->result));
		json_object_set(j, "reason", json_object_get(k->result, "reason"));
	}
	if (json_array_size(v->jobs) < JOBS_SHOWN)
		json_array_append(v->jobs, j);
	json_decref(j);
}

static json_t *kinds_json(const struct view *v)
{
	json_t *j = json_object();

	for (int k = 0; k < MNO_KINDS; k++)
		if (v->kinds[k])
			json_object_set_new(j, mno__kind_text((enum mno_kind)k),
				json_integer((json_int_t)v->kinds[k]));
	return j;
}

enum rc mno_status(const char *config_path, json_t **out, struct diag *d)
{
	struct mno_config config = { 0 };
	struct mno_state *state = NULL;
	struct view v = { .jobs = json_array() };
	uint64_t n[3] = { 0 };
	enum rc rc = v.jobs ? mno__config_read(config_path, &config, NULL, d) : RC_NOMEM;

	if (rc == RC_OK)
		rc = mno__state_open(config.state, &state, d);
	if (rc == RC_OK)
		rc = mno__state_counts(state, n, d);
	if (rc == RC_OK)
		rc = mno__state_each(state, show_job, &v, d);
	if (rc == RC_OK)
		*out = json_pack("{s:I, s:I, s:I, s:I, s:o, s:O}", "sims",
			(json_int_t)config.n_sims, "open", (json_int_t)n[0], "done",
			(json_int_t)n[1], "posted", (json_int_t)n[2], "kinds", kinds_json(&v),
			"jobs", v.jobs);
	json_decref(v.jobs);
	mno__state_close(state);
	mno__config_fini(&config);
	return rc;
}
