/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/compiler.h"
#include "fake.h"
#include "iotsafe.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* A CA, a server, and a card with a certificate of that CA. */
struct world {
	EVP_PKEY *ca_key, *server_key, *card_key, *agree_key;
	X509 *ca, *server, *device;
	uint8_t *device_der, *ca_der;
	struct fake *card;
};

static struct world *world_new(bool modem)
{
	struct world *w = calloc(1, sizeof(*w));

	w->ca_key = EVP_EC_gen("P-256");
	w->server_key = EVP_EC_gen("P-256");
	w->card_key = EVP_EC_gen("P-256");
	w->agree_key = EVP_EC_gen("P-256");
	w->ca = fake_cert(w->ca_key, "test CA", NULL, NULL);
	w->server = fake_cert(w->server_key, "broker.example", w->ca_key, w->ca);
	w->device = fake_cert(
		w->card_key, "1.8912230200031010008f.iotregistry.example", w->ca_key, w->ca);
	w->card = calloc(1, sizeof(*w->card));
	w->card->modem = modem;
	w->card->sign_key = w->card_key;
	w->card->agree_key = w->agree_key;
	w->card->files_len = 2;
	w->card->files[0] =
		(struct fake_file){ .id = 2, .len = (size_t)i2d_X509(w->device, &w->device_der) };
	w->card->files[0].bytes = w->device_der;
	w->card->files[1] =
		(struct fake_file){ .id = 7, .len = (size_t)i2d_X509(w->ca, &w->ca_der) };
	w->card->files[1].bytes = w->ca_der;
	fake_start(w->card);
	return w;
}

static void world_free(struct world *w)
{
	fake_stop(w->card);
	free(w->card);
	X509_free(w->ca);
	X509_free(w->server);
	X509_free(w->device);
	OPENSSL_free(w->device_der);
	OPENSSL_free(w->ca_der);
	EVP_PKEY_free(w->ca_key);
	EVP_PKEY_free(w->server_key);
	EVP_PKEY_free(w->card_key);
	EVP_PKEY_free(w->agree_key);
	free(w);
}

static struct iotsafe *open_card(const struct world *w)
{
	struct iotsafe_options o = { .card = w->card->card, .timeout_ms = 1000 };
	struct iotsafe *card = NULL;
	char error[IOTSAFE_ERROR_MAX] = "";

	if (iotsafe_open(&o, &card, error, sizeof(error)) != IOTSAFE_OK)
		fail_msg("%s", error);
	return card;
}

static SSL_CTX *server_ctx(const struct world *w, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_int_equal(SSL_CTX_use_certificate(ctx, w->server), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, w->server_key), 1);
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), w->ca), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	return ctx;
}

/* Both ends over one BIO pair; true when the server has seen the device's certificate and the
 * device has read one byte from the server. */
static bool handshake(const struct world *w, SSL *client, SSL *server)
{
	BIO *a = NULL, *b = NULL;
	char byte = 0;
	bool wrote = false, ok = false;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 50 && !ok; i++) {
		int c = SSL_read(client, &byte, 1);
		if (c <= 0 && SSL_get_error(client, c) != SSL_ERROR_WANT_READ)
			break;
		int s = SSL_do_handshake(server);
		if (s <= 0 && SSL_get_error(server, s) != SSL_ERROR_WANT_READ)
			break;
		if (s == 1 && !wrote)
			wrote = SSL_write(server, "x", 1) == 1;
		ok = c == 1 && byte == 'x';
	}
	ERR_clear_error();
	if (!ok)
		return false;
	X509 *seen = SSL_get1_peer_certificate(server);
	assert_non_null(seen);
	assert_int_equal(X509_cmp(seen, w->device), 0);
	X509_free(seen);
	return true;
}

/* The server's side of dane_clientid, as a DANCE server has it. */
static int ask_name(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
	size_t *len, X509 *cert, size_t at, int *alert, void *arg)
{
	static const unsigned char empty[] = { 0 };

	(void)ssl, (void)type, (void)cert, (void)at, (void)alert, (void)arg;
	if (context != SSL_EXT_TLS1_3_CERTIFICATE_REQUEST)
		return 0;
	*out = empty;
	*len = sizeof(empty);
	return 1;
}

static int hear_name(SSL *ssl, unsigned type, unsigned context, const unsigned char *in, size_t len,
	X509 *cert, size_t at, int *alert, void *arg)
{
	(void)ssl, (void)type, (void)context, (void)cert, (void)at, (void)alert;
	if (len < 2 || in[0] != len - 1 || len > 200)
		return 0;
	memcpy(arg, in + 1, len - 1);
	return 1;
}

static void a_server_that_asks_hears_the_owner_name(void **state)
{
	struct world *w = world_new(false);
	struct iotsafe *card = open_card(w);
	SSL_CTX *ctx = NULL, *sctx = server_ctx(w, TLS1_3_VERSION);
	char name[200] = "";

	(void)state;
	assert_int_equal(SSL_CTX_add_custom_ext(sctx, 0xff7a,
				 SSL_EXT_TLS1_3_CERTIFICATE_REQUEST | SSL_EXT_TLS1_3_CERTIFICATE,
				 ask_name, NULL, NULL, hear_name, name),
		1);
	assert_int_equal(iotsafe_ssl_ctx(card, 1, &ctx), IOTSAFE_OK);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), w->ca);
	SSL *c = SSL_new(ctx), *s = SSL_new(sctx);
	assert_true(handshake(w, c, s));
	assert_string_equal(name, "1.8912230200031010008f.iotregistry.example");
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(ctx);
	SSL_CTX_free(sctx);
	iotsafe_close(card);
	world_free(w);
}

static const int VERSIONS[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void the_key_on_the_card_authenticates(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(VERSIONS); i++) {
		struct world *w = world_new(i / 2 == 1);
		struct iotsafe *card = open_card(w);
		SSL_CTX *ctx = NULL, *sctx = server_ctx(w, VERSIONS[i % 2]);
		if (iotsafe_ssl_ctx(card, 1, &ctx) != IOTSAFE_OK)
			fail_msg("%s", iotsafe_last_error(card));
		assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), w->ca), 1);
		SSL *c = SSL_new(ctx), *s = SSL_new(sctx);
		assert_true(handshake(w, c, s));
		assert_int_equal(SSL_version(c), VERSIONS[i % 2]);
		assert_int_equal(atomic_load(&w->card->signatures), 1);
		SSL_free(c);
		SSL_free(s);
		SSL_CTX_free(ctx);
		SSL_CTX_free(sctx);
		iotsafe_close(card);
		world_free(w);
	}
}

/* A server that is not trusted is refused before the card signs anything. */
static void an_unknown_server_is_refused(void **state)
{
	struct world *w = world_new(false);
	struct iotsafe *card = open_card(w);
	SSL_CTX *ctx = NULL, *sctx = server_ctx(w, TLS1_3_VERSION);

	(void)state;
	assert_int_equal(iotsafe_ssl_ctx(card, 1, &ctx), IOTSAFE_OK);
	SSL *c = SSL_new(ctx), *s = SSL_new(sctx);
	assert_false(handshake(w, c, s));
	assert_int_equal(atomic_load(&w->card->signatures), 0);
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(ctx);
	SSL_CTX_free(sctx);
	iotsafe_close(card);
	world_free(w);
}

static void a_card_pulled_in_mid_handshake_fails_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(VERSIONS); i++) {
		struct world *w = world_new(i / 2 == 1);
		struct iotsafe *card = open_card(w);
		SSL_CTX *ctx = NULL, *sctx = server_ctx(w, VERSIONS[i % 2]);
		assert_int_equal(iotsafe_ssl_ctx(card, 1, &ctx), IOTSAFE_OK);
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), w->ca);
		SSL *c = SSL_new(ctx), *s = SSL_new(sctx);
		if (i / 2 == 1)
			atomic_store(&w->card->die_at_sign, 1);
		else
			atomic_store(&w->card->blocked, true);
		assert_false(handshake(w, c, s));
		assert_int_equal(atomic_load(&w->card->signatures), 0);
		SSL_free(c);
		SSL_free(s);
		SSL_CTX_free(ctx);
		SSL_CTX_free(sctx);
		iotsafe_close(card);
		world_free(w);
	}
}

/* For libraries that make the SSL themselves, in the program's own library context. */
static void one_connection_takes_the_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(VERSIONS); i++) {
		struct world *w = world_new(false);
		struct iotsafe *card = open_card(w);
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method()), *sctx = server_ctx(w, VERSIONS[i]);
		SSL *c = SSL_new(ctx), *s = SSL_new(sctx);
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), w->ca);
		if (iotsafe_ssl(card, 1, c) != IOTSAFE_OK)
			fail_msg("%s", iotsafe_last_error(card));
		assert_true(handshake(w, c, s));
		SSL_free(c);
		SSL_free(s);
		SSL_CTX_free(ctx);
		SSL_CTX_free(sctx);
		iotsafe_close(card);
		world_free(w);
	}
}

static void a_certificate_of_another_key_is_refused(void **state)
{
	struct world *w = world_new(false);
	EVP_PKEY *other = EVP_EC_gen("P-256");
	X509 *x = fake_cert(other, "other", w->ca_key, w->ca);
	uint8_t *der = NULL;
	struct iotsafe *card = open_card(w);
	SSL_CTX *ctx = NULL;

	(void)state;
	w->card->files[0].len = (size_t)i2d_X509(x, &der);
	w->card->files[0].bytes = der;
	assert_int_equal(iotsafe_ssl_ctx(card, 1, &ctx), IOTSAFE_ECRYPTO);
	assert_null(ctx);
	assert_int_equal(iotsafe_ssl_ctx(card, 2, &ctx), IOTSAFE_ENOTFOUND);
	assert_int_equal(iotsafe_ssl_ctx(card, 0, &ctx), IOTSAFE_EINVAL);
	ERR_clear_error();
	iotsafe_close(card);
	X509_free(x);
	EVP_PKEY_free(other);
	OPENSSL_free(der);
	world_free(w);
}

/* The loadable module and its store, as `openssl req -provider iotsafe -key iotsafe:01` uses them.
 */
static void the_module_serves_store_uris(void **state)
{
	struct world *w = world_new(false);
	OSSL_LIB_CTX *lib = OSSL_LIB_CTX_new();
	OSSL_PROVIDER *base, *own;
	char uri[200];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	const int expect[] = { OSSL_STORE_INFO_PKEY, OSSL_STORE_INFO_CERT };

	(void)state;
	assert_int_equal(OSSL_PROVIDER_set_default_search_path(lib, MODULE_DIR), 1);
	base = OSSL_PROVIDER_load(lib, "default");
	own = OSSL_PROVIDER_load(lib, "iotsafe");
	assert_non_null(own);
	(void)snprintf(uri, sizeof(uri), "iotsafe:01?card=%s", w->card->card);
	for (size_t i = 0; i < ARRAY_LEN(expect); i++) {
		OSSL_STORE_CTX *store =
			OSSL_STORE_open_ex(uri, lib, NULL, NULL, NULL, NULL, NULL, NULL);
		assert_non_null(store);
		assert_int_equal(OSSL_STORE_expect(store, expect[i]), 1);
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);
		assert_non_null(info);
		if (expect[i] == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		else
			cert = OSSL_STORE_INFO_get1_CERT(info);
		OSSL_STORE_INFO_free(info);
		OSSL_STORE_close(store);
	}
	assert_non_null(key);
	assert_int_equal(X509_cmp(cert, w->device), 0);
	assert_int_equal(X509_check_private_key(cert, key), 1);
	assert_int_equal(EVP_PKEY_get_bits(key), 256);
	/* A request signed on the card verifies with the public key; SHA-384 too. */
	X509_REQ *req = X509_REQ_new_ex(lib, NULL);
	assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
	assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
	assert_int_equal(X509_REQ_verify(req, w->card_key), 1);
	assert_true(X509_REQ_sign(req, key, EVP_sha384()) > 0);
	assert_int_equal(X509_REQ_verify(req, w->card_key), 1);
	assert_int_equal(atomic_load(&w->card->signatures), 2);
	X509_REQ_free(req);
	/* The private part cannot be had. */
	BIGNUM *d = NULL;
	assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d), 0);
	assert_true(i2d_PrivateKey(key, NULL) <= 0);
	/* Ordinary keys of the same context are still the default provider's. */
	EVP_PKEY *soft = EVP_PKEY_Q_keygen(lib, NULL, "EC", "P-256");
	assert_non_null(soft);
	assert_string_equal(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(soft)), "default");
	EVP_PKEY_free(soft);
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(cert);
	OSSL_PROVIDER_unload(own);
	OSSL_PROVIDER_unload(base);
	OSSL_LIB_CTX_free(lib);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_on_the_card_authenticates),
		cmocka_unit_test(an_unknown_server_is_refused),
		cmocka_unit_test(a_server_that_asks_hears_the_owner_name),
		cmocka_unit_test(a_card_pulled_in_mid_handshake_fails_it),
		cmocka_unit_test(one_connection_takes_the_key),
		cmocka_unit_test(a_certificate_of_another_key_is_refused),
		cmocka_unit_test(the_module_serves_store_uris),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
