/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A command APDU, short form (ISO 7816-4 section 5.1), taken apart. */

#include "base/cur.h"
#include "base/rc.h"

struct apdu {
	uint8_t cla;
	uint8_t ins;
	uint8_t p1;
	uint8_t p2;
	bool has_data;	 /* cases 3 and 4 */
	struct cur data; /* borrowed; empty in cases 1 and 2 */
	bool has_le;
	size_t le; /* 1..256 when has_le */
};

/* RC_MALFORMED: not a command (wrong length). With `surplus` bytes after the data are taken as one
 * client sends them: the last is Le. */
enum rc apdu_parse(const uint8_t *buf, size_t len, bool surplus, struct apdu *out) ATT_MUST_CHECK;
