/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "epp/frame.h"

#include <string.h>

static void test_lengths(void **state)
{
	static const struct {
		uint8_t octets[8];
		size_t have;
		enum rc rc;
		size_t len;
	} rows[] = {
		{ { 0, 0, 0, 5, 'x' }, 5, RC_OK, 1 },
		{ { 0, 0, 0, 6, 'x', 'y', 'z' }, 7, RC_OK, 2 },
		{ { 0, 0, 0, 6, 'x' }, 5, RC_TRUNCATED, 0 },
		{ { 0, 0, 0, 6 }, 3, RC_TRUNCATED, 0 },
		{ { 0 }, 0, RC_TRUNCATED, 0 },
		{ { 0, 0, 0, 0 }, 4, RC_MALFORMED, 0 },
		{ { 0, 0, 0, 3 }, 4, RC_MALFORMED, 0 },
		{ { 0, 0, 0, 4 }, 4, RC_MALFORMED, 0 },
		{ { 0, 0, 0, 101 }, 4, RC_TOO_LARGE, 0 },
		{ { 0x80, 0, 0, 0 }, 4, RC_TOO_LARGE, 0 },
		{ { 0xff, 0xff, 0xff, 0xff }, 4, RC_TOO_LARGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = 0;

		assert_rc(rows[i].rc, epp_frame_next(rows[i].octets, rows[i].have, 100, &len));
		assert_int_equal(rows[i].len, len);
	}
}

static void test_a_head_counts_itself(void **state)
{
	uint8_t head[EPP_FRAME_HEADER];

	(void)state;
	epp_frame_head(0x1000, head);
	assert_memory_equal("\0\0\x10\x04", head, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_a_head_counts_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
