/* SPDX-License-Identifier: Apache-2.0 */
/* P-256 keys in files, their requests and self-signed certificates: the provider's own. */
#include "asp/services/internal.h"

#include "base/file.h"
#include "base/secret.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SKEW_S 300

static enum rc crypto(struct diag *d, const char *what)
{
	ERR_clear_error();
	return diag_set(d, RC_CRYPTO, "%s", what);
}

enum rc svc__key_load(const char *path, EVP_PKEY **out, struct diag *d)
{
	struct secret s = { 0 };
	EVP_PKEY *key = NULL;
	BIO *bio;
	enum rc rc;

	if (access(path, F_OK) != 0)
		return diag_set(d, RC_NOT_FOUND, "%s: there is no key", path);
	rc = secret_read_file(&s, path, SVC_FILE_MAX);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s%s", path, rc_text(rc),
			rc == RC_DENIED ? "; chmod 600 it" : "");
	bio = BIO_new_mem_buf(s.bytes, (int)s.len);
	key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	secret_free(&s);
	if (!key)
		return crypto(d, "the key file holds no private key in PEM");
	*out = key;
	return RC_OK;
}

enum rc svc__key_make(const char *path, EVP_PKEY **out, struct diag *d)
{
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;
	char *pem = NULL;
	long len;
	enum rc rc;

	if (access(path, F_OK) == 0)
		return diag_set(d, RC_EXISTS, "%s: there is a key already", path);
	key = EVP_EC_gen("P-256");
	bio = BIO_new(BIO_s_secmem());
	if (!key || !bio ||
		PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
		(len = BIO_get_mem_data(bio, &pem)) <= 0) {
		rc = crypto(d, "no key could be made");
	} else {
		rc = file_write_atomic(path, pem, (size_t)len, 0600, d);
		OPENSSL_cleanse(pem, (size_t)len);
	}
	BIO_free(bio);
	if (rc == RC_OK)
		*out = key;
	else
		EVP_PKEY_free(key);
	return rc;
}

enum rc svc__key_pin(EVP_PKEY *key, uint8_t sha256[32])
{
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	bool good = len > 0 && EVP_Digest(der, (size_t)len, sha256, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return good ? RC_OK : RC_CRYPTO;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool good;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = e && X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return good;
}

static bool set_name(X509_NAME *name, const char *fqdn)
{
	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC,
		       (const unsigned char *)fqdn, -1, -1, 0) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *fqdn, unsigned days)
{
	char san[DANE_NAME_MAX + 8];
	uint8_t serial[16];
	BIGNUM *n = NULL;
	bool good;

	(void)snprintf(san, sizeof(san), "DNS:%s", fqdn);
	good = RAND_bytes(serial, sizeof(serial)) == 1;
	serial[0] = (serial[0] & 0x7f) | 0x40;
	n = BN_bin2bn(serial, sizeof(serial), NULL);
	/* CN holds 64 octets; longer names stand in the SAN alone. */
	good = good && n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) &&
	       X509_set_version(cert, X509_VERSION_3) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(cert), -SKEW_S) &&
	       X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, NULL) &&
	       set_name(X509_get_subject_name(cert), strlen(fqdn) <= 64 ? fqdn : "server") &&
	       X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
	       X509_set_pubkey(cert, key) == 1 &&
	       add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") &&
	       add_extension(cert, NID_subject_alt_name, san) &&
	       X509_sign(cert, key, EVP_sha256()) > 0;
	BN_free(n);
	return good;
}

enum rc svc__self_signed(EVP_PKEY *key, const char *fqdn, unsigned days, char **pem, struct diag *d)
{
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;

	if (cert && bio && fill(cert, key, fqdn, days) && PEM_write_bio_X509(bio, cert) == 1)
		text = svc__bio_text(bio);
	X509_free(cert);
	BIO_free(bio);
	if (!text)
		return crypto(d, "no certificate could be made");
	*pem = text;
	return RC_OK;
}

enum rc svc__request(EVP_PKEY *key, const char *fqdn, uint8_t **der, size_t *len, struct diag *d)
{
	STACK_OF(X509_EXTENSION) *list = NULL;
	X509_REQ *req = X509_REQ_new();
	char san[DANE_NAME_MAX + 8];
	X509_EXTENSION *e = NULL;
	unsigned char *bytes = NULL;
	int n = -1;

	(void)snprintf(san, sizeof(san), "DNS:%s", fqdn);
	e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	list = e ? X509v3_add_ext(&list, e, -1) : NULL;
	if (req && list &&
		set_name(X509_REQ_get_subject_name(req), strlen(fqdn) <= 64 ? fqdn : "server") &&
		X509_REQ_add_extensions(req, list) == 1 && X509_REQ_set_pubkey(req, key) == 1 &&
		X509_REQ_sign(req, key, EVP_sha256()) > 0)
		n = i2d_X509_REQ(req, &bytes);
	if (n > 0 && (*der = malloc((size_t)n))) {
		memcpy(*der, bytes, (size_t)n);
		*len = (size_t)n;
	} else {
		n = -1;
	}
	OPENSSL_free(bytes);
	X509_EXTENSION_free(e);
	sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
	X509_REQ_free(req);
	return n > 0 ? RC_OK : crypto(d, "no request could be made");
}

enum rc svc__cert_look(const char *path, EVP_PKEY *key, int64_t *not_after, struct diag *d)
{
	uint8_t *text = NULL;
	size_t len = 0;
	X509 *cert = NULL;
	BIO *bio = NULL;
	struct tm tm;
	enum rc rc = file_read(path, SVC_FILE_MAX, &text, &len, d);

	if (rc != RC_OK)
		return rc;
	bio = BIO_new_mem_buf(text, (int)len);
	cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	if (!cert || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		rc = crypto(d, "the certificate file holds none");
	else if (key && X509_check_private_key(cert, key) != 1)
		rc = diag_set(d, RC_CONFLICT, "%s: is not for the key beside it", path);
	else
		*not_after = timegm(&tm);
	ERR_clear_error();
	X509_free(cert);
	BIO_free(bio);
	free(text);
	return rc;
}
