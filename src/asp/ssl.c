/* SPDX-License-Identifier: Apache-2.0 */
#include "attest_ssl.h"

#include "asp/internal.h"
#include "dane/clientid.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

/* One prepared context; lives as long as the struct attest. */
struct asp_ssl_hook {
	struct asp_ssl_hook *next;
	struct attest *attest;
	struct attest_ssl_options opt;
};

/* What is known of one connection. */
struct peer {
	char name[DANE_CLIENTID_MAX + 1];
	struct attest_result result;
};

static void free_peer(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int at, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)at;
	(void)argl;
	(void)argp;
	free(ptr);
}

static struct peer *peer_get(const struct attest *a, const SSL *ssl)
{
	return a->ssl_index > 0 ? SSL_get_ex_data(ssl, a->ssl_index) : NULL;
}

static struct peer *peer_make(const struct attest *a, SSL *ssl)
{
	struct peer *p = peer_get(a, ssl);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->result.reason = ATTEST_UNAUTHENTICATED;
	if (SSL_set_ex_data(ssl, a->ssl_index, p) == 1)
		return p;
	free(p);
	return NULL;
}

static bool take_name(SSL *ssl, const char *name, void *user)
{
	struct asp_ssl_hook *h = user;
	struct peer *p;

	if (h->opt.allow && !h->opt.allow(name, h->opt.user))
		return false;
	p = peer_make(h->attest, ssl);
	if (!p)
		return false;
	memcpy(p->name, name, strlen(name) + 1);
	return true;
}

static enum attest_reason judge(struct asp_ssl_hook *h, struct peer *p, const X509 *cert)
{
	unsigned char *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : 0;
	size_t n = len > 0 ? (size_t)len : 0;
	struct attest_result *r = &p->result;

	if (h->opt.hold) {
		char asked[ASP_NAME_TEXT];
		struct asp_cert read;

		(void)asp__local(h->attest, der, n, p->name[0] ? p->name : NULL, &read, asked, r);
	} else if (p->name[0]) {
		(void)attest_check_dance(h->attest, der, n, p->name, r);
	} else {
		(void)attest_check(h->attest, der, n, r);
	}
	OPENSSL_free(der);
	return r->reason;
}

/* In place of OpenSSL's own chain check, which libattest does itself. The error chosen is the one
 * that becomes handshake_failure, whatever the reason. */
static int verify(X509_STORE_CTX *store, void *arg)
{
	struct asp_ssl_hook *h = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct peer *p = ssl ? peer_make(h->attest, ssl) : NULL;
	bool named = p && (p->name[0] || h->opt.dance != ATTEST_DANCE_REQUIRED);
	bool ok = named && judge(h, p, X509_STORE_CTX_get0_cert(store)) == ATTEST_OK;

	ERR_clear_error();
	X509_STORE_CTX_set_error(store, ok ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
	return ok;
}

/* OpenSSL 3.0 takes a TLS version for a DTLS context and then has none at all. */
static bool is_dtls(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);
	bool dtls = !ssl || SSL_is_dtls(ssl);

	SSL_free(ssl);
	return dtls;
}

static enum attest_error prepare(SSL_CTX *ctx, struct asp_ssl_hook *h)
{
	if (h->opt.dance == ATTEST_DANCE_REQUIRED &&
		(is_dtls(ctx) || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1))
		return ATTEST_EINVAL;
	if (h->opt.dance != ATTEST_DANCE_OFF && dane_clientid_server(ctx, take_name, h) != RC_OK)
		return ATTEST_EINVAL;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	if (SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_set_max_early_data(ctx, 0) != 1)
		return ATTEST_ESYSTEM;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, h);
	return ATTEST_SUCCESS;
}

enum attest_error attest_ssl_ctx(
	struct attest *attest, SSL_CTX *ctx, const struct attest_ssl_options *options)
{
	struct asp_ssl_hook *h = calloc(1, sizeof(*h));
	enum attest_error e;

	if (!h)
		return ATTEST_ENOMEM;
	if (attest->ssl_index <= 0)
		attest->ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_peer);
	h->attest = attest;
	if (options)
		h->opt = *options;
	e = attest->ssl_index > 0 ? prepare(ctx, h) : ATTEST_ENOMEM;
	ERR_clear_error();
	h->next = attest->hooks; /* also after a failure: the context may know it already */
	attest->hooks = h;
	return e;
}

void asp__hooks_free(struct asp_ssl_hook *hooks)
{
	while (hooks) {
		struct asp_ssl_hook *h = hooks;

		hooks = h->next;
		free(h);
	}
}

const struct attest_result *attest_ssl_result(struct attest *attest, const SSL *ssl)
{
	static const struct attest_result none = { .reason = ATTEST_UNAUTHENTICATED,
		.text = "no certificate" };
	const struct peer *p = peer_get(attest, ssl);

	return p ? &p->result : &none;
}

const char *attest_ssl_client_name(struct attest *attest, const SSL *ssl)
{
	const struct peer *p = peer_get(attest, ssl);

	return p ? p->name : "";
}

enum attest_error attest_ssl_start(struct attest *attest, const SSL *ssl, attest_done *done,
	void *user, struct attest_op **out)
{
	const char *name = attest_ssl_client_name(attest, ssl);
	X509 *cert = SSL_get0_peer_certificate(ssl);
	unsigned char *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : 0;
	enum attest_error e = attest_check_start(
		attest, der, len > 0 ? (size_t)len : 0, name[0] ? name : NULL, done, user, out);

	OPENSSL_free(der);
	return e;
}

enum attest_error attest_dance_client(SSL_CTX *ctx, const char *name)
{
	enum rc rc = dane_clientid_client(ctx, name);

	if (rc == RC_OK)
		return ATTEST_SUCCESS;
	return rc == RC_NOMEM ? ATTEST_ENOMEM : ATTEST_EINVAL;
}
