/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "ota/smslink.h"

static const uint8_t iccid[IDENT_ICCID_LEN] = { 0x98, 0x21, 0x32, 0x20, 0, 0x30, 1, 1, 0, 0xf8 };

static void frames_go_through(void **state)
{
	uint8_t buf[2 * SMSLINK_FRAME_MAX];
	struct put p = put_init(buf, sizeof(buf));
	struct smslink_frame f;
	struct cur c;

	(void)state;
	smslink_write(&p, SMSLINK_TO_CARD, iccid, (const uint8_t *)"hello", 5);
	smslink_write(&p, SMSLINK_FROM_CARD, iccid, NULL, 0);
	assert_true(put_ok(&p));
	assert_memory_equal(buf, "\x00\x10\x01\x98", 4);
	c = cur_init(buf, p.len);
	assert_rc(RC_OK, smslink_read(&c, &f));
	assert_int_equal(f.kind, SMSLINK_TO_CARD);
	assert_memory_equal(f.iccid, iccid, sizeof(iccid));
	assert_int_equal(f.ud.left, 5);
	assert_rc(RC_OK, smslink_read(&c, &f));
	assert_int_equal(f.kind, SMSLINK_FROM_CARD);
	assert_int_equal(f.ud.left, 0);
	assert_true(cur_done(&c));
	for (size_t cut = 0; cut < 18; cut++) {
		c = cur_init(buf, cut);
		assert_rc(RC_TRUNCATED, smslink_read(&c, &f));
		assert_int_equal(c.left, cut);
		assert_false(c.bad);
	}
}

static void lies_are_refused(void **state)
{
	uint8_t buf[SMSLINK_FRAME_MAX + 1] = { 0 };
	struct put p = put_init(buf, sizeof(buf));
	struct smslink_frame f;
	struct cur c;

	(void)state;
	smslink_write(&p, 3, iccid, NULL, 0);
	c = cur_init(buf, p.len);
	assert_rc(RC_MALFORMED, smslink_read(&c, &f));
	c = cur_init("\x00\x0a", 2);
	assert_rc(RC_MALFORMED, smslink_read(&c, &f));
	c = cur_init("\x00\x98", 2);
	assert_rc(RC_MALFORMED, smslink_read(&c, &f));
	c = cur_init("\xff\xff", 2);
	assert_rc(RC_MALFORMED, smslink_read(&c, &f));
	p = put_init(buf, sizeof(buf));
	smslink_write(&p, SMSLINK_TO_CARD, iccid, buf, SCP80_UD_MAX + 1);
	assert_false(put_ok(&p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_go_through),
		cmocka_unit_test(lies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
