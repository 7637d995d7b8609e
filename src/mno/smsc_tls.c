/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/smsc.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* The centre's certificate must chain to `ca` and be for the name; ours is shown when it is asked
 * for. There is no way to leave either out. */
enum rc mno__smsc_tls_new(const struct mno_config *config, SSL_CTX **out, struct diag *d)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	const char *what = "memory";
	bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;

	if (ok) {
		what = config->smpp.tls_ca;
		ok = SSL_CTX_load_verify_locations(ctx, what, NULL) == 1;
	}
	if (ok && config->smpp.tls_cert) {
		what = config->smpp.tls_cert;
		ok = SSL_CTX_use_certificate_chain_file(ctx, what) == 1;
	}
	if (ok && config->smpp.tls_key) {
		what = config->smpp.tls_key;
		ok = SSL_CTX_use_PrivateKey_file(ctx, what, SSL_FILETYPE_PEM) == 1 &&
		     SSL_CTX_check_private_key(ctx) == 1;
	}
	if (!ok) {
		unsigned long e = ERR_get_error();

		SSL_CTX_free(ctx);
		ERR_clear_error();
		return diag_set(d, RC_AUTH, "smpp.tls: %s: %s", what,
			e ? ERR_reason_error_string(e) : "not usable");
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	*out = ctx;
	return RC_OK;
}

SSL *mno__smsc_tls_session(SSL_CTX *ctx, const struct mno_config *config)
{
	const char *name = config->smpp.tls_name ? config->smpp.tls_name : config->smpp.host;
	SSL *ssl = SSL_new(ctx);
	X509_VERIFY_PARAM *param = ssl ? SSL_get0_param(ssl) : NULL;
	bool address = param && X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;

	if (ssl && !address &&
		(SSL_set1_host(ssl, name) != 1 || SSL_set_tlsext_host_name(ssl, name) != 1)) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}
