/* SPDX-License-Identifier: Apache-2.0 */
/* What a card's key (IOTSAFE_CARD) costs behind OpenSSL: CPU of a signature through the provider,
 * and of a mutual TLS handshake against a key in memory, in the same minute.
 * Client and server are in this process, over memory, so that nothing but they is counted; the
 * card's own work is another process's. Prints one JSON object. Usage: bench_handshake [COUNT]. */
#include "iotsafe.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static X509 *self_signed(EVP_PKEY *key)
{
	X509 *x = X509_new();

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)"bench", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	return x;
}

static int trust(X509_STORE_CTX *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	return 1;
}

static SSL_CTX *context(const SSL_METHOD *method, EVP_PKEY *key, X509 *cert)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	SSL_CTX_use_certificate(ctx, cert);
	SSL_CTX_use_PrivateKey(ctx, key);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, trust, NULL);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

static bool handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx)
{
	SSL *c = SSL_new(client_ctx), *s = SSL_new(server_ctx);
	BIO *up = BIO_new(BIO_s_mem()), *down = BIO_new(BIO_s_mem());
	bool done = false;

	SSL_set_bio(c, down, up);
	BIO_up_ref(up);
	BIO_up_ref(down);
	SSL_set_bio(s, up, down);
	SSL_set_connect_state(c);
	SSL_set_accept_state(s);
	for (int i = 0; i < 10 && !done; i++) {
		int a = SSL_do_handshake(c), b = SSL_do_handshake(s);
		done = a == 1 && b == 1;
	}
	SSL_free(c);
	SSL_free(s);
	return done;
}

/* CPU of one signature, in microseconds. */
static double signature(EVP_PKEY *key, int count)
{
	unsigned char digest[32] = { 1 }, sig[80];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	double t = now(CLOCK_PROCESS_CPUTIME_ID);
	bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1;

	for (int i = 0; ok && i < count; i++) {
		size_t len = sizeof(sig);
		ok = EVP_PKEY_sign(ctx, sig, &len, digest, sizeof(digest)) == 1;
	}
	EVP_PKEY_CTX_free(ctx);
	return ok ? (now(CLOCK_PROCESS_CPUTIME_ID) - t) / count * 1e6 : 0;
}

static double run(const char *what, SSL_CTX *client, SSL_CTX *server, int count)
{
	double cpu;

	for (int i = 0; i < 5; i++)
		if (!handshake(client, server)) {
			(void)fprintf(stderr, "%s: the handshake fails\n", what);
			exit(EXIT_FAILURE);
		}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < count; i++)
		(void)handshake(client, server);
	return (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count * 1e6;
}

int main(int argc, char **argv)
{
	int count = 500;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *server_key = EVP_EC_gen("P-256");
	X509 *cert = self_signed(key), *server_cert = self_signed(server_key);
	SSL_CTX *memory = context(TLS_client_method(), key, cert), *on_card = NULL;
	SSL_CTX *server = context(TLS_server_method(), server_key, server_cert);
	char why[IOTSAFE_ERROR_MAX] = "";
	struct iotsafe *card = NULL;
	double plain, ours, sign;
	EVP_PKEY *card_key = NULL;

	if ((argc > 1 && sscanf(argv[1], "%6d", &count) != 1) || count < 1 ||
		iotsafe_open(NULL, &card, why, sizeof(why)) != IOTSAFE_OK ||
		iotsafe_ssl_ctx(card, 1, &on_card) != IOTSAFE_OK ||
		iotsafe_evp_pkey(card, 1, &card_key) != IOTSAFE_OK) {
		(void)fprintf(stderr, "bench_handshake: %s\n", why);
		return EXIT_FAILURE;
	}
	SSL_CTX_set_cert_verify_callback(on_card, trust, NULL);
	plain = run("key in memory", memory, server, count);
	ours = run("key on card", on_card, server, count);
	sign = signature(card_key, count);
	printf("{\"provider\": %.0f, \"memory_us\": %.0f, \"card_us\": %.0f}\n", sign, plain, ours);
	EVP_PKEY_free(card_key);
	SSL_CTX_free(on_card);
	iotsafe_close(card);
	SSL_CTX_free(memory);
	SSL_CTX_free(server);
	X509_free(cert);
	X509_free(server_cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(server_key);
	return EXIT_SUCCESS;
}
