/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that work in sessions, or name an object, have in common. */
#include "card/session.h"

#include <stdlib.h>

#define TAG_ID	  0x80
#define TAG_LABEL 0x70

uint16_t command__object(const struct card *card, struct cur *data, uint8_t type, uint8_t *id)
{
	struct tlv t;

	if (!tlv_read(data, TLV_ISO, &t))
		return SW_DATA;
	if (t.tag == (TAG_LABEL | type)) {
		if (card__by_label(card, t.tag, t.value, id) != RC_OK)
			return SW_NOT_FOUND;
		return SW_OK;
	}
	if (t.tag != (TAG_ID | type))
		return SW_DATA;
	return card__by_id(card, t.tag, t.value, id) == RC_OK ? SW_OK : SW_NOT_FOUND;
}

uint16_t command__operation(struct command *cmd, struct operation ops[SESSION_NUMBERS],
	struct operation **op, bool *open)
{
	const struct apdu *a = cmd->apdu;
	struct operation *o;

	*open = false;
	if (a->p1 > 1 || a->p2 >= SESSION_NUMBERS)
		return SW_P1P2;
	o = &ops[a->p2];
	if (a->p1 == 1) {
		if (o->state == OP_CLOSED)
			return SW_CONDITIONS;
		operation__end(o, OP_CLOSED);
		return SW_OK;
	}
	if ((o->state == OP_OPEN || o->state == OP_BUSY) && !cmd->card->quirks.reopen_busy)
		return SW_CONDITIONS;
	operation__end(o, OP_CLOSED);
	*op = o;
	*open = true;
	return SW_OK;
}

uint16_t command__update(struct command *cmd, struct operation ops[SESSION_NUMBERS],
	struct operation **op, bool *last)
{
	const struct apdu *a = cmd->apdu;
	struct operation *o;

	if (a->p2 >= SESSION_NUMBERS)
		return SW_P1P2;
	if (a->p1 != 0x00 && a->p1 != 0x80 && !(cmd->card->quirks.last_block_any && (a->p1 & 0x80)))
		return SW_P1P2;
	o = &ops[a->p2];
	if (o->state != OP_OPEN && o->state != OP_BUSY)
		return SW_CONDITIONS;
	*op = o;
	*last = (a->p1 & 0x80) != 0;
	return SW_OK;
}

void operation__end(struct operation *op, enum operation_state state)
{
	EVP_MD_CTX_free(op->hash);
	free(op->tail);
	*op = (struct operation){ .state = state };
}

uint16_t operation__keep(struct operation *op, struct cur *data)
{
	if (data->left > SESSION_TAIL_MAX - op->tail_len)
		return SW_DATA;
	if (!op->tail)
		op->tail = malloc(SESSION_TAIL_MAX);
	if (!op->tail)
		return SW_INTERNAL;
	op->tail_len += data->left;
	cur_copy(data, op->tail + op->tail_len - data->left, data->left);
	return SW_OK;
}

bool command__is_busy(const struct card *card, uint8_t id)
{
	const struct card__write *w = &card->state.write;

	return card->quirks.admin_busy && w->open && w->id == id;
}

uint16_t command__made(struct command *cmd, const struct card__kind *kind)
{
	struct diag d = { 0 };

	if (!kind->persistent || card_save(cmd->card, &d) == RC_OK)
		return SW_OK;
	log_write(cmd->card->log, LOG_ERROR, "key not stored iccid=%s reason=\"%s\"",
		cmd->card->name, d.text);
	card__roll_back(cmd->card);
	return SW_NO_MEMORY;
}
