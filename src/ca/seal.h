/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sealing of a service's Wi-Fi from `front` to `keys`: ECIES with an ephemeral
 * P-256 key, HKDF-SHA256 (info "attestry-seal-1", salt empty, IKM = the raw x
 * coordinate) and AES-128-GCM with the ephemeral point as associated data.
 * Bytes: ephemeral point (65) | iv (12) | ciphertext | tag (16). */

#include "base/secret.h"
#include "ca/crypt.h"

#define CA_SEAL_OVERHEAD  (CA_POINT_LEN + 12 + 16)
#define CA_SEAL_PLAIN_MAX 16384

/* `out` holds plain_len + CA_SEAL_OVERHEAD. RC_RANGE: not a point of the curve. */
enum rc ca_seal(const uint8_t point[CA_POINT_LEN], const void *plain, size_t plain_len,
	uint8_t *out, size_t *out_len, struct diag *d) ATT_MUST_CHECK;
/* RC_AUTH when it was not sealed to this key or was changed. Free *out with secret_free. */
enum rc ca_open(const struct ca_key *key, const uint8_t *sealed, size_t sealed_len,
	struct secret *out, struct diag *d) ATT_MUST_CHECK;
