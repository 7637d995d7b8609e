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
	struct operation *op = NULL;
	uint8_t id, mode;
	bool open;
	uint16_t sw = command__operation(cmd, cmd->channel->sign, &op, &open);

	if (sw != SW_OK || !open)
		return sw;
	sw = signature__parameters(cmd, 4, &id, &mode);
	if (sw != SW_OK)
		return sw;
	if (!usable(cmd->card, id))
		return SW_CONDITIONS;
	return signature__begin(op, id, mode);
}

static uint16_t finish(struct command *cmd, const struct operation *op, const uint8_t *digest)
{
	const struct card__key *key = usable(cmd->card, op->id);
	uint8_t sig[CARD__SIG_LEN];

	if (!key)
		return SW_CONDITIONS;
	if (card__key_sign_digest(key, digest, sig) != RC_OK)
		return SW_INTERNAL;
	put_u8(cmd->out, TAG_SIGNATURE);
	if (cmd->card->quirks.long_signature)
		put_u8(cmd->out, 0);
	put_u8(cmd->out, sizeof(sig));
	put_bytes(cmd->out, sig, sizeof(sig));
	return SW_OK;
}

uint16_t cmd_sign_update(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	uint8_t digest[CARD__DIGEST_LEN];
	struct operation *op = NULL;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->sign, &op, &last);

	if (sw != SW_OK)
		return sw;
	sw = signature__data(op, &data, last, digest);
	if (sw == SW_OK && !cur_done(&data))
		sw = SW_DATA;
	if (sw == SW_OK && !last)
		return SW_OK;
	if (sw == SW_OK)
		sw = finish(cmd, op, digest);
	/* Whatever came of it, the number is free again: an operation that failed half way must
	 * not lock the card. */
	operation__end(op, OP_DONE);
	return sw;
}
