/* SPDX-License-Identifier: Apache-2.0 */
/* READ FILE and GET RANDOM. */
#include "card/session.h"

#include <openssl/rand.h>

#include <string.h>

#define ZEROS_END 2048 /* the published kit reads certificates up to here, whatever their size */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

uint16_t cmd_read_file(struct command *cmd)
{
	static const uint8_t zeros[SESSION_CAP];
	const struct apdu *a = cmd->apdu;
	size_t offset = (size_t)a->p1 << 8 | a->p2;
	size_t most = least(SESSION_CAP, a->has_le ? a->le : SESSION_CAP);
	const struct card__file *file;
	struct cur data = a->data;
	uint8_t id;
	uint16_t sw = command__object(cmd->card, &data, 3, &id);

	if (sw != SW_OK)
		return sw;
	if (!cur_done(&data))
		return SW_DATA;
	if (command__is_busy(cmd->card, id))
		return SW_BUSY;
	file = &cmd->card->state.files[id];
	if (!file->bytes)
		return SW_CONDITIONS;
	if (offset < file->len) {
		put_bytes(cmd->out, file->bytes + offset, least(most, file->len - offset));
		return SW_OK;
	}
	if (cmd->card->quirks.read_past_end == READ_PAST_END_6981)
		return SW_STRUCTURE;
	if (cmd->card->quirks.read_past_end == READ_PAST_END_EMPTY)
		return SW_OK;
	if (cmd->card->quirks.read_past_end == READ_PAST_END_6A86 || offset >= ZEROS_END)
		return SW_P1P2;
	put_bytes(cmd->out, zeros, least(most, ZEROS_END - offset));
	return SW_OK;
}

uint16_t cmd_get_random(struct command *cmd)
{
	const struct apdu *a = cmd->apdu;
	size_t n = least(SESSION_CAP, a->has_le ? a->le : 0);
	uint8_t *at;

	if (a->p1 != 0 || a->p2 != 0)
		return SW_P1P2;
	if (n == 0)
		return SW_LENGTH;
	at = put_reserve(cmd->out, n);
	return at && RAND_bytes(at, (int)n) == 1 ? SW_OK : SW_INTERNAL;
}
