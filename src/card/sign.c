/* SPDX-License-Identifier: Apache-2.0 */
/* COMPUTE SIGNATURE - INIT and UPDATE (facts on IoT.05: sections 7.1 to 7.4). */
#include "card/session.h"

#define MODE_TEXT   0x01 /* the card hashes */
#define MODE_DIGEST 0x03 /* the host did */
#define TAG_TEXT    0x9b
#define TAG_DIGEST  0x9e
#define TAG_SIGN    0x33

/* The key as it may be used now: blocked, absent and foreign keys all answer 6985. */
static const struct card__key *usable(const struct card *card, uint8_t id)
{
	const struct card__kind *kind = card__container(card, id);
	const struct card__key *key = card->state.keys[id];

	if (!kind || !kind->device_may_use || !(kind->functions & 0x01) || !key || key->blocked)
		return NULL;
	return key;
}

/* 84 id, A1 mode, 91 hash, 92 algorithm: SHA-256 and ECDSA are all there is. */
static uint16_t read_parameters(struct command *cmd, uint8_t *id, uint8_t *mode)
{
	struct cur data = cmd->apdu->data, m, hash, alg;
	uint16_t sw = command__object(cmd->card, &data, 4, id);

	if (sw != SW_OK)
		return sw == SW_NOT_FOUND ? SW_DATA : sw;
	m = tlv_expect(&data, TLV_ISO, 0xa1);
	hash = tlv_expect(&data, TLV_ISO, 0x91);
	alg = tlv_expect(&data, TLV_ISO, 0x92);
	*mode = cur_u8(&m);
	if (!cur_done(&data) || cur_u16(&hash) != 0x0001 || cur_u8(&alg) != 0x04 || !cur_done(&m) ||
		!cur_done(&hash) || !cur_done(&alg))
		return SW_DATA;
	return *mode == MODE_TEXT || *mode == MODE_DIGEST ? SW_OK : SW_DATA;
}

uint16_t cmd_sign_init(struct command *cmd)
{
	struct operation *op = NULL;
	uint8_t id, mode;
	bool open;
	uint16_t sw = command__operation(cmd, cmd->channel->sign, &op, &open);

	if (sw != SW_OK || !open)
		return sw;
	sw = read_parameters(cmd, &id, &mode);
	if (sw != SW_OK)
		return sw;
	if (!usable(cmd->card, id))
		return SW_CONDITIONS;
	*op = (struct operation){ .state = OP_OPEN, .id = id, .mode = mode };
	if (mode == MODE_TEXT) {
		op->hash = EVP_MD_CTX_new();
		if (!op->hash || EVP_DigestInit_ex(op->hash, EVP_sha256(), NULL) != 1) {
			operation__end(op, OP_CLOSED);
			return SW_INTERNAL;
		}
	}
	return SW_OK;
}

static uint16_t take_digest(struct cur data, uint8_t digest[CARD__DIGEST_LEN])
{
	struct cur d = tlv_expect(&data, TLV_ISO, TAG_DIGEST);

	cur_copy(&d, digest, CARD__DIGEST_LEN);
	return cur_done(&d) && cur_done(&data) ? SW_OK : SW_DATA;
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
static uint16_t take_text(struct operation *op, struct cur data, bool last)
{
	while (data.left > 0) {
		size_t n;

		if (op->text_left == 0 && !text_head(&data, &op->text_left))
			return SW_DATA;
		n = op->text_left < data.left ? op->text_left : data.left;
		if (n > 0 && EVP_DigestUpdate(op->hash, data.at, n) != 1)
			return SW_INTERNAL;
		cur_skip(&data, n);
		op->text_left -= n;
	}
	op->state = OP_BUSY;
	return !data.bad && (!last || op->text_left == 0) ? SW_OK : SW_DATA;
}

static uint16_t finish(struct command *cmd, const struct operation *op, const uint8_t *digest)
{
	const struct card__key *key = usable(cmd->card, op->id);
	uint8_t sig[CARD__SIG_LEN];

	if (!key)
		return SW_CONDITIONS;
	if (card__key_sign_digest(key, digest, sig) != RC_OK)
		return SW_INTERNAL;
	put_u8(cmd->out, TAG_SIGN);
	if (cmd->card->quirks.long_signature)
		put_u8(cmd->out, 0);
	put_u8(cmd->out, sizeof(sig));
	put_bytes(cmd->out, sig, sizeof(sig));
	return SW_OK;
}

uint16_t cmd_sign_update(struct command *cmd)
{
	uint8_t digest[CARD__DIGEST_LEN];
	struct operation *op = NULL;
	bool last = false;
	uint16_t sw = command__update(cmd, cmd->channel->sign, &op, &last);

	if (sw != SW_OK)
		return sw;
	if (op->mode == MODE_DIGEST) {
		sw = last ? take_digest(cmd->apdu->data, digest) : SW_DATA;
	} else {
		sw = take_text(op, cmd->apdu->data, last);
		if (sw == SW_OK && !last)
			return SW_OK;
		if (sw == SW_OK && EVP_DigestFinal_ex(op->hash, digest, NULL) != 1)
			sw = SW_INTERNAL;
	}
	if (sw == SW_OK)
		sw = finish(cmd, op, digest);
	/* Whatever came of it, the number is free again: an operation that failed half way must
	 * not lock the card. */
	operation__end(op, OP_DONE);
	return sw;
}
