/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The signature of a Registry Payload: made by the registry's payload key, checked on the device.
 */

#include "payload/payload.h"

#include <openssl/evp.h>

/* Writes the map, signs it with a P-256 key and writes the COSE file to `out`. RC_RANGE,
 * RC_TOO_LARGE, RC_CRYPTO. */
enum rc payload_sign(
	const struct payload *p, EVP_PKEY *signer, struct put *out, struct diag *d) ATT_MUST_CHECK;

/* RC_SIGNATURE when it does not verify; RC_CRYPTO for a key that is not P-256. */
enum rc payload_verify(
	const struct payload_cose *cose, EVP_PKEY *signer, struct diag *d) ATT_MUST_CHECK;

/* SHA-256 of the key's DER SubjectPublicKeyInfo; the kid is its first 8 bytes. */
enum rc payload_spki_hash(const EVP_PKEY *key, uint8_t out[PAYLOAD_HASH_LEN]) ATT_MUST_CHECK;
