/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Certificate requests (PKCS#10, RFC 2986) of the one shape that a card makes
 * (formats.md section 3): version 1, one CN, P-256, ecdsa-with-SHA256, and no
 * attribute but our two. Every refusal names the field and the rule. It never
 * takes a name from the request: the caller says which name it asked for. */

#include "ca/crypt.h"

#define CA_CSR_MAX                                                                    \
	4096 /* an attested CSR is 546 bytes; the rest is room for generic tools' DER \
	      */

/* Pointers borrow from the DER that was parsed. */
struct ca_csr {
	char name[CA_NAME_MAX + 1]; /* CN, printable ASCII */
	const uint8_t *spki;	    /* CA_SPKI_LEN octets, form checked */
	const uint8_t *b_point;	    /* key-agreement key (attribute .1), CA_POINT_LEN; NULL: none */
	const uint8_t *attest;	    /* attestation statement S (attribute .2); NULL: none */
	size_t attest_len;
	const uint8_t *attest_sig; /* r||s by the attestation key, 64 octets */
	const uint8_t *tbs;	   /* CertificationRequestInfo, what the signature covers */
	size_t tbs_len;
	const uint8_t *sig; /* ECDSA-Sig-Value */
	size_t sig_len;
};

/* Form only, no crypto. RC_TOO_LARGE, RC_MALFORMED, RC_UNSUPPORTED (another algorithm, curve,
 * version or attribute). */
enum rc ca_csr_parse(
	const uint8_t *der, size_t len, struct ca_csr *out, struct diag *d) ATT_MUST_CHECK;

/* Proof of possession, and both points lie on the curve. RC_SIGNATURE, RC_RANGE. */
enum rc ca_csr_verify(struct ca_crypt *x, const struct ca_csr *csr, struct diag *d) ATT_MUST_CHECK;

/* A request for `name` signed by `key`: what --root-csr and `attestry` send. `out` holds
 * CA_CSR_MAX; `b_point` may be NULL. */
enum rc ca_csr_write(struct ca_crypt *x, const struct ca_key *key, const char *name,
	const uint8_t *b_point, uint8_t *out, size_t *len, struct diag *d) ATT_MUST_CHECK;
