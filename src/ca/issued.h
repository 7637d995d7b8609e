/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* issued.log: one record for every certificate that is signed, on disk before
 * the certificate leaves. Append-only; each record carries a chain value over
 * all before it, so a record changed or taken out is found at the next start. A
 * tail that a crash cut short is dropped: nothing in it was ever answered. The
 * log also says which name a key was certified for: one key, one name, for ever.
 *
 *	file   := "attestry-issued1" record*
 *	record := u16 length of body | body | chain (16)
 *	body   := u8 profile | i64 issued | i64 not_after | serial (16) | SPKI SHA-256 (32)
 *		  | certificate SHA-256 (32) | B key's SPKI SHA-256 (32) or zeros | u8 length | CN
 *	chain  := first half of h(n) = SHA-256(h(n-1) | body), h(0) = zeros
 *
 * The certificates themselves are in the database; their hashes here bind them. */

#include "ca/cert.h"

struct ca_issued; /* thread-safe */

struct ca_issued_entry {
	enum ca_profile profile;
	int64_t issued, not_after;
	uint8_t serial[CA_SERIAL_LEN];
	uint8_t spki_sha256[CA_SHA256_LEN];
	uint8_t cert_sha256[CA_SHA256_LEN];
	uint8_t b_sha256[CA_SHA256_LEN]; /* of the key-agreement key's SPKI; zeros: none */
	char name[CA_NAME_MAX + 1];	 /* CN */
};

/* Opens or makes the file (0600), takes it for this process alone (RC_BUSY) and reads it all.
 * Memory: 32 bytes per slot of a table that is at most 3/4 full, so 43 to 86 bytes per key, two
 * keys for a card with a B key.
 * RC_CONFLICT when the chain is broken. */
enum rc ca_issued_open(struct ca_issued **out, const char *path, struct diag *d) ATT_MUST_CHECK;
void ca_issued_close(struct ca_issued *log);

/* Binds a key to a name before it is certified. RC_CONFLICT when it belongs to another. */
enum rc ca_issued_bind(struct ca_issued *log, enum ca_profile profile,
	const uint8_t spki_sha256[CA_SHA256_LEN], const char *name, struct diag *d) ATT_MUST_CHECK;
/* The same for a key-agreement key: what is sealed to a name is sealed to a key that came in a
 * verified request of that name, and to no other. */
enum rc ca_issued_bind_b(struct ca_issued *log, const uint8_t b_sha256[CA_SHA256_LEN],
	const char *name, struct diag *d) ATT_MUST_CHECK;
bool ca_issued_has_b(
	struct ca_issued *log, const uint8_t b_sha256[CA_SHA256_LEN], const char *name);
/* Appends all entries and syncs once. After an error the log takes no more: the process must end,
 * and its successor reads what is on disk. */
enum rc ca_issued_append(struct ca_issued *log, const struct ca_issued_entry *const *entries,
	size_t count, struct diag *d) ATT_MUST_CHECK;
/* Records in the file, and keys bound. */
uint64_t ca_issued_count(struct ca_issued *log);
uint64_t ca_issued_keys(struct ca_issued *log);
/* Bytes of a torn tail that opening has cut off: worth a line in the operator's log. */
size_t ca_issued_dropped(const struct ca_issued *log);
