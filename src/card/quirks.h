/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where deployed clients of IoT SAFE need other answers than a strict reading gives: one named
 * switch each, in one table, with two presets. `devkit` serves every published client; `strict` is
 * what the specification says as far as it is known. */

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>

struct card_quirks {
	bool auto_open;	     /* SELECT by AID on a closed channel opens it */
	bool reclaim;	     /* MANAGE CHANNEL takes a channel idle for 30 s when all are open */
	bool surplus_le;     /* bytes too many after the data: the last is Le */
	bool last_block_any; /* any P1 with bit 8 set is a last block */
	bool reopen_busy;    /* INIT on an unfinished operation starts it anew */
	bool zeros_past_end; /* READ FILE behind the end gives zeros up to offset 2048 */
	bool long_signature; /* 33 00 40 instead of 33 40 */
	bool chain_61xx;     /* answers to commands with data go by 61xx and GET RESPONSE */
};

/* A row of the table, for help texts and configurations. */
struct card_quirk {
	const char *name; /* "auto-open" ... */
	size_t offset;	  /* of its bool in struct card_quirks */
	bool devkit;
	bool strict;
	const char *help;
};

const struct card_quirk *card_quirk_table(size_t *count);
/* "devkit" or "strict"; RC_NOT_FOUND. */
enum rc card_quirks_preset(struct card_quirks *quirks, const char *preset) ATT_MUST_CHECK;
/* RC_NOT_FOUND. */
enum rc card_quirks_set(struct card_quirks *quirks, const char *name, bool on) ATT_MUST_CHECK;
