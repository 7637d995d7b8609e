/* SPDX-License-Identifier: Apache-2.0 */
/* GET DATA: application information, object list, one object (facts on IoT.05: section 6). */
#include "card/session.h"

#include <string.h>

#define INFO_PRIVATE 0xc1
#define INFO_PUBLIC  0xc2
#define INFO_FILE    0xc3

static void put_byte(struct put *p, uint8_t tag, uint8_t v)
{
	tlv_put(p, tag, &v, 1);
}

static uint8_t count_kinds(const struct card *card, bool file, bool private_key)
{
	unsigned n = 0;

	for (unsigned i = 1; i < 256; i++) {
		const struct card__kind *kind = card__container(card, (uint8_t)i);

		n += kind && kind->is_file == file && (!private_key || kind->has_private);
	}
	return (uint8_t)n;
}

/* 44 (68) bytes exactly. */
static uint16_t application(struct command *cmd)
{
	static const char proprietary[32] ATT_NONSTRING = "attestry IoT SAFE applet";
	static const uint8_t sha256[] = { 0x00, 0x01 };
	struct put *p = cmd->out;

	if (cmd->apdu->p2 != 0)
		return SW_P1P2;
	put_byte(p, 0x10, 0x10);
	tlv_put(p, 0x11, proprietary, sizeof(proprietary));
	put_byte(p, 0xb1, count_kinds(cmd->card, true, false));
	put_byte(p, 0xb2, count_kinds(cmd->card, false, true));
	put_byte(p, 0xb3, count_kinds(cmd->card, false, false));
	put_byte(p, 0xb4, 0);
	put_byte(p, 0x90, 0x0f); /* signature, key generation, agreement and derivation */
	tlv_put(p, 0x91, sha256, sizeof(sha256));
	put_byte(p, 0x92, 0x04); /* ECDSA */
	put_byte(p, 0x93, 0x01); /* ECKA */
	put_byte(p, 0x94, 0x03); /* TLS 1.2 PRF, HKDF */
	put_byte(p, 0xb7, SESSION_NUMBERS);
	return SW_OK;
}

static void put_label(struct put *p, uint8_t tag, const struct card__kind *kind, uint8_t id)
{
	char label[CARD__LABEL_MAX];

	card__label(kind, id, tag == 0x75, label);
	tlv_put(p, tag, label, strlen(label));
}

static void put_key_info(
	struct put *p, const struct card *card, const struct card__kind *kind, uint8_t id, bool pub)
{
	static const uint8_t sha256[] = { 0x00, 0x01 };
	const struct card__key *key = card->state.keys[id];
	size_t mark = tlv_open(p, pub ? INFO_PUBLIC : INFO_PRIVATE);

	put_label(p, pub ? 0x75 : 0x74, kind, id);
	put_byte(p, pub ? 0x85 : 0x84, id);
	put_byte(p, 0x60, (uint8_t)((pub ? 0x01 : 0x00) | (kind->device_may_make ? 0x02 : 0x00)));
	put_byte(p, 0x4a, key && !key->blocked);
	put_byte(p, 0x4b, kind->persistent ? 0x13 : 0x14);
	put_byte(p, 0x4e, 0x01);
	put_byte(p, 0x61, kind->functions);
	if (kind->functions & 0x01) {
		put_byte(p, 0x92, 0x04);
		tlv_put(p, 0x91, sha256, sizeof(sha256));
	}
	if (kind->functions & 0x04)
		put_byte(p, 0x6f, 0x01);
	tlv_close(p, mark);
}

static void put_file_info(
	struct put *p, const struct card *card, const struct card__kind *kind, uint8_t id)
{
	const struct card__file *file = &card->state.files[id];
	uint8_t size[2] = { (uint8_t)(file->len >> 8), (uint8_t)file->len };
	size_t mark = tlv_open(p, INFO_FILE);

	put_label(p, 0x73, kind, id);
	put_byte(p, 0x83, id);
	put_byte(p, 0x60, 0x01);
	put_byte(p, 0x4a, file->bytes != NULL);
	put_byte(p, 0x21, kind->usage);
	tlv_put(p, 0x20, size, sizeof(size));
	tlv_close(p, mark);
}

/* Private keys, public keys, files, in the order in which one client scans; empty files are left
 * out, key containers never. */
static void put_list(struct put *p, const struct card *card)
{
	for (uint8_t pass = INFO_PRIVATE; pass <= INFO_FILE; pass++)
		for (unsigned i = 1; i < 256; i++) {
			uint8_t id = (uint8_t)i;
			const struct card__kind *kind = card__container(card, id);

			if (!kind || kind->is_file != (pass == INFO_FILE))
				continue;
			if (pass == INFO_FILE && card->state.files[id].bytes)
				put_file_info(p, card, kind, id);
			/* The attestation key is the card's own: it shows only where it is. */
			if (pass == INFO_FILE || (card__slot_of(id) == 0 && !card->state.keys[id]))
				continue;
			if (pass == INFO_PUBLIC || kind->has_private)
				put_key_info(p, card, kind, id, pass == INFO_PUBLIC);
		}
}

static uint16_t object_list(struct command *cmd)
{
	const struct apdu *a = cmd->apdu;
	uint8_t bytes[SESSION_LIST_MAX];
	struct put list = put_init(bytes, sizeof(bytes));
	size_t most = a->has_le && a->le < SESSION_CAP ? a->le : SESSION_CAP;
	size_t at, n;

	if (a->p2 > 1)
		return SW_P1P2;
	if (a->p2 == 0)
		cmd->channel->list_at = 0;
	put_list(&list, cmd->card);
	if (!put_ok(&list))
		return SW_NO_MEMORY;
	at = cmd->channel->list_at;
	if (a->p2 == 1 && (at == 0 || at >= list.len))
		return SW_CONDITIONS;
	n = list.len - at < most ? list.len - at : most;
	put_bytes(cmd->out, bytes + at, n);
	cmd->channel->list_at = at + n < list.len ? at + n : 0;
	return cmd->channel->list_at ? SW_MORE : SW_OK;
}

static uint16_t one_object(struct command *cmd, uint8_t type)
{
	const struct card__kind *kind;
	struct cur data = cmd->apdu->data;
	uint8_t id;
	uint16_t sw;

	if (cmd->apdu->p2 != 0)
		return SW_P1P2;
	sw = command__object(cmd->card, &data, type, &id);
	if (sw != SW_OK)
		return sw;
	if (!cur_done(&data))
		return SW_DATA;
	kind = card__container(cmd->card, id);
	if (!kind)
		return SW_NOT_FOUND;
	if (type == 3)
		put_file_info(cmd->out, cmd->card, kind, id);
	else
		put_key_info(cmd->out, cmd->card, kind, id, type == 5);
	return SW_OK;
}

uint16_t cmd_get_data(struct command *cmd)
{
	if (cmd->apdu->has_data != (cmd->apdu->p1 >= INFO_PRIVATE))
		return SW_LENGTH;
	switch (cmd->apdu->p1) {
	case 0x00: return application(cmd);
	case 0x01: return object_list(cmd);
	case INFO_PRIVATE: return one_object(cmd, 4);
	case INFO_PUBLIC: return one_object(cmd, 5);
	case INFO_FILE: return one_object(cmd, 3);
	default: return SW_P1P2;
	}
}
