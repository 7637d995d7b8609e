/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ident.h"

#include "base/str.h"

#include <string.h>

#define FILLER 0xf

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

enum rc ident_iccid_read(const char *text, uint8_t out[IDENT_ICCID_LEN])
{
	uint8_t ef[IDENT_ICCID_LEN] = { 0 };

	for (size_t i = 0; i < IDENT_ICCID_TEXT - 1; i++) {
		unsigned nibble;

		if (is_digit(text[i]))
			nibble = (unsigned)(text[i] - '0');
		else if (i == IDENT_ICCID_TEXT - 2 && (text[i] == 'f' || text[i] == 'F'))
			nibble = FILLER;
		else
			return RC_MALFORMED;
		ef[i / 2] |= (uint8_t)(i % 2 == 0 ? nibble : nibble << 4);
	}
	if (text[IDENT_ICCID_TEXT - 1] != '\0')
		return RC_MALFORMED;
	memcpy(out, ef, sizeof(ef));
	return RC_OK;
}

enum rc ident_iccid_write(const uint8_t ef[IDENT_ICCID_LEN], char out[IDENT_ICCID_TEXT])
{
	char text[IDENT_ICCID_TEXT] = { 0 };

	for (size_t i = 0; i < IDENT_ICCID_TEXT - 1; i++) {
		unsigned nibble = i % 2 == 0 ? ef[i / 2] & 0xf : ef[i / 2] >> 4;

		if (nibble <= 9)
			text[i] = (char)('0' + nibble);
		else if (nibble == FILLER && i == IDENT_ICCID_TEXT - 2)
			text[i] = 'f';
		else
			return RC_MALFORMED;
	}
	memcpy(out, text, sizeof(text));
	return RC_OK;
}

bool ident_luhn_ok(const char *iccid)
{
	size_t len = strlen(iccid);
	unsigned sum = 0;

	if (len > 0 && (iccid[len - 1] == 'f' || iccid[len - 1] == 'F'))
		len--;
	if (len < 2)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = iccid[len - 1 - i];
		unsigned d;

		if (!is_digit(c))
			return false;
		d = (unsigned)(c - '0');
		if (i % 2 == 1)
			d = d > 4 ? 2 * d - 9 : 2 * d;
		sum += d;
	}
	return sum % 10 == 0;
}

enum rc ident_eid_read(const char *text, uint8_t out[IDENT_EID_LEN])
{
	uint8_t eid[IDENT_EID_LEN];
	unsigned rest = 0;

	for (size_t i = 0; i < IDENT_EID_TEXT - 1; i++) {
		if (!is_digit(text[i]))
			return RC_MALFORMED;
		rest = (rest * 10 + (unsigned)(text[i] - '0')) % 97;
	}
	if (rest != 1 || hex_read(text, eid, sizeof(eid)) != RC_OK)
		return RC_MALFORMED;
	memcpy(out, eid, sizeof(eid));
	return RC_OK;
}

enum rc ident_eid_write(const uint8_t eid[IDENT_EID_LEN], char out[IDENT_EID_TEXT])
{
	char text[IDENT_EID_TEXT];
	uint8_t again[IDENT_EID_LEN];

	hex_write(eid, IDENT_EID_LEN, text);
	if (ident_eid_read(text, again) != RC_OK)
		return RC_MALFORMED;
	memcpy(out, text, sizeof(text));
	return RC_OK;
}

/* Letters, digits, '-', '_' in labels of 1 to 63 octets, no trailing dot. */
static bool zone_ok(const char *zone)
{
	size_t label = 0;

	for (; *zone; zone++) {
		char c = *zone;

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
			c != '-' && c != '_')
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0;
}

enum rc ident_owner_name(
	unsigned slot, const char *iccid, const char *zone, char out[IDENT_OWNER_TEXT])
{
	uint8_t ef[IDENT_ICCID_LEN];
	char name[IDENT_OWNER_TEXT];

	if (slot < IDENT_SLOT_MIN || slot > IDENT_SLOT_MAX)
		return RC_RANGE;
	if (ident_iccid_read(iccid, ef) != RC_OK || !zone_ok(zone))
		return RC_MALFORMED;
	if (str_format(name, sizeof(name), "%u.%s.%s", slot, iccid, zone) != RC_OK)
		return RC_TOO_LARGE;
	str_lower(name);
	memcpy(out, name, sizeof(name));
	return RC_OK;
}

enum rc ident_owner_parse(const char *name, const char *zone, struct ident_owner *out)
{
	struct ident_owner o = { 0 };
	uint8_t ef[IDENT_ICCID_LEN];
	char text[IDENT_OWNER_TEXT + 1]; /* a trailing dot more */
	size_t len;

	if (str_copy(text, sizeof(text), name) != RC_OK)
		return RC_MALFORMED;
	str_lower(text);
	len = strlen(text);
	if (len > 0 && text[len - 1] == '.')
		text[--len] = '\0';
	/* "1." + ICCID + "." + at least one character */
	if (len < 2 + IDENT_ICCID_TEXT + 1 || len > IDENT_OWNER_MAX)
		return RC_MALFORMED;
	if (text[0] < '1' || text[0] > '9' || text[1] != '.' || text[22] != '.')
		return RC_MALFORMED;
	o.slot = (unsigned)(text[0] - '0');
	memcpy(o.iccid, text + 2, IDENT_ICCID_TEXT - 1);
	if (ident_iccid_read(o.iccid, ef) != RC_OK || !zone_ok(text + 23))
		return RC_MALFORMED;
	if (zone && !str_equal_nocase(text + 23, zone))
		return RC_NOT_FOUND;
	memcpy(o.zone, text + 23, len - 23);
	*out = o;
	return RC_OK;
}
