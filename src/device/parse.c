/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/ident.h"
#include "base/str.h"
#include "base/tlv.h"

#include <string.h>

static bool starts_with(const char *line, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && memcmp(line, prefix, n) == 0;
}

static bool is_line(const char *line, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(line, text, len) == 0;
}

/* After "+CSIM:": spaces, a decimal count of hex digits, a comma, the digits with or without quotes
 * (3GPP TS 27.007 section 8.17; some modems leave the quotes out). */
static bool csim_value(const char *at, size_t len, uint8_t reply[DEV_REPLY_MAX], size_t *reply_len)
{
	char hex[2 * DEV_REPLY_MAX + 1];
	size_t i = 0, stated = 0, n = 0;

	while (i < len && at[i] == ' ')
		i++;
	if (i == len || at[i] < '0' || at[i] > '9')
		return false;
	for (; i < len && at[i] >= '0' && at[i] <= '9'; i++) {
		stated = stated * 10 + (size_t)(at[i] - '0');
		if (stated > 2 * DEV_REPLY_MAX)
			return false;
	}
	if (i == len || at[i++] != ',')
		return false;
	while (i < len && at[i] == ' ')
		i++;
	if (i < len && at[i] == '"') {
		i++;
		if (i == len || at[len - 1] != '"')
			return false;
		len--;
	}
	n = len - i;
	if (n != stated || n < 4)
		return false;
	memcpy(hex, at + i, n);
	hex[n] = '\0';
	return hex_read_upto(hex, reply, DEV_REPLY_MAX, reply_len) == RC_OK;
}

enum dev_line dev__line_parse(
	const char *line, size_t len, uint8_t reply[DEV_REPLY_MAX], size_t *reply_len)
{
	static const char csim[] = "+CSIM:";

	if (is_line(line, len, "OK"))
		return DEV_LINE_OK;
	if (is_line(line, len, "ERROR") || starts_with(line, len, "+CME ERROR") ||
		starts_with(line, len, "+CMS ERROR"))
		return DEV_LINE_ERROR;
	if (!starts_with(line, len, csim))
		return DEV_LINE_NOISE; /* an echo or an unsolicited result code */
	return csim_value(line + sizeof(csim) - 1, len - (sizeof(csim) - 1), reply, reply_len)
		       ? DEV_LINE_CSIM
		       : DEV_LINE_BAD_CSIM;
}

bool dev__line_iccid(const char *line, size_t len, char out[IOTSAFE_ICCID_TEXT])
{
	static const char *const prefixes[] = { "+CCID:", "+ICCID:", "+QCCID:", "^SCID:", "CCID:" };
	char text[IOTSAFE_ICCID_TEXT];
	uint8_t ef[IDENT_ICCID_LEN];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (starts_with(line, len, prefixes[i])) {
			line += strlen(prefixes[i]);
			len -= strlen(prefixes[i]);
			break;
		}
	}
	for (size_t i = 0; i < len; i++) {
		if (line[i] == ' ' || line[i] == '"')
			continue;
		if (n == sizeof(text) - 1)
			return false;
		text[n++] = line[i];
	}
	if (n == 19) /* without the filler that EF_ICCID has */
		text[n++] = 'f';
	text[n] = '\0';
	return ident_iccid_read(text, ef) == RC_OK && ident_iccid_write(ef, out) == RC_OK;
}

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
	memcpy(o->now.id, t->value.at, t->value.left);
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

enum rc dev__point_parse(const uint8_t *bytes, size_t len, uint8_t point[IOTSAFE_POINT_LEN])
{
	static const uint8_t head[] = { 0x34, 0x45, 0x49, 0x43, 0x86, 0x41 };

	if (len == sizeof(head) + IOTSAFE_POINT_LEN && memcmp(bytes, head, sizeof(head)) == 0) {
		bytes += sizeof(head);
		len -= sizeof(head);
	}
	if (len != IOTSAFE_POINT_LEN || bytes[0] != 0x04)
		return RC_MALFORMED;
	memcpy(point, bytes, IOTSAFE_POINT_LEN);
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
