/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void b64_write(const void *bytes, size_t len, char *out)
{
	const uint8_t *b = bytes;

	for (; len > 0; b += 3) {
		size_t n = len < 3 ? len : 3;
		uint32_t v = (uint32_t)b[0] << 16 | (n > 1 ? (uint32_t)b[1] << 8 : 0) |
			     (n > 2 ? b[2] : 0U);

		*out++ = b64_digits[v >> 18];
		*out++ = b64_digits[v >> 12 & 63];
		*out++ = n > 1 ? b64_digits[v >> 6 & 63] : '=';
		*out++ = n > 2 ? b64_digits[v & 63] : '=';
		len -= n;
	}
	*out = '\0';
}

static int b64_value(char c)
{
	const char *at = c ? strchr(b64_digits, c) : NULL;

	return at ? (int)(at - b64_digits) : -1;
}

static enum rc b64_group(const char *text, bool last, uint8_t *out, size_t *n)
{
	int v[4];
	size_t pad = 0;

	while (last && pad < 2 && text[3 - pad] == '=')
		pad++;
	for (size_t i = 0; i < 4 - pad; i++)
		if ((v[i] = b64_value(text[i])) < 0)
			return RC_MALFORMED;
	for (size_t i = 4 - pad; i < 4; i++)
		v[i] = 0;
	uint32_t bits =
		(uint32_t)v[0] << 18 | (uint32_t)v[1] << 12 | (uint32_t)v[2] << 6 | (uint32_t)v[3];
	if ((pad == 1 && (bits & 0xff)) || (pad == 2 && (bits & 0xffff)))
		return RC_MALFORMED;
	out[0] = (uint8_t)(bits >> 16);
	out[1] = (uint8_t)(bits >> 8);
	out[2] = (uint8_t)bits;
	*n = 3 - pad;
	return RC_OK;
}

enum rc b64_read(const char *text, size_t text_len, uint8_t *out, size_t cap, size_t *len)
{
	size_t done = 0;

	if (text_len % 4 != 0)
		return RC_MALFORMED;
	for (size_t i = 0; i < text_len; i += 4) {
		uint8_t bytes[3];
		size_t n;
		enum rc rc = b64_group(text + i, i + 4 == text_len, bytes, &n);

		if (rc != RC_OK)
			return rc;
		if (n > cap - done)
			return RC_TOO_LARGE;
		memcpy(out + done, bytes, n);
		done += n;
	}
	*len = done;
	return RC_OK;
}

enum rc u64_read(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return RC_MALFORMED;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return RC_MALFORMED;
		uint64_t digit = (uint64_t)(*text - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return RC_RANGE;
		v = v * 10 + digit;
	}
	if (v < min || v > max)
		return RC_RANGE;
	*out = v;
	return RC_OK;
}

enum rc str_copy(char *out, size_t cap, const char *text)
{
	size_t len = strlen(text);

	if (len >= cap) {
		out[0] = '\0';
		return RC_TOO_LARGE;
	}
	memcpy(out, text, len + 1);
	return RC_OK;
}

enum rc str_format(char *out, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(out, cap, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= cap) {
		out[0] = '\0';
		return RC_TOO_LARGE;
	}
	return RC_OK;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

void str_lower(char *text)
{
	for (; *text; text++)
		*text = lower(*text);
}

bool str_equal_nocase(const char *a, const char *b)
{
	for (; *a && lower(*a) == lower(*b); a++, b++)
		;
	return lower(*a) == lower(*b);
}
