/* SPDX-License-Identifier: Apache-2.0 */
/* An uploaded certificate. Where OpenSSL reads it too, both must say the same of it. */
#include "base/der.h"
#include "ca/cert.h"
#include "fuzz.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok)
{
	if (!ok)
		abort();
}

static void same_time(const ASN1_TIME *theirs, int64_t ours)
{
	ASN1_TIME *t = ASN1_TIME_set(NULL, (time_t)ours);

	must(t && ASN1_TIME_compare(theirs, t) == 0);
	ASN1_TIME_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ca_cert cert;
	struct diag d;
	const unsigned char *at = data;

	if (ca_cert_parse(data, size, &cert, &d) != RC_OK)
		return 0;
	/* The ranges lie inside the input. */
	must(cert.tbs >= data && cert.tbs + cert.tbs_len <= data + size);
	must(cert.spki >= cert.tbs && cert.spki + cert.spki_len <= cert.tbs + cert.tbs_len);
	must(cert.sig > cert.tbs && cert.sig + cert.sig_len <= data + size);
	X509 *x = d2i_X509(NULL, &at, (long)size);
	if (!x)
		return 0;
	must(at == data + size && X509_get_version(x) == X509_VERSION_3);
	same_time(X509_get0_notBefore(x), cert.not_before);
	same_time(X509_get0_notAfter(x), cert.not_after);
	unsigned char *name = NULL;
	int len = i2d_X509_NAME(X509_get_subject_name(x), &name);
	must(len >= 0 && (size_t)len == cert.subject_len &&
		memcmp(name, cert.subject, cert.subject_len) == 0);
	OPENSSL_free(name);
	/* A CA to us is a CA to OpenSSL, unless it finds the extensions as a whole wrong. */
	if (cert.ca && cert.key_cert_sign && !(X509_get_extension_flags(x) & EXFLAG_INVALID))
		must(X509_check_ca(x) == 1);
	X509_free(x);
	return 0;
}
