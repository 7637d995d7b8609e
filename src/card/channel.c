/* SPDX-License-Identifier: Apache-2.0 */
/* MANAGE CHANNEL (ISO 7816-4, TS 102 221 section 11.1.17). */
#include "card/session.h"

#include <string.h>

#define RECLAIM_MS 30000

void operation__end(struct operation *op, enum operation_state state)
{
	EVP_MD_CTX_free(op->hash);
	*op = (struct operation){ .state = state };
}

void channel__reset(struct channel *ch)
{
	for (size_t i = 0; i < SESSION_NUMBERS; i++) {
		operation__end(&ch->sign[i], OP_CLOSED);
		operation__end(&ch->verify[i], OP_CLOSED);
		operation__end(&ch->put[i], OP_CLOSED);
	}
	memset(ch, 0, sizeof(*ch));
}

void channel__open(const struct card *card, struct channel *ch)
{
	channel__reset(ch);
	ch->open = true;
	ch->selected = SELECTED_MF;
	ch->used_ms = card->clock->monotonic_ms(card->clock);
}

/* The first closed channel; else, where the card may, the one idle longest: processes that died
 * with a channel open must not lock the others out for ever. */
static struct channel *pick(struct command *cmd)
{
	struct channel *chs = cmd->session->channels, *oldest = NULL;
	uint64_t now = cmd->card->clock->monotonic_ms(cmd->card->clock);

	for (size_t i = 1; i < SESSION_CHANNELS; i++) {
		if (!chs[i].open)
			return &chs[i];
		if (!oldest || chs[i].used_ms < oldest->used_ms)
			oldest = &chs[i];
	}
	if (!cmd->card->quirks.reclaim || now - oldest->used_ms < RECLAIM_MS)
		return NULL;
	return oldest;
}

static uint16_t open_channel(struct command *cmd)
{
	const struct apdu *a = cmd->apdu;
	struct channel *ch;

	if (a->p2 != 0)
		return SW_P1P2;
	ch = pick(cmd);
	if (!ch)
		return SW_NO_CHANNEL;
	channel__open(cmd->card, ch);
	put_u8(cmd->out, (uint8_t)(ch - cmd->session->channels));
	return SW_OK;
}

static uint16_t close_channel(struct command *cmd)
{
	uint8_t n = cmd->apdu->p2 ? cmd->apdu->p2 : cmd->apdu->cla & 3;

	if (n == 0)
		return SW_P1P2;
	if (n >= SESSION_CHANNELS || !cmd->session->channels[n].open)
		return SW_CHANNEL;
	channel__reset(&cmd->session->channels[n]);
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
