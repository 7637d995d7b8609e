/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "card/apdu.h"

static void the_four_cases(void **state)
{
	static const struct {
		uint8_t bytes[12];
		size_t len;
		bool strict, surplus, data;
		size_t data_len, le;
	} rows[] = {
		{ { 0x00, 0x70, 0x80, 0x01 }, 4, true, true, false, 0, 0 },
		{ { 0x00, 0x84, 0x00, 0x00, 0x20 }, 5, true, true, false, 0, 0x20 },
		{ { 0x00, 0x84, 0x00, 0x00, 0x00 }, 5, true, true, false, 0, 256 },
		{ { 0x81, 0xcb, 0xc3, 0x00, 0x03, 0x83, 0x01, 0x02 }, 8, true, true, true, 3, 0 },
		{ { 0x81, 0xcb, 0xc3, 0x00, 0x03, 0x83, 0x01, 0x02, 0x00 }, 9, true, true, true, 3,
			256 },
		{ { 0x81, 0xcb, 0xc3, 0x00, 0x03, 0x83, 0x01, 0x02, 0x00, 0x32 }, 10, false, true,
			true, 3, 0x32 },
		{ { 0x81, 0xcb, 0xc3, 0x00, 0x04, 0x83, 0x01, 0x02 }, 8, false, false, false, 0,
			0 },
		{ { 0x81, 0xcb, 0xc3, 0x00, 0x00, 0x83 }, 6, false, false, false, 0, 0 },
		{ { 0x81, 0xcb, 0xc3 }, 3, false, false, false, 0, 0 },
		{ { 0 }, 0, false, false, false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int surplus = 0; surplus < 2; surplus++) {
			bool good = surplus ? rows[i].surplus : rows[i].strict;
			struct apdu a;

			assert_rc(good ? RC_OK : RC_MALFORMED,
				apdu_parse(rows[i].bytes, rows[i].len, surplus, &a));
			if (!good)
				continue;
			assert_int_equal(a.cla, rows[i].bytes[0]);
			assert_int_equal(a.has_data, rows[i].data);
			assert_int_equal(a.data.left, rows[i].data_len);
			assert_int_equal(a.has_le, rows[i].le > 0);
			assert_int_equal(a.le, rows[i].le);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_four_cases) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
