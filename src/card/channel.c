/* SPDX-License-Identifier: Apache-2.0 */
/* MANAGE CHANNEL (ISO 7816-4, TS 102 221 section 11.1.17). */
#include "card/session.h"

#include <stdlib.h>

#define RECLAIM_MS 30000

void channel__close(struct card_session *s, size_t n)
{
	struct channel *ch = s->channels[n];

	for (size_t i = 0; ch && i < SESSION_NUMBERS; i++) {
		operation__end(&ch->sign[i], OP_CLOSED);
		operation__end(&ch->verify[i], OP_CLOSED);
		operation__end(&ch->put[i], OP_CLOSED);
	}
	free(ch);
	s->channels[n] = NULL;
}

struct channel *channel__open(struct card_session *s, size_t n)
{
	struct channel *ch;

	channel__close(s, n);
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->selected = SELECTED_MF;
	ch->used_ms = s->card->clock->monotonic_ms(s->card->clock);
	s->channels[n] = ch;
	return ch;
}

/* 0X, 8X and, for channels from 4 on, 4X, CX (TS 102 221 section 10.1.1); no chaining and no secure
 * messaging. */
bool channel__of_class(uint8_t cla, size_t *n)
{
	if (cla & 0x40) {
		*n = 4 + (cla & 0x0fu);
		return (cla & 0x30) == 0;
	}
	*n = cla & 0x03u;
	return (cla & 0x3c) == 0;
}

/* The first closed channel; else, where the card may, the one idle longest: processes that died
 * with a channel open must not lock the others out for ever. 0: none. */
static size_t pick(struct command *cmd)
{
	struct channel *const *chs = cmd->session->channels;
	size_t count = cmd->card->quirks.channels ? SESSION_CHANNELS : 4, oldest = 1;
	uint64_t now = cmd->card->clock->monotonic_ms(cmd->card->clock);

	for (size_t i = 1; i < count; i++) {
		if (!chs[i])
			return i;
		if (chs[i]->used_ms < chs[oldest]->used_ms)
			oldest = i;
	}
	if (!cmd->card->quirks.reclaim || now - chs[oldest]->used_ms < RECLAIM_MS)
		return 0;
	return oldest;
}

static uint16_t open_channel(struct command *cmd)
{
	size_t n;

	if (cmd->apdu->p2 != 0)
		return SW_P1P2;
	n = pick(cmd);
	if (n == 0)
		return SW_NO_CHANNEL;
	if (!channel__open(cmd->session, n))
		return SW_INTERNAL;
	put_u8(cmd->out, (uint8_t)n);
	return SW_OK;
}

static uint16_t close_channel(struct command *cmd)
{
	size_t own = 0, n = cmd->apdu->p2;

	if (n == 0 && channel__of_class(cmd->apdu->cla, &own))
		n = own;
	if (n == 0)
		return SW_P1P2;
	if (n >= SESSION_CHANNELS || !cmd->session->channels[n])
		return SW_CHANNEL;
	channel__close(cmd->session, n);
	return SW_OK;
}

uint16_t cmd_manage_channel(struct command *cmd)
{
	if (cmd->apdu->has_data)
		return SW_LENGTH;
	switch (cmd->apdu->p1) {
	case 0x00: return open_channel(cmd);
	case 0x80: return close_channel(cmd);
	default: return SW_P1P2;
	}
}
