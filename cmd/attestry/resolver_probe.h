/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a resolver shows to whoever connects: over TLS its key, and what it makes of one question;
 * in clear, whether it answers at all. Believes nothing: what is proved is for dane.h. */

#include "base/diag.h"

#include <stdbool.h>
#include <stdint.h>

struct probe {
	char tls[16]; /* "TLSv1.3" */
	unsigned char spki[32];
	long long not_after; /* of its certificate, seconds since 1970 */
	unsigned ms;	     /* for connecting, TLS and one question */
	unsigned rcode;	     /* RFC 1035 section 4.1.1 */
	uint32_t serial;     /* where a SOA record was asked for and came; else 0 */
	bool validated;	     /* the AD flag (RFC 4035 section 3.2.3) */
};
/* RC_UNAVAILABLE: nobody there, no TLS, or no answer in time. */
enum rc probe_tls(const char *addr, int port, const char *tls_name, const char *name, uint16_t type,
	struct probe *out, struct diag *d) ATT_MUST_CHECK;

/* True when it answers a question in clear at that port. */
bool probe_answers_clear(const char *addr, int port, bool tcp);
