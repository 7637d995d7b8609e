/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Kit files of kind `devkit` (facts: devkit's card files 08, 09, 0A), signed by
 * the devkit issuing CA's key. That key also signs certificates, so what is
 * signed here must never be readable as a TBSCertificate: 08 begins with '{',
 * 0A covers a whole Certificate, whose first inner element is a SEQUENCE where
 * a TBSCertificate has [0] or INTEGER. */

#include "ca/crypt.h"

#define CA_KIT_ENDPOINT_MAX 100

struct ca_kit {
	uint8_t file08[CA_KIT_ENDPOINT_MAX];
	size_t file08_len;
	uint8_t file09[CA_SIG_DER_MAX];
	size_t file09_len;
	uint8_t file0a[CA_SIG_DER_MAX];
	size_t file0a_len;
};

/* RC_RANGE: url or port; RC_UNSUPPORTED: a TBSCertificate, CSR or CRL offered as ASP certificate.
 */
enum rc ca_kit_sign(struct ca_crypt *x, const struct ca_key *devkit, const char *url, uint32_t port,
	const uint8_t *asp_cert, size_t asp_cert_len, struct ca_kit *out,
	struct diag *d) ATT_MUST_CHECK;
