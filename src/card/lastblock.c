/* SPDX-License-Identifier: Apache-2.0 */
/* Signature mode 02: the host has hashed all whole blocks and gives the state of the hash, how many
 * bytes are in it, and the rest; the card pads and finishes. Only the old interface of the library
 * lets a hash go on from a given state. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "card/session.h"

#include <openssl/sha.h>

#define TAG_LAST_BLOCK 0x9a
#define TAG_STATE      0x9c
#define TAG_COUNT      0x9d

struct last_block {
	struct cur rest;  /* 0 to 128 bytes that no state holds yet */
	struct cur state; /* H(0) to H(7), big-endian: 32 or 64 bytes */
	uint32_t count;	  /* bytes in the state: whole blocks */
};

static uint16_t parse(struct cur *data, struct last_block *out)
{
	struct last_block b = { 0 };
	unsigned seen = 0;

	while (seen != 7) {
		struct tlv t;

		if (!tlv_read(data, TLV_ISO, &t))
			return SW_DATA;
		switch (t.tag) {
		case TAG_LAST_BLOCK:
			b.rest = t.value;
			seen |= 1;
			break;
		case TAG_STATE:
			b.state = t.value;
			seen |= 2;
			break;
		case TAG_COUNT:
			b.count = cur_u32(&t.value);
			seen |= 4;
			if (!cur_done(&t.value))
				return SW_DATA;
			break;
		default: return SW_DATA;
		}
	}
	*out = b;
	return SW_OK;
}

static bool finish_256(struct last_block *b, uint8_t *digest)
{
	SHA256_CTX c;

	if (SHA256_Init(&c) != 1)
		return false;
	for (size_t i = 0; i < 8; i++)
		c.h[i] = cur_u32(&b->state);
	c.Nl = b->count << 3;
	c.Nh = b->count >> 29;
	return SHA256_Update(&c, b->rest.at, b->rest.left) == 1 && SHA256_Final(digest, &c) == 1;
}

static bool finish_512(struct last_block *b, bool is_384, uint8_t *digest)
{
	SHA512_CTX c;

	if ((is_384 ? SHA384_Init(&c) : SHA512_Init(&c)) != 1)
		return false;
	for (size_t i = 0; i < 8; i++)
		c.h[i] = cur_u64(&b->state);
	c.Nl = (uint64_t)b->count << 3;
	return SHA512_Update(&c, b->rest.at, b->rest.left) == 1 && SHA512_Final(digest, &c) == 1;
}

uint16_t signature__last_block(struct operation *op, struct cur *data)
{
	size_t size = (size_t)EVP_MD_get_size(op->terms.md);
	bool wide = size > 32;
	struct last_block b;
	uint16_t sw = parse(data, &b);

	if (sw != SW_OK)
		return sw;
	if (b.rest.left > 128 || b.state.left != (wide ? 64u : 32u) ||
		b.count % (wide ? 128u : 64u) != 0)
		return SW_DATA;
	if (!(wide ? finish_512(&b, size == 48, op->digest.bytes)
		   : finish_256(&b, op->digest.bytes)))
		return SW_INTERNAL;
	op->digest.md = op->terms.md;
	op->digest.len = size;
	op->digested = true;
	return SW_OK;
}
