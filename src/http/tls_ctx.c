/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

static enum rc tls_fail(struct diag *d, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	(void)diag_set(d, RC_CRYPTO, "%s: %s", what, why ? why : "refused");
	ERR_clear_error();
	return RC_CRYPTO;
}

/* RFC 9325 (BCP 195): AEAD with forward secrecy only. */
static bool set_protocol(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	/* One read(2) brings the record with its header. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* A client's chain is its certificate and perhaps the party CA. */
	SSL_CTX_set_max_cert_list(ctx, 16 * 1024);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
	       SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1;
}

/* The party CA is the only anchor; the default stores are never asked. */
static bool set_clients(SSL_CTX *ctx, const char *client_ca)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);

	if (!names || SSL_CTX_load_verify_file(ctx, client_ca) != 1)
		return false;
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	/* Leaves hang directly below it: no CA in between may be made up. */
	SSL_CTX_set_verify_depth(ctx, 0);
	return X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
	       X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) == 1;
}

enum rc tls_server_trust(SSL_CTX *ctx, const char *ca, struct diag *d)
{
	STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(ctx);

	if (!names || SSL_CTX_load_verify_file(ctx, ca) != 1 ||
		SSL_add_file_cert_subjects_to_stack(names, ca) != 1)
		return tls_fail(d, ca);
	return RC_OK;
}

enum rc tls_server_ctx(
	SSL_CTX **out, const char *cert, const char *key, const char *client_ca, struct diag *d)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	enum rc rc = RC_OK;

	if (!ctx)
		return RC_NOMEM;
	if (!set_protocol(ctx))
		rc = tls_fail(d, "TLS settings");
	else if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		rc = tls_fail(d, cert);
	else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(ctx) != 1)
		rc = tls_fail(d, key);
	else if (!set_clients(ctx, client_ca))
		rc = tls_fail(d, client_ca);
	if (rc == RC_OK)
		*out = ctx;
	else
		SSL_CTX_free(ctx);
	return rc;
}
