/* SPDX-License-Identifier: Apache-2.0 */
/* The lab's card maker: a CA that the registry trusts, and an attestation key per SIM. */
#include "lab.h"
#include "base/file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#define MAKER_DAYS 3650

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* `issuer` NULL: self-signed. */
static X509 *make_cert(EVP_PKEY *key, const char *cn, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	unsigned char serial[8];
	bool ok = cert && RAND_bytes(serial, sizeof(serial)) == 1;
	BIGNUM *bn = NULL;

	serial[0] &= 0x7f;
	bn = ok ? BN_bin2bn(serial, sizeof(serial), NULL) : NULL;
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) &&
	     X509_set_version(cert, 2) == 1 &&
	     X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
		     (const unsigned char *)cn, -1, -1, 0) == 1 &&
	     X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) == 1 &&
	     X509_set_pubkey(cert, key) == 1 && X509_gmtime_adj(X509_getm_notBefore(cert), -60) &&
	     X509_time_adj_ex(X509_getm_notAfter(cert), MAKER_DAYS, 0, NULL);
	if (ok && !issuer)
		ok = add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		     add_ext(cert, cert, NID_key_usage, "critical,keyCertSign") &&
		     add_ext(cert, cert, NID_subject_key_identifier, "hash");
	else if (ok)
		ok = add_ext(cert, issuer, NID_key_usage, "critical,digitalSignature");
	ok = ok && X509_sign(cert, issuer_key, EVP_sha256()) > 0;
	BN_free(bn);
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

static enum rc save(
	const struct lab *lab, BIO *bio, unsigned mode, const char *name, struct diag *d)
{
	char path[PATH_MAX], *bytes;
	long len = BIO_get_mem_data(bio, &bytes);
	enum rc rc = lab_path(lab, path, "%s", name);

	return rc == RC_OK ? file_write_atomic(path, bytes, (size_t)len, mode, d) : rc;
}

/* F1, a private key in PEM, and F2, its certificate in DER. */
static enum rc card(const struct lab *lab, size_t i, X509 *ca, EVP_PKEY *ca_key, struct diag *d)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? make_cert(key, lab->sims[i].eid, ca, ca_key) : NULL;
	BIO *pem = BIO_new(BIO_s_secmem()), *der = BIO_new(BIO_s_mem());
	char name[32];
	enum rc rc = RC_CRYPTO;

	if (cert && pem && der && i2d_X509_bio(der, cert) == 1 &&
		PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1) {
		(void)snprintf(name, sizeof(name), "sims/f1-%zu.key", i + 1);
		rc = save(lab, pem, 0600, name, d);
		(void)snprintf(name, sizeof(name), "sims/f2-%zu.der", i + 1);
		if (rc == RC_OK)
			rc = save(lab, der, 0644, name, d);
	}
	BIO_free(pem);
	BIO_free(der);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

enum rc lab_card_maker(const struct lab *lab, struct diag *d)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *ca = key ? make_cert(key, "Lab card maker", NULL, key) : NULL;
	BIO *pem = BIO_new(BIO_s_mem());
	char folder[PATH_MAX];
	enum rc rc = lab_path(lab, folder, "registry/ca/makers");

	if (rc == RC_OK && mkdir(folder, 0755) != 0 && errno != EEXIST)
		rc = diag_errno(d, RC_IO, "%s", folder);
	if (rc == RC_OK && (!ca || !pem || PEM_write_bio_X509(pem, ca) != 1))
		rc = diag_set(d, RC_CRYPTO, "cannot make a card maker's CA");
	if (rc == RC_OK)
		rc = save(lab, pem, 0644, "registry/ca/makers/labcard.pem", d);
	for (size_t i = 0; rc == RC_OK && i < LAB_SIMS; i++)
		rc = card(lab, i, ca, key, d);
	BIO_free(pem);
	X509_free(ca);
	EVP_PKEY_free(key);
	return rc;
}
