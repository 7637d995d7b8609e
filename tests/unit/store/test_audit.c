/* SPDX-License-Identifier: Apache-2.0 */
#include "store/audit.h"
#include "temp.h"

static void fill(struct store *s, int rows)
{
	for (int i = 0; i < rows; i++) {
		struct store_audit r = { .time = 1000 + i,
			.party = "asp",
			.operation = "activate",
			.object = "1.8912230200031010008f",
			.detail = i % 2 ? "" : "detail" };

		assert_rc(RC_OK, store_audit_add(s, &r));
	}
}

static void test_every_change_is_seen(void **state)
{
	static const struct {
		const char *sql;
		uint64_t broken_at;
	} rows[] = {
		{ "SELECT 1", 0 },
		{ "UPDATE audit SET party = 'mno' WHERE seq = 7", 7 },
		{ "UPDATE audit SET time = time + 1 WHERE seq = 1", 1 },
		/* A field's end moved into the next one must show too. */
		{ "UPDATE audit SET operation = 'activate1.8', object = '912230200031010008f' "
		  "WHERE seq = 3",
			3 },
		{ "DELETE FROM audit WHERE seq = 5", 5 },
		{ "UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 2) WHERE seq = 9",
			9 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct store_audit_report r;
		struct temp_db t;
		struct store *s;
		struct diag d = { "" };

		temp_db_make(&t);
		s = temp_db_open(&t, true);
		fill(s, 10);
		temp_db_exec(&t, rows[i].sql);
		assert_rc(rows[i].broken_at ? RC_CONFLICT : RC_OK, store_audit_verify(s, &r, &d));
		assert_int_equal(r.broken_at, rows[i].broken_at);
		store_close(s);
		temp_db_remove(&t);
	}
}

static void test_rollback_leaves_no_gap(void **state)
{
	struct store_audit_report r;
	struct temp_db t;
	struct store *s;
	struct diag d;

	(void)state;
	temp_db_make(&t);
	s = temp_db_open(&t, true);
	assert_rc(RC_OK, store_begin(s));
	fill(s, 3);
	assert_rc(RC_OK, store_savepoint(s));
	fill(s, 2);
	assert_rc(RC_OK, store_savepoint_rollback(s));
	fill(s, 1);
	assert_rc(RC_OK, store_commit(s));
	assert_rc(RC_OK, store_begin(s));
	fill(s, 4);
	store_rollback(s);
	fill(s, 1);
	assert_rc(RC_OK, store_audit_verify(s, &r, &d));
	assert_int_equal(r.rows, 5);
	store_close(s);
	temp_db_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_change_is_seen),
		cmocka_unit_test(test_rollback_leaves_no_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
