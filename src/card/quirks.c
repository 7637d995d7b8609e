/* SPDX-License-Identifier: Apache-2.0 */
#include "card/quirks.h"

#include <string.h>

#define SWITCH              \
	{                   \
		"off", "on" \
	}
#define ROW(member, text, strict, devkit, wolfssl, orange, help, ...)    \
	{                                                                \
		text, offsetof(struct card_quirks, member), __VA_ARGS__, \
			{ strict, devkit, wolfssl, orange }, help        \
	}

static const struct card_quirk table[] = {
	ROW(channel1, "channel1", 0, 1, 1, 0,
		"SELECT by AID opens a closed channel (wolfSSL uses channel 1 without opening it)",
		SWITCH),
	ROW(channels, "channels", 1, 0, 0, 0,
		"how many logical channels can be opened (old clients know classes 00 to 03 only)",
		{ "3", "19" }),
	ROW(reclaim, "reclaim", 0, 1, 1, 1,
		"opening a channel when all are open takes one that was idle for 30 s", SWITCH),
	ROW(lc_surplus, "lc-surplus", 0, 1, 0, 1,
		"bytes too many after the command data are tolerated (Orange over PC/SC)", SWITCH),
	ROW(last_block_any, "last-block-any", 0, 1, 0, 0, "bit 8 of P1 alone marks the last block",
		SWITCH),
	ROW(reopen_busy, "reopen-busy", 0, 1, 1, 1, "an unfinished operation can be opened again",
		SWITCH),
	ROW(read_past_end, "read-past-end", READ_PAST_END_6A86, READ_PAST_END_ZEROS,
		READ_PAST_END_ZEROS, READ_PAST_END_EMPTY,
		"READ FILE behind the end: an error, zeros up to offset 2048 (the published kit), "
		"or nothing",
		{ "6A86", "zeros", "empty", "6981" }),
	ROW(sig_length, "sig-length", 0, 0, 1, 0,
		"bytes of a signature's length: 33 40, or 33 0040 (wolfSSL 5.x)", { "1", "2" }),
	ROW(case4, "case4", 0, 0, 0, 0,
		"answers to commands with data come at once, or are fetched by GET RESPONSE",
		{ "direct", "61xx" }),
	ROW(admin_busy, "admin-busy", 1, 0, 0, 0,
		"a file that is being written over the air answers 6984", SWITCH),
	ROW(app_info, "app-info", 0, 0, 0, 1,
		"application information: 68 bytes, or as Orange's parser wants it",
		{ "68", "orange" }),
	ROW(app_tags, "app-tags", 0, 0, 0, 0, "tags in it that cards in the field disagree on",
		{ "90-93", "61-6F" }),
	ROW(file_usage, "file-usage", 0, 0, 0, 1,
		"tag 21 in the information of a file (Orange's parser fails on it)",
		{ "on", "off" }),
};

static const char *const presets[CARD_QUIRK_PRESETS] = { "strict", "devkit", "wolfssl", "orange" };

#define ROWS (sizeof(table) / sizeof(table[0]))

const struct card_quirk *card_quirk_table(size_t *count)
{
	*count = ROWS;
	return table;
}

const char *card_quirk_preset_name(size_t i)
{
	return i < CARD_QUIRK_PRESETS ? presets[i] : NULL;
}

static uint8_t *member(struct card_quirks *quirks, const struct card_quirk *row)
{
	return (uint8_t *)quirks + row->offset;
}

enum rc card_quirks_preset(struct card_quirks *quirks, const char *preset)
{
	for (size_t k = 0; k < CARD_QUIRK_PRESETS; k++) {
		if (strcmp(presets[k], preset) != 0)
			continue;
		for (size_t i = 0; i < ROWS; i++)
			*member(quirks, &table[i]) = table[i].presets[k];
		return RC_OK;
	}
	return RC_NOT_FOUND;
}

enum rc card_quirks_set(struct card_quirks *quirks, const char *name, const char *value)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(table[i].name, name) != 0)
			continue;
		for (uint8_t v = 0; v < CARD_QUIRK_VALUES && table[i].values[v]; v++)
			if (strcmp(table[i].values[v], value) == 0) {
				*member(quirks, &table[i]) = v;
				return RC_OK;
			}
		return RC_RANGE;
	}
	return RC_NOT_FOUND;
}
