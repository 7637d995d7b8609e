/* SPDX-License-Identifier: Apache-2.0 */
/* VERIFY SIGNATURE - INIT and UPDATE. */
#include "card/session.h"

#define TAG_SIGNATURE 0x33

uint16_t cmd_verify_init(struct command *cmd)
{
	struct signature_terms terms;
	struct operation *op = NULL;
	bool open;
	uint16_t sw = command__operation(cmd, cmd->channel->verify, &op, &open);

	if (sw != SW_OK || !open)
		return sw;
	sw = signature__terms(cmd, 5, &terms);
	if (sw != SW_OK)
		return sw;
	if (!cmd->card->state.keys[terms.id])
		return SW_CONDITIONS;
	return signature__begin(op, &terms);
}

/* 33 40, 33 00 40, 33 01 00, 33 82 01 00, then the signature: after the tag a zero byte means a
 * length of two, and so does one that the bytes left agree with. */
static struct cur take_signature(const struct operation *op)
{
	struct cur c = cur_init(op->tail, op->tail_len), two;
	size_t len;

	if (cur_u8(&c) != TAG_SIGNATURE)
		cur_fail(&c);
	two = c;
	len = cur_u16(&two);
	if (len == two.left && !two.bad)
		return two;
	len = cur_u8(&c);
	if (len == 0x81)
		len = cur_u8(&c);
	else if (len == 0x82)
		len = cur_u16(&c);
	if (len != c.left)
		cur_fail(&c);
	return c;
}

static uint16_t check(struct command *cmd, const struct operation *op)
{
	const struct card__key *key = cmd->card->state.keys[op->terms.id];
	struct cur sig = take_signature(op);

	if (sig.bad)
		return SW_DATA;
	if (!key)
		return SW_CONDITIONS;
	if (sig.left != (key->alg == ALG_RSA ? CARD__SIG_MAX : CARD__SIG_LEN))
		return SW_DATA;
	return card__key_verifies(key, op->terms.algorithm, &op->digest, sig.at, sig.left)
		       ? SW_OK
		       : SW_SIGNATURE;
}

uint16_t cmd_verify_update(struct command *cmd)
{
	struct cur data = cmd->apdu->data;
	struct operation *op = NULL;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->verify, &op, &last);

	if (sw != SW_OK)
		return sw;
	sw = signature__data(op, &data, last);
	if (sw == SW_OK)
		sw = operation__keep(op, &data);
	if (sw == SW_OK && !last)
		return SW_OK;
	if (sw == SW_OK)
		sw = check(cmd, op);
	operation__end(op, OP_DONE);
	return sw;
}
