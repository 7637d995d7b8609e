/* SPDX-License-Identifier: Apache-2.0 */
#include "ota/smslink.h"

void smslink_write(struct put *p, uint8_t kind, const uint8_t iccid[IDENT_ICCID_LEN],
	const uint8_t *ud, size_t ud_len)
{
	if (ud_len > SCP80_UD_MAX) {
		p->bad = true;
		return;
	}
	put_u16(p, (uint16_t)(1 + IDENT_ICCID_LEN + ud_len));
	put_u8(p, kind);
	put_bytes(p, iccid, IDENT_ICCID_LEN);
	put_bytes(p, ud, ud_len);
}

enum rc smslink_read(struct cur *c, struct smslink_frame *out)
{
	struct smslink_frame f;
	struct cur at = *c;
	uint16_t len;

	if (at.left < 2)
		return RC_TRUNCATED;
	len = cur_u16(&at);
	if (len < 1 + IDENT_ICCID_LEN || len > SMSLINK_FRAME_MAX - 2)
		return RC_MALFORMED;
	if (at.left < len)
		return RC_TRUNCATED;
	f.ud = cur_take(&at, len);
	f.kind = cur_u8(&f.ud);
	cur_copy(&f.ud, f.iccid, IDENT_ICCID_LEN);
	if (f.kind != SMSLINK_TO_CARD && f.kind != SMSLINK_FROM_CARD)
		return RC_MALFORMED;
	*c = at;
	*out = f;
	return RC_OK;
}
