/* SPDX-License-Identifier: Apache-2.0 */
/* CMP messages. Nothing is asked of the registry for a message whose signature is not the client's;
 * every message that is one is answered. */
#include "fuzz.h"
#include "http/cmp.h"
#include "http/reflect.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whose key has signed the samples. */
static const char signer[] = "-----BEGIN CERTIFICATE-----\n"
			     "MIIBcTCCARegAwIBAgIUe7uKJaK4N2UEQG09tS1N6fmPuXcwCgYIKoZIzj0EAwIw\n"
			     "DjEMMAoGA1UEAwwDbW5vMB4XDTI2MTEyMzIzMTMxM1oXDTM2MTEyMDIzMTMxM1ow\n"
			     "DjEMMAoGA1UEAwwDbW5vMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEH/SnEubO\n"
			     "tl3kYY8TcphHLBbZ2d+dg0F+CLJUDU2Eck6goVyH7qTYb2bb4a5f7nbWt16LDtLx\n"
			     "iJJQx8mk2aGNdaNTMFEwHQYDVR0OBBYEFDzLwsV0fMMZdkyrB2aHUi5p0DYDMB8G\n"
			     "A1UdIwQYMBaAFDzLwsV0fMMZdkyrB2aHUi5p0DYDMA8GA1UdEwEB/wQFMAMBAf8w\n"
			     "CgYIKoZIzj0EAwIDSAAwRQIhAJxomUeLVCXrvO5F2u7UJBDn6r3AXJ8AX+h2zAoA\n"
			     "t578AiAFEY/UX7VXWQYshjzCLGoTmTgrt8Qs1mO8rJ3wgSYWyA==\n"
			     "-----END CERTIFICATE-----\n";

struct world {
	struct cmp *cmp;
	X509 *client;
};

static FILE *temp(char path[32])
{
	int fd;

	(void)snprintf(path, 32, "/tmp/fuzz_cmp.XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? NULL : fdopen(fd, "w");
}

static void set_up(struct world *w)
{
	char key_path[32], cert_path[32];
	FILE *key_file = temp(key_path), *cert_file = temp(cert_path);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *in = BIO_new_mem_buf(signer, -1);
	X509 *cert = X509_new();
	struct diag d;

	w->client = PEM_read_bio_X509(in, NULL, NULL, NULL);
	BIO_free(in);
	if (!key_file || !cert_file || !key || !cert || !w->client ||
		X509_set_pubkey(cert, key) != 1 || !X509_gmtime_adj(X509_getm_notBefore(cert), 0) ||
		!X509_gmtime_adj(X509_getm_notAfter(cert), 3600) ||
		X509_sign(cert, key, EVP_sha256()) <= 0 ||
		PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) != 1 ||
		PEM_write_X509(cert_file, cert) != 1 || fclose(key_file) || fclose(cert_file) ||
		cmp_new(&w->cmp, cert_path, key_path, "iotregistry.example", clock_system(), &d) !=
			RC_OK)
		abort();
	(void)unlink(key_path);
	(void)unlink(cert_path);
	X509_free(cert);
	EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t spki[ENROL_SPKI_LEN];
	static struct world w;
	struct cmp_verdict no = { .why = "no" };
	struct enrol_client client = { .spki_sha256 = spki, .peer = "fuzz" };
	struct cmp_reply out = { 0 };
	struct cmp_ask *ask = NULL;
	struct diag d;
	enum rc rc;

	if (!w.cmp)
		set_up(&w);
	client.cert = w.client;
	rc = cmp_take(w.cmp, &client, data, size, &ask, &out, &d);
	if (rc == RC_OK && ask)
		rc = cmp_answer(w.cmp, ask, &no, &out);
	if (rc == RC_OK ? !out.len : !d.text[0] && rc != RC_CRYPTO)
		abort();
	cmp_reply_free(&out);
	return 0;
}
