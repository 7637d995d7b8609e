/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent's name server says of our DS. */
#include "unit.h"

#include "base/put.h"
#include "zone/parent.h"
#include "zone/rr.h"

#include <string.h>

#define ID 0x1234

static struct zone_name zone(void)
{
	struct zone_name n;

	assert_rc(RC_OK, zone_name_from_text("iotregistry.example", &n));
	return n;
}

static void put_ds(struct put *p, uint16_t tag, uint8_t digest_type, size_t digest_len)
{
	put_u16(p, 0xc00c);
	put_u16(p, RR_DS);
	put_u16(p, RR_IN);
	put_u32(p, 300u + tag);
	put_u16(p, (uint16_t)(4 + digest_len));
	put_u16(p, tag);
	put_u8(p, 13);
	put_u8(p, digest_type);
	for (size_t i = 0; i < digest_len; i++)
		put_u8(p, (uint8_t)i);
}

static size_t answer(uint8_t *buf, uint16_t flags, unsigned count)
{
	struct zone_name z = zone();
	struct put p;
	size_t len;

	parent_question(&z, ID, buf, &len);
	p = put_init(buf + len, 400);
	for (unsigned i = 0; i < count; i++)
		put_ds(&p, (uint16_t)(i + 1), i == 2 ? 4 : 2, i == 2 ? 48 : 32);
	assert_true(put_ok(&p));
	buf[2] = (uint8_t)(flags >> 8);
	buf[3] = (uint8_t)flags;
	buf[7] = (uint8_t)count;
	return len + p.len;
}

static void test_answers(void **state)
{
	struct zone_name z = zone();
	uint8_t buf[512];
	struct parent_ds ds;
	struct diag d;
	size_t len = answer(buf, 0x8400, 3);

	(void)state;
	assert_rc(RC_OK, parent_answer(buf, len, &z, ID, &ds, &d));
	assert_int_equal(2, ds.count); /* SHA-384 is not told */
	assert_int_equal(303, ds.ttl);
	assert_int_equal(2, ds.ds[1][1]);
	assert_rc(RC_DENIED, parent_answer(buf, len, &z, ID + 1, &ds, &d));
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(RC_OK, parent_answer(buf, n, &z, ID, &ds, &d));
	buf[14] ^= 1; /* another name */
	assert_rc(RC_DENIED, parent_answer(buf, len, &z, ID, &ds, &d));
	len = answer(buf, 0x8400, 0);
	assert_rc(RC_OK, parent_answer(buf, len, &z, ID, &ds, &d));
	assert_int_equal(0, ds.count);
	/* A question, not authoritative, cut short, an error. */
	assert_rc(RC_MALFORMED, parent_answer(buf, answer(buf, 0x0400, 1), &z, ID, &ds, &d));
	assert_rc(RC_DENIED, parent_answer(buf, answer(buf, 0x8000, 1), &z, ID, &ds, &d));
	assert_rc(RC_DENIED, parent_answer(buf, answer(buf, 0x8600, 1), &z, ID, &ds, &d));
	assert_rc(RC_DENIED, parent_answer(buf, answer(buf, 0x8402, 1), &z, ID, &ds, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_answers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
