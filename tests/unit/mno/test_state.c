/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"
#include "../unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/attestry-unit-XXXXXX";
static char path[64];

static struct mno_state *open_state(void)
{
	struct mno_state *s = NULL;

	assert_rc(RC_OK, mno__state_open(path, &s, NULL));
	return s;
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/state.db", folder);
	return 0;
}

static int teardown(void **state)
{
	static const char *const tails[] = { "", "-wal", "-shm" };
	char name[80];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, tails[i]);
		(void)unlink(name);
	}
	return rmdir(folder);
}

/* No counter comes twice, whoever asks and however often the file was closed. */
static void test_counters(void **state)
{
	struct mno_state *s = open_state();
	uint64_t a, b, c, other;

	(void)state;
	assert_rc(RC_OK, mno__state_counters(s, "x", 16, &a, NULL));
	assert_rc(RC_OK, mno__state_counters(s, "x", 1, &b, NULL));
	assert_rc(RC_OK, mno__state_counters(s, "y", 1, &other, NULL));
	assert_rc(RC_OK, mno__state_commit(s, NULL));
	mno__state_close(s);
	s = open_state();
	assert_rc(RC_OK, mno__state_counters(s, "x", 16, &c, NULL));
	assert_int_equal(1, a);
	assert_int_equal(17, b);
	assert_int_equal(18, c);
	assert_int_equal(1, other);
	assert_rc(RC_OK, mno__state_counters(s, "x", SCP80_COUNTER_MAX - 33, &c, NULL));
	assert_rc(RC_RANGE, mno__state_counters(s, "x", 1, &c, NULL));
	mno__state_close(s);
}

static unsigned seen;

static void each(void *user, const struct mno_kept *k)
{
	const enum mno_job_state *want = user;

	seen++;
	assert_string_equal("j-1", k->id);
	assert_int_equal(*want, k->state);
	assert_int_equal(*want == MNO_JOB_OPEN, k->job != NULL);
	assert_int_equal(*want == MNO_JOB_OPEN, k->progress != NULL);
	assert_int_equal(*want == MNO_JOB_DONE, k->result != NULL);
	assert_int_equal(3, k->tries);
	assert_true(k->since_s >= 0 && k->since_s < 60);
}

static void test_life_of_a_job(void **state)
{
	enum mno_job_state want = MNO_JOB_OPEN, found;
	struct mno_state *s = open_state();
	struct mno_task *t = NULL;
	json_t *job = json_pack("{s:s, s:s, s:s, s:i}", "id", "j-1", "kind", "status", "iccid",
		"8912230200031010008f", "slot", 1);
	json_t *result = json_pack("{s:s}", "status", "ok"), *kept = NULL;
	unsigned attempt;

	(void)state;
	assert_rc(RC_OK, mno__task_new(job, &t, NULL));
	assert_rc(RC_NOT_FOUND, mno__state_job_find(s, "j-1", &found, &attempt, NULL, NULL));
	assert_rc(RC_OK, mno__state_job_add(s, t, NULL));
	assert_rc(RC_OK, mno__state_job_progress(s, t, NULL));
	assert_rc(RC_OK, mno__state_job_tries(s, "j-1", 3, NULL));
	assert_rc(RC_OK, mno__state_commit(s, NULL));
	/* What was not committed never happened; but then nothing of it has left either. */
	assert_rc(RC_OK, mno__state_job_done(s, "j-1", result, NULL));
	mno__state_close(s);
	s = open_state();
	seen = 0;
	assert_rc(RC_OK, mno__state_each(s, each, &want, NULL));
	assert_int_equal(1, seen);
	assert_rc(RC_OK, mno__state_job_done(s, "j-1", result, NULL));
	want = MNO_JOB_DONE;
	assert_rc(RC_OK, mno__state_each(s, each, &want, NULL));
	assert_int_equal(2, seen);
	assert_rc(RC_OK, mno__state_job_posted(s, "j-1", NULL));
	assert_rc(RC_OK, mno__state_each(s, each, &want, NULL));
	assert_int_equal(2, seen);
	assert_rc(RC_OK, mno__state_job_find(s, "j-1", &found, &attempt, &kept, NULL));
	assert_int_equal(MNO_JOB_POSTED, found);
	assert_int_equal(1, attempt);
	assert_true(json_equal(result, kept));
	json_decref(kept);
	json_decref(result);
	json_decref(job);
	mno__task_free(t);
	mno__state_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_counters),
		cmocka_unit_test(test_life_of_a_job) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
