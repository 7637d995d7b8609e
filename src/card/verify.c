/* SPDX-License-Identifier: Apache-2.0 */
/* VERIFY SIGNATURE - INIT and UPDATE. */
#include "card/session.h"

#define TAG_SIGNATURE 0x33

uint16_t cmd_verify_init(struct command *cmd)
{
	struct operation *op = NULL;
	uint8_t id, mode;
	bool open;
	uint16_t sw = command__operation(cmd, cmd->channel->verify, &op, &open);

	if (sw != SW_OK || !open)
		return sw;
	sw = signature__parameters(cmd, 5, &id, &mode);
	if (sw != SW_OK)
		return sw;
	if (!cmd->card->state.keys[id])
		return SW_CONDITIONS;
	return signature__begin(op, id, mode);
}

/* 33 40 r||s, or 33 00 40 r||s: after the tag a zero byte means a length of two. */
static const uint8_t *take_signature(struct cur *data)
{
	size_t len = 0;

	if (cur_u8(data) != TAG_SIGNATURE)
		return NULL;
	len = cur_u8(data);
	if (len == 0)
		len = cur_u8(data);
	if (len != CARD__SIG_LEN || data->left != len)
		return NULL;
	return cur_bytes(data, len);
}

uint16_t cmd_verify_update(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	uint8_t digest[CARD__DIGEST_LEN];
	const struct card__key *key;
	struct operation *op = NULL;
	const uint8_t *sig;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->verify, &op, &last);

	if (sw != SW_OK)
		return sw;
	sw = signature__data(op, &data, last, digest);
	if (sw == SW_OK && !last && cur_done(&data))
		return SW_OK;
	if (sw == SW_OK) {
		sig = last ? take_signature(&data) : NULL;
		key = cmd->card->state.keys[op->id];
		if (!sig)
			sw = SW_DATA;
		else if (!key)
			sw = SW_CONDITIONS;
		else if (!card__key_verifies(key, digest, sig))
			sw = SW_SIGNATURE;
	}
	operation__end(op, OP_DONE);
	return sw;
}
