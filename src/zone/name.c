/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/name.h"

#include <string.h>

/* A key is, from the zone downwards, a zero octet and the label for each label. Inside a label
 * 00 is written 01 01 and 01 is written 01 02, so that no label octet is zero and the order of
 * octets stays. The zero in front of the first label makes the apex a key too. */
#define KEY_SEP	   0x00
#define KEY_ESC	   0x01
#define LABELS_MAX 128u

enum rc zone_name_parse(struct cur *c, struct zone_name *out)
{
	struct zone_name n = { 0 };

	for (;;) {
		uint8_t l = cur_u8(c);

		if (c->bad || l > ZONE_LABEL_MAX || n.len + 1u + l > ZONE_NAME_MAX)
			return RC_MALFORMED;
		n.wire[n.len++] = l;
		if (l == 0)
			break;
		cur_copy(c, n.wire + n.len, l);
		n.len = (uint8_t)(n.len + l);
	}
	if (c->bad)
		return RC_MALFORMED;
	*out = n;
	return RC_OK;
}

/* One octet of text, escapes undone; -1 when malformed, -2 at a label's end. */
static int text_octet(const char **at)
{
	const char *p = *at;
	int v;

	if (*p == '.' || *p == '\0')
		return -2;
	if (*p != '\\') {
		*at = p + 1;
		return (uint8_t)*p;
	}
	p++;
	if (*p < '0' || *p > '9') {
		if (*p == '\0')
			return -1;
		*at = p + 1;
		return (uint8_t)*p;
	}
	if (p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9')
		return -1;
	v = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
	*at = p + 3;
	return v > 255 ? -1 : v;
}

enum rc zone_name_from_text(const char *text, struct zone_name *out)
{
	struct zone_name n = { 0 };

	if (text[0] == '.' && text[1] == '\0')
		text++;
	while (*text) {
		size_t at = n.len;
		size_t l = 0;
		int v;

		while ((v = text_octet(&text)) >= 0) {
			if (++l > ZONE_LABEL_MAX || at + 1 + l + 1 > ZONE_NAME_MAX)
				return RC_TOO_LARGE;
			n.wire[at + l] = (uint8_t)v;
		}
		if (v == -1 || l == 0)
			return RC_MALFORMED;
		n.wire[at] = (uint8_t)l;
		n.len = (uint8_t)(at + 1 + l);
		if (*text == '.')
			text++;
	}
	n.wire[n.len++] = 0;
	*out = n;
	return RC_OK;
}

static char *text_put(char *p, uint8_t c)
{
	if (c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' ||
		c == '$') {
		*p++ = '\\';
		*p++ = (char)c;
	} else if (c > 0x20 && c < 0x7f) {
		*p++ = (char)c;
	} else {
		*p++ = '\\';
		*p++ = (char)('0' + c / 100);
		*p++ = (char)('0' + c / 10 % 10);
		*p++ = (char)('0' + c % 10);
	}
	return p;
}

void zone_name_to_text(const struct zone_name *name, char *out)
{
	const uint8_t *w = name->wire;
	char *p = out;

	if (w[0] == 0)
		*p++ = '.';
	while (w[0] != 0) {
		for (unsigned i = 1; i <= w[0]; i++)
			p = text_put(p, w[i]);
		*p++ = '.';
		w += 1 + w[0];
	}
	*p = '\0';
}

void zone_name_lower(struct zone_name *name)
{
	/* Length octets are below 'A', so the whole can be folded at once. */
	for (unsigned i = 0; i < name->len; i++)
		name->wire[i] = zone_lower(name->wire[i]);
}

enum rc zone_name_join(
	const struct zone_name *rel, const struct zone_name *origin, struct zone_name *out)
{
	size_t front = rel->len - 1u;

	if (front + origin->len > ZONE_NAME_MAX)
		return RC_TOO_LARGE;
	memmove(out->wire, rel->wire, front);
	memcpy(out->wire + front, origin->wire, origin->len);
	out->len = (uint8_t)(front + origin->len);
	return RC_OK;
}

int zone_name_below(const uint8_t *name, size_t len, const struct zone_name *origin)
{
	size_t front;
	size_t at = 0;

	if (len < origin->len)
		return -1;
	front = len - origin->len;
	/* The octets must agree and the cut must fall between two labels. */
	for (size_t i = 0; i < origin->len; i++)
		if (zone_lower(name[front + i]) != zone_lower(origin->wire[i]))
			return -1;
	while (at < front)
		at += 1u + name[at];
	return at == front ? (int)front : -1;
}

unsigned zone_name_labels(const uint8_t *wire)
{
	unsigned n = 0;

	for (; wire[0] != 0; wire += 1 + wire[0])
		n++;
	return n;
}

void zone_key_write(const uint8_t *rel, size_t rel_len, struct zone_key *out)
{
	uint8_t starts[LABELS_MAX];
	uint8_t *p = out->bytes;
	unsigned n = 0;

	for (size_t at = 0; at < rel_len && n < LABELS_MAX; at += 1u + rel[at])
		starts[n++] = (uint8_t)at;
	if (n == 0)
		*p++ = KEY_SEP;
	while (n-- > 0) {
		const uint8_t *label = rel + starts[n];

		*p++ = KEY_SEP;
		for (unsigned i = 1; i <= label[0]; i++) {
			uint8_t c = zone_lower(label[i]);

			if (ATT_UNLIKELY(c <= KEY_ESC)) {
				*p++ = KEY_ESC;
				c++;
			}
			*p++ = c;
		}
	}
	out->len = (uint16_t)(p - out->bytes);
}

/* Reads one label of a key from its separator on into `label` (length octet first). */
static enum rc key_label(struct cur *c, uint8_t label[ZONE_LABEL_MAX + 1])
{
	unsigned l = 0;

	if (cur_u8(c) != KEY_SEP || c->bad)
		return RC_MALFORMED;
	while (cur_peek(c) > KEY_SEP) {
		uint8_t v = cur_u8(c);

		if (v == KEY_ESC) {
			v = (uint8_t)(cur_u8(c) - 1);
			if (c->bad || v > KEY_ESC)
				return RC_MALFORMED;
		}
		if (++l > ZONE_LABEL_MAX)
			return RC_MALFORMED;
		label[l] = v;
	}
	label[0] = (uint8_t)l;
	return l ? RC_OK : RC_MALFORMED;
}

enum rc zone_key_labels(const uint8_t *key, size_t key_len, uint8_t *out, size_t *out_len)
{
	struct cur c = cur_init(key, key_len);
	uint8_t label[ZONE_LABEL_MAX + 1];
	size_t at = ZONE_NAME_MAX;

	if (key_len == 1 && key[0] == KEY_SEP) {
		*out_len = 0;
		return RC_OK;
	}
	/* The key goes from the zone down, the wire from the leaf up: fill from the end. */
	while (c.left > 0) {
		if (key_label(&c, label) != RC_OK || at < 1u + label[0])
			return RC_MALFORMED;
		at -= 1u + label[0];
		memcpy(out + at, label, 1u + label[0]);
	}
	if (!cur_done(&c) || at == ZONE_NAME_MAX)
		return RC_MALFORMED;
	*out_len = ZONE_NAME_MAX - at;
	memmove(out, out + at, *out_len);
	return RC_OK;
}

enum rc zone_key_name(
	const uint8_t *key, size_t key_len, const struct zone_name *origin, struct zone_name *out)
{
	size_t front;

	if (zone_key_labels(key, key_len, out->wire, &front) != RC_OK ||
		front + origin->len > ZONE_NAME_MAX)
		return RC_MALFORMED;
	memcpy(out->wire + front, origin->wire, origin->len);
	out->len = (uint8_t)(front + origin->len);
	return RC_OK;
}

bool zone_key_is_below(const uint8_t *key, size_t key_len, const uint8_t *above, size_t above_len)
{
	if (key_len <= above_len)
		return false;
	if (above_len == 1 && above[0] == KEY_SEP)
		return true;
	return key[above_len] == KEY_SEP && memcmp(key, above, above_len) == 0;
}

int zone_key_cmp(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int d = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return d ? d : (a_len > b_len) - (a_len < b_len);
}
