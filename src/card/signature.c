/* SPDX-License-Identifier: Apache-2.0 */
/* What making and checking a signature have in common: parameters, and the text or digest that
 * comes in blocks (facts on IoT.05: sections 7.1 to 7.3). */
#include "card/session.h"

#define MODE_TEXT   0x01 /* the card hashes */
#define MODE_DIGEST 0x03 /* the host did */
#define TAG_TEXT    0x9b
#define TAG_DIGEST  0x9e

/* 84 or 85 id, A1 mode, 91 hash, 92 algorithm: SHA-256 and ECDSA are all there is. */
uint16_t signature__parameters(struct command *cmd, uint8_t type, uint8_t *id, uint8_t *mode)
{
	struct cur data = cmd->apdu->data, m, hash, alg;
	uint16_t sw = command__object(cmd->card, &data, type, id);

	if (sw != SW_OK)
		return SW_DATA;
	m = tlv_expect(&data, TLV_ISO, 0xa1);
	hash = tlv_expect(&data, TLV_ISO, 0x91);
	alg = tlv_expect(&data, TLV_ISO, 0x92);
	*mode = cur_u8(&m);
	if (!cur_done(&data) || cur_u16(&hash) != 0x0001 || cur_u8(&alg) != 0x04 || !cur_done(&m) ||
		!cur_done(&hash) || !cur_done(&alg))
		return SW_DATA;
	return *mode == MODE_TEXT || *mode == MODE_DIGEST ? SW_OK : SW_DATA;
}

uint16_t signature__begin(struct operation *op, uint8_t id, uint8_t mode)
{
	*op = (struct operation){ .state = OP_OPEN, .id = id, .mode = mode };
	if (mode != MODE_TEXT)
		return SW_OK;
	op->hash = EVP_MD_CTX_new();
	if (op->hash && EVP_DigestInit_ex(op->hash, EVP_sha256(), NULL) == 1)
		return SW_OK;
	operation__end(op, OP_CLOSED);
	return SW_INTERNAL;
}

/* The length of a text object whose value may go on in later blocks. */
static bool text_head(struct cur *data, size_t *len)
{
	uint8_t first;

	if (cur_u8(data) != TAG_TEXT)
		return false;
	first = cur_u8(data);
	switch (first) {
	case 0x81: *len = cur_u8(data); break;
	case 0x82: *len = cur_u16(data); break;
	case 0x83: *len = cur_u24(data); break;
	default: *len = first; break;
	}
	return !data->bad && (first < 0x80 || (first >= 0x81 && first <= 0x83));
}

/* Text comes as one object cut anywhere, or as an object per block: clients differ. */
static uint16_t take_text(struct operation *op, struct cur *data)
{
	while (data->left > 0 && (op->text_left > 0 || cur_peek(data) == TAG_TEXT)) {
		size_t n;

		if (op->text_left == 0 && !text_head(data, &op->text_left))
			return SW_DATA;
		n = op->text_left < data->left ? op->text_left : data->left;
		if (n > 0 && EVP_DigestUpdate(op->hash, data->at, n) != 1)
			return SW_INTERNAL;
		cur_skip(data, n);
		op->text_left -= n;
	}
	op->state = OP_BUSY;
	return SW_OK;
}

uint16_t signature__data(
	struct operation *op, struct cur *data, bool last, uint8_t digest[CARD__DIGEST_LEN])
{
	struct cur d;
	uint16_t sw;

	if (op->mode == MODE_DIGEST) {
		d = tlv_expect(data, TLV_ISO, TAG_DIGEST);
		cur_copy(&d, digest, CARD__DIGEST_LEN);
		return last && cur_done(&d) ? SW_OK : SW_DATA;
	}
	sw = take_text(op, data);
	if (sw != SW_OK || !last)
		return sw;
	if (op->text_left > 0)
		return SW_DATA;
	return EVP_DigestFinal_ex(op->hash, digest, NULL) == 1 ? SW_OK : SW_INTERNAL;
}
