/* SPDX-License-Identifier: Apache-2.0 */
#include "device/core/core__.h"

#include "base/tlv.h"

#define TAG_LABEL_FIRST 0x73
#define TAG_LABEL_LAST	0x76
#define TAG_ID_FIRST	0x83
#define TAG_ID_LAST	0x86
#define TAG_FILE_SIZE	0x20
#define TAG_FILE_USAGE	0x21
#define TAG_STATE	0x4a
#define TAG_KEY_TYPE	0x4b
#define TAG_KEY_USAGE	0x4e
#define TAG_ACCESS	0x60
#define TAG_FUNCTIONS	0x61

/* The list as it is read: one object is open until its id or label comes again. */
struct objects {
	struct iotsafe_object *out;
	size_t cap, count;
	struct iotsafe_object now;
	bool has_id, has_label;
};

static void settle(struct objects *o)
{
	if (o->has_id) {
		if (o->count < o->cap)
			o->out[o->count] = o->now;
		o->count++;
	}
	o->now = (struct iotsafe_object){ 0 };
	o->has_id = o->has_label = false;
}

/* File, private, public, secret: the order of tags 73..76 and 83..86. */
static const enum iotsafe_type TYPES[] = { IOTSAFE_FILE, IOTSAFE_PRIVATE_KEY, IOTSAFE_PUBLIC_KEY,
	IOTSAFE_SECRET_KEY };

static bool take_label(struct objects *o, const struct tlv *t)
{
	size_t n = t->value.left;

	if (o->has_label)
		settle(o);
	if (n > IOTSAFE_LABEL_MAX - 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t b = t->value.at[i];
		o->now.label[i] = b >= ' ' && b < 0x7f ? (char)b : '?';
	}
	o->now.label[n] = '\0';
	o->has_label = true;
	return true;
}

static bool take_id(struct objects *o, const struct tlv *t)
{
	if (o->has_id)
		settle(o);
	if (t->value.left == 0 || t->value.left > IOTSAFE_ID_MAX)
		return false;
	core__copy(o->now.id, t->value.at, t->value.left);
	o->now.id_len = t->value.left;
	o->now.type = TYPES[t->tag - TAG_ID_FIRST];
	o->has_id = true;
	return true;
}

/* A label that follows a finished object belongs to the next one. */
static bool starts_next(const struct objects *o, uint8_t tag)
{
	return tag >= TAG_LABEL_FIRST && tag <= TAG_LABEL_LAST && o->has_id && o->has_label;
}

static bool take_field(struct objects *o, struct tlv t)
{
	struct cur v = t.value;

	if (starts_next(o, t.tag))
		settle(o);
	if (t.tag >= TAG_LABEL_FIRST && t.tag <= TAG_LABEL_LAST)
		return take_label(o, &t);
	if (t.tag >= TAG_ID_FIRST && t.tag <= TAG_ID_LAST)
		return take_id(o, &t);
	switch (t.tag) {
	case TAG_FILE_SIZE: o->now.size = v.left == 1 ? cur_u8(&v) : cur_u16(&v); break;
	case TAG_FILE_USAGE:
	case TAG_KEY_USAGE: o->now.usage = cur_u8(&v); break;
	case TAG_STATE: o->now.state = cur_u8(&v); break;
	case TAG_KEY_TYPE: o->now.key_type = cur_u8(&v); break;
	case TAG_ACCESS: o->now.access = cur_u8(&v); break;
	case TAG_FUNCTIONS: o->now.functions = cur_u8(&v); break;
	default: return true; /* 6F, 91, 92 ... : not needed */
	}
	return cur_done(&v);
}

enum rc dev__objects_parse(
	const uint8_t *bytes, size_t len, struct iotsafe_object *out, size_t cap, size_t *count)
{
	struct cur c = cur_init(bytes, len);
	struct objects o = { .out = out, .cap = cap };
	struct tlv t, field;

	while (c.left > 0) {
		if (!tlv_read(&c, TLV_ISO, &t))
			return RC_MALFORMED;
		if (t.tag < IOTSAFE_PRIVATE_KEY || t.tag > IOTSAFE_SECRET_KEY) {
			if (!take_field(&o, t))
				return RC_MALFORMED;
			continue;
		}
		settle(&o);
		while (t.value.left > 0)
			if (!tlv_read(&t.value, TLV_ISO, &field) || !take_field(&o, field))
				return RC_MALFORMED;
		settle(&o);
	}
	settle(&o);
	*count = o.count;
	return RC_OK;
}

enum rc dev__applet_parse(const uint8_t *bytes, size_t len, struct iotsafe_applet *out)
{
	struct cur c = cur_init(bytes, len);
	struct iotsafe_applet a = { 0 };
	struct tlv t;

	while (c.left > 0) {
		if (!tlv_read(&c, TLV_ISO, &t))
			return RC_MALFORMED;
		switch (t.tag) {
		case 0x10: a.version = cur_u8(&t.value); break;
		case 0x11:
			if (t.value.left > sizeof(a.identifier))
				return RC_MALFORMED;
			a.identifier_len = t.value.left;
			cur_copy(&t.value, a.identifier, t.value.left);
			break;
		case 0xb1: a.files = cur_u8(&t.value); break;
		case 0xb2: a.private_keys = cur_u8(&t.value); break;
		case 0xb3: a.public_keys = cur_u8(&t.value); break;
		case 0xb4: a.secret_keys = cur_u8(&t.value); break;
		case 0xb7: a.sessions = cur_u8(&t.value); break;
		/* Cards differ in these two tags. */
		case 0x90:
		case 0x61: a.functions = cur_u8(&t.value); break;
		case 0x93:
		case 0x6f: a.agreements = cur_u8(&t.value); break;
		case 0x91:
			a.hashes = t.value.left == 1 ? cur_u8(&t.value) : cur_u16(&t.value);
			break;
		case 0x92: a.signatures = cur_u8(&t.value); break;
		case 0x94: a.derivations = cur_u8(&t.value); break;
		default: cur_skip(&t.value, t.value.left); break;
		}
		if (!cur_done(&t.value))
			return RC_MALFORMED;
	}
	*out = a;
	return RC_OK;
}

enum rc dev__point_parse(const uint8_t *bytes, size_t len, uint8_t point[IOTSAFE_POINT_LEN])
{
	static const uint8_t head[] = { 0x34, 0x45, 0x49, 0x43, 0x86, 0x41 };

	size_t same = 0;

	while (same < len && same < sizeof(head) && bytes[same] == head[same])
		same++;
	if (len == sizeof(head) + IOTSAFE_POINT_LEN && same == sizeof(head)) {
		bytes += sizeof(head);
		len -= sizeof(head);
	}
	if (len != IOTSAFE_POINT_LEN || bytes[0] != 0x04)
		return RC_MALFORMED;
	core__copy(point, bytes, IOTSAFE_POINT_LEN);
	return RC_OK;
}

enum rc dev__signature_parse(const uint8_t *bytes, size_t len, uint8_t sig[IOTSAFE_SIG_LEN])
{
	struct cur c = cur_init(bytes, len);

	if (cur_u8(&c) != 0x33)
		return RC_MALFORMED;
	if (cur_peek(&c) == 0) /* the two-byte length of some cards */
		cur_skip(&c, 1);
	if (cur_u8(&c) != IOTSAFE_SIG_LEN || c.left != IOTSAFE_SIG_LEN)
		return RC_MALFORMED;
	cur_copy(&c, sig, IOTSAFE_SIG_LEN);
	return cur_done(&c) ? RC_OK : RC_MALFORMED;
}
