/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Enrolment over Secure Transport (RFC 7030 with the clarifications of RFC 8951): paths, bodies and
 * answers. Bodies are base64 of DER whatever Content-Transfer-Encoding says, with white space
 * anywhere. Knows no sockets, asks nobody: see role/front_enrol. */

#include "http/enrol.h"

#include <stddef.h>

#define EST_PREFIX   "/.well-known/est/"
#define EST_BODY_MAX 4096 /* base64 of a CSR in lines, and room for an honest mistake */

/* How long a client waits before it asks again after 202. */
#define EST_RETRY_S 2

#define EST_TYPE_CERTS	  "application/pkcs7-mime"
#define EST_TYPE_ISSUED	  "application/pkcs7-mime; smime-type=certs-only"
#define EST_TYPE_CSRATTRS "application/csrattrs"

enum est_op { EST_CACERTS, EST_CSRATTRS, EST_ENROL, EST_REENROL };

/* Status and reason of a refusal; `allow` for 405. */
struct est_fault {
	unsigned status;
	struct diag why;
	const char *allow; /* NULL, or a whole header line */
};

/* Whether a path is EST's at all. */
bool est_is(const char *path);
/* The operation of a path below EST_PREFIX. False and *f: 404, 405. */
bool est_find(const char *method, const char *path, enum est_op *op, struct est_fault *f);
/* "est.simpleenroll": for logs and the audit. */
const char *est_name(enum est_op op);

/* The CSR of a simpleenroll or simplereenroll body. False and *f: 400, 413, 415. */
bool est_read(const char *content_type, const uint8_t *body, size_t len, const char *zone,
	struct enrol_csr *out, struct est_fault *f);

/* A certs-only CMS SignedData (RFC 5272 section 4.1) of DER certificates, in base64 lines; free
 * with free(). RC_MALFORMED when one of them is none. */
enum rc est_write_certs(
	const ProtobufCBinaryData *const *certs, size_t n, char **out, size_t *len) ATT_MUST_CHECK;
/* What a CSR should have: a P-256 key, signed with ECDSA and SHA-256. */
enum rc est_write_csrattrs(char **out, size_t *len) ATT_MUST_CHECK;
