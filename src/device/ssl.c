/* SPDX-License-Identifier: Apache-2.0 */
#include "device/ssl__.h"

#include "device/device__.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#define CERT_MAX     4096
#define N_CERT	     2
#define N_SIGN	     1
#define N_ISSUING_CA 7

static enum iotsafe_error crypto(struct iotsafe *card, const char *what)
{
	char text[160] = "";
	unsigned long e = ERR_peek_last_error();

	if (e != 0)
		ERR_error_string_n(e, text, sizeof(text));
	(void)diag_set(&card->last, RC_CRYPTO, "%s: %s", what, text);
	return IOTSAFE_ECRYPTO;
}

static void ssl_free(struct iotsafe *card)
{
	OSSL_PROVIDER_unload(card->own);
	OSSL_PROVIDER_unload(card->base);
	OSSL_LIB_CTX_free(card->libctx);
	card->libctx = NULL;
}

/* A library context of the card's own: loading a second implementation of "EC" into the program's
 * context could make it serve the program's other keys. */
static enum iotsafe_error need_libctx(struct iotsafe *card)
{
	enum iotsafe_error e = IOTSAFE_OK;

	pthread_mutex_lock(&card->mutex);
	if (!card->libctx) {
		OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
		OSSL_PROVIDER *base = NULL, *own = NULL;
		/* The default provider first: of two equals the first loaded is taken. */
		if (ctx && OSSL_PROVIDER_add_builtin(ctx, DEV_PROVIDER, dev__provider_init) == 1)
			base = OSSL_PROVIDER_load(ctx, "default");
		if (base)
			own = OSSL_PROVIDER_load(ctx, DEV_PROVIDER);
		if (own) {
			card->libctx = ctx;
			card->base = base;
			card->own = own;
			card->ssl_free = ssl_free;
		} else {
			e = crypto(card, "OpenSSL provider");
			if (base)
				OSSL_PROVIDER_unload(base);
			OSSL_LIB_CTX_free(ctx);
		}
	}
	pthread_mutex_unlock(&card->mutex);
	return e;
}

static enum iotsafe_error read_cert(struct iotsafe *card, uint8_t id, X509 **out)
{
	uint8_t der[CERT_MAX];
	const uint8_t *at = der;
	size_t len = 0;
	enum iotsafe_error e = iotsafe_read_file(card, id, der, sizeof(der), &len);

	if (e != IOTSAFE_OK)
		return e;
	X509 *cert = X509_new_ex(card->libctx, NULL);
	if (!cert || !d2i_X509(&cert, &at, (long)len)) {
		X509_free(cert);
		(void)diag_set(&card->last, RC_MALFORMED, "file %02X: not a certificate", id);
		return IOTSAFE_EPROTO;
	}
	*out = cert;
	return IOTSAFE_OK;
}

/* Where the card does not tell the public key, the certificate beside the key does. */
static enum iotsafe_error point_from_cert(
	struct iotsafe *card, uint8_t id, uint8_t point[IOTSAFE_POINT_LEN])
{
	X509 *cert = NULL;
	size_t len = 0;
	enum iotsafe_error e = read_cert(card, (uint8_t)(id + N_CERT - N_SIGN), &cert);

	if (e != IOTSAFE_OK)
		return e;
	if (EVP_PKEY_get_octet_string_param(X509_get0_pubkey(cert), OSSL_PKEY_PARAM_PUB_KEY, point,
		    IOTSAFE_POINT_LEN, &len) != 1 ||
		len != IOTSAFE_POINT_LEN)
		e = crypto(card, "public key of the certificate");
	X509_free(cert);
	return e;
}

enum iotsafe_error iotsafe_evp_pkey(struct iotsafe *card, unsigned char id, EVP_PKEY **out)
{
	uint8_t point[IOTSAFE_POINT_LEN];
	char group[] = "prime256v1";
	unsigned number = id;
	EVP_PKEY_CTX *ctx = NULL;
	enum iotsafe_error e = need_libctx(card);

	if (e == IOTSAFE_OK) {
		e = iotsafe_public_key(card, id, point);
		if (e == IOTSAFE_ENOTFOUND || e == IOTSAFE_ECARD || e == IOTSAFE_EDENIED)
			e = point_from_cert(card, id, point);
	}
	if (e != IOTSAFE_OK)
		return e;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
		OSSL_PARAM_construct_octet_string(DEV_PARAM_CARD, &card, sizeof(card)),
		OSSL_PARAM_construct_uint(DEV_PARAM_ID, &number),
		OSSL_PARAM_construct_end(),
	};
	ctx = EVP_PKEY_CTX_new_from_name(card->libctx, "EC", "provider=" DEV_PROVIDER);
	*out = NULL;
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
		EVP_PKEY_fromdata(ctx, out, EVP_PKEY_KEYPAIR, params) != 1)
		e = crypto(card, "key on the card");
	EVP_PKEY_CTX_free(ctx);
	return e;
}

/* What a connection needs from a slot. */
struct identity {
	X509 *cert, *issuing;
	EVP_PKEY *key;
};

static void identity_free(struct identity *i)
{
	X509_free(i->cert);
	X509_free(i->issuing);
	EVP_PKEY_free(i->key);
}

static enum iotsafe_error identity_read(struct iotsafe *card, unsigned slot, struct identity *i)
{
	enum iotsafe_error e;

	if (slot < 1 || slot > 9) {
		(void)diag_set(&card->last, RC_RANGE, "slot: %u is not 1..9", slot);
		return IOTSAFE_EINVAL;
	}
	e = need_libctx(card);
	if (e == IOTSAFE_OK)
		e = read_cert(card, iotsafe_container(slot, N_CERT), &i->cert);
	if (e == IOTSAFE_OK) {
		e = read_cert(card, iotsafe_container(slot, N_ISSUING_CA), &i->issuing);
		if (e == IOTSAFE_ENOTFOUND) /* a server that knows the CA does without */
			e = IOTSAFE_OK;
	}
	if (e == IOTSAFE_OK)
		e = iotsafe_evp_pkey(card, iotsafe_container(slot, N_SIGN), &i->key);
	return e;
}

enum iotsafe_error iotsafe_ssl_ctx_use(struct iotsafe *card, unsigned slot, SSL_CTX *ctx)
{
	struct identity i = { 0 };
	enum iotsafe_error e = identity_read(card, slot, &i);

	if (e == IOTSAFE_OK && (SSL_CTX_use_certificate(ctx, i.cert) != 1 ||
				       (i.issuing && SSL_CTX_add1_chain_cert(ctx, i.issuing) != 1)))
		e = crypto(card, "certificate of the card");
	if (e == IOTSAFE_OK && SSL_CTX_use_PrivateKey(ctx, i.key) != 1)
		e = crypto(card, "certificate and key on the card do not belong together");
	identity_free(&i);
	return e;
}

enum iotsafe_error iotsafe_ssl_ctx(struct iotsafe *card, unsigned slot, SSL_CTX **out)
{
	enum iotsafe_error e = need_libctx(card);
	SSL_CTX *ctx = NULL;

	if (e != IOTSAFE_OK)
		return e;
	ctx = SSL_CTX_new_ex(card->libctx, NULL, TLS_client_method());
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		e = crypto(card, "SSL_CTX");
	else
		e = iotsafe_ssl_ctx_use(card, slot, ctx);
	if (e == IOTSAFE_OK && !dev__clientid(ctx))
		e = crypto(card, "dane_clientid");
	if (e != IOTSAFE_OK) {
		SSL_CTX_free(ctx);
		return e;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	*out = ctx;
	return IOTSAFE_OK;
}

enum iotsafe_error iotsafe_ssl(struct iotsafe *card, unsigned slot, SSL *ssl)
{
	struct identity i = { 0 };
	enum iotsafe_error e = identity_read(card, slot, &i);

	if (e == IOTSAFE_OK && (SSL_use_certificate(ssl, i.cert) != 1 ||
				       (i.issuing && SSL_add1_chain_cert(ssl, i.issuing) != 1) ||
				       SSL_use_PrivateKey(ssl, i.key) != 1))
		e = crypto(card, "certificate and key of the card");
	identity_free(&i);
	return e;
}
