/* SPDX-License-Identifier: Apache-2.0 */
/* SELECT by AID, and the one file of the UICC itself that device software reads: EF_ICCID (TS 102
 * 221 sections 11.1.1, 13.2). */
#include "card/euicc.h"
#include "card/session.h"

#include <string.h>

#define AID_MIN	  5 /* a partial name has at least the registered provider's five bytes */
#define FID_MF	  0x3f00
#define FID_ICCID 0x2fe2

static bool is_ours(const struct card *card, struct cur aid)
{
	for (size_t i = 0; i < card->aid_count; i++) {
		const struct card_aid *a = &card->aids[i];

		if (aid.left >= AID_MIN && aid.left <= a->len &&
			memcmp(aid.at, a->bytes, aid.left) == 0)
			return true;
	}
	return false;
}

/* SGP.22 section 5.7.1. */
static bool is_isdr(const struct command *cmd)
{
	static const uint8_t aid[] = { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff,
		0xff, 0x89, 0x00, 0x00, 0x01, 0x00 };
	const struct euicc *e = cmd->session->euicc;
	struct cur data = cmd->apdu->data;

	return e && euicc_eid(e) && data.left == sizeof(aid) &&
	       memcmp(data.at, aid, sizeof(aid)) == 0;
}

static uint16_t select_file(struct command *cmd, enum selected *out)
{
	struct cur data = cmd->apdu->data;
	uint16_t fid = 0;

	if (data.left == 0) {
		*out = SELECTED_MF;
		return SW_OK;
	}
	if (data.left % 2 != 0)
		return SW_LENGTH;
	while (data.left > 0) { /* P1 = 08: a path from the MF */
		fid = cur_u16(&data);
		if (fid == FID_ICCID && cmd->card->bare)
			return SW_NOT_FOUND;
		if (fid != FID_MF && (fid != FID_ICCID || data.left > 0))
			return SW_NOT_FOUND;
	}
	*out = fid == FID_MF ? SELECTED_MF : SELECTED_ICCID;
	return SW_OK;
}

/* File control parameters (TS 102 221 section 11.1.1.3): descriptor, identifier, size. */
static void put_fcp(struct put *p, enum selected selected)
{
	static const uint8_t mf[] = { 0x62, 0x08, 0x82, 0x02, 0x78, 0x21, 0x83, 0x02, 0x3f, 0x00 };
	static const uint8_t ef[] = { 0x62, 0x0c, 0x82, 0x02, 0x41, 0x21, 0x83, 0x02, 0x2f, 0xe2,
		0x80, 0x02, 0x00, IDENT_ICCID_LEN };

	if (selected == SELECTED_MF)
		put_bytes(p, mf, sizeof(mf));
	else
		put_bytes(p, ef, sizeof(ef));
}

uint16_t cmd_select(struct command *cmd)
{
	const struct apdu *a = cmd->apdu;
	enum selected selected = SELECTED_APPLET;
	uint16_t sw;

	if (a->p1 == 0x04) {
		/* First or only occurrence; the answer is bare: two clients take nothing else. */
		if ((a->p2 & 0xf3) != 0)
			return (a->p2 & 0x03) == 0x02 ? SW_NOT_FOUND : SW_P1P2;
		if (is_isdr(cmd)) {
			cmd->channel->selected = SELECTED_ISDR;
			return SW_OK;
		}
		if (!is_ours(cmd->card, a->data))
			return SW_NOT_FOUND;
		/* Selecting what is selected keeps what is under way: clients do it before use. */
		cmd->channel->selected = selected;
		return SW_OK;
	}
	if ((a->p1 != 0x00 && a->p1 != 0x08) || (a->p2 != 0x00 && a->p2 != 0x04 && a->p2 != 0x0c))
		return SW_P1P2;
	sw = select_file(cmd, &selected);
	if (sw != SW_OK)
		return sw;
	cmd->channel->selected = selected;
	if (a->p2 == 0x04)
		put_fcp(cmd->out, selected);
	return SW_OK;
}

uint16_t cmd_read_binary(struct command *cmd)
{
	const struct apdu *a = cmd->apdu;
	size_t offset = (size_t)(a->p1 & 0x7f) << 8 | a->p2;
	size_t n;

	if (a->p1 & 0x80 || offset >= IDENT_ICCID_LEN)
		return SW_P1P2;
	n = IDENT_ICCID_LEN - offset;
	put_bytes(cmd->out, cmd->card->iccid + offset, a->has_le && a->le < n ? a->le : n);
	return SW_OK;
}
