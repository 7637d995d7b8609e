/* SPDX-License-Identifier: Apache-2.0 */
/* What a transaction promises when things go wrong in it: the same on both engines. */
#include "temp.h"

static struct store_party party(const char *id)
{
	struct store_party p = { .roles = 2, .created = 5 };

	snprintf(p.id, sizeof(p.id), "%s", id);
	return p;
}

static bool knows(struct store *s, const char *id)
{
	struct store_party p;

	return store_party_get(s, id, &p) == RC_OK;
}

static void put(struct store *s, const char *id)
{
	struct store_party p = party(id);

	assert_rc(RC_OK, store_party_add(s, &p));
}

/* A taken value is an answer, not the end of the transaction. */
static void test_exists_is_an_answer(void **state)
{
	struct store_party p = party("one");
	struct temp_db t;
	struct store *s;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	assert_rc(RC_OK, store_begin(s));
	assert_rc(RC_OK, store_savepoint(s));
	put(s, "one");
	assert_rc(RC_EXISTS, store_party_add(s, &p));
	put(s, "two");
	assert_rc(RC_OK, store_savepoint_release(s));
	assert_rc(RC_OK, store_commit(s));
	assert_true(knows(s, "one") && knows(s, "two"));
	assert_rc(RC_EXISTS, store_party_add(s, &p));
	store_close(s);
	temp_db_remove(&t);
}

static void test_savepoints_keep_and_take_back(void **state)
{
	struct temp_db t;
	struct store *s;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	assert_rc(RC_OK, store_begin(s));
	for (int i = 0; i < 100; i++) {
		char id[8];

		snprintf(id, sizeof(id), "p%03d", i);
		assert_rc(RC_OK, store_savepoint(s));
		put(s, id);
		if (i % 3 == 0)
			assert_rc(RC_OK, store_savepoint_rollback(s));
		else
			assert_rc(RC_OK, store_savepoint_release(s));
	}
	assert_rc(RC_OK, store_commit(s));
	for (int i = 0; i < 100; i++) {
		char id[8];

		snprintf(id, sizeof(id), "p%03d", i);
		assert_int_equal(knows(s, id), i % 3 != 0);
	}
	store_close(s);
	temp_db_remove(&t);
}

/* A refusal that no rule expects, of a statement nobody waits for, loses the batch: neither what
 * came before it nor what comes after may stay. */
static void test_unexpected_failure_keeps_nothing(void **state)
{
	struct store_poll m = { .event = "e", .name = "n", .text = "t" };
	struct temp_db t;
	struct store *s;
	enum rc rc;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	assert_rc(RC_OK, store_begin(s));
	put(s, "before");
	rc = store_poll_add(s, "nobody", &m);
	if (rc == RC_OK)
		rc = store_commit(s); /* found out when it was sent */
	assert_int_not_equal(rc, RC_OK);
	store_rollback(s);
	assert_false(knows(s, "before"));
	/* And the store goes on. */
	assert_rc(RC_OK, store_begin(s));
	put(s, "after");
	assert_rc(RC_OK, store_commit(s));
	assert_true(knows(s, "after"));
	store_close(s);
	temp_db_remove(&t);
}

/* More than any buffer on the way holds, without an answer in between. */
static void test_large_batch(void **state)
{
	char text[900];
	struct store_poll m = { .event = "e", .name = "n", .text = text };
	struct arena a = arena_init(1 << 20);
	struct temp_db t;
	struct store *s;
	uint32_t count = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	put(s, "asp");
	assert_rc(RC_OK, store_begin(s));
	for (int i = 0; i < 20000; i++)
		assert_rc(RC_OK, store_poll_add(s, "asp", &m));
	assert_rc(RC_OK, store_commit(s));
	assert_rc(RC_OK, store_poll_head(s, "asp", &a, &m, &count));
	assert_int_equal(count, 20000);
	arena_fini(&a);
	store_close(s);
	temp_db_remove(&t);
}

/* Two writers of one database never take the same change number, nor fork the audit chain. */
static void test_two_writers_count_together(void **state)
{
	struct store_change c = { .name = "1.a" };
	struct temp_db t;
	struct store *one;
	struct store *two;
	uint64_t last = 0;

	(void)state;
	if (!temp_db_server()) /* SQLite has one writer by design */
		return;
	temp_db_make(&t);
	one = temp_db_open(&t, true);
	two = temp_db_open(&t, true);
	for (int i = 0; i < 10; i++) {
		struct store *s = i % 2 ? one : two;

		assert_rc(RC_OK, store_begin(s));
		assert_rc(RC_OK, store_change_add(s, &c));
		assert_int_equal(c.seq, ++last);
		assert_rc(RC_OK, store_commit(s));
	}
	store_close(one);
	store_close(two);
	temp_db_remove(&t);
}

/* A server that ends our sessions between two transactions is not even noticed; inside one, nothing
 * of it is done and it may be tried again. */
static void test_lost_connection(void **state)
{
	static const char end_all[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
				      "WHERE application_name = 'attestry'";
	struct temp_db t;
	struct store *s;
	enum rc rc;

	(void)state;
	if (!temp_db_server())
		return;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	temp_db_exec(&t, end_all);
	assert_false(knows(s, "one"));
	temp_db_exec(&t, end_all);
	assert_rc(RC_OK, store_begin(s));
	put(s, "one");
	temp_db_exec(&t, end_all);
	rc = store_commit(s);
	assert_int_not_equal(rc, RC_OK);
	assert_true(store_may_retry(s));
	assert_false(knows(s, "one"));
	assert_rc(RC_OK, store_begin(s));
	put(s, "one");
	assert_rc(RC_OK, store_commit(s));
	assert_true(knows(s, "one"));
	store_close(s);
	temp_db_remove(&t);
}

/* Who stands still while holding the lock loses it, and what it then wants to commit. */
static void test_paused_writer_is_fenced(void **state)
{
	struct temp_db t;
	struct store *paused;
	struct store *other;

	(void)state;
	if (!temp_db_server())
		return;
	temp_db_make(&t);
	paused = temp_db_open(&t, true);
	other = temp_db_open(&t, true);
	assert_rc(RC_OK, store_begin(paused));
	put(paused, "late");
	/* As the server does by itself after idle_in_transaction_session_timeout. */
	temp_db_exec(&t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
			 "WHERE state = 'idle in transaction' AND application_name = 'attestry'");
	assert_rc(RC_OK, store_begin(other));
	put(other, "first");
	assert_rc(RC_OK, store_commit(other));
	assert_int_not_equal(store_commit(paused), RC_OK);
	assert_false(knows(other, "late"));
	assert_true(knows(other, "first"));
	store_close(paused);
	store_close(other);
	temp_db_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exists_is_an_answer),
		cmocka_unit_test(test_savepoints_keep_and_take_back),
		cmocka_unit_test(test_unexpected_failure_keeps_nothing),
		cmocka_unit_test(test_large_batch),
		cmocka_unit_test(test_two_writers_count_together),
		cmocka_unit_test(test_lost_connection),
		cmocka_unit_test(test_paused_writer_is_fenced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
