/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Why something was refused, for a person: the field, the rule it broke and
 * where the rule stands. Lives in the caller's memory; never holds a secret
 * or a byte of one. */

#include "base/rc.h"

#include <stdarg.h>

#define DIAG_TEXT_MAX 256

struct diag {
	char text[DIAG_TEXT_MAX]; /* empty string when nothing was said */
};

/* Writes the text (cut at DIAG_TEXT_MAX - 1) and returns `rc`, so that a refusal is one line:
 * `return diag_set(d, RC_RANGE, "slot: %u is not 1..9 (design 1)", slot);` `d` may be NULL. */
enum rc diag_set(struct diag *d, enum rc rc, const char *fmt, ...) ATT_PRINTF(3, 4);

/* Puts "prefix: " before what is there. `d` may be NULL. */
void diag_prefix(struct diag *d, const char *prefix);

/* As diag_set, adding the text of errno. */
enum rc diag_errno(struct diag *d, enum rc rc, const char *fmt, ...) ATT_PRINTF(3, 4);
