/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <stdio.h>
#include <string.h>

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool usable(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Letters, digits, hyphen and underscore only: every name we ask for is one. */
enum rc dane__name_parse(const char *text, struct dane_name *out)
{
	struct dane_name n = { 0 };
	size_t len = strlen(text), start = 0;
	struct put p = put_init(n.wire, sizeof(n.wire));

	if (len > 0 && text[len - 1] == '.')
		len--;
	while (start < len) {
		const char *dot = memchr(text + start, '.', len - start);
		size_t label = dot ? (size_t)(dot - text) - start : len - start;

		if (label == 0 || label > 63)
			return RC_MALFORMED;
		put_u8(&p, (uint8_t)label);
		for (size_t i = 0; i < label; i++) {
			uint8_t c = lower((uint8_t)text[start + i]);

			if (!usable(c))
				return RC_MALFORMED;
			put_u8(&p, c);
		}
		start += label + 1;
		if (dot && start >= len)
			return RC_MALFORMED;
	}
	put_u8(&p, 0);
	if (!put_ok(&p) || (len == 0 && text[0] != '.'))
		return RC_MALFORMED;
	n.len = (uint8_t)p.len;
	*out = n;
	return RC_OK;
}

/* Bytes that have no plain form become '?': this text is for people. */
void dane__name_text(const struct dane_name *name, char out[DANE_NAME_MAX])
{
	size_t at = 0, o = 0;

	while (at < name->len && name->wire[at] != 0) {
		size_t label = name->wire[at++];

		if (o > 0)
			out[o++] = '.';
		for (size_t i = 0; i < label; i++, at++)
			out[o++] = usable(name->wire[at]) || name->wire[at] == '*'
					   ? (char)name->wire[at]
					   : '?';
	}
	if (o == 0)
		out[o++] = '.';
	out[o] = '\0';
}

/* Pointers must go strictly backwards (RFC 1035 4.1.4), so it ends. */
void dane__name_read(struct cur *c, const uint8_t *msg, size_t msg_len, struct dane_name *out)
{
	struct dane_name n = { 0 };
	struct put p = put_init(n.wire, sizeof(n.wire));
	struct cur jumped, *at = c;
	size_t limit = (size_t)(c->at - msg);

	for (;;) {
		uint8_t label = cur_u8(at);

		if (at->bad)
			goto bad;
		if (label >= 0xc0) {
			size_t to = (size_t)(label & 0x3f) << 8 | cur_u8(at);

			if (at->bad || to >= limit || to >= msg_len)
				goto bad;
			jumped = cur_init(msg + to, msg_len - to);
			limit = to;
			at = &jumped;
			continue;
		}
		const uint8_t *bytes = label > 63 ? NULL : cur_bytes(at, label);

		if (!bytes)
			goto bad;
		put_u8(&p, label);
		for (size_t i = 0; i < label; i++)
			put_u8(&p, lower(bytes[i]));
		if (!put_ok(&p))
			goto bad;
		if (label == 0)
			break;
	}
	n.len = (uint8_t)p.len;
	*out = n;
	return;
bad:
	cur_fail(c);
	memset(out, 0, sizeof(*out));
}

bool dane__name_equal(const struct dane_name *a, const struct dane_name *b)
{
	return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

/* Offsets of the labels, first to last, without the root. */
static unsigned offsets(const struct dane_name *n, uint8_t out[128])
{
	unsigned count = 0;

	for (size_t at = 0; at < n->len && n->wire[at] != 0; at += 1U + n->wire[at])
		out[count++] = (uint8_t)at;
	return count;
}

unsigned dane__name_labels(const struct dane_name *name)
{
	uint8_t off[128];

	return offsets(name, off);
}

int dane__name_cmp(const struct dane_name *a, const struct dane_name *b)
{
	uint8_t ao[128], bo[128];
	unsigned an = offsets(a, ao), bn = offsets(b, bo);

	while (an > 0 && bn > 0) {
		const uint8_t *x = a->wire + ao[--an], *y = b->wire + bo[--bn];
		size_t n = x[0] < y[0] ? x[0] : y[0];
		int d = memcmp(x + 1, y + 1, n);

		if (d != 0)
			return d;
		if (x[0] != y[0])
			return x[0] < y[0] ? -1 : 1;
	}
	return an == bn ? 0 : an < bn ? -1 : 1;
}

void dane__name_up(const struct dane_name *name, unsigned n, struct dane_name *out)
{
	size_t at = 0;

	for (; n > 0 && at < name->len && name->wire[at] != 0; n--)
		at += 1U + name->wire[at];
	struct dane_name up = { .len = (uint8_t)(name->len - at) };

	memcpy(up.wire, name->wire + at, up.len);
	*out = up;
}

bool dane__name_within(const struct dane_name *name, const struct dane_name *zone)
{
	unsigned have = dane__name_labels(name), want = dane__name_labels(zone);
	struct dane_name up;

	if (have < want)
		return false;
	dane__name_up(name, have - want, &up);
	return dane__name_equal(&up, zone);
}

void dane__name_common(const struct dane_name *a, const struct dane_name *b, struct dane_name *out)
{
	unsigned n = dane__name_labels(a);

	for (unsigned i = 0; i <= n; i++) {
		dane__name_up(a, i, out);
		if (dane__name_within(b, out))
			return;
	}
}
