/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and certificates of the parts that are not the registry's: the resolver
 * and the providers' brokers, as those would make them for themselves. */
#include "lab.h"
#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_DAYS 365

enum rc lab_random_text(char *out, size_t len, const char *alphabet)
{
	size_t n = strlen(alphabet);
	/* Values at or past the last full multiple would favour the first characters. */
	unsigned limit = 256 - 256 % (unsigned)n;

	for (size_t i = 0; i < len;) {
		unsigned char b;
		if (RAND_bytes(&b, 1) != 1)
			return RC_CRYPTO;
		if (b < limit)
			out[i++] = alphabet[b % n];
	}
	out[len] = '\0';
	return RC_OK;
}

enum rc lab_sha256(const void *bytes, size_t len, unsigned char out[32])
{
	return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1 ? RC_OK : RC_CRYPTO;
}

static int bind_free(int type, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Below the ports that Linux gives of itself (32768 and up): between here and the listener's start
 * no other program gets it by connecting somewhere.
 */
enum { LAB_PORT_FIRST = 20000, LAB_PORTS = 12000 };

enum rc lab_free_port(int *port, struct diag *d)
{
	for (int tries = 0; tries < 200; tries++) {
		uint16_t random;
		int candidate, tcp, udp;

		if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
			return RC_CRYPTO;
		candidate = LAB_PORT_FIRST + random % LAB_PORTS;
		tcp = bind_free(SOCK_STREAM, candidate);
		udp = bind_free(SOCK_DGRAM, candidate);
		if (tcp >= 0)
			close(tcp);
		if (udp >= 0)
			close(udp);
		if (tcp >= 0 && udp >= 0) {
			*port = candidate;
			return RC_OK;
		}
	}
	return diag_errno(d, RC_UNAVAILABLE, "no port of 127.0.0.1 is free for both TCP and UDP");
}

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

static X509 *make_cert(EVP_PKEY *key, const char *cn)
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
	     X509_time_adj_ex(X509_getm_notAfter(cert), SERVER_DAYS, 0, NULL) &&
	     add_ext(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1") &&
	     add_ext(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	     add_ext(cert, NID_ext_key_usage, "serverAuth") &&
	     X509_sign(cert, key, EVP_sha256()) > 0;
	if (ok)
		return cert;
fail:
	X509_free(cert);
	return NULL;
}

static enum rc write_pem(const struct lab *lab, const char *folder, const char *name, EVP_PKEY *key,
	X509 *cert, struct diag *d)
{
	char path[PATH_MAX];
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text;
	long len;
	enum rc rc = RC_CRYPTO;

	if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		len = BIO_get_mem_data(bio, &text);
		rc = lab_path(lab, path, "%s/%s.key", folder, name);
		if (rc == RC_OK)
			rc = file_write_atomic(path, text, (size_t)len, 0600, d);
	}
	BIO_free(bio);
	bio = BIO_new(BIO_s_mem());
	if (rc == RC_OK && bio && PEM_write_bio_X509(bio, cert) == 1) {
		len = BIO_get_mem_data(bio, &text);
		rc = lab_path(lab, path, "%s/%s.pem", folder, name);
		if (rc == RC_OK)
			rc = file_write_atomic(path, text, (size_t)len, 0644, d);
	}
	BIO_free(bio);
	return rc;
}

enum rc lab_self_signed(const struct lab *lab, const char *folder, const char *name,
	unsigned char spki[32], struct diag *d)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? make_cert(key, "localhost") : NULL;
	unsigned char *der = NULL;
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	enum rc rc = RC_CRYPTO;

	if (len > 0 && EVP_Digest(der, (size_t)len, spki, NULL, EVP_sha256(), NULL) == 1)
		rc = write_pem(lab, folder, name, key, cert, d);
	else
		diag_set(d, rc, "%s: cannot make a server certificate", name);
	OPENSSL_free(der);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}
