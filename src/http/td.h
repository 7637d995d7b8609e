/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A Thing Description (W3C WoT TD 1.1): is the text one that a consumer can
 * use? The rules of its section 5 that a machine can check: required members,
 * @context, security definitions and their use, forms and their addresses.
 * Refuses with the place and the rule; never follows a link, never changes a
 * byte. */

#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>

#define TD_MAX	     65536 /* bytes of one description */
#define TD_DEPTH_MAX 32	   /* levels: data schemas nest */

/* RC_TOO_LARGE, RC_MALFORMED; *d: "properties.status.forms[0].href: is missing". */
enum rc td_check(const uint8_t *text, size_t len, struct diag *d) ATT_MUST_CHECK;

/* Descriptions to begin with; NULL after the last. */
struct td_template {
	const char *name; /* "parking-meter" */
	const char *help;
	const char *text;
};
const struct td_template *td_template(size_t n);
