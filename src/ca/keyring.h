/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Everything a running registry signs and opens with, loaded from the folders
 * that ca_init made. Read-only afterwards; the threads of `keys` share it. */

#include "ca/issue.h"
#include "ca/zonekeys.h"

/* Not to be moved once loaded: its parts point at one another. */
struct ca_keyring {
	struct ca_key issuing, devkit, party, payload, seal;
	struct ca_authority authority;
	struct ca_zone_keys *zone_keys; /* as they were when the folder was loaded */
	struct ca_zone zone;
	struct ca_makers makers; /* ca/makers/NAME.pem: whose cards' attestations count */
	struct ca_token *token;	 /* NULL: none */
	uint8_t root[CA_CERT_READ];
	size_t root_len;
	uint8_t payload_cert[CA_CERT_MAX], payload_devkit_cert[CA_CERT_MAX]; /* container C */
	size_t payload_cert_len, payload_devkit_cert_len;
	/* While the payload signer is being replaced (ca/renew.h). */
	struct ca_key payload_next, payload_old;
	bool has_payload_next, has_payload_old;
};

/* RC_NOT_FOUND with a hint when `attestry init --root-csr` was not finished. RC_CONFLICT when a
 * certificate does not belong to its key, RC_SIGNATURE when a chain does not hold. */
enum rc ca_keyring_load(struct ca_keyring *out, struct ca_crypt *x, const char *keys_folder,
	const char *ca_folder, const char *zone, struct diag *d) ATT_MUST_CHECK;
void ca_keyring_free(struct ca_keyring *ring);

/* The same with keys of the zone in a PKCS#11 token; makes[ksk]: new keys of that kind are made
 * there. `token` may be NULL. */
struct ca_keyring_token {
	struct ca_token_opts opts;
	bool makes[2];
};
enum rc ca_keyring_load_with(struct ca_keyring *out, struct ca_crypt *x, const char *keys_folder,
	const char *ca_folder, const char *zone, const struct ca_keyring_token *token,
	struct diag *d) ATT_MUST_CHECK;
