/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

enum { USAGE_TA = 2, USAGE_EE = 3 };

enum rc dane_tls_prepare(SSL_CTX *ctx, SSL **ssl, const char *host, const struct dane_answer *tlsa,
	size_t *usable, struct diag *d)
{
	SSL *s = NULL;
	size_t n = 0;

	if (SSL_CTX_dane_enable(ctx) <= 0 || (s = SSL_new(ctx)) == NULL ||
		SSL_dane_enable(s, host) <= 0 || SSL_set_tlsext_host_name(s, host) != 1) {
		SSL_free(s);
		ERR_clear_error();
		return diag_set(d, RC_CRYPTO, "no TLS connection for %s", host);
	}
	/* RFC 7671 5.1: with DANE-EE the names in the certificate do not count. */
	SSL_dane_set_flags(s, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	SSL_set_verify(s, SSL_VERIFY_PEER, NULL);
	for (size_t i = 0; i < tlsa->n_rrs; i++) {
		struct dane_tlsa t;

		if (dane_tlsa_parse(&tlsa->rrs[i], &t) != RC_OK ||
			(t.usage != USAGE_TA && t.usage != USAGE_EE))
			continue;
		if (SSL_dane_tlsa_add(s, t.usage, t.selector, t.matching, t.data, t.len) > 0)
			n++;
	}
	ERR_clear_error();
	*ssl = s;
	*usable = n;
	return RC_OK;
}
