/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/smsc.h"

#include "base/str.h"

#include <jansson.h>
#include <string.h>

#define HELD_MAX 200000 /* messages; a receipt of an older one is nobody's any more */

/* A list of values under its members' names, oldest first: the message's id, [EF_ICCID, packet]. */
json_t *mno__held_new(void)
{
	return json_object();
}

void mno__held_add(
	json_t *held, const char *id, const uint8_t iccid[IDENT_ICCID_LEN], uint64_t packet)
{
	char hex[2 * IDENT_ICCID_LEN + 1];

	hex_write(iccid, IDENT_ICCID_LEN, hex);
	(void)json_object_set_new(held, id, json_pack("[s, I]", hex, (json_int_t)packet));
	if (json_object_size(held) > HELD_MAX)
		(void)json_object_del(held, json_object_iter_key(json_object_iter(held)));
}

bool mno__held_take(json_t *held, const char *id, uint8_t iccid[IDENT_ICCID_LEN], uint64_t *packet)
{
	const json_t *row = json_object_get(held, id);
	const char *hex = json_string_value(json_array_get(row, 0));

	if (!hex || hex_read(hex, iccid, IDENT_ICCID_LEN) != RC_OK)
		return false;
	*packet = (uint64_t)json_integer_value(json_array_get(row, 1));
	(void)json_object_del(held, id);
	return true;
}
