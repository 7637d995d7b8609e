/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hex.h"

void hex_write(const void *bytes, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * len] = '\0';
}

static size_t length(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum rc hex_read_upto(const char *text, uint8_t *out, size_t cap, size_t *len)
{
	size_t digits = length(text);

	if (digits % 2 != 0)
		return RC_MALFORMED;
	if (digits / 2 > cap)
		return RC_TOO_LARGE;
	for (size_t i = 0; i < digits / 2; i++) {
		int hi = hex_value(text[2 * i]);
		int lo = hex_value(text[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return RC_MALFORMED;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	*len = digits / 2;
	return RC_OK;
}

enum rc hex_read(const char *text, uint8_t *out, size_t len)
{
	size_t got;

	if (length(text) != 2 * len)
		return RC_MALFORMED;
	return hex_read_upto(text, out, len, &got);
}
