/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Keys and certificates of servers that are known by a pin and not by a CA: a resolver, a broker.
 */

#include "base/diag.h"

/* A P-256 key and its self-signed certificate in PATH.key (0600) and PATH.pem; the SHA-256 of its
 * SubjectPublicKeyInfo goes to spki. `san` as OpenSSL writes it: "DNS:localhost,IP:127.0.0.1". */
enum rc server_key_make(const char *path, const char *cn, const char *san, int days,
	unsigned char spki[32], struct diag *d) ATT_MUST_CHECK;

/* What a certificate's file says. RC_NOT_FOUND, RC_MALFORMED. */
struct server_cert {
	unsigned char spki[32];
	long long not_after; /* seconds since 1970 */
};
enum rc server_cert_read(const char *pem, struct server_cert *out, struct diag *d) ATT_MUST_CHECK;
