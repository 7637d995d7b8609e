/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A key of the zone, whatever its algorithm and wherever its private part is:
 * in a PEM file, in a PKCS#11 token, or on another machine (off-line: then what
 * it signs is brought here signed, presigned.h). A key is known by one file in
 * the folder of keys; that file's text says which of the three it is. */

#include "ca/crypt.h"
#include "ca/token.h"

enum ca_alg { CA_P256, CA_ED25519, CA_ALGS }; /* the numbers of enum rec_alg */
#define CA_ALG_P256_NUMBER    13	      /* RFC 6605 */
#define CA_ALG_ED25519_NUMBER 15	      /* RFC 8080 */
unsigned ca_alg_number(enum ca_alg alg);
/* False: not one of ours. */
bool ca_alg_of_number(unsigned number, enum ca_alg *out);
const char *ca_alg_text(enum ca_alg alg);
bool ca_alg_of_text(const char *text, enum ca_alg *out);

#define CA_DNSKEY_PUB_MAX 64 /* x | y; Ed25519: 32 octets */
#define CA_DNSKEY_LEN	  68 /* RDATA of the longest: flags, protocol, algorithm, public key */

enum ca_dnskey_where { CA_KEY_IN_FILE, CA_KEY_IN_TOKEN, CA_KEY_OFFLINE };

struct ca_dnskey {
	enum ca_alg alg;
	enum ca_dnskey_where where;
	uint8_t pub[CA_DNSKEY_PUB_MAX];
	size_t pub_len;
	EVP_PKEY *pkey; /* in a file: owned by reference */
	struct ca_token_key token;
};

/* A new key in memory. Free with ca_dnskey_free. */
enum rc ca_dnskey_new(struct ca_dnskey *out, enum ca_alg alg, struct diag *d) ATT_MUST_CHECK;
/* A P-256 key that is somewhere else already. */
enum rc ca_dnskey_of(struct ca_dnskey *out, const struct ca_key *key) ATT_MUST_CHECK;
/* A public key alone. RC_MALFORMED unless it is the RDATA of a zone key of ours. */
enum rc ca_dnskey_public(struct ca_dnskey *out, const uint8_t *rdata, size_t len, bool *ksk,
	struct diag *d) ATT_MUST_CHECK;
void ca_dnskey_free(struct ca_dnskey *key);
/* Another reference to the same key. */
struct ca_dnskey ca_dnskey_ref(const struct ca_dnskey *key);

/* `token` may be NULL: then a key in a token is refused. */
enum rc ca_dnskey_load(struct ca_dnskey *out, const char *path, struct ca_token *token,
	struct diag *d) ATT_MUST_CHECK;
/* Refuses to overwrite (RC_EXISTS). */
enum rc ca_dnskey_store(
	const struct ca_dnskey *key, const char *path, struct diag *d) ATT_MUST_CHECK;

/* DNSKEY RDATA. */
size_t ca_dnskey_rdata(const struct ca_dnskey *key, bool ksk, uint8_t out[CA_DNSKEY_LEN]);
/* RC_UNAVAILABLE: it is off-line, or the token does not answer. */
enum rc ca_dnskey_sign(struct ca_crypt *x, const struct ca_dnskey *key, const uint8_t *bytes,
	size_t len, uint8_t sig[64], struct diag *d) ATT_MUST_CHECK;
enum rc ca_dnskey_verify(const struct ca_dnskey *key, const uint8_t *bytes, size_t len,
	const uint8_t sig[64]) ATT_MUST_CHECK;
