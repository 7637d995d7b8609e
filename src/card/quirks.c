/* SPDX-License-Identifier: Apache-2.0 */
#include "card/quirks.h"

#include <string.h>

#define ROW(member, text, devkit, strict, help)                                  \
	{                                                                        \
		text, offsetof(struct card_quirks, member), devkit, strict, help \
	}

static const struct card_quirk table[] = {
	ROW(auto_open, "auto-open", true, false,
		"SELECT by AID opens a closed channel (wolfSSL uses channel 1 without opening it)"),
	ROW(reclaim, "reclaim", true, false,
		"opening a channel when all are open takes one that was idle for 30 s"),
	ROW(surplus_le, "surplus-le", true, false,
		"bytes too many after the command data are tolerated (Orange over PC/SC)"),
	ROW(last_block_any, "last-block-any", true, false,
		"bit 8 of P1 alone marks the last block"),
	ROW(reopen_busy, "reopen-busy", true, false, "an unfinished operation can be opened again"),
	ROW(zeros_past_end, "read-past-end-zeros", true, false,
		"READ FILE behind the end gives zeros up to offset 2048 (the published kit)"),
	ROW(long_signature, "long-signature", false, false,
		"signatures come as 33 0040 instead of 33 40 (wolfSSL 5.x)"),
	ROW(chain_61xx, "chain-61xx", false, false,
		"answers to commands with data are fetched by GET RESPONSE"),
};

const struct card_quirk *card_quirk_table(size_t *count)
{
	*count = sizeof(table) / sizeof(table[0]);
	return table;
}

static bool *member(struct card_quirks *quirks, const struct card_quirk *row)
{
	return (bool *)(void *)((unsigned char *)quirks + row->offset);
}

enum rc card_quirks_preset(struct card_quirks *quirks, const char *preset)
{
	bool devkit = strcmp(preset, "devkit") == 0;
	struct card_quirks q;

	if (!devkit && strcmp(preset, "strict") != 0)
		return RC_NOT_FOUND;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		*member(&q, &table[i]) = devkit ? table[i].devkit : table[i].strict;
	*quirks = q;
	return RC_OK;
}

enum rc card_quirks_set(struct card_quirks *quirks, const char *name, bool on)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].name, name) == 0) {
			*member(quirks, &table[i]) = on;
			return RC_OK;
		}
	return RC_NOT_FOUND;
}
