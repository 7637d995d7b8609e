/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From a certificate request to a certificate: the whole of what `keys` does
 * for one device or party, without the log's sync. */

#include "ca/attest.h"
#include "ca/cert.h"
#include "ca/csr.h"
#include "ca/issued.h"

/* What a registry signs with. Read-only once loaded; threads share it. */
struct ca_authority {
	char zone[CA_NAME_MAX + 1];
	struct ca_issuer issuing, devkit, party;
	struct ca_issued *issued;	/* borrowed; NULL: no log (bench, tests) */
	const struct ca_makers *makers; /* borrowed; NULL: none */
};

struct ca_device_order {
	const uint8_t *csr;
	size_t csr_len;
	const char *owner_name; /* lower case, in the zone, no trailing dot */
	bool devkit;
	const char *asp, *service, *eid; /* O, OU, serialNumber; eid may be "" */
	int64_t not_before, not_after;
	/* The proof that the key lives on the SIM. */
	const uint8_t *nonce; /* CA_NONCE_LEN, of the job that asked; NULL: not looked for */
	const uint8_t *attest_cert;
	size_t attest_cert_len;
	bool attest_require; /* refuse a key without proof, instead of recording that it has none */
};

struct ca_issued_cert {
	uint8_t der[CA_CERT_MAX];
	size_t der_len;
	bool has_b;
	uint8_t b_point[CA_POINT_LEN];
	const char *maker;		/* who vouches for the key's SIM; NULL: nobody */
	char attest_why[DIAG_TEXT_MAX]; /* why nobody; "": not looked for */
	struct ca_issued_entry entry;	/* hashes and serial; for ca_issued_append */
};

enum rc ca_issue_device(struct ca_crypt *x, const struct ca_authority *ca,
	const struct ca_device_order *order, int64_t now, struct ca_issued_cert *out,
	struct diag *d) ATT_MUST_CHECK;

struct ca_party_order {
	const uint8_t *csr;
	size_t csr_len;
	const char *id; /* CN, 3..16 characters */
	bool ra;	/* a registration authority: EKU id-kp-cmcRA */
	int64_t not_before, not_after;
};

/* A client certificate for a party; O absent. */
enum rc ca_issue_party(struct ca_crypt *x, const struct ca_authority *ca,
	const struct ca_party_order *order, int64_t now, struct ca_issued_cert *out,
	struct diag *d) ATT_MUST_CHECK;
