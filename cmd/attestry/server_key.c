/* SPDX-License-Identifier: Apache-2.0 */
#include "server_key.h"

#include "base/file.h"
#include "base/str.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define CERT_FILE_MAX 65536

static bool add_ext(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static X509 *make_cert(EVP_PKEY *key, const char *cn, const char *san, int days)
{
	X509 *cert = X509_new();
	unsigned char serial[8];

	if (!cert || RAND_bytes(serial, sizeof(serial)) != 1)
		goto fail;
	serial[0] &= 0x7f;
	BIGNUM *bn = BN_bin2bn(serial, sizeof(serial), NULL);
	bool ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	X509_NAME *name = X509_get_subject_name(cert);
	ok = ok && X509_set_version(cert, 2) == 1 &&
	     X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
		     (const unsigned char *)cn, -1, -1, 0) == 1 &&
	     X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -60) &&
	     X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) &&
	     add_ext(cert, NID_subject_alt_name, san) &&
	     add_ext(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	     add_ext(cert, NID_ext_key_usage, "serverAuth") &&
	     X509_sign(cert, key, EVP_sha256()) > 0;
	if (ok)
		return cert;
fail:
	X509_free(cert);
	return NULL;
}

static enum rc write_bio(
	BIO *take_bio, bool filled, const char *path, const char *end, mode_t mode, struct diag *d)
{
	char file[PATH_MAX];
	char *text = NULL;
	long len = filled ? BIO_get_mem_data(take_bio, &text) : 0;
	enum rc rc = len > 0 ? str_format(file, sizeof(file), "%s%s", path, end) : RC_CRYPTO;

	if (rc == RC_OK)
		rc = file_write_atomic(file, text, (size_t)len, mode, d);
	BIO_free(take_bio);
	return rc;
}

static bool spki_of(const X509 *cert, unsigned char spki[32])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	bool ok = len > 0 && EVP_Digest(der, (size_t)len, spki, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

enum rc server_key_make(const char *path, const char *cn, const char *san, int days,
	unsigned char spki[32], struct diag *d)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? make_cert(key, cn, san, days) : NULL;
	BIO *bio;
	enum rc rc = cert && spki_of(cert, spki) ? RC_OK : RC_CRYPTO;

	if (rc == RC_OK) {
		bio = BIO_new(BIO_s_secmem());
		rc = write_bio(bio,
			bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
			path, ".key", 0600, d);
	}
	if (rc == RC_OK) {
		bio = BIO_new(BIO_s_mem());
		rc = write_bio(
			bio, bio && PEM_write_bio_X509(bio, cert) == 1, path, ".pem", 0644, d);
	}
	if (rc == RC_CRYPTO)
		diag_set(d, rc, "%s: cannot make a server certificate", path);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

enum rc server_cert_read(const char *pem, struct server_cert *out, struct diag *d)
{
	uint8_t *text = NULL;
	size_t len = 0;
	X509 *cert = NULL;
	struct tm tm;
	enum rc rc = file_read(pem, CERT_FILE_MAX, &text, &len, d);
	BIO *bio = rc == RC_OK ? BIO_new_mem_buf(text, (int)len) : NULL;

	if (bio)
		cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (rc == RC_OK && (!cert || !spki_of(cert, out->spki) ||
				   ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1))
		rc = diag_set(d, RC_MALFORMED, "%s: holds no certificate in PEM", pem);
	if (rc == RC_OK)
		out->not_after = (long long)timegm(&tm);
	X509_free(cert);
	BIO_free(bio);
	free(text);
	return rc;
}
