/* SPDX-License-Identifier: Apache-2.0 */
/* What our parser accepts, OpenSSL's must accept too and understand alike: we may be stricter,
 * never laxer. */
#include "ca/csr.h"
#include "fuzz.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok)
{
	if (!ok)
		abort();
}

static void same_name(X509_REQ *req, const struct ca_csr *csr)
{
	X509_NAME *name = X509_REQ_get_subject_name(req);
	char cn[CA_NAME_MAX + 2];

	must(X509_NAME_entry_count(name) == 1);
	int n = X509_NAME_get_text_by_NID(name, NID_commonName, cn, sizeof(cn));
	must(n == (int)strlen(csr->name) && strcmp(cn, csr->name) == 0);
}

static void same_spki(X509_REQ *req, const struct ca_csr *csr)
{
	unsigned char *spki = NULL;
	int len = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(req), &spki);

	must(len == CA_SPKI_LEN && memcmp(spki, csr->spki, CA_SPKI_LEN) == 0);
	OPENSSL_free(spki);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ca_crypt *x;
	struct ca_csr csr;
	struct diag d;

	if (!x && ca_crypt_new(&x, &d) != RC_OK)
		abort();
	if (ca_csr_parse(data, size, &csr, &d) != RC_OK)
		return 0;
	const unsigned char *at = data;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)size);
	must(req && at == data + size);
	must(X509_REQ_get_version(req) == X509_REQ_VERSION_1);
	same_name(req, &csr);
	same_spki(req, &csr);
	must(X509_REQ_get_attr_count(req) == (csr.b_point != NULL) + (csr.attest != NULL));
	EVP_PKEY *key = X509_REQ_get0_pubkey(req);
	if (ca_csr_verify(x, &csr, &d) == RC_OK)
		must(key && X509_REQ_verify(req, key) == 1);
	X509_REQ_free(req);
	return 0;
}
