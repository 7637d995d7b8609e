/* SPDX-License-Identifier: Apache-2.0 */
#include "device/core/core__.h"

#include "base/hex.h"
#include "base/put.h"

static bool starts_with(const char *line, size_t len, const char *prefix)
{
	size_t i = 0;

	while (prefix[i] && i < len && line[i] == prefix[i])
		i++;
	return !prefix[i];
}

static bool is_line(const char *line, size_t len, const char *text)
{
	size_t i = 0;

	while (i < len && text[i] && line[i] == text[i])
		i++;
	return i == len && !text[i];
}

/* After "+CSIM:": spaces, a decimal count of hex digits, a comma, the digits with or without quotes
 * (3GPP TS 27.007 section 8.17; some modems leave the quotes out). */
static bool csim_value(
	const char *at, size_t len, uint8_t reply[IOTSAFE_REPLY_MAX], size_t *reply_len)
{
	char hex[2 * IOTSAFE_REPLY_MAX + 1];
	size_t i = 0, stated = 0, n = 0;

	while (i < len && at[i] == ' ')
		i++;
	if (i == len || at[i] < '0' || at[i] > '9')
		return false;
	for (; i < len && at[i] >= '0' && at[i] <= '9'; i++) {
		stated = stated * 10 + (size_t)(at[i] - '0');
		if (stated > 2 * IOTSAFE_REPLY_MAX)
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
	core__copy((unsigned char *)hex, (const unsigned char *)at + i, n);
	hex[n] = '\0';
	return hex_read_upto(hex, reply, IOTSAFE_REPLY_MAX, reply_len) == RC_OK;
}

enum iotsafe_line iotsafe_core_at_line(
	const char *line, size_t len, uint8_t reply[IOTSAFE_REPLY_MAX], size_t *reply_len)
{
	static const char csim[] = "+CSIM:";

	if (is_line(line, len, "OK"))
		return IOTSAFE_LINE_OK;
	if (is_line(line, len, "ERROR") || starts_with(line, len, "+CME ERROR") ||
		starts_with(line, len, "+CMS ERROR"))
		return IOTSAFE_LINE_ERROR;
	if (!starts_with(line, len, csim))
		return IOTSAFE_LINE_NOISE; /* an echo or an unsolicited result code */
	return csim_value(line + sizeof(csim) - 1, len - (sizeof(csim) - 1), reply, reply_len)
		       ? IOTSAFE_LINE_CSIM
		       : IOTSAFE_LINE_BAD_CSIM;
}

size_t iotsafe_core_at_write(const unsigned char *apdu, size_t len, char *out, size_t cap)
{
	static const char head[] = "AT+CSIM=";
	struct put p = put_init(out, cap);
	uint8_t number[4];
	size_t digits = 0;

	if (len == 0 || len > IOTSAFE_APDU_MAX)
		return 0;
	put_bytes(&p, head, sizeof(head) - 1);
	for (size_t n = 2 * len; n > 0; n /= 10)
		number[digits++] = (uint8_t)('0' + n % 10);
	while (digits > 0)
		put_u8(&p, number[--digits]);
	put_bytes(&p, ",\"", 2);
	for (size_t i = 0; i < len; i++) {
		char two[3];
		hex_write(apdu + i, 1, two);
		put_bytes(&p, two, 2);
	}
	put_bytes(&p, "\"\r\n", 4); /* with the NUL */
	return put_ok(&p) ? p.len - 1 : 0;
}
