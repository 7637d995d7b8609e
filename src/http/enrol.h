/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the enrolment protocols (est, cmp) have in common: a PKCS#10 request as a client sent it,
 * and the typed request of the registry that it stands for. An operator's CSR is the result of
 * the keygen job that waits for that name; a device's is its wish for the next certificate.
 * Refuses form; whose name and which job is core's to say. Knows no protocol. */

#include "base/diag.h"
#include "base/ident.h"

#include "registry.pb-c.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENROL_CSR_MAX  1024 /* formats section 3: 546 bytes with B key and attestation */
#define ENROL_SPKI_LEN 32

/* A request that is signed by its own key and names one of the zone's. */
struct enrol_csr {
	uint8_t der[ENROL_CSR_MAX];
	size_t len;
	char name[IDENT_OWNER_TEXT]; /* <slot>.<iccid> */
	bool bare;		     /* the subject has nothing else */
	uint8_t spki_sha256[ENROL_SPKI_LEN];
};

/* Reads DER with nothing behind it. The subject has one common name, directly in `zone`.
 * RC_MALFORMED, RC_TOO_LARGE, RC_SIGNATURE, RC_NOT_FOUND (another name); d says why. */
enum rc enrol_csr_read(const uint8_t *der, size_t len, const char *zone, struct enrol_csr *out,
	struct diag *d) ATT_MUST_CHECK;

/* Who asks: the verified client certificate. */
struct enrol_client {
	X509 *cert;		    /* borrowed */
	bool device;		    /* signed by an issuing CA, not by the party CA */
	const uint8_t *spki_sha256; /* 32 bytes */
	const char *peer;
};

/* EKU id-kp-cmcRA (RFC 6402 section 2.10): may pass requests on that others have signed. */
bool enrol_is_ra(const X509 *cert);

/* May this client ask so, as far as its certificate says? Then the typed request, without id; free
 * with reflect_free. RC_DENIED, RC_MALFORMED (a subject that is not theirs to ask for) and d: not.
 */
enum rc enrol_request(const struct enrol_client *client, const struct enrol_csr *csr,
	Registry__Request **out, struct diag *d) ATT_MUST_CHECK;
/* An empty request of that client; free with reflect_free. NULL: out of memory. */
Registry__Request *enrol_envelope(const struct enrol_client *client);
/* What was refused by form, for the audit. */
Registry__Request *enrol_refusal(const struct enrol_client *client, const char *operation,
	const char *object, const char *reason);

/* The certificate in core's answer; NULL when there is none. Borrowed. */
const ProtobufCBinaryData *enrol_certificate(const Registry__Reply *reply);
