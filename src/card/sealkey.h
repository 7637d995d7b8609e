/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the key that seals cards' states comes from: a file beside the states, a file named, or the
 * kernel's keyring. */

#include "base/diag.h"
#include "base/secret.h"

/* `source`: NULL: the file `<state_dir>.seal`, made when it is not there; "keyring:NAME": a key of
 * type `user` that the process can find (request_key(2)); else a file that must exist. A key has
 * CARD_SEAL_KEY_LEN bytes. RC_DENIED: others can read the file. */
enum rc sealkey_open(const char *source, const char *state_dir, struct secret *out,
	struct diag *d) ATT_MUST_CHECK;
