/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a device asks the DNS: its own record, and what its provider's server must present. Only
 * validated answers count; resolvers and anchors come from a payload or from card file F3. */

#include "dane/dane.h"
#include "payload/payload.h"

#include <openssl/x509.h>

/* The names are those of formats.md section 6. */
enum record_verdict { RECORD_ATTESTED, RECORD_ABSENT, RECORD_SUPERSEDED, RECORD_CANNOT_TELL };

/* "attested", "absent", "superseded", "cannot_tell". */
const char *record_text(enum record_verdict v);

/* A validating client of the payload's resolvers (or of the profile's). Free with dane_free. */
enum rc record_open(const struct payload *p, unsigned timeout_ms, struct dane **out,
	struct diag *d) ATT_MUST_CHECK;

/* Whether the CERT records at the owner name name this certificate; `why` says what was proved. */
enum record_verdict record_check(
	struct dane *dane, const char *owner, const uint8_t cert_sha256[32], struct diag *why);

/* What the service's server must present. */
struct record_pins {
	bool from_dns; /* else from the payload */
	size_t len;
	struct dane_tlsa pins[PAYLOAD_PINS_MAX]; /* into `answer` or into the payload */
	struct dane_answer answer;
};

/* TLSA at _port._tcp.<handle>._service.<zone> when the zone has it, being the newer word of the
 * registry; the payload's pins where its absence is proved. RC_UNAVAILABLE when neither can be
 * known: the answer is missing, insecure or bogus. */
enum rc record_service(struct dane *dane, const struct payload *p, struct record_pins *out,
	struct diag *d) ATT_MUST_CHECK;

/* Whether a server's chain (leaf first) satisfies one of the pins (RFC 6698, RFC 7671): usage 3 the
 * leaf; usage 2 a CA of the chain that signs down to a leaf with that host name. Usages 0 and 1
 * need public CAs, which a device does not have: unusable. RC_AUTH. */
enum rc record_server(const struct record_pins *pins, STACK_OF(X509) * chain, const char *host,
	struct diag *d) ATT_MUST_CHECK;
