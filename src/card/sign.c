/* SPDX-License-Identifier: Apache-2.0 */
/* COMPUTE SIGNATURE - INIT and UPDATE. */
#include "card/session.h"

#define TAG_SIGNATURE 0x33

/* The key as it may be used now: blocked, absent and foreign keys all answer 6985. */
static const struct card__key *usable(const struct card *card, uint8_t id)
{
	const struct card__kind *kind = card__container(card, id);
	const struct card__key *key = card->state.keys[id];

	if (!kind || !kind->device_may_use || !(kind->functions & 0x01) || !key || key->blocked)
		return NULL;
	return key;
}

uint16_t cmd_sign_init(struct command *cmd)
{
	struct signature_terms terms;
	struct operation *op = NULL;
	bool open;
	uint16_t sw = command__operation(cmd, cmd->channel->sign, &op, &open);

	if (sw != SW_OK || !open)
		return sw;
	sw = signature__terms(cmd, 4, &terms);
	if (sw != SW_OK)
		return sw;
	if (!usable(cmd->card, terms.id))
		return SW_CONDITIONS;
	return signature__begin(op, &terms);
}

static uint16_t finish(struct command *cmd, const struct operation *op)
{
	const struct card__key *key = usable(cmd->card, op->terms.id);
	uint8_t bytes[CARD__SIG_MAX];
	struct put sig = put_init(bytes, sizeof(bytes));

	if (!key)
		return SW_CONDITIONS;
	if (card__key_sign(key, op->terms.algorithm, &op->digest, &sig) != RC_OK)
		return SW_INTERNAL;
	put_u8(cmd->out, TAG_SIGNATURE);
	/* The length of RSA's has two bytes in any case, as its one client expects. */
	if (cmd->card->quirks.sig_length || sig.len > 0xff)
		put_u16(cmd->out, (uint16_t)sig.len);
	else
		put_u8(cmd->out, (uint8_t)sig.len);
	put_bytes(cmd->out, bytes, sig.len);
	return SW_OK;
}

uint16_t cmd_sign_update(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	struct operation *op = NULL;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->sign, &op, &last);

	if (sw != SW_OK)
		return sw;
	sw = signature__data(op, &data, last);
	if (sw == SW_OK && !cur_done(&data))
		sw = SW_DATA;
	/* A digest is all there is to it: more blocks make no sense. */
	if (sw == SW_OK && !last && op->digested)
		sw = SW_DATA;
	if (sw == SW_OK && !last)
		return SW_OK;
	if (sw == SW_OK)
		sw = finish(cmd, op);
	/* Whatever came of it, the number is free again: an operation that failed half way must
	 * not lock the card. */
	operation__end(op, OP_DONE);
	return sw;
}
