/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that work in sessions, or name an object, have in common. */
#include "card/session.h"

#define TAG_ID	  0x80
#define TAG_LABEL 0x70

uint16_t command__object(const struct card *card, struct cur *data, uint8_t type, uint8_t *id)
{
	const struct card__kind *kind;
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
	/* Our ids are one byte: any other is the id of nothing here. */
	if (t.value.left != 1)
		return SW_NOT_FOUND;
	*id = cur_u8(&t.value);
	kind = card__container(card, *id);
	if (!kind || kind->is_file != (type == 3) || (type == 4 && !kind->has_private))
		return SW_NOT_FOUND;
	return SW_OK;
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

void command__put_public_key(struct put *p, const uint8_t point[CARD__POINT_LEN])
{
	tlv_put_head(p, 0x34, 2 + 2 + CARD__POINT_LEN);
	tlv_put_head(p, 0x49, 2 + CARD__POINT_LEN);
	tlv_put(p, 0x86, point, CARD__POINT_LEN);
}
