/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "base/compiler.h"
#include "ota/concat.h"

#include <string.h>

static uint8_t packet[SCP80_PACKET_MAX], out_buf[SCP80_PACKET_MAX];
static struct concat_sms sms[SCP80_PARTS_MAX];
static struct concat_join join;

static void fill(void)
{
	for (size_t i = 0; i < sizeof(packet); i++)
		packet[i] = (uint8_t)(i ^ i >> 8);
	concat_join_reset(&join);
}

static void one_message_needs_no_parts(void **state)
{
	struct put out = put_init(out_buf, sizeof(out_buf));
	size_t n;

	(void)state;
	fill();
	assert_rc(RC_OK, concat_split(packet, 137, 1, sms, &n));
	assert_int_equal(n, 1);
	assert_int_equal(sms[0].len, 140);
	assert_memory_equal(sms[0].ud, "\x02\x70\x00", 3);
	assert_rc(RC_OK, concat_join_add(&join, sms[0].ud, sms[0].len, &out));
	assert_int_equal(out.len, 137);
	assert_rc(RC_OK, concat_split(packet, 138, 1, sms, &n));
	assert_int_equal(n, 2);
	assert_memory_equal(sms[0].ud, "\x07\x00\x03\x01\x02\x01\x70\x00", 8);
	assert_memory_equal(sms[1].ud, "\x05\x00\x03\x01\x02\x02", 6);
	assert_rc(RC_TOO_LARGE, concat_split(packet, SCP80_PACKET_MAX + 1, 1, sms, &n));
}

static void any_order_and_duplicates(void **state)
{
	(void)state;
	fill();
	for (size_t len = 138; len <= SCP80_PACKET_MAX; len += 67) {
		struct put out = put_init(out_buf, sizeof(out_buf));
		size_t n;

		assert_rc(RC_OK, concat_split(packet, len, (uint8_t)len, sms, &n));
		for (size_t i = n; i > 1; i--) {
			const struct concat_sms *s = &sms[i - 1];

			assert_true(s->len <= SCP80_UD_MAX);
			assert_rc(RC_TRUNCATED, concat_join_add(&join, s->ud, s->len, &out));
			assert_rc(RC_TRUNCATED, concat_join_add(&join, s->ud, s->len, &out));
		}
		assert_rc(RC_OK, concat_join_add(&join, sms[0].ud, sms[0].len, &out));
		assert_int_equal(out.len, len);
		assert_memory_equal(out_buf, packet, len);
	}
}

static void two_packets_do_not_mix(void **state)
{
	struct concat_sms other[SCP80_PARTS_MAX];
	struct put out = put_init(out_buf, sizeof(out_buf));
	size_t n, m;

	(void)state;
	fill();
	assert_rc(RC_OK, concat_split(packet, 300, 1, sms, &n));
	assert_rc(RC_OK, concat_split(packet + 300, 300, 2, other, &m));
	for (size_t i = 0; i + 1 < n; i++) {
		assert_rc(RC_TRUNCATED, concat_join_add(&join, sms[i].ud, sms[i].len, &out));
		assert_rc(RC_TRUNCATED, concat_join_add(&join, other[i].ud, other[i].len, &out));
	}
	assert_rc(RC_OK, concat_join_add(&join, other[m - 1].ud, other[m - 1].len, &out));
	assert_memory_equal(out_buf, packet + 300, 300);
	out = put_init(out_buf, sizeof(out_buf));
	assert_rc(RC_OK, concat_join_add(&join, sms[n - 1].ud, sms[n - 1].len, &out));
	assert_memory_equal(out_buf, packet, 300);
}

/* Parts that never complete push one another out; the last comer still gets through. */
static void the_oldest_gives_way(void **state)
{
	struct put out = put_init(out_buf, sizeof(out_buf));
	size_t n = 0;

	(void)state;
	fill();
	for (unsigned ref = 0; ref < 200; ref++) {
		assert_rc(RC_OK, concat_split(packet, 300, (uint8_t)ref, sms, &n));
		assert_rc(RC_TRUNCATED, concat_join_add(&join, sms[0].ud, sms[0].len, &out));
	}
	for (size_t i = 1; i < n; i++)
		assert_rc(i + 1 < n ? RC_TRUNCATED : RC_OK,
			concat_join_add(&join, sms[i].ud, sms[i].len, &out));
	assert_int_equal(out.len, 300);
}

static void bad_headers_are_refused(void **state)
{
	static const struct {
		const char *ud;
		size_t len;
		enum rc rc;
	} rows[] = {
		{ "", 0, RC_MALFORMED },
		{ "\x02\x70\x00", 3, RC_MALFORMED },
		{ "\x03\x70\x00", 3, RC_MALFORMED },
		{ "\x02\x71\x00x", 4, RC_UNSUPPORTED },
		{ "\x00x", 2, RC_UNSUPPORTED },
		{ "\x07\x00\x03\x01\x00\x01\x70\x00x", 9, RC_MALFORMED },
		{ "\x07\x00\x03\x01\x02\x00\x70\x00x", 9, RC_MALFORMED },
		{ "\x07\x00\x03\x01\x02\x03\x70\x00x", 9, RC_MALFORMED },
		{ "\x07\x00\x03\x01\xff\x01\x70\x00x", 9, RC_MALFORMED },
		{ "\x05\x00\x03\x01\x02\x01x", 7, RC_UNSUPPORTED },
		{ "\x04\x00\x02\x01\x02x", 6, RC_MALFORMED },
		{ "\x05\x00\x04\x01\x02\x01x", 7, RC_MALFORMED },
		/* an unknown element is passed over; a 16-bit reference is known */
		{ "\x05\x7f\x01\x00\x70\x00x", 7, RC_OK },
		{ "\x08\x08\x04\x12\x34\x02\x01\x70\x00x", 10, RC_TRUNCATED },
	};

	(void)state;
	fill();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct put out = put_init(out_buf, sizeof(out_buf));

		assert_rc(rows[i].rc,
			concat_join_add(&join, (const uint8_t *)rows[i].ud, rows[i].len, &out));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_needs_no_parts),
		cmocka_unit_test(any_order_and_duplicates),
		cmocka_unit_test(two_packets_do_not_mix),
		cmocka_unit_test(the_oldest_gives_way),
		cmocka_unit_test(bad_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
