/* SPDX-License-Identifier: Apache-2.0 */

/* What a server would do instead of one DNS query: an OCSP check of each client's certificate with
 * OpenSSL's own calls (RFC 6960): request, HTTP to the responder over a connection of its own,
 * response verified, status found. ocsp_ask CA.pem ADDR:PORT CERT.pem... prints a line of JSON. */

#include "asks.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>

static X509 *load(const char *path)
{
	BIO *bio = BIO_new_file(path, "r");
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return cert;
}

static int judge(OCSP_RESPONSE *response, OCSP_CERTID *id, X509_STORE *store)
{
	OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
	ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
	int status = -1;
	int good = basic && OCSP_basic_verify(basic, NULL, store, 0) == 1 &&
		   OCSP_resp_find_status(basic, id, &status, NULL, NULL, &from, &until) == 1 &&
		   OCSP_check_validity(from, until, 300, -1) == 1 &&
		   status == V_OCSP_CERTSTATUS_GOOD;

	OCSP_BASICRESP_free(basic);
	return good;
}

static int check(X509 *cert, X509 *issuer, X509_STORE *store, const char *host)
{
	OCSP_REQUEST *request = OCSP_REQUEST_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, issuer), *mine = OCSP_CERTID_dup(id);
	BIO *bio = BIO_new_connect(host);
	OCSP_RESPONSE *response = NULL;
	int good = 0;

	if (request && id && mine && bio && OCSP_request_add0_id(request, id) &&
		BIO_do_connect(bio) == 1)
		response = OCSP_sendreq_bio(bio, "/", request);
	if (response)
		good = judge(response, mine, store);
	OCSP_RESPONSE_free(response);
	OCSP_CERTID_free(mine);
	OCSP_REQUEST_free(request);
	BIO_free_all(bio);
	return good;
}

int main(int argc, char **argv)
{
	X509_STORE *store = X509_STORE_new();
	uint64_t *took = calloc((size_t)argc, sizeof(*took));
	X509 *issuer = argc > 3 ? load(argv[1]) : NULL;
	size_t n = (size_t)(argc > 3 ? argc - 3 : 0), good = 0;

	if (!issuer || !took || !store || X509_STORE_add_cert(store, issuer) != 1)
		return 2;
	for (size_t i = 0; i < n; i++) {
		X509 *cert = load(argv[3 + i]);
		uint64_t began = now_ns();

		good += cert ? (size_t)check(cert, issuer, store, argv[2]) : 0;
		took[i] = now_ns() - began;
		X509_free(cert);
	}
	print_round(took, n, good);
	X509_free(issuer);
	X509_STORE_free(store);
	free(took);
	return 0;
}
