/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Attested keys: whether a CSR's key lives on the SIM that it says (formats.md section 3, IoT.04
 * H4). A card maker's CA certifies each card's attestation key (file F2 of container F1); that key
 * signs which SIM, which container, which public key and the job's nonce. Trusts only the makers
 * whose CA certificates the registry's operator has put into ca/makers. */

#include "ca/cert.h"
#include "ca/csr.h"

#define CA_MAKERS_MAX	  32
#define CA_MAKER_NAME_MAX 64
#define CA_NONCE_LEN	  16

struct ca_maker {
	char name[CA_MAKER_NAME_MAX]; /* the file's, without .pem */
	uint8_t der[CA_CERT_MAX];
	struct ca_cert cert; /* borrows from der */
};

/* Read-only once loaded; threads share it. Not to be moved. */
struct ca_makers {
	size_t count;
	struct ca_maker *of; /* owned */
};

/* Every *.pem of the folder, by name; a folder that is not there holds none. RC_RANGE: one that is
 * no CA certificate. */
enum rc ca_makers_load(struct ca_makers *out, const char *folder, struct diag *d) ATT_MUST_CHECK;
void ca_makers_free(struct ca_makers *makers);

/* What a statement must say to be of this order. */
struct ca_attest_order {
	const char *owner_name; /* gives ICCID and slot */
	const char *zone;	/* of the name */
	const char *eid;	/* 32 digits; "": the registry knows none */
	const uint8_t *nonce;	/* CA_NONCE_LEN; NULL: no job asked for this CSR */
	const uint8_t *cert;	/* F2, DER */
	size_t cert_len;	/* 0: none is known for this SIM */
};

/* RC_OK: proven, *maker says who vouches. RC_NOT_FOUND: the CSR holds no statement, or there is
 * nothing to check it with. RC_CONFLICT: it speaks of another SIM, container, key or job.
 * RC_SIGNATURE: the card did not sign it, or no maker the card. The CSR itself has been verified by
 * the caller. */
enum rc ca_attest_verify(struct ca_crypt *x, const struct ca_makers *makers,
	const struct ca_csr *csr, const struct ca_attest_order *order, int64_t now,
	const char **maker, struct diag *d) ATT_MUST_CHECK;
