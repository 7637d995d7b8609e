/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/clientid.h"

#include "device/ssl__.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

/* dane_clientid, the client's side: the name in the certificate that is sent, without a trailing
 * dot, and only to a server that asked (OpenSSL sees to that). No state: the certificate has the
 * name. */

static size_t take(const ASN1_STRING *s, unsigned char out[DANE_CLIENTID_MAX])
{
	int n = s ? ASN1_STRING_length(s) : 0;

	if (n <= 0 || n > DANE_CLIENTID_MAX || memchr(ASN1_STRING_get0_data(s), 0, (size_t)n))
		return 0;
	memcpy(out, ASN1_STRING_get0_data(s), (size_t)n);
	return (size_t)n;
}

/* The first dNSName of the SAN; where there is none, the common name (kind `devkit`). */
static size_t owner_name(const X509 *cert, unsigned char out[DANE_CLIENTID_MAX])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	size_t n = 0;

	for (int i = 0; n == 0 && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS)
			n = take(name->d.dNSName, out);
	}
	GENERAL_NAMES_free(names);
	if (n == 0 && at >= 0)
		n = take(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), out);
	return n;
}

bool dev__clientid(SSL_CTX *ctx)
{
	const X509 *cert = SSL_CTX_get0_certificate(ctx);
	unsigned char name[DANE_CLIENTID_MAX + 1] = "";

	/* A name that the extension cannot carry is not sent; the certificate may still do. */
	if (!cert || owner_name(cert, name) == 0 || !dane_clientid_ok((const char *)name))
		return true;
	return dane_clientid_client(ctx, (const char *)name) == RC_OK;
}
