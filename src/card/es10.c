/* SPDX-License-Identifier: Apache-2.0 */
/* The ISD-R of an eUICC, as a local profile assistant speaks to it (SGP.22 section 5.7, ES10c):
 * STORE DATA with GetEID, GetProfilesInfo, EnableProfile, DisableProfile, DeleteProfile. */
#include "card/euicc.h"
#include "card/session.h"

#include <string.h>

#define DO_EID	   0xbf3e
#define DO_INFO	   0xbf2d
#define DO_ENABLE  0xbf31
#define DO_DISABLE 0xbf32
#define DO_DELETE  0xbf33

/* Two-byte tags are ISO 7816-4's; everything below one of ours is a single byte's business. */
static void put_do(struct put *p, uint16_t tag, const uint8_t *value, size_t len)
{
	put_u8(p, (uint8_t)(tag >> 8));
	tlv_put(p, (uint8_t)tag, value, len);
}

static uint16_t get_eid(struct command *cmd)
{
	uint8_t bytes[2 + IDENT_EID_LEN];
	struct put p = put_init(bytes, sizeof(bytes));

	tlv_put(&p, 0x5a, euicc_eid(cmd->session->euicc), IDENT_EID_LEN);
	put_do(cmd->out, DO_EID, bytes, p.len);
	return SW_OK;
}

/* Profiles are told apart by their ICCID; the AID is made of their place, as cards do. */
static uint16_t get_profiles(struct command *cmd)
{
	static const uint8_t isdp[] = { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff,
		0xff, 0x89, 0x00, 0x00 };
	const struct euicc *e = cmd->session->euicc;
	uint8_t bytes[SESSION_ANSWER_MAX];
	struct put p = put_init(bytes, sizeof(bytes));
	size_t list = tlv_open(&p, 0xa0);
	struct card *card;

	for (size_t i = 0; (card = euicc_profile(e, i)) != NULL; i++) {
		size_t one = tlv_open(&p, 0xe3);
		uint8_t aid[16], state = card == euicc_enabled(e);

		memcpy(aid, isdp, sizeof(isdp));
		aid[14] = (uint8_t)(0x10 + i);
		aid[15] = 0;
		tlv_put(&p, 0x5a, card_iccid(card), IDENT_ICCID_LEN);
		tlv_put(&p, 0x4f, aid, sizeof(aid));
		put_do(&p, 0x9f70, &state, 1);
		tlv_put(&p, 0x95, (const uint8_t[]){ 2 }, 1); /* operational */
		tlv_close(&p, one);
	}
	tlv_close(&p, list);
	if (!put_ok(&p))
		return SW_NO_MEMORY;
	put_do(cmd->out, DO_INFO, bytes, p.len);
	return SW_OK;
}

/* 5A ICCID, for enabling and disabling within A0, with a refresh flag behind. */
static bool take_iccid(struct cur *value, bool wrapped, uint8_t out[IDENT_ICCID_LEN])
{
	struct cur inner = wrapped ? tlv_expect(value, TLV_ISO, 0xa0) : *value, iccid;

	if (inner.bad)
		return false;
	iccid = tlv_expect(&inner, TLV_ISO, 0x5a);
	cur_copy(&iccid, out, IDENT_ICCID_LEN);
	if (!cur_done(&iccid) || !cur_done(&inner))
		return false;
	if (wrapped && value->left > 0)
		(void)tlv_expect(value, TLV_ISO, 0x81);
	return !wrapped || cur_done(value);
}

static uint16_t change(struct command *cmd, uint16_t tag, struct cur *value)
{
	struct euicc *e = cmd->session->euicc;
	uint8_t iccid[IDENT_ICCID_LEN], result, bytes[3] = { 0x80, 0x01 };

	if (!take_iccid(value, tag != DO_DELETE, iccid))
		return SW_DATA;
	if (tag == DO_ENABLE)
		result = (uint8_t)euicc_enable(e, iccid, 0);
	else if (tag == DO_DISABLE)
		result = (uint8_t)euicc_disable(e, iccid);
	else
		result = (uint8_t)euicc_delete(e, iccid);
	bytes[2] = result;
	put_do(cmd->out, tag, bytes, sizeof(bytes));
	return SW_OK;
}

uint16_t cmd_es10(struct command *cmd)
{
	struct cur data = cmd->apdu->data, value;
	uint16_t tag;

	if (cmd->apdu->p1 != 0x91 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	tag = (uint16_t)(cur_u8(&data) << 8 | (cur_peek(&data) & 0xff));
	value = tlv_expect(&data, TLV_ISO, (uint8_t)tag);
	if (!cur_done(&data))
		return SW_DATA;
	switch (tag) {
	case DO_EID: return get_eid(cmd);
	case DO_INFO: return get_profiles(cmd);
	case DO_ENABLE:
	case DO_DISABLE:
	case DO_DELETE: return change(cmd, tag, &value);
	default: return SW_DATA;
	}
}
