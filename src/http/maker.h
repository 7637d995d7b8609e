/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The list that a maker signs, doc/maker.md: a line per device, so that anybody
 * can check the signature with a tool of his own. */

#include "base/diag.h"

#include "registry.pb-c.h"

#include <stdint.h>

/* The text that is signed, in new memory (free()). RC_NOMEM, RC_MALFORMED. */
enum rc maker_text(const Registry__MakerConfirm *m, char **out, size_t *len) ATT_MUST_CHECK;

/* RC_AUTH: `m->key` is not the key with this hash, or the signature is not its. */
enum rc maker_check(const Registry__MakerConfirm *m, const uint8_t spki_sha256[32],
	struct diag *d) ATT_MUST_CHECK;
