/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keys of the zone in a PKCS#11 token (OASIS PKCS #11 v3.0; a software token, a
 * smart card, an HSM): they are made there, marked as neither to be read nor to
 * be taken out, and sign there. One object per process; threads share it, each
 * call takes a session of its own. The PIN comes from a file and is wiped when
 * the token has it. */

#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CA_TOKEN_ID_LEN 16

struct ca_token;

/* A private key there; the handle is the module's. */
struct ca_token_key {
	struct ca_token *token; /* borrowed */
	uint8_t id[CA_TOKEN_ID_LEN];
	unsigned long handle;
};

struct ca_token_opts {
	const char *module;   /* the shared library */
	const char *label;    /* of the token */
	const char *pin_file; /* mode 0600; NULL or "": no PIN */
};

/* Loads the module and logs in. RC_NOT_FOUND (module, token), RC_DENIED (PIN, or its file can be
 * read by others). */
enum rc ca_token_open(
	struct ca_token **out, const struct ca_token_opts *opts, struct diag *d) ATT_MUST_CHECK;
void ca_token_close(struct ca_token *token);

/* A new key pair with a random id; *pub is x | y, or Ed25519's 32 octets. */
enum rc ca_token_make(struct ca_token *token, bool ed25519, const char *label,
	struct ca_token_key *out, uint8_t pub[64], size_t *pub_len, struct diag *d) ATT_MUST_CHECK;
/* Fills in the handle of key->id. */
enum rc ca_token_find(
	struct ca_token *token, struct ca_token_key *key, struct diag *d) ATT_MUST_CHECK;
/* Destroys the key pair; nothing when it is not there. */
void ca_token_destroy(const struct ca_token_key *key);
/* ECDSA over a digest, or Ed25519 over a message. RC_UNAVAILABLE when the token fails. */
enum rc ca_token_sign(const struct ca_token_key *key, bool ed25519, const uint8_t *bytes,
	size_t len, uint8_t sig[64], struct diag *d) ATT_MUST_CHECK;
