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
	if (card__key_generate(&cmd->card->state, id, kind->alg) != RC_OK)
		return SW_INTERNAL;
	sw = command__made(cmd, kind);
	if (sw != SW_OK)
		return sw;
	card__id_put(cmd->out, cmd->card, 0x84, id);
	card__id_put(cmd->out, cmd->card, 0x85, id);
	return card__key_public_write(cmd->card->state.keys[id], cmd->out) == RC_OK ? SW_OK
										    : SW_INTERNAL;
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
	return card__key_public_write(cmd->card->state.keys[id], cmd->out) == RC_OK ? SW_OK
										    : SW_INTERNAL;
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
	*op = (struct operation){ .state = OP_OPEN, .terms.id = id };
	return SW_OK;
}

/* Clients cut one object anywhere, or give every piece the outer head anew: the pieces' values,
 * under one head. */
static size_t unwrap(const uint8_t *in, size_t len, uint8_t out[SESSION_TAIL_MAX + 4])
{
	uint8_t value[SESSION_TAIL_MAX];
	struct put v = put_init(value, sizeof(value));
	struct put p = put_init(out, SESSION_TAIL_MAX + 4);
	struct cur c = cur_init(in, len);
	struct tlv t;

	while (c.left > 0 && tlv_read(&c, TLV_ISO, &t) && t.tag == 0x34)
		put_bytes(&v, t.value.at, t.value.left);
	if (!cur_done(&c))
		return 0;
	tlv_put(&p, 0x34, value, v.len);
	return put_ok(&v) && put_ok(&p) ? p.len : 0;
}

static enum rc take_public_key(struct command *cmd, const struct operation *op)
{
	const struct card__kind *kind = card__container(cmd->card, op->terms.id);
	uint8_t object[SESSION_TAIL_MAX + 4];
	size_t len = unwrap(op->tail, op->tail_len, object);

	if (!kind || len == 0)
		return RC_MALFORMED;
	return card__key_public_read(
		&cmd->card->state, op->terms.id, kind->alg, cur_init(object, len));
}

uint16_t cmd_put_public_key_update(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	struct operation *op = NULL;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->put, &op, &last);
	enum rc rc;

	if (sw != SW_OK)
		return sw;
	op->state = OP_BUSY;
	sw = operation__keep(op, &data);
	if (sw == SW_OK && !last)
		return SW_OK;
	if (sw == SW_OK) {
		rc = take_public_key(cmd, op);
		if (rc != RC_OK)
			sw = rc == RC_MALFORMED || rc == RC_UNSUPPORTED ? SW_DATA : SW_INTERNAL;
	}
	operation__end(op, OP_DONE);
	return sw;
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
	if (key->alg != peer->alg)
		return SW_DATA;
	if (card__key_agree(key, peer, shared) != RC_OK)
		return SW_INTERNAL;
	put_bytes(cmd->out, shared, sizeof(shared));
	mem_wipe(shared, sizeof(shared));
	return SW_OK;
}
