/* SPDX-License-Identifier: Apache-2.0 */
#include "device/core/core__.h"

#include "base/tlv.h"

#define INS_SELECT	0xa4
#define INS_READ_BINARY 0xb0
#define INS_STORE_DATA	0xe2
#define INS_GET_DATA	0xca
#define TAG_EID		0x5a

/* What else is selected on our channel; the applet is again afterwards, whatever came of it. */
static enum iotsafe_error back(struct iotsafe_core *core, enum iotsafe_error e)
{
	const char *what = core->what;
	unsigned short sw = core->sw;
	enum iotsafe_error again = iotsafe_core_select(core);

	if (e == IOTSAFE_OK)
		return again;
	core->what = what;
	core->sw = sw;
	/* 6D00, 6E00: no such thing on this card; the channel itself is well. */
	return e == IOTSAFE_ENOCARD && again == IOTSAFE_OK ? IOTSAFE_ENOTFOUND : e;
}

/* EF_ICCID under the master file (TS 102 221 section 13.2). */
enum iotsafe_error iotsafe_core_iccid(
	struct iotsafe_core *core, unsigned char ef[IOTSAFE_ICCID_LEN])
{
	static const uint8_t mf[] = { 0x3f, 0x00 }, iccid[] = { 0x2f, 0xe2 };
	enum iotsafe_error e = core__ask(
		core, CORE_HEADER(INS_SELECT, 0, 0x0c), mf, sizeof(mf), CORE_NO_LE, "SELECT MF");

	if (e == IOTSAFE_OK)
		e = core__ask(core, CORE_HEADER(INS_SELECT, 0, 0x0c), iccid, sizeof(iccid),
			CORE_NO_LE, "SELECT EF_ICCID");
	if (e == IOTSAFE_OK)
		e = core__ask(core, CORE_HEADER(INS_READ_BINARY, 0, 0), NULL, 0, IOTSAFE_ICCID_LEN,
			"READ BINARY");
	if (e == IOTSAFE_OK && core->answer_len != IOTSAFE_ICCID_LEN)
		e = core__nonsense(core, "EF_ICCID");
	if (e == IOTSAFE_OK)
		core__copy(ef, core->answer, IOTSAFE_ICCID_LEN);
	return back(core, e);
}

/* BF3E { 5A eid }, or 5A eid. */
static bool take_eid(const struct iotsafe_core *core, unsigned char eid[IOTSAFE_EID_LEN])
{
	struct cur c = cur_init(core->answer, core->answer_len), value;

	if (cur_peek(&c) == 0xbf) {
		cur_skip(&c, 1);
		c = tlv_expect(&c, TLV_ISO, 0x3e);
	}
	value = tlv_expect(&c, TLV_ISO, TAG_EID);
	if (value.left != IOTSAFE_EID_LEN)
		return false;
	cur_copy(&value, eid, IOTSAFE_EID_LEN);
	return cur_done(&value);
}

/* The ISD-R of a consumer or IoT eUICC says it by GetEID (SGP.22 section 5.7.20); the ECASD of an
 * M2M eUICC by GET DATA (SGP.02 section 4.1.3.1). */
enum iotsafe_error iotsafe_core_eid(struct iotsafe_core *core, unsigned char eid[IOTSAFE_EID_LEN])
{
	static const uint8_t isdr[] = { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff,
		0xff, 0x89, 0x00, 0x00, 0x01, 0x00 };
	static const uint8_t ecasd[] = { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff,
		0xff, 0x89, 0x00, 0x00, 0x02, 0x00 };
	static const uint8_t get_eid[] = { 0xbf, 0x3e, 0x03, 0x5c, 0x01, TAG_EID };
	enum iotsafe_error e = core__ask(core, CORE_HEADER(INS_SELECT, 4, 0), isdr, sizeof(isdr),
		CORE_NO_LE, "SELECT ISD-R");

	if (e == IOTSAFE_OK) {
		e = core__ask(core, CORE_PROPRIETARY | CORE_HEADER(INS_STORE_DATA, 0x91, 0),
			get_eid, sizeof(get_eid), 0, "GetEID");
	} else if (e == IOTSAFE_ENOTFOUND || e == IOTSAFE_ECARD) {
		e = core__ask(core, CORE_HEADER(INS_SELECT, 4, 0), ecasd, sizeof(ecasd), CORE_NO_LE,
			"SELECT ECASD");
		if (e == IOTSAFE_OK)
			e = core__ask(core,
				CORE_PROPRIETARY | CORE_HEADER(INS_GET_DATA, 0, TAG_EID), NULL, 0,
				0, "GET DATA EID");
	}
	if (e == IOTSAFE_OK && !take_eid(core, eid))
		e = core__nonsense(core, "GetEID");
	return back(core, e);
}
