/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keys and certificates as files: private keys as PEM PKCS#8 (RFC 5958), mode
 * 0600, read and written through struct secret so that no copy stays behind;
 * certificates and requests as PEM (RFC 7468). */

#include "ca/crypt.h"

#define CA_PEM_MAX 65536

/* RC_DENIED when group or others can read it; RC_UNSUPPORTED when it is not P-256; RC_NOT_FOUND. */
enum rc ca_key_load(struct ca_key *out, const char *path, struct diag *d) ATT_MUST_CHECK;
/* Refuses to overwrite (RC_EXISTS). */
enum rc ca_key_store(const struct ca_key *key, const char *path, struct diag *d) ATT_MUST_CHECK;

/* The first PEM block of that label ("CERTIFICATE", "CERTIFICATE REQUEST") in a file, decoded into
 * the caller's buffer. */
enum rc ca_pem_load(const char *path, const char *label, uint8_t *der, size_t cap, size_t *len,
	struct diag *d) ATT_MUST_CHECK;
/* The first block of that label in a text. */
enum rc ca_pem_read(const char *text, size_t text_len, const char *label, uint8_t *der, size_t cap,
	size_t *len, struct diag *d) ATT_MUST_CHECK;
/* PEM with a NUL; `out` of CA_PEM_LEN(len). */
#define CA_PEM_LEN(n) ((n) / 3 * 4 + (n) / 48 + 128)
enum rc ca_pem_write(
	const char *label, const uint8_t *der, size_t len, char *out, size_t cap) ATT_MUST_CHECK;
