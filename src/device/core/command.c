/* SPDX-License-Identifier: Apache-2.0 */
#include "device/core/core__.h"

/* ISO 7816-4 and TS 102 221 instructions. */
#define INS_MANAGE_CHANNEL 0x70
#define INS_SELECT	   0xa4
#define INS_GET_RESPONSE   0xc0
/* A card that always has more is not followed for ever. */
#define STEPS_MAX 8

/* Selected in this order until one answers (IoT.05's own first). */
static const struct {
	uint8_t len;
	uint8_t aid[IOTSAFE_AID_MAX];
} AIDS[] = {
	{ 7, { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10 } },
	{ 15, { 0xa0, 0x00, 0x00, 0x00, 0x30, 0x53, 0xf1, 0x24, 0x01, 0x77, 0x01, 0x01, 0x49, 0x53,
		      0x41 } },
	{ 7, { 0xa0, 0x00, 0x00, 0x02, 0x48, 0x04, 0x00 } },
	{ 16, { 0xa0, 0x00, 0x00, 0x01, 0x15, 0x70, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x49, 0x53,
		      0x41, 0x02 } },
};

void core__copy(unsigned char *to, const unsigned char *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = from[i];
}

enum iotsafe_error core__nonsense(struct iotsafe_core *core, const char *what)
{
	core->what = what;
	return IOTSAFE_EPROTO;
}

static enum iotsafe_error exchange(struct iotsafe_core *core, const uint8_t *apdu, size_t len)
{
	uint8_t reply[IOTSAFE_REPLY_MAX];
	size_t n = 0;
	enum iotsafe_error e = core->exchange(core->arg, apdu, len, reply, &n);

	if (e != IOTSAFE_OK)
		return e;
	if (n < 2 || n > sizeof(reply) || core->answer_len + n - 2 > sizeof(core->answer))
		return core__nonsense(core, "answer");
	core__copy(core->answer + core->answer_len, reply, n - 2);
	core->answer_len += n - 2;
	core->sw = (unsigned short)(reply[n - 2] << 8 | reply[n - 1]);
	return IOTSAFE_OK;
}

enum iotsafe_error core__command(
	struct iotsafe_core *core, uint32_t header, const unsigned char *data, size_t len, int le)
{
	uint8_t class = (uint8_t)(header >> 24 | core->channel);
	uint8_t apdu[IOTSAFE_APDU_MAX] = { class, (uint8_t)(header >> 16), (uint8_t)(header >> 8),
		(uint8_t)header };
	size_t n = 4;
	enum iotsafe_error e;

	core->answer_len = 0;
	core->sw = 0;
	if (len > 255)
		return IOTSAFE_EINVAL;
	if (len > 0) {
		apdu[n++] = (uint8_t)len;
		core__copy(apdu + n, data, len);
		n += len;
	}
	if (le != CORE_NO_LE)
		apdu[n++] = (uint8_t)le;
	e = exchange(core, apdu, n);
	for (int i = 0; e == IOTSAFE_OK && i < STEPS_MAX; i++) {
		uint8_t kind = (uint8_t)(core->sw >> 8), xx = (uint8_t)core->sw;
		if (kind == 0x61 || kind == 0x9f) {
			uint8_t more[] = { core->channel, INS_GET_RESPONSE, 0, 0, xx };
			e = exchange(core, more, sizeof(more));
		} else if (kind == 0x6c && len == 0) {
			apdu[4] = xx; /* the right Le, and only where no data stands there */
			e = exchange(core, apdu, 5);
		} else {
			return IOTSAFE_OK;
		}
	}
	return e == IOTSAFE_OK ? core__nonsense(core, "endless answer") : e;
}

enum iotsafe_error core__status(struct iotsafe_core *core, const char *what)
{
	core->what = what;
	switch (core->sw) {
	case CORE_SW_OK:
	case 0x63cf: /* done; a remote administration session has ended meanwhile */
		return IOTSAFE_OK;
	case 0x6881: /* channel closed: the modem was reset */
	case 0x6d00: /* the applet is not selected any more */
	case 0x6e00: return IOTSAFE_ENOCARD;
	case 0x6985:
	case 0x6982: return IOTSAFE_EDENIED;
	case 0x6a80:
	case 0x6a82:
	case 0x6a83:
	case 0x6a88: return IOTSAFE_ENOTFOUND;
	default: return IOTSAFE_ECARD;
	}
}

enum iotsafe_error core__ask(struct iotsafe_core *core, uint32_t header, const unsigned char *data,
	size_t len, int le, const char *what)
{
	enum iotsafe_error e = core__command(core, header, data, len, le);

	if (e == IOTSAFE_OK)
		return core__status(core, what);
	if (e != IOTSAFE_EPROTO)
		core->what = what;
	return e;
}

static enum iotsafe_error select_aid(struct iotsafe_core *core, const uint8_t *aid, size_t len)
{
	enum iotsafe_error e =
		core__command(core, CORE_HEADER(INS_SELECT, 4, 0), aid, len, CORE_NO_LE);

	core->what = "SELECT";
	/* 91xx: done, and the card has a proactive command for the modem. */
	if (e == IOTSAFE_OK && core->sw >> 8 != 0x91)
		e = core__status(core, "SELECT");
	return e;
}

enum iotsafe_error iotsafe_core_select(struct iotsafe_core *core)
{
	if (core->aid_len > 0)
		return select_aid(core, core->aid, core->aid_len);
	for (size_t i = 0; i < ARRAY_LEN(AIDS); i++) {
		enum iotsafe_error e = select_aid(core, AIDS[i].aid, AIDS[i].len);
		if (e == IOTSAFE_OK) {
			core__copy(core->aid, AIDS[i].aid, AIDS[i].len);
			core->aid_len = AIDS[i].len;
			return IOTSAFE_OK;
		}
		if (e != IOTSAFE_ENOTFOUND && e != IOTSAFE_ECARD)
			return e;
	}
	core->what = "no IoT SAFE applet";
	core->sw = 0;
	return IOTSAFE_ENOTFOUND;
}

enum iotsafe_error iotsafe_core_open(struct iotsafe_core *core)
{
	enum iotsafe_error e;

	core->channel = 0;
	core->what = "MANAGE CHANNEL";
	e = core__command(core, CORE_HEADER(INS_MANAGE_CHANNEL, 0, 0), NULL, 0, 1);
	if (e != IOTSAFE_OK)
		return e;
	if ((core->sw == CORE_SW_OK || core->sw >> 8 == 0x91) && core->answer_len == 1 &&
		core->answer[0] >= 1 && core->answer[0] <= 3)
		core->channel = core->answer[0];
	/* None is free (a process that was killed leaves its own open until the modem is reset):
	 * the basic channel serves, selected anew for each operation. */
	return iotsafe_core_select(core);
}

void iotsafe_core_close(struct iotsafe_core *core)
{
	uint8_t channel = core->channel;

	core->channel = 0;
	if (channel > 0)
		(void)!core__command(
			core, CORE_HEADER(INS_MANAGE_CHANNEL, 0x80, channel), NULL, 0, 0);
}
