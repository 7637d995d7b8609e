/* SPDX-License-Identifier: Apache-2.0 */
/* What making and checking a signature have in common: terms, and the text or digest that comes in
 * blocks (facts on IoT.05: sections 7.1 to 7.3). */
#include "card/session.h"

#define MODE_TEXT	0x01 /* the card hashes */
#define MODE_LAST_BLOCK 0x02 /* the card hashes the end */
#define MODE_DIGEST	0x03 /* the host did */
#define TAG_TEXT	0x9b
#define TAG_DIGEST	0x9e

const EVP_MD *signature__hash(struct cur bits, uint16_t *bit)
{
	*bit = cur_u16(&bits);
	if (!cur_done(&bits))
		return NULL;
	switch (*bit) {
	case 0x0001: return EVP_sha256();
	case 0x0002: return EVP_sha384();
	case 0x0004: return EVP_sha512();
	default: return NULL;
	}
}

static bool is_algorithm_of(const struct card__kind *kind, uint8_t algorithm)
{
	return kind->alg == ALG_RSA ? algorithm == 0x01 || algorithm == 0x02 : algorithm == 0x04;
}

/* 84 or 85 id, A1 mode, 91 hash, 92 algorithm. */
uint16_t signature__terms(struct command *cmd, uint8_t type, struct signature_terms *out)
{
	struct cur data = cmd->apdu->data, m, hash, alg;
	struct signature_terms t = { 0 };
	const struct card__kind *kind;
	uint16_t bit = 0;

	if (command__object(cmd->card, &data, type, &t.id) != SW_OK)
		return SW_DATA;
	m = tlv_expect(&data, TLV_ISO, 0xa1);
	hash = tlv_expect(&data, TLV_ISO, 0x91);
	alg = tlv_expect(&data, TLV_ISO, 0x92);
	t.mode = cur_u8(&m);
	t.algorithm = cur_u8(&alg);
	t.md = signature__hash(hash, &bit);
	kind = card__container(cmd->card, t.id);
	if (!cur_done(&data) || !cur_done(&m) || !cur_done(&alg) || !t.md || !kind ||
		!(kind->hashes & bit) || !is_algorithm_of(kind, t.algorithm) ||
		t.mode < MODE_TEXT || t.mode > MODE_DIGEST)
		return SW_DATA;
	*out = t;
	return SW_OK;
}

uint16_t signature__begin(struct operation *op, const struct signature_terms *terms)
{
	*op = (struct operation){ .state = OP_OPEN, .terms = *terms };
	if (terms->mode != MODE_TEXT)
		return SW_OK;
	op->hash = EVP_MD_CTX_new();
	if (op->hash && EVP_DigestInit_ex(op->hash, terms->md, NULL) == 1)
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
	while (data->left > 0 && op->tail_len == 0 &&
		(op->text_left > 0 || cur_peek(data) == TAG_TEXT)) {
		size_t n;

		if (op->text_left == 0 && !text_head(data, &op->text_left))
			return SW_DATA;
		n = op->text_left < data->left ? op->text_left : data->left;
		if (n > 0 && EVP_DigestUpdate(op->hash, data->at, n) != 1)
			return SW_INTERNAL;
		cur_skip(data, n);
		op->text_left -= n;
	}
	return SW_OK;
}

static uint16_t take_digest(struct operation *op, struct cur *data)
{
	struct cur d = tlv_expect(data, TLV_ISO, TAG_DIGEST);

	if (data->bad || d.left != (size_t)EVP_MD_get_size(op->terms.md))
		return SW_DATA;
	op->digest.md = op->terms.md;
	op->digest.len = d.left;
	cur_copy(&d, op->digest.bytes, d.left);
	op->digested = true;
	return SW_OK;
}

uint16_t signature__data(struct operation *op, struct cur *data, bool last)
{
	unsigned len = 0;
	uint16_t sw;

	op->state = OP_BUSY;
	if (op->terms.mode != MODE_TEXT) {
		if (op->digested)
			return SW_OK;
		return op->terms.mode == MODE_DIGEST ? take_digest(op, data)
						     : signature__last_block(op, data);
	}
	sw = take_text(op, data);
	if (sw != SW_OK || !last)
		return sw;
	if (op->text_left > 0 || EVP_DigestFinal_ex(op->hash, op->digest.bytes, &len) != 1)
		return SW_DATA;
	op->digest.md = op->terms.md;
	op->digest.len = len;
	return SW_OK;
}
