/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include <string.h>

/* ISO 7816-4 and TS 102 221 instructions. */
#define INS_MANAGE_CHANNEL 0x70
#define INS_SELECT	   0xa4
#define INS_GET_RESPONSE   0xc0
#define SW_OK		   0x9000
/* A card that always has more is not followed for ever. */
#define STEPS_MAX 8

/* Selected in this order until one answers (IoT.05's own first). */
static const struct {
	uint8_t len;
	uint8_t aid[16];
} AIDS[] = {
	{ 7, { 0xa0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10 } },
	{ 15, { 0xa0, 0x00, 0x00, 0x00, 0x30, 0x53, 0xf1, 0x24, 0x01, 0x77, 0x01, 0x01, 0x49, 0x53,
		      0x41 } },
	{ 7, { 0xa0, 0x00, 0x00, 0x02, 0x48, 0x04, 0x00 } },
	{ 16, { 0xa0, 0x00, 0x00, 0x01, 0x15, 0x70, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x49, 0x53,
		      0x41, 0x02 } },
};

static enum rc exchange(struct iotsafe *card, const uint8_t *apdu, size_t len,
	struct dev_answer *out, struct diag *d)
{
	uint8_t reply[DEV_REPLY_MAX];
	uint64_t deadline = dev__now_ms() + card->timeout_ms;
	size_t n = 0;
	enum rc rc;

	if (card->link.fd < 0)
		return diag_set(d, RC_CLOSED, "card %s: gone", card->name);
	if (card->deadline_ms > 0 && card->deadline_ms < deadline)
		deadline = card->deadline_ms;
	rc = card->link.ops->exchange(&card->link, apdu, len, reply, &n, deadline, d);
	if (rc != RC_OK)
		return rc;
	if (n < 2 || out->len + n - 2 > sizeof(out->data))
		return diag_set(d, RC_MALFORMED, "card %s: answer of %zu bytes", card->name, n);
	memcpy(out->data + out->len, reply, n - 2);
	out->len += n - 2;
	out->sw = (uint16_t)(reply[n - 2] << 8 | reply[n - 1]);
	return RC_OK;
}

enum rc dev__command(struct iotsafe *card, uint32_t header, const uint8_t *data, size_t len, int le,
	struct dev_answer *out, struct diag *d)
{
	uint8_t apdu[DEV_APDU_MAX] = { card->channel, (uint8_t)(header >> 16),
		(uint8_t)(header >> 8), (uint8_t)header };
	size_t n = 4;
	enum rc rc;

	out->len = 0;
	if (len > 255)
		return diag_set(d, RC_TOO_LARGE, "command of %zu bytes", len);
	if (len > 0) {
		apdu[n++] = (uint8_t)len;
		memcpy(apdu + n, data, len);
		n += len;
	}
	if (le != DEV_NO_LE)
		apdu[n++] = (uint8_t)le;
	rc = exchange(card, apdu, n, out, d);
	for (int i = 0; rc == RC_OK && i < STEPS_MAX; i++) {
		uint8_t xx = (uint8_t)out->sw;
		if (out->sw >> 8 == 0x61 || out->sw >> 8 == 0x9f) {
			uint8_t more[] = { card->channel, INS_GET_RESPONSE, 0, 0, xx };
			rc = exchange(card, more, sizeof(more), out, d);
		} else if (out->sw >> 8 == 0x6c && len == 0) {
			apdu[4] = xx; /* the right Le, and only where no data stands there */
			rc = exchange(card, apdu, 5, out, d);
		} else {
			return RC_OK;
		}
	}
	if (rc != RC_OK)
		return rc;
	return diag_set(d, RC_MALFORMED, "card %s: endless answer", card->name);
}

enum rc dev__status(uint16_t sw, const char *what, struct diag *d)
{
	switch (sw) {
	case SW_OK:
	case 0x63cf: /* done; a remote administration session has ended meanwhile */ return RC_OK;
	case 0x6881: /* channel closed: the modem was reset */
	case 0x6d00: /* the applet is not selected any more */
	case 0x6e00: return diag_set(d, RC_CLOSED, "%s: SW %04X: channel lost", what, sw);
	case 0x6985:
	case 0x6982:
		return diag_set(d, RC_DENIED, "%s: SW %04X: refused by the card (blocked or empty)",
			what, sw);
	case 0x6984: return diag_set(d, RC_BUSY, "%s: SW 6984: being updated over the air", what);
	case 0x6a80:
	case 0x6a82:
	case 0x6a83:
	case 0x6a88: return diag_set(d, RC_NOT_FOUND, "%s: SW %04X: no such object", what, sw);
	default: return diag_set(d, RC_STATE, "%s: SW %04X", what, sw);
	}
}

static enum rc select_aid(struct iotsafe *card, const uint8_t *aid, size_t len, struct diag *d)
{
	struct dev_answer a;
	enum rc rc = dev__command(card, DEV_HEADER(INS_SELECT, 4, 0), aid, len, DEV_NO_LE, &a, d);

	if (rc != RC_OK)
		return rc;
	/* 91xx: done, and the card has a proactive command for the modem. */
	return a.sw >> 8 == 0x91 ? RC_OK : dev__status(a.sw, "SELECT", d);
}

enum rc dev__select(struct iotsafe *card, struct diag *d)
{
	enum rc rc = RC_NOT_FOUND;

	if (card->aid_len > 0)
		return select_aid(card, card->aid, card->aid_len, d);
	for (size_t i = 0; i < ARRAY_LEN(AIDS); i++) {
		rc = select_aid(card, AIDS[i].aid, AIDS[i].len, d);
		if (rc == RC_OK) {
			memcpy(card->aid, AIDS[i].aid, AIDS[i].len);
			card->aid_len = AIDS[i].len;
			return RC_OK;
		}
		if (rc != RC_NOT_FOUND && rc != RC_STATE)
			return rc;
	}
	return diag_set(d, RC_NOT_FOUND, "card %s: no IoT SAFE applet", card->name);
}

enum rc dev__open_channel(struct iotsafe *card, struct diag *d)
{
	struct dev_answer a;
	enum rc rc;

	card->channel = 0;
	rc = dev__command(card, DEV_HEADER(INS_MANAGE_CHANNEL, 0, 0), NULL, 0, 1, &a, d);
	if (rc != RC_OK)
		return rc;
	if ((a.sw == SW_OK || a.sw >> 8 == 0x91) && a.len == 1 && a.data[0] >= 1 && a.data[0] <= 3)
		card->channel = a.data[0];
	/* None is free (a process that was killed leaves its own open until the modem is reset):
	 * the basic channel serves, selected anew for each operation. */
	return dev__select(card, d);
}

void dev__close_channel(struct iotsafe *card)
{
	struct dev_answer a;
	uint8_t channel = card->channel;

	if (card->link.fd < 0 || !card->selected || channel == 0)
		return;
	card->channel = 0;
	card->selected = false;
	card->deadline_ms = 0;
	(void)!dev__command(
		card, DEV_HEADER(INS_MANAGE_CHANNEL, 0x80, channel), NULL, 0, 0, &a, NULL);
}
