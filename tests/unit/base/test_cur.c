/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/cur.h"
#include "base/put.h"

static void reads_in_order(void **state)
{
	static const uint8_t b[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
	struct cur c = cur_init(b, sizeof(b));

	(void)state;
	assert_int_equal(cur_peek(&c), 1);
	assert_int_equal(cur_u8(&c), 1);
	assert_int_equal(cur_u16(&c), 0x0203);
	assert_int_equal(cur_u24(&c), 0x040506);
	assert_int_equal(cur_u32(&c), 0x0708090a);
	assert_true(cur_done(&c));
	assert_int_equal(cur_peek(&c), -1);
}

static void failure_sticks(void **state)
{
	static const uint8_t b[] = { 1, 2, 3 };
	struct cur c = cur_init(b, sizeof(b));

	(void)state;
	assert_int_equal(cur_u32(&c), 0);
	assert_true(c.bad);
	assert_int_equal(cur_u8(&c), 0);
	assert_null(cur_bytes(&c, 0));
	assert_false(cur_done(&c));
}

static void child_is_bounded(void **state)
{
	static const uint8_t b[] = { 1, 2, 3 };
	struct cur c = cur_init(b, sizeof(b));
	struct cur child = cur_take(&c, 2);

	(void)state;
	assert_int_equal(cur_u24(&child), 0);
	assert_true(child.bad);
	assert_int_equal(cur_u8(&c), 3);
	assert_true(cur_done(&c));
	child = cur_take(&c, 1);
	assert_true(child.bad && c.bad);
}

static void put_mirrors_cur(void **state)
{
	uint8_t buf[18];
	struct put p = put_init(buf, sizeof(buf));

	(void)state;
	put_u8(&p, 0x12);
	put_u16(&p, 0x3456);
	put_u24(&p, 0x789abc);
	put_u32(&p, 0xdef01234);
	put_u64(&p, 0x1122334455667788);
	assert_true(put_ok(&p));
	assert_int_equal(p.len, 18);
	struct cur c = cur_init(buf, p.len);
	assert_int_equal(cur_u8(&c), 0x12);
	assert_int_equal(cur_u16(&c), 0x3456);
	assert_int_equal(cur_u24(&c), 0x789abc);
	assert_int_equal(cur_u32(&c), 0xdef01234);
	assert_true(cur_u64(&c) == 0x1122334455667788);
	assert_true(cur_done(&c));
	put_u8(&p, 0);
	assert_false(put_ok(&p));
	assert_int_equal(p.len, 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_in_order),
		cmocka_unit_test(failure_sticks),
		cmocka_unit_test(child_is_bounded),
		cmocka_unit_test(put_mirrors_cur),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
