/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A TLS server judged by its TLSA records, as RFC 7671 says, with OpenSSL's
 * own DANE code. For clients; how a device is judged is libattest's. */

#include "dane/dane.h"

/* Gives a client's connection, before its handshake, what a secure TLSA answer of `host` allows;
 * the context must be fresh. *usable counts the records that can be used: with none nothing can be
 * proved, and the handshake must not be made. Usages 0 and 1 are not used: they need a list of
 * public CAs, which nothing of ours has. Afterwards SSL_get_verify_result tells. RC_CRYPTO. */
enum rc dane_tls_prepare(SSL_CTX *ctx, SSL **ssl, const char *host, const struct dane_answer *tlsa,
	size_t *usable, struct diag *d) ATT_MUST_CHECK;
