/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/ident.h"

#include <string.h>

static bool starts_with(const char *line, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && memcmp(line, prefix, n) == 0;
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
