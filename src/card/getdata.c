/* SPDX-License-Identifier: Apache-2.0 */
/* GET DATA: application information, object list, one object (facts on IoT.05: section 6). */
#include "card/session.h"

#include <string.h>

#define INFO_PRIVATE 0xc1
#define INFO_PUBLIC  0xc2
#define INFO_FILE    0xc3
#define INFO_SECRET  0xc4

static void put_byte(struct put *p, uint8_t tag, uint8_t v)
{
	tlv_put(p, tag, &v, 1);
}

/* What the containers of one type add up to. */
struct abilities {
	uint8_t count;
	uint8_t algorithms; /* tag 92 */
	uint16_t hashes;    /* tag 91 */
};

static uint8_t algorithms_of(const struct card__kind *kind)
{
	return kind->alg == ALG_RSA ? 0x03 : 0x04;
}

static struct abilities sum(const struct card *card, uint8_t type)
{
	struct abilities a = { 0 };

	for (unsigned i = 1; i < 256; i++) {
		const struct card__kind *kind = card__container(card, (uint8_t)i);

		if (!kind || !card__kind_is(kind, type))
			continue;
		a.count++;
		if (kind->functions & 0x01) {
			a.algorithms |= algorithms_of(kind);
			a.hashes |= kind->hashes;
		}
	}
	return a;
}

static void put_u16_tlv(struct put *p, uint8_t tag, uint16_t v)
{
	uint8_t bytes[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	tlv_put(p, tag, bytes, sizeof(bytes));
}

/* 44 (68) bytes exactly; one client's parser is bent to a card that left one byte out of 11 and
 * gave 91 one. */
static uint16_t application(struct command *cmd)
{
	static const char proprietary[32] ATT_NONSTRING = "attestry IoT SAFE applet";
	const struct card_quirks *q = &cmd->card->quirks;
	struct abilities keys = sum(cmd->card, 4);
	struct put *p = cmd->out;

	if (cmd->apdu->p2 != 0)
		return SW_P1P2;
	put_byte(p, 0x10, 0x10);
	if (q->app_info) {
		tlv_put_head(p, 0x11, sizeof(proprietary));
		put_bytes(p, proprietary, sizeof(proprietary) - 1);
	} else {
		tlv_put(p, 0x11, proprietary, sizeof(proprietary));
	}
	put_byte(p, 0xb1, sum(cmd->card, 3).count);
	put_byte(p, 0xb2, keys.count);
	put_byte(p, 0xb3, sum(cmd->card, 5).count);
	put_byte(p, 0xb4, sum(cmd->card, 6).count);
	/* signature, key generation, agreement and derivation */
	put_byte(p, q->app_tags ? 0x61 : 0x90, 0x0f);
	if (q->app_info)
		put_byte(p, 0x91, (uint8_t)keys.hashes);
	else
		put_u16_tlv(p, 0x91, keys.hashes);
	put_byte(p, 0x92, keys.algorithms);
	put_byte(p, q->app_tags ? 0x6f : 0x93, 0x01); /* ECKA */
	put_byte(p, 0x94, 0x03);		      /* TLS 1.2 PRF, HKDF */
	put_byte(p, 0xb7, SESSION_NUMBERS);
	return SW_OK;
}

static void put_label(struct put *p, uint8_t tag, const struct card__kind *kind, uint8_t id)
{
	char label[CARD__LABEL_MAX];

	card__label(kind, id, tag == 0x75, label);
	tlv_put(p, tag, label, strlen(label));
}

/* Tag 4B. */
static uint8_t type_of(const struct card__kind *kind)
{
	switch (kind->alg) {
	case ALG_P256: return kind->persistent ? 0x13 : 0x14;
	case ALG_BRAINPOOL: return kind->persistent ? 0x23 : 0x24;
	case ALG_RSA: return 0x03;
	case ALG_SECRET: return 0xa0;
	}
	return 0;
}

static void put_key_info(
	struct put *p, const struct card *card, const struct card__kind *kind, uint8_t id, bool pub)
{
	const struct card__key *key = card->state.keys[id];
	size_t mark = tlv_open(p, pub ? INFO_PUBLIC : INFO_PRIVATE);

	put_label(p, pub ? 0x75 : 0x74, kind, id);
	card__id_put(p, card, pub ? 0x85 : 0x84, id);
	put_byte(p, 0x60, (uint8_t)((pub ? 0x01 : 0x00) | (kind->device_may_make ? 0x02 : 0x00)));
	put_byte(p, 0x4a, key && !key->blocked);
	put_byte(p, 0x4b, type_of(kind));
	put_byte(p, 0x4e, 0x01);
	put_byte(p, 0x61, kind->functions);
	if (kind->functions & 0x01) {
		put_byte(p, 0x92, algorithms_of(kind));
		put_u16_tlv(p, 0x91, kind->hashes);
	}
	if (kind->functions & 0x04)
		put_byte(p, 0x6f, 0x01);
	tlv_close(p, mark);
}

static void put_secret_info(
	struct put *p, const struct card *card, const struct card__kind *kind, uint8_t id)
{
	const struct card__key *key = card->state.keys[id];
	size_t mark = tlv_open(p, INFO_SECRET);

	put_label(p, 0x76, kind, id);
	card__id_put(p, card, 0x86, id);
	put_byte(p, 0x60, 0x00);
	put_byte(p, 0x4a, key && !key->blocked);
	put_byte(p, 0x4b, type_of(kind));
	put_byte(p, 0x61, kind->functions);
	put_byte(p, 0x94, 0x03);
	tlv_close(p, mark);
}

static void put_file_info(
	struct put *p, const struct card *card, const struct card__kind *kind, uint8_t id)
{
	const struct card__file *file = &card->state.files[id];
	uint8_t size[2] = { (uint8_t)(file->len >> 8), (uint8_t)file->len };
	size_t mark = tlv_open(p, INFO_FILE);

	put_label(p, 0x73, kind, id);
	card__id_put(p, card, 0x83, id);
	put_byte(p, 0x60, 0x01);
	put_byte(p, 0x4a, file->bytes != NULL);
	if (!card->quirks.file_usage)
		put_byte(p, 0x21, kind->usage);
	tlv_put(p, 0x20, size, sizeof(size));
	tlv_close(p, mark);
}

/* The information of a container under one of the four heads; false: it has none there. Empty files
 * are left out, key containers never, but the attestation key shows only where it is. */
static bool put_info(struct put *p, const struct card *card, uint8_t head, uint8_t id, bool list)
{
	const struct card__kind *kind = card__container(card, id);

	if (!kind)
		return false;
	if (list && kind->is_file && !card->state.files[id].bytes)
		return false;
	if (list && id == CARD_ID_ATTESTATION && !card->state.keys[id])
		return false;
	switch (head) {
	case INFO_PRIVATE:
		if (card__kind_is(kind, 4))
			put_key_info(p, card, kind, id, false);
		return card__kind_is(kind, 4);
	case INFO_PUBLIC:
		if (card__kind_is(kind, 5))
			put_key_info(p, card, kind, id, true);
		return card__kind_is(kind, 5);
	case INFO_SECRET:
		if (card__kind_is(kind, 6))
			put_secret_info(p, card, kind, id);
		return card__kind_is(kind, 6);
	default:
		if (card__kind_is(kind, 3))
			put_file_info(p, card, kind, id);
		return card__kind_is(kind, 3);
	}
}

/* Private keys, public keys, secret keys, files: the order in which one client scans. */
static void put_list(struct put *p, const struct card *card)
{
	static const uint8_t heads[] = { INFO_PRIVATE, INFO_PUBLIC, INFO_SECRET, INFO_FILE };

	for (size_t pass = 0; pass < ARRAY_LEN(heads); pass++)
		for (unsigned i = 1; i < 256; i++)
			(void)put_info(p, card, heads[pass], (uint8_t)i, true);
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
	return put_info(cmd->out, cmd->card, cmd->apdu->p1, id, false) ? SW_OK : SW_NOT_FOUND;
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
	case INFO_SECRET: return one_object(cmd, 6);
	default: return SW_P1P2;
	}
}
