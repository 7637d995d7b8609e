/* SPDX-License-Identifier: Apache-2.0 */
#include "epp/out.h"
#include "base/secret.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OUT_MIN = 2048 };

void out_free(struct out *o)
{
	if (o->bytes)
		mem_wipe(o->bytes, o->cap);
	free(o->bytes);
	*o = (struct out){ 0 };
}

static bool reserve(struct out *o, size_t len)
{
	size_t cap = o->cap ? o->cap : OUT_MIN;
	char *grown;

	if (o->bad || len > SIZE_MAX / 4 - o->len) {
		o->bad = true;
		return false;
	}
	while (cap < o->len + len)
		cap *= 2;
	if (cap == o->cap)
		return true;
	grown = malloc(cap);
	if (!grown) {
		o->bad = true;
		return false;
	}
	if (o->bytes) {
		memcpy(grown, o->bytes, o->len);
		mem_wipe(o->bytes, o->cap);
		free(o->bytes);
	}
	o->bytes = grown;
	o->cap = cap;
	return true;
}

void out_bytes(struct out *o, const void *bytes, size_t len)
{
	if (!len || !reserve(o, len))
		return;
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

void out_raw(struct out *o, const char *text)
{
	out_bytes(o, text, strlen(text));
}

void out_text(struct out *o, const char *text)
{
	for (;;) {
		size_t plain =
			strcspn(text, "<>&\"\r\x7f\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f"
				      "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d"
				      "\x1e\x1f");

		out_bytes(o, text, plain);
		text += plain;
		if (!*text)
			return;
		switch (*text++) {
		case '<': out_raw(o, "&lt;"); break;
		case '>': out_raw(o, "&gt;"); break;
		case '&': out_raw(o, "&amp;"); break;
		case '"': out_raw(o, "&quot;"); break;
		default: out_raw(o, "?"); break;
		}
	}
}

void out_open(struct out *o, const char *name, const char *attrs)
{
	out_raw(o, "<");
	out_raw(o, name);
	out_raw(o, attrs);
	out_raw(o, ">");
}

void out_close(struct out *o, const char *name)
{
	out_raw(o, "</");
	out_raw(o, name);
	out_raw(o, ">");
}

void out_leaf(struct out *o, const char *name, const char *text)
{
	out_open(o, name, "");
	out_text(o, text);
	out_close(o, name);
}

void out_leaf_if(struct out *o, const char *name, const char *text)
{
	if (text && *text)
		out_leaf(o, name, text);
}

void out_leaf_uint(struct out *o, const char *name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	out_leaf(o, name, text);
}

void out_time_text(int64_t unix_s, char text[EPP_TIME_TEXT])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, EPP_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
		(void)snprintf(text, EPP_TIME_TEXT, "1970-01-01T00:00:00Z");
}

void out_leaf_time(struct out *o, const char *name, int64_t unix_s)
{
	char text[EPP_TIME_TEXT];

	out_time_text(unix_s, text);
	out_leaf(o, name, text);
}

void out_leaf_b64(struct out *o, const char *name, const void *bytes, size_t len)
{
	out_open(o, name, "");
	if (reserve(o, B64_LEN(len))) {
		b64_write(bytes, len, o->bytes + o->len);
		o->len += B64_LEN(len) - 1;
	}
	out_close(o, name);
}

void out_fmt(struct out *o, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		o->bad = true;
	else
		out_bytes(o, text, (size_t)n);
}
