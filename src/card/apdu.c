/* SPDX-License-Identifier: Apache-2.0 */
#include "card/apdu.h"

static void set_le(struct apdu *a, uint8_t byte)
{
	a->has_le = true;
	a->le = byte ? byte : 256;
}

enum rc apdu_parse(const uint8_t *buf, size_t len, bool surplus, struct apdu *out)
{
	struct cur c = cur_init(buf, len);
	struct apdu a = { 0 };
	uint8_t p3;

	a.cla = cur_u8(&c);
	a.ins = cur_u8(&c);
	a.p1 = cur_u8(&c);
	a.p2 = cur_u8(&c);
	if (c.bad)
		return RC_MALFORMED;
	if (c.left == 0) { /* case 1 */
		*out = a;
		return RC_OK;
	}
	p3 = cur_u8(&c);
	if (c.left == 0) { /* case 2 */
		set_le(&a, p3);
		*out = a;
		return RC_OK;
	}
	if (p3 == 0) /* an extended length, which no channel of ours announces */
		return RC_MALFORMED;
	a.has_data = true;
	a.data = cur_take(&c, p3);
	if (c.left > 1 && surplus)
		cur_skip(&c, c.left - 1);
	if (c.left > 0)
		set_le(&a, cur_u8(&c));
	if (!cur_done(&c))
		return RC_MALFORMED;
	*out = a;
	return RC_OK;
}
