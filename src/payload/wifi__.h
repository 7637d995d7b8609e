/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between wifi.c and its test only: sealing with a given ephemeral key and IV, so that the result
 * can be compared. Using either twice with one B key breaks AES-GCM. */

#include "payload/wifi.h"

#include <openssl/evp.h>

#define PAYLOAD__IV_LEN 12

enum rc payload__wifi_seal(const struct payload_wifi *w, const uint8_t b_point[65],
	const struct payload_binding *to, EVP_PKEY *eph, const uint8_t iv[PAYLOAD__IV_LEN],
	struct put *out, struct diag *d) ATT_MUST_CHECK;
