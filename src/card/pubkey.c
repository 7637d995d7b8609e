/* SPDX-License-Identifier: Apache-2.0 */
/* GENERATE KEY PAIR, READ PUBLIC KEY, PUT PUBLIC KEY, COMPUTE DH. */
#include "card/session.h"

uint16_t cmd_generate_key(struct command *cmd)
{
	const struct card__kind *kind;
	struct cur data = cmd->apdu->data;
	uint8_t id;
	uint16_t sw;

	if (cmd->apdu->p1 != 0 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	sw = command__object(cmd->card, &data, 4, &id);
	if (sw != SW_OK)
		return sw == SW_NOT_FOUND ? SW_DATA : sw;
	if (!cur_done(&data))
		return SW_DATA;
	/* Persistent keys are the operator's to make, over the air. */
	kind = card__container(cmd->card, id);
	if (!kind || !kind->device_may_make)
		return SW_CONDITIONS;
	if (card__key_generate(&cmd->card->state, id) != RC_OK)
		return SW_INTERNAL;
	tlv_put(cmd->out, 0x84, &id, 1);
	tlv_put(cmd->out, 0x85, &id, 1);
	command__put_public_key(cmd->out, cmd->card->state.keys[id]->point);
	return SW_OK;
}

uint16_t cmd_read_public_key(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	uint8_t id;
	uint16_t sw;

	if (cmd->apdu->p1 != 0 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	sw = command__object(cmd->card, &data, 5, &id);
	if (sw != SW_OK)
		return sw == SW_NOT_FOUND ? SW_DATA : sw;
	if (!cur_done(&data))
		return SW_DATA;
	if (!cmd->card->state.keys[id])
		return SW_CONDITIONS;
	command__put_public_key(cmd->out, cmd->card->state.keys[id]->point);
	return SW_OK;
}

uint16_t cmd_put_public_key_init(struct command *cmd)
{
	const struct card__kind *kind;
	struct cur data = cmd->apdu->data;
	struct operation *op = NULL;
	uint8_t id;
	bool open;
	uint16_t sw = command__operation(cmd, cmd->channel->put, &op, &open);

	if (sw != SW_OK || !open)
		return sw;
	sw = command__object(cmd->card, &data, 5, &id);
	if (sw != SW_OK || !cur_done(&data))
		return SW_DATA;
	kind = card__container(cmd->card, id);
	if (!kind || kind->has_private || !kind->device_may_make)
		return SW_CONDITIONS;
	*op = (struct operation){ .state = OP_OPEN, .id = id };
	return SW_OK;
}

uint16_t cmd_put_public_key_update(struct command *cmd)
{
	struct cur data = cmd->apdu->data, outer, inner, bytes;
	struct operation *op = NULL;
	const uint8_t *point;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->put, &op, &last);
	enum rc rc = RC_MALFORMED;

	if (sw != SW_OK)
		return sw;
	/* One block holds a P-256 key. */
	outer = tlv_expect(&data, TLV_ISO, 0x34);
	inner = tlv_expect(&outer, TLV_ISO, 0x49);
	bytes = tlv_expect(&inner, TLV_ISO, 0x86);
	point = cur_bytes(&bytes, CARD__POINT_LEN);
	if (last && point && cur_done(&bytes) && cur_done(&inner) && cur_done(&outer) &&
		cur_done(&data) && card__container(cmd->card, op->id))
		rc = card__key_from_point(&cmd->card->state, op->id, point);
	operation__end(op, OP_DONE);
	if (rc == RC_OK)
		return SW_OK;
	return rc == RC_MALFORMED ? SW_DATA : SW_INTERNAL;
}

uint16_t cmd_compute_dh(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	const struct card__kind *kind;
	const struct card__key *key, *peer;
	uint8_t id, peer_id, shared[CARD__SCALAR_LEN];
	uint16_t sw;

	if (cmd->apdu->p1 != 0 || cmd->apdu->p2 != 0)
		return SW_P1P2;
	sw = command__object(cmd->card, &data, 4, &id);
	if (sw == SW_OK)
		sw = command__object(cmd->card, &data, 5, &peer_id);
	if (sw != SW_OK || !cur_done(&data))
		return SW_DATA;
	kind = card__container(cmd->card, id);
	key = cmd->card->state.keys[id];
	peer = cmd->card->state.keys[peer_id];
	if (!kind || !kind->device_may_use || !(kind->functions & 0x04) || !key || key->blocked ||
		!peer)
		return SW_CONDITIONS;
	if (card__key_agree(key, peer, shared) != RC_OK)
		return SW_INTERNAL;
	put_bytes(cmd->out, shared, sizeof(shared));
	mem_wipe(shared, sizeof(shared));
	return SW_OK;
}
