/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cbor.h"

/* RFC 8949 section 3: the low five bits of a head. */
#define INFO_U8		24
#define INFO_U16	25
#define INFO_U32	26
#define INFO_U64	27
#define SIMPLE_FALSE	20
#define SIMPLE_TRUE	21
#define SIMPLE_NULL	22
#define SIMPLE_UNDEF	23
#define SIMPLE_LONG_MIN 32

static void put_head(struct put *p, enum cbor_type type, uint64_t v)
{
	uint8_t major = (uint8_t)((unsigned)type << 5);

	if (v < INFO_U8) {
		put_u8(p, (uint8_t)(major | v));
	} else if (v <= UINT8_MAX) {
		put_u8(p, major | INFO_U8);
		put_u8(p, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		put_u8(p, major | INFO_U16);
		put_u16(p, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		put_u8(p, major | INFO_U32);
		put_u32(p, (uint32_t)v);
	} else {
		put_u8(p, major | INFO_U64);
		put_u64(p, v);
	}
}

void cbor_put_uint(struct put *p, uint64_t v)
{
	put_head(p, CBOR_UINT, v);
}

void cbor_put_int(struct put *p, int64_t v)
{
	if (v < 0)
		put_head(p, CBOR_NINT, (uint64_t)(-(v + 1)));
	else
		put_head(p, CBOR_UINT, (uint64_t)v);
}

void cbor_put_bytes(struct put *p, const void *bytes, size_t len)
{
	put_head(p, CBOR_BYTES, len);
	put_bytes(p, bytes, len);
}

void cbor_put_text(struct put *p, const char *text, size_t len)
{
	put_head(p, CBOR_TEXT, len);
	put_bytes(p, text, len);
}

void cbor_put_array(struct put *p, size_t count)
{
	put_head(p, CBOR_ARRAY, count);
}

void cbor_put_map(struct put *p, size_t pairs)
{
	put_head(p, CBOR_MAP, pairs);
}

void cbor_put_tag(struct put *p, uint64_t tag)
{
	put_head(p, CBOR_TAG, tag);
}

void cbor_put_bool(struct put *p, bool v)
{
	put_head(p, CBOR_SIMPLE, v ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_null(struct put *p)
{
	put_head(p, CBOR_SIMPLE, SIMPLE_NULL);
}

enum cbor_type cbor_peek(const struct cur *c)
{
	int b = cur_peek(c);

	return b < 0 ? CBOR_END : (enum cbor_type)((unsigned)b >> 5);
}

/* The head's argument, refusing every form but the shortest; `type` must match. */
static uint64_t take_head(struct cur *c, enum cbor_type type)
{
	uint8_t b = cur_u8(c);
	uint8_t info = b & 0x1f;
	uint64_t v = info, least = 0;

	if (c->bad || (enum cbor_type)(b >> 5) != type)
		goto bad;
	if (info == INFO_U8) {
		v = cur_u8(c);
		least = INFO_U8;
	} else if (info == INFO_U16) {
		v = cur_u16(c);
		least = (uint64_t)UINT8_MAX + 1;
	} else if (info == INFO_U32) {
		v = cur_u32(c);
		least = (uint64_t)UINT16_MAX + 1;
	} else if (info == INFO_U64) {
		v = cur_u64(c);
		least = (uint64_t)UINT32_MAX + 1;
	} else if (info > INFO_U64) { /* reserved, or an indefinite length */
		goto bad;
	}
	if (c->bad || v < least)
		goto bad;
	return v;
bad:
	cur_fail(c);
	return 0;
}

uint64_t cbor_uint(struct cur *c)
{
	return take_head(c, CBOR_UINT);
}

int64_t cbor_int(struct cur *c)
{
	bool negative = cbor_peek(c) == CBOR_NINT;
	uint64_t v = take_head(c, negative ? CBOR_NINT : CBOR_UINT);

	if (v > INT64_MAX) {
		cur_fail(c);
		return 0;
	}
	return negative ? -(int64_t)v - 1 : (int64_t)v;
}

static struct cur take_string(struct cur *c, enum cbor_type type)
{
	uint64_t len = take_head(c, type);

	if (len > c->left)
		cur_fail(c);
	return cur_take(c, (size_t)len);
}

struct cur cbor_bytes(struct cur *c)
{
	return take_string(c, CBOR_BYTES);
}

/* RFC 3629 section 4: no surrogates, no overlong forms, nothing past U+10FFFF. */
static bool is_utf8(struct cur c)
{
	while (c.left > 0) {
		uint8_t b = cur_u8(&c);
		uint32_t point = b, least = 0;
		unsigned more = 0;

		if (b >= 0xf0 && b < 0xf8) {
			point = b & 0x07;
			more = 3;
			least = 0x10000;
		} else if (b >= 0xe0 && b < 0xf0) {
			point = b & 0x0f;
			more = 2;
			least = 0x800;
		} else if (b >= 0xc0 && b < 0xe0) {
			point = b & 0x1f;
			more = 1;
			least = 0x80;
		} else if (b >= 0x80) {
			return false;
		}
		for (; more > 0; more--) {
			uint8_t next = cur_u8(&c);
			if (c.bad || (next & 0xc0) != 0x80)
				return false;
			point = point << 6 | (next & 0x3f);
		}
		if (point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
			return false;
	}
	return true;
}

struct cur cbor_text(struct cur *c)
{
	struct cur text = take_string(c, CBOR_TEXT);

	if (!text.bad && !is_utf8(text)) {
		cur_fail(c);
		cur_fail(&text);
	}
	return text;
}

uint64_t cbor_tag(struct cur *c)
{
	return take_head(c, CBOR_TAG);
}

bool cbor_bool(struct cur *c)
{
	uint8_t b = cur_u8(c);

	if (b != (CBOR_SIMPLE << 5 | SIMPLE_FALSE) && b != (CBOR_SIMPLE << 5 | SIMPLE_TRUE)) {
		cur_fail(c);
		return false;
	}
	return b == (CBOR_SIMPLE << 5 | SIMPLE_TRUE);
}

bool cbor_null(struct cur *c)
{
	if (cur_peek(c) != (CBOR_SIMPLE << 5 | SIMPLE_NULL))
		return false;
	cur_skip(c, 1);
	return true;
}

size_t cbor_array(struct cur *c)
{
	uint64_t n = take_head(c, CBOR_ARRAY);

	if (n > c->left) {
		cur_fail(c);
		return 0;
	}
	return (size_t)n;
}

size_t cbor_map(struct cur *c)
{
	uint64_t n = take_head(c, CBOR_MAP);

	if (n > c->left / 2) {
		cur_fail(c);
		return 0;
	}
	return (size_t)n;
}

int cbor_compare(const struct cur *a, const struct cur *b)
{
	size_t n = a->left < b->left ? a->left : b->left;

	for (size_t i = 0; i < n; i++)
		if (a->at[i] != b->at[i])
			return a->at[i] < b->at[i] ? -1 : 1;
	return a->left == b->left ? 0 : a->left < b->left ? -1 : 1;
}

/* The bytes between two places of one cursor. */
static struct cur between(const struct cur *from, const struct cur *to)
{
	if (to->bad) {
		struct cur bad = { 0 };
		cur_fail(&bad);
		return bad;
	}
	return cur_init(from->at, from->left - to->left);
}

static void check_order(struct cur *c, struct cbor_keys *keys, struct cur key)
{
	if (keys->any && cbor_compare(&keys->last, &key) >= 0)
		cur_fail(c);
	keys->last = key;
	keys->any = true;
}

int64_t cbor_key(struct cur *c, struct cbor_keys *keys)
{
	struct cur start = *c;
	int64_t key = cbor_int(c);

	if (!c->bad)
		check_order(c, keys, between(&start, c));
	return c->bad ? 0 : key;
}

/* RFC 8949 section 4.2.1: a float stands in the shortest form that keeps its value. `wide` has
 * `exp` exponent and `man` mantissa bits, the next shorter form `exp2` and `man2`. */
static bool float_shrinks(uint64_t wide, unsigned exp, unsigned man, unsigned exp2, unsigned man2)
{
	uint64_t mantissa = wide & ((UINT64_C(1) << man) - 1);
	int64_t exponent = (int64_t)(wide >> man & ((UINT64_C(1) << exp) - 1));
	int64_t top = ((int64_t)1 << exp) - 1;
	int64_t bias = ((int64_t)1 << (exp - 1)) - 1, bias2 = ((int64_t)1 << (exp2 - 1)) - 1;
	unsigned cut = man - man2;

	if (exponent == top) /* infinities, and NaN, which stands as f97e00 only */
		return true;
	if (exponent ==
		0) /* zero shrinks; the wide form's subnormals are too small for any other */
		return mantissa == 0;
	int64_t e = exponent - bias;
	if (e > bias2)
		return false;
	if (e < 1 - bias2) { /* a subnormal of the shorter form: fewer bits are left */
		int64_t lost = 1 - bias2 - e;
		if (lost > man2)
			return false;
		cut += (unsigned)lost;
	}
	return (mantissa & ((UINT64_C(1) << cut) - 1)) == 0;
}

static void skip_simple(struct cur *c)
{
	uint8_t info = cur_u8(c) & 0x1f;

	if (info < SIMPLE_FALSE || info > INFO_U64)
		goto maybe_bad;
	if (info == INFO_U8) {
		if (cur_u8(c) < SIMPLE_LONG_MIN)
			cur_fail(c);
	} else if (info == INFO_U16) {
		uint16_t v = cur_u16(c);
		if ((v & 0x7c00) == 0x7c00 && (v & 0x03ff) != 0 && v != 0x7e00)
			cur_fail(c);
	} else if (info == INFO_U32) {
		if (float_shrinks(cur_u32(c), 8, 23, 5, 10))
			cur_fail(c);
	} else if (info == INFO_U64) {
		if (float_shrinks(cur_u64(c), 11, 52, 8, 23))
			cur_fail(c);
	}
	return;
maybe_bad:
	if (info > INFO_U64)
		cur_fail(c);
}

/* A container that is being walked. */
struct level {
	uint64_t left; /* items still to come, keys and values each counted */
	bool map;
	struct cbor_keys keys;
	struct cur key_start; /* where a key that is not finished yet began */
};

/* Takes one head. Says how many items it opens; leaves and strings open none. */
static uint64_t skip_head(struct cur *c, bool *map)
{
	enum cbor_type type = cbor_peek(c);

	*map = false;
	switch (type) {
	case CBOR_UINT:
	case CBOR_NINT: (void)take_head(c, type); return 0;
	case CBOR_BYTES: (void)cbor_bytes(c); return 0;
	case CBOR_TEXT: (void)cbor_text(c); return 0;
	case CBOR_ARRAY: return cbor_array(c);
	case CBOR_MAP: *map = true; return 2 * (uint64_t)cbor_map(c);
	case CBOR_TAG: (void)cbor_tag(c); return 1;
	case CBOR_SIMPLE: skip_simple(c); return 0;
	case CBOR_END: break;
	}
	cur_fail(c);
	return 0;
}

void cbor_skip(struct cur *c)
{
	struct level levels[CBOR_DEPTH_MAX];
	unsigned depth = 0;
	bool map;

	do {
		if (depth > 0 && levels[depth - 1].map && levels[depth - 1].left % 2 == 0)
			levels[depth - 1].key_start = *c;
		uint64_t opened = skip_head(c, &map);
		if (c->bad)
			return;
		if (opened > 0) {
			if (depth == CBOR_DEPTH_MAX) {
				cur_fail(c);
				return;
			}
			levels[depth++] = (struct level){ .left = opened, .map = map };
			continue;
		}
		/* An item is finished, and with it every container whose last it was. */
		while (depth > 0) {
			struct level *l = &levels[depth - 1];
			if (l->map && l->left % 2 == 0)
				check_order(c, &l->keys, between(&l->key_start, c));
			if (c->bad || --l->left > 0)
				break;
			depth--;
		}
	} while (depth > 0 && !c->bad);
}

struct cur cbor_item(struct cur *c)
{
	struct cur start = *c;

	cbor_skip(c);
	return between(&start, c);
}
