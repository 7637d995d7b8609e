/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where deployed clients of IoT SAFE need other answers than a strict reading gives: one named
 * switch each, in one table, with a column per preset. `strict` is what the specification says as
 * far as it is known; `devkit` serves every published client; `wolfssl` and `orange` are what those
 * two want most. Each switch has named values; its member holds the value's place in the list. */

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

#define CARD_QUIRK_VALUES  4
#define CARD_QUIRK_PRESETS 4

enum { READ_PAST_END_6A86, READ_PAST_END_ZEROS, READ_PAST_END_EMPTY, READ_PAST_END_6981 };

struct card_quirks {
	uint8_t channel1;	/* SELECT by AID on a closed channel opens it */
	uint8_t channels;	/* MANAGE CHANNEL opens 0: 1 to 3; 1: up to 19 */
	uint8_t reclaim;	/* MANAGE CHANNEL takes a channel idle for 30 s when all are open */
	uint8_t lc_surplus;	/* bytes too many after the data: the last is Le */
	uint8_t last_block_any; /* any P1 with bit 8 set is a last block */
	uint8_t reopen_busy;	/* INIT on an unfinished operation starts it anew */
	uint8_t read_past_end;	/* READ FILE behind the end: READ_PAST_END_ */
	uint8_t sig_length;	/* 0: 33 40; 1: 33 00 40 */
	uint8_t case4;		/* 1: answers to commands with data go by 61xx and GET RESPONSE */
	uint8_t admin_busy;	/* a file being written over the air answers 6984 */
	uint8_t app_info;	/* 1: application information as Orange's parser wants it */
	uint8_t app_tags;	/* 1: 61 and 6F in it instead of 90 and 93 */
	uint8_t file_usage;	/* 1: C3 without tag 21 */
};

/* A row of the table, for help texts and configurations. */
struct card_quirk {
	const char *name;		       /* "channel1" ... */
	size_t offset;			       /* of its member in struct card_quirks */
	const char *values[CARD_QUIRK_VALUES]; /* NULL after the last */
	uint8_t presets[CARD_QUIRK_PRESETS];   /* as card_quirk_presets orders them */
	const char *help;
};

const struct card_quirk *card_quirk_table(size_t *count);
/* "strict", "devkit", "wolfssl", "orange". */
const char *card_quirk_preset_name(size_t i);
/* RC_NOT_FOUND: no such preset. */
enum rc card_quirks_preset(struct card_quirks *quirks, const char *preset) ATT_MUST_CHECK;
/* RC_NOT_FOUND: no such switch; RC_RANGE: not one of its values. */
enum rc card_quirks_set(
	struct card_quirks *quirks, const char *name, const char *value) ATT_MUST_CHECK;
