/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a device believes a Registry Payload (formats.md section 2, "Accepted when"). Pure: the
 * caller reads the files, keeps the state and stores it. */

#include "payload/payload.h"

/* What a device remembers of the payloads it has accepted in one slot. All zero: none yet. */
struct payload_state {
	bool any;
	uint64_t sequence;
	uint8_t hash[PAYLOAD_HASH_LEN];	  /* of the whole COSE file */
	uint8_t signer[PAYLOAD_HASH_LEN]; /* SPKI of the signer */
	size_t next_len;		  /* signers announced in its key 16 */
	uint8_t next[PAYLOAD_SIGNERS_MAX][PAYLOAD_HASH_LEN];
	uint64_t floor; /* the newest time known for certain */
};

/* Where a payload was found and what is known there. */
struct payload_context {
	struct payload_bytes signer;  /* container C, DER */
	struct payload_bytes issuing; /* container 7, DER */
	struct payload_bytes root;    /* container 6, DER */
	uint8_t iccid[PAYLOAD_ICCID_LEN];
	bool has_eid;
	uint8_t eid[PAYLOAD_EID_LEN];
	uint8_t slot;
	uint64_t now; /* seconds since 1970; 0 when the device has no clock */
};

/* Applies every rule, cheapest refusal first. On RC_OK *out borrows from `bytes` and *after is the
 * state to keep before acting on the payload; on refusal both are untouched and *d names the rule.
 * RC_MALFORMED, RC_UNSUPPORTED (form), RC_AUTH (signer or chain), RC_SIGNATURE, RC_CONFLICT
 * (another card or slot), RC_EXPIRED, RC_REPLAY (sequence). */
enum rc payload_accept(const uint8_t *bytes, size_t len, const struct payload_context *ctx,
	const struct payload_state *before, struct payload *out, struct payload_state *after,
	struct diag *d) ATT_MUST_CHECK;

bool payload_state_equal(const struct payload_state *a, const struct payload_state *b);

/* The state's stored form: deterministic CBOR. */
#define PAYLOAD_STATE_MAX 320
enum rc payload_state_write(const struct payload_state *s, struct put *out) ATT_MUST_CHECK;
enum rc payload_state_parse(
	const uint8_t *bytes, size_t len, struct payload_state *out, struct diag *d) ATT_MUST_CHECK;

/* The state in a file of the device, replaced atomically; a missing file is an empty state. */
enum rc payload_state_load(
	const char *path, struct payload_state *out, struct diag *d) ATT_MUST_CHECK;
enum rc payload_state_store(
	const char *path, const struct payload_state *s, struct diag *d) ATT_MUST_CHECK;
