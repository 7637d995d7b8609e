/* SPDX-License-Identifier: Apache-2.0 */
#include "dane/internal.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#define CERT_PKIX 1
#define CERT_OID  254

enum rc dane_tlsa_parse(const struct dane_rr *rr, struct dane_tlsa *out)
{
	struct cur c = cur_init(rr->rdata, rr->len);
	struct dane_tlsa t = { 0 };

	t.usage = cur_u8(&c);
	t.selector = cur_u8(&c);
	t.matching = cur_u8(&c);
	t.len = c.left;
	t.data = cur_bytes(&c, c.left);
	if (c.bad || t.len == 0 || (t.matching == 1 && t.len != 32) ||
		(t.matching == 2 && t.len != 64))
		return RC_MALFORMED;
	*out = t;
	return RC_OK;
}

bool dane_tlsa_match(const struct dane_tlsa *tlsa, const X509 *cert)
{
	const EVP_MD *md = tlsa->matching == 1	 ? EVP_sha256()
			   : tlsa->matching == 2 ? EVP_sha512()
						 : NULL;
	uint8_t *der = NULL, digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool same = false;
	int len = -1;

	if (tlsa->selector == 0)
		len = i2d_X509(cert, &der);
	else if (tlsa->selector == 1)
		len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	if (len > 0 && tlsa->matching == 0)
		same = (size_t)len == tlsa->len && memcmp(der, tlsa->data, tlsa->len) == 0;
	else if (len > 0 && md && EVP_Digest(der, (size_t)len, digest, &n, md, NULL) == 1)
		same = n == tlsa->len && memcmp(digest, tlsa->data, n) == 0;
	OPENSSL_free(der);
	return same;
}

/* Type 1 with 32 bytes is a digest (what fielded devices read), type 254 names its digest. */
bool dane_cert_match(const struct dane_rr *rr, const uint8_t sha256[32])
{
	static const uint8_t oid[] = { 11, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
		0x02, 0x01 };
	struct cur c = cur_init(rr->rdata, rr->len);
	unsigned type = cur_u16(&c);
	const uint8_t *data;

	cur_skip(&c, 3); /* key tag, algorithm: nothing of ours depends on them */
	if (type == CERT_OID) {
		data = cur_bytes(&c, sizeof(oid));
		if (!data || memcmp(data, oid, sizeof(oid)) != 0)
			return false;
	} else if (type != CERT_PKIX) {
		return false;
	}
	data = cur_bytes(&c, 32);
	return cur_done(&c) && memcmp(data, sha256, 32) == 0;
}
