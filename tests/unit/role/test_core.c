/* SPDX-License-Identifier: Apache-2.0 */
#include "core_world.h"

static int code(struct core_world *w, uint64_t id)
{
	return w->replies[id] ? (int)w->replies[id]->code : 0;
}

static void open_all(struct core_world *w)
{
	cw_open(w);
	cw_keys_up(w);
	cw_zone_up(w, true, 0);
	cw_front_up(w, "front-api");
	cw_people(w);
}

static void test_answer_waits_for_the_zone(void **state)
{
	struct core_world w;
	uint64_t id;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 1);
	cw_register(&w, 0);
	cw_all_answered(&w);
	w.zone_acks = false;
	id = cw_activate(&w, 0, true);
	assert_false(cw_until(&w, cw_answered, 50));
	cw_ack(&w, w.zone_to);
	cw_all_answered(&w);
	assert_int_equal(1000, code(&w, id));
	assert_true(w.replies[id]->profile->profile->certificate->der.len == 561);
	/* The same CSR again: the same certificate, and nothing to wait for. */
	id = cw_activate(&w, 0, true);
	cw_all_answered(&w);
	assert_int_equal(1000, code(&w, id));
	assert_int_equal(1, w.certs);
	cw_close(&w);
}

static void test_silent_zone_means_pending(void **state)
{
	struct core_world w;
	uint64_t id, poll;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 2);
	cw_register(&w, 0);
	cw_register(&w, 1);
	cw_all_answered(&w);
	w.zone_acks = false;
	id = cw_activate(&w, 0, true);
	cw_all_answered(&w);
	assert_int_equal(1001, code(&w, id));
	/* A repeat before it is served is not told more than the first. */
	id = cw_activate(&w, 0, true);
	cw_all_answered(&w);
	assert_int_equal(1001, code(&w, id));
	poll = cw_poll(&w, "parkoserv", 10);
	assert_false(cw_until(&w, cw_answered, 50));
	cw_ack(&w, w.zone_to);
	cw_all_answered(&w);
	assert_int_equal(1301, code(&w, poll));
	assert_string_equal("published", w.replies[poll]->poll->message->event);
	assert_string_equal("1.8912230200000000000f", w.replies[poll]->poll->message->name);
	cw_close(&w);
}

static void test_without_keys_nothing_is_committed(void **state)
{
	struct core_world w;
	uint64_t id, to;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 2);
	cw_register(&w, 0);
	cw_register(&w, 1);
	cw_all_answered(&w);
	cw_activate(&w, 1, true);
	cw_all_answered(&w);
	to = w.zone_to;
	link_free(w.keys);
	w.keys = NULL;
	id = cw_activate(&w, 0, true);
	cw_all_answered(&w);
	assert_int_equal(2400, code(&w, id));
	assert_int_equal(to, w.zone_to);
	/* Withdrawing needs no key. */
	id = cw_deactivate(&w, 1);
	cw_all_answered(&w);
	assert_int_equal(1000, code(&w, id));
	/* Keys that die with an order on their table. */
	w.keys_answers = false;
	cw_keys_up(&w);
	id = cw_activate(&w, 0, true);
	assert_false(cw_until(&w, cw_answered, 30));
	link_free(w.keys);
	w.keys = NULL;
	cw_all_answered(&w);
	assert_int_equal(2400, code(&w, id));
	w.keys_answers = true;
	cw_keys_up(&w);
	assert_false(cw_until(&w, cw_never, 20));
	id = cw_activate(&w, 0, true);
	cw_all_answered(&w);
	assert_int_equal(1000, code(&w, id));
	cw_close(&w);
}

static bool zone_caught_up(struct core_world *w)
{
	return w->zone_acked >= w->zone_to && w->zone_changes >= 3;
}

static bool snapshot_there(struct core_world *w)
{
	return w->snapshot_end > 0;
}

static void test_zone_catches_up_or_is_rebuilt(void **state)
{
	struct core_world w;
	uint64_t id;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 5);
	for (unsigned i = 0; i < 5; i++)
		cw_register(&w, i);
	cw_all_answered(&w);
	for (unsigned i = 0; i < 3; i++)
		cw_activate(&w, i, true);
	cw_all_answered(&w);
	/* It dies and comes back knowing less. */
	link_free(w.zone);
	w.zone = NULL;
	id = cw_activate(&w, 3, true);
	cw_all_answered(&w);
	assert_int_equal(1001, code(&w, id));
	w.zone_changes = 0;
	cw_zone_up(&w, true, 2);
	assert_true(cw_until(&w, zone_caught_up, 2000));
	assert_int_equal(3, w.zone_changes);
	/* It knows nothing: everything as it stands (apex and four devices). */
	link_free(w.zone);
	cw_zone_up(&w, false, 0);
	assert_true(cw_until(&w, snapshot_there, 2000));
	assert_int_equal(1, w.snapshot_begin);
	assert_int_equal(5, w.snapshot_changes);
	id = cw_activate(&w, 4, true);
	cw_all_answered(&w);
	assert_int_equal(1000, code(&w, id));
	/* It knows of a future that the database has never seen: rebuilt. */
	link_free(w.zone);
	w.snapshot_end = 0;
	cw_zone_up(&w, true, 1000);
	assert_true(cw_until(&w, snapshot_there, 2000));
	cw_close(&w);
}

static void test_restart_tells_pending(void **state)
{
	struct core_world w;
	uint64_t id;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 1);
	cw_register(&w, 0);
	cw_all_answered(&w);
	link_free(w.zone);
	w.zone = NULL;
	id = cw_activate(&w, 0, true);
	cw_all_answered(&w);
	assert_int_equal(1001, code(&w, id));
	core_close(w.core);
	link_free(w.front);
	link_free(w.keys);
	cw_core_up(&w);
	cw_keys_up(&w);
	cw_front_up(&w, "front-api");
	id = cw_poll(&w, "parkoserv", 10);
	cw_zone_up(&w, true, 0);
	cw_all_answered(&w);
	assert_int_equal(1301, code(&w, id));
	assert_string_equal("published", w.replies[id]->poll->message->event);
	cw_close(&w);
}

static void test_jobs_wait(void **state)
{
	struct core_world w;
	uint64_t jobs, other, none;
	char job[24];

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 1);
	cw_register(&w, 0);
	cw_all_answered(&w);
	jobs = cw_jobs(&w, 10);
	other = cw_activate(&w, 0, false);
	cw_all_answered(&w);
	assert_int_equal(1001, code(&w, other));
	assert_int_equal(1, w.replies[jobs]->job_list->n_jobs);
	snprintf(job, sizeof(job), "%s", w.replies[jobs]->job_list->jobs[0]->id);
	assert_string_equal(job, w.replies[other]->profile->job);
	/* Handed out: not again at once. */
	none = cw_jobs(&w, 0);
	cw_all_answered(&w);
	assert_int_equal(0, w.replies[none]->job_list->n_jobs);
	/* The result brings the certificate, then the payload's job. */
	Registry__JobResult m = REGISTRY__JOB_RESULT__INIT;
	CW_REQUEST(q, JOB_RESULT, job_result, m);
	m.id = job;
	m.status = cw_str("ok");
	m.csr = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "csr" };
	jobs = cw_jobs(&w, 10);
	other = cw_send(&w, "mno", &q);
	cw_all_answered(&w);
	assert_int_equal(1000, code(&w, other));
	assert_int_equal(561, w.replies[other]->job->certificate.len);
	assert_int_equal(1, w.replies[jobs]->job_list->n_jobs);
	assert_int_equal(REGISTRY__JOB_KIND__JOB_INSTALL, w.replies[jobs]->job_list->jobs[0]->kind);
	assert_int_equal(2, w.replies[jobs]->job_list->jobs[0]->n_files);
	assert_string_equal("02", w.replies[jobs]->job_list->jobs[0]->files[0]->id);
	assert_string_equal("0D", w.replies[jobs]->job_list->jobs[0]->files[1]->id);
	cw_close(&w);
}

/* Sent to core without a place for an answer. */
static void client_gone(struct core_world *w, uint64_t request, char *job)
{
	Registry__ClientGone m = REGISTRY__CLIENT_GONE__INIT;
	CW_REQUEST(q, CLIENT_GONE, client_gone, m);

	m.request = request;
	m.jobs = &job;
	m.n_jobs = job ? 1 : 0;
	assert_rc(RC_OK, link_send(w->front, &q.base));
}

static size_t jobs_now(struct core_world *w, bool fresh)
{
	Registry__JobWait m = REGISTRY__JOB_WAIT__INIT;
	CW_REQUEST(q, JOB_WAIT, job_wait, m);

	m.fresh = fresh;
	return cw_call(w, "mno", &q)->job_list->n_jobs;
}

/* What nobody has received goes out again at once, not when its lease ends. */
static void test_jobs_of_a_gateway_that_died(void **state)
{
	struct core_world w;
	uint64_t wait;
	char job[24];

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 1);
	cw_register(&w, 0);
	cw_all_answered(&w);
	wait = cw_jobs(&w, 50);
	client_gone(&w, wait, NULL);
	cw_all_answered(&w);
	assert_int_equal(0, w.replies[wait]->job_list->n_jobs);
	cw_activate(&w, 0, false);
	cw_all_answered(&w);
	wait = cw_jobs(&w, 0);
	cw_all_answered(&w);
	assert_int_equal(1, w.replies[wait]->job_list->n_jobs);
	snprintf(job, sizeof(job), "%s", w.replies[wait]->job_list->jobs[0]->id);
	assert_int_equal(0, jobs_now(&w, false));
	/* The answer met nobody; another one waits already. */
	wait = cw_jobs(&w, 50);
	client_gone(&w, 0, job);
	cw_all_answered(&w);
	assert_int_equal(1, w.replies[wait]->job_list->n_jobs);
	/* The gateway was started again. */
	assert_int_equal(0, jobs_now(&w, false));
	assert_int_equal(1, jobs_now(&w, true));
	assert_int_equal(0, jobs_now(&w, false));
	/* What is not a job, or not open, is passed over. */
	client_gone(&w, 77, cw_str("no number"));
	client_gone(&w, 0, cw_str("999"));
	assert_int_equal(0, jobs_now(&w, false));
	cw_close(&w);
}

#define TOGETHER 60

/* One transaction for all; what one is refused for is nothing to the others. */
static void test_results_together(void **state)
{
	Registry__JobResult rows[TOGETHER + 2], *list[TOGETHER + 2];
	Registry__JobResults m = REGISTRY__JOB_RESULTS__INIT;
	CW_REQUEST(q, JOB_RESULTS, job_results, m);
	const Registry__JobListData *jobs;
	const Registry__Reply *r;
	char csrs[TOGETHER][32];
	struct core_world w;
	size_t frames;
	uint64_t id;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, TOGETHER);
	for (unsigned i = 0; i < TOGETHER; i++)
		cw_register(&w, i);
	cw_all_answered(&w);
	for (unsigned i = 0; i < TOGETHER; i++)
		cw_activate(&w, i, false);
	cw_all_answered(&w);
	id = cw_jobs(&w, 0);
	cw_all_answered(&w);
	jobs = w.replies[id]->job_list;
	assert_int_equal(TOGETHER, jobs->n_jobs);
	for (unsigned i = 0; i < TOGETHER + 2; i++) {
		registry__job_result__init(&rows[i]);
		rows[i].id = i < TOGETHER ? jobs->jobs[i]->id : cw_str("99999");
		rows[i].status = cw_str("ok");
		if (i < TOGETHER) {
			snprintf(csrs[i], sizeof(csrs[i]), "csr of %u", i);
			rows[i].csr = (ProtobufCBinaryData){ 20, (uint8_t *)csrs[i] };
		}
		list[i] = &rows[i];
	}
	rows[TOGETHER] = rows[0]; /* a repeat */
	m.results = list;
	m.n_results = TOGETHER + 2;
	frames = w.zone_frames;
	r = cw_call(&w, "mno", &q);
	assert_int_equal(1000, r->code);
	assert_int_equal(TOGETHER + 2, r->job_results->n_results);
	for (unsigned i = 0; i < TOGETHER + 1; i++) {
		assert_int_equal(1000, r->job_results->results[i]->code);
		assert_string_equal(rows[i].id, r->job_results->results[i]->id);
		assert_int_equal(561, r->job_results->results[i]->certificate.len);
	}
	assert_int_equal(2303, r->job_results->results[TOGETHER + 1]->code);
	assert_true(w.zone_frames - frames <= TOGETHER / 10); /* not one each */
	/* Another operator's, nobody's, none, too many. */
	assert_int_equal(2201, cw_call(&w, "parkoserv", &q)->job_results->results[0]->code);
	assert_int_equal(2200, cw_call(&w, "stranger", &q)->code);
	m.n_results = 0;
	assert_int_equal(2003, cw_call(&w, "mno", &q)->code);
	Registry__JobResult *many[201];
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = &rows[0];
	m.results = many;
	m.n_results = ARRAY_LEN(many);
	assert_int_equal(2004, cw_call(&w, "mno", &q)->code);
	cw_close(&w);
}

static void test_many_at_once(void **state)
{
	struct core_world w;
	size_t frames;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 500);
	for (unsigned i = 0; i < 500; i++)
		cw_register(&w, i);
	cw_all_answered(&w);
	frames = w.zone_frames;
	for (unsigned i = 0; i < 500; i++)
		cw_activate(&w, i, true);
	cw_all_answered(&w);
	for (uint64_t i = w.sent - 500; i < w.sent; i++)
		assert_int_equal(1000, code(&w, i));
	/* Group commit: far fewer transactions than requests. */
	assert_true(w.zone_frames - frames < 150);
	cw_close(&w);
}

static void test_doors(void **state)
{
	struct core_world w;
	struct link *api;
	uint64_t id;

	(void)state;
	open_all(&w);
	api = w.front;
	cw_front_up(&w, "front-public");
	id = cw_poll(&w, "parkoserv", 0);
	cw_all_answered(&w);
	assert_int_equal(2002, code(&w, id));
	/* A front that sends rubbish is cut off, the other one goes on. */
	assert_rc(RC_OK, link_send_bytes(w.front, "\xff\xff\xff\xff", 4));
	assert_false(cw_until(&w, cw_never, 20));
	assert_true(w.front_closed);
	w.front = api;
	id = cw_poll(&w, "parkoserv", 0);
	cw_all_answered(&w);
	assert_int_equal(1300, code(&w, id));
	id = cw_poll(&w, "nobody", 0);
	cw_all_answered(&w);
	assert_int_equal(2200, code(&w, id));
	cw_close(&w);
}

static void test_no_front_left(void **state)
{
	struct core_world w;

	(void)state;
	open_all(&w);
	cw_add_sims(&w, 0, 1);
	cw_register(&w, 0);
	cw_all_answered(&w);
	/* Gone with requests at every stage under way. */
	cw_poll(&w, "parkoserv", 10);
	cw_activate(&w, 0, true);
	link_flush(w.front);
	link_free(w.front);
	w.front = NULL;
	assert_false(cw_until(&w, cw_never, 30));
	cw_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_waits_for_the_zone),
		cmocka_unit_test(test_silent_zone_means_pending),
		cmocka_unit_test(test_without_keys_nothing_is_committed),
		cmocka_unit_test(test_zone_catches_up_or_is_rebuilt),
		cmocka_unit_test(test_restart_tells_pending),
		cmocka_unit_test(test_jobs_wait),
		cmocka_unit_test(test_jobs_of_a_gateway_that_died),
		cmocka_unit_test(test_results_together),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_doors),
		cmocka_unit_test(test_no_front_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
