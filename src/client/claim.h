/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Claim codes of SIMs, on the side of those who know them: the registry gets a salted hash. */

#include "base/rc.h"

#include <jansson.h>
#include <stdint.h>

#define CLIENT_CLAIM_LEN 26 /* base32 digits: 130 bits */
#define CLIENT_SALT_LEN	 16

/* A new code, with a NUL. */
enum rc client_claim_make(char out[CLIENT_CLAIM_LEN + 1]) ATT_MUST_CHECK;
/* Puts claim_salt and claim_sha256 into a row of POST /v1/inventory, in the place of "claim".
 * `salt` NULL: a random one. */
enum rc client_claim_hash(
	json_t *row, const char *claim, const uint8_t salt[CLIENT_SALT_LEN]) ATT_MUST_CHECK;
