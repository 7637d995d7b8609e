/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of DNS over TLS: certificate, ALPN, tickets. */
#include "zone/stream.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

#define TICKET_NAME_LEN 16

/* RFC 7858 needs no ALPN; who offers some must offer "dot" (RFC 7301 section 3.2). */
static int pick_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *user)
{
	static const unsigned char dot[] = { 3, 'd', 'o', 't' };

	(void)ssl;
	(void)user;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, dot, sizeof(dot), in,
		    in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Ticket keys out of the shared secret: name, AES-256 and HMAC-SHA256 key. */
struct ticket_keys {
	uint8_t name[SHA256_DIGEST_LENGTH];
	uint8_t aes[SHA256_DIGEST_LENGTH];
	uint8_t mac[SHA256_DIGEST_LENGTH];
};

static void derive(const uint8_t *secret, const char *what, uint8_t out[SHA256_DIGEST_LENGTH])
{
	uint8_t in[SNAP_SECRET_LEN + 16] = { 0 };

	memcpy(in, secret, SNAP_SECRET_LEN);
	memcpy(in + SNAP_SECRET_LEN, what, strnlen(what, 16));
	SHA256(in, sizeof(in), out);
	OPENSSL_cleanse(in, sizeof(in));
}

static void ticket_keys(const struct snap_board *b, unsigned age, struct ticket_keys *k)
{
	const uint8_t *secret = snap_secret(b, age);

	derive(secret, "dot-ticket-name", k->name);
	derive(secret, "dot-ticket-aes", k->aes);
	derive(secret, "dot-ticket-mac", k->mac);
}

static int use_keys(const struct ticket_keys *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int enc)
{
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
					(void *)(uintptr_t)k->mac, sizeof(k->mac)),
		OSSL_PARAM_construct_utf8_string(
			OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
		OSSL_PARAM_construct_end() };

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, enc) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 good, 2 good and to be renewed, 0 none, -1 error. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int enc)
{
	const struct snap_board *b = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_keys k;
	int done = 0;

	/* Before 1.3 a resumed session has no secrecy of its own. */
	if (!b || SSL_version(ssl) < TLS1_3_VERSION)
		return 0;
	if (enc) {
		ticket_keys(b, 0, &k);
		memcpy(name, k.name, TICKET_NAME_LEN);
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) == 1 && use_keys(&k, iv, cipher, mac, 1))
			done = 1;
		else
			done = -1;
	} else {
		for (unsigned age = 0; age < 2 && done == 0; age++) {
			ticket_keys(b, age, &k);
			if (CRYPTO_memcmp(name, k.name, TICKET_NAME_LEN) == 0)
				done = use_keys(&k, iv, cipher, mac, 0) ? 1 + (int)age : -1;
		}
	}
	OPENSSL_cleanse(&k, sizeof(k));
	return done;
}

void stream_tls_board(SSL_CTX *ctx, const struct snap_board *board)
{
	SSL_CTX_set_app_data(ctx, (void *)(uintptr_t)board);
}

static enum rc load(SSL_CTX *ctx, const char *cert, const char *key, struct diag *d)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) == 1 &&
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 &&
		SSL_CTX_check_private_key(ctx) == 1)
		return RC_OK;
	diag_set(d, RC_CRYPTO, "DNS over TLS: %s, %s: %s", cert, key,
		ERR_reason_error_string(ERR_peek_last_error()));
	ERR_clear_error();
	return RC_CRYPTO;
}

enum rc stream_tls_rotate(SSL_CTX *ctx, const char *cert, const char *key, struct diag *d)
{
	SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
	enum rc rc = trial ? load(trial, cert, key, d) : RC_NOMEM;

	/* Whole, or not at all. */
	if (rc == RC_OK && SSL_CTX_use_cert_and_key(ctx, SSL_CTX_get0_certificate(trial),
				   SSL_CTX_get0_privatekey(trial), NULL, 1) != 1)
		rc = RC_CRYPTO;
	if (rc == RC_OK) {
		STACK_OF(X509) *chain = NULL;

		if (SSL_CTX_get0_chain_certs(trial, &chain) != 1 ||
			SSL_CTX_set1_chain(ctx, chain) != 1)
			rc = RC_CRYPTO;
	}
	SSL_CTX_free(trial);
	return rc;
}

enum rc stream_tls_new(const char *cert, const char *key, SSL_CTX **out, struct diag *d)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		return RC_NOMEM;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, pick_alpn, NULL);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	if (load(ctx, cert, key, d) != RC_OK) {
		SSL_CTX_free(ctx);
		return RC_CRYPTO;
	}
	*out = ctx;
	return RC_OK;
}
