/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Several nodes: each has a key of its own (node.key). Whoever may use the party CA's key vouches
 * for a node's by signing its name with it; keys are sealed to a node only then. What is sealed is
 * signed too, so that a node takes keys from no one but another of the registry's `keys`. */

#include "ca/crypt.h"

#define CA_NODE_KEY_FILE  "node.key"
#define CA_NODE_PROOF_LEN 64
#define CA_NODE_NAME_MAX  32
#define CA_BUNDLE_FILES	  48
#define CA_BUNDLE_MAX	  (17u << 10)

/* "Node `name` has the key `point`." */
enum rc ca_node_prove(const struct ca_key *party, const char *name,
	const uint8_t point[CA_POINT_LEN], uint8_t proof[CA_NODE_PROOF_LEN],
	struct diag *d) ATT_MUST_CHECK;
/* RC_SIGNATURE: nobody vouches. */
enum rc ca_node_check(const uint8_t party[CA_POINT_LEN], const char *name,
	const uint8_t point[CA_POINT_LEN], const uint8_t *proof, size_t proof_len,
	struct diag *d) ATT_MUST_CHECK;

enum ca_bundle_what {
	CA_BUNDLE_ZONE, /* the zone's keys and zone-keys */
	CA_BUNDLE_ALL,	/* and the CAs' and all others, but node.key */
};
/* The files of a folder of keys, sealed to a node. *out: malloc. */
enum rc ca_bundle_seal(const char *folder, enum ca_bundle_what what, uint64_t version,
	const struct ca_key *party, const char *node, const uint8_t point[CA_POINT_LEN],
	uint8_t **out, size_t *len, struct diag *d) ATT_MUST_CHECK;
/* Checks, opens, and writes the files into `folder`; the zone's keys that are not among them are
 * destroyed. A bundle may hold only what `what` says, and be of version `least` or later
 * (RC_STATE). RC_SIGNATURE, RC_AUTH, RC_MALFORMED. */
enum rc ca_bundle_open(const char *folder, enum ca_bundle_what what, const struct ca_key *node_key,
	const uint8_t party[CA_POINT_LEN], const char *node, uint64_t least, const uint8_t *bytes,
	size_t len, uint64_t *version, struct diag *d) ATT_MUST_CHECK;

/* The names in an opened bundle, for the fuzzer too: RC_MALFORMED unless all is well formed. */
struct ca_bundle_file {
	char name[32];
	const uint8_t *bytes; /* borrowed */
	size_t len;
};
enum rc ca_bundle_parse(const uint8_t *plain, size_t len, enum ca_bundle_what what,
	uint64_t *version, struct ca_bundle_file files[CA_BUNDLE_FILES],
	size_t *count) ATT_MUST_CHECK;

/* "The audit chain of node `name` has the row `seq` with this hash at its end." */
enum rc ca_node_sign_head(const struct ca_key *node_key, const char *name, uint64_t seq,
	const uint8_t hash[CA_SHA256_LEN], uint8_t sig[64], struct diag *d) ATT_MUST_CHECK;
enum rc ca_node_check_head(const uint8_t point[CA_POINT_LEN], const char *name, uint64_t seq,
	const uint8_t hash[CA_SHA256_LEN], const uint8_t *sig, size_t sig_len) ATT_MUST_CHECK;
