/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate from a CA that speaks EST (RFC 7030, RFC 8951). */
#include "asp/services/internal.h"

#include "base/secret.h"
#include "base/str.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WELL_KNOWN "/.well-known/est"
#define ANSWER_MAX (256u << 10)
#define TIMEOUT_MS 30000L
#define CERTS_MAX  16

/* ---- answers ----------------------------------------------------------------------------------
 */

enum rc svc__est_certs(const char *text, size_t len, STACK_OF(X509) * *out, struct diag *d)
{
	uint8_t *der = malloc(len + 3);
	char *plain = malloc(len + 1);
	STACK_OF(X509) *certs = NULL;
	const uint8_t *at = der;
	PKCS7 *p7 = NULL;
	size_t n = 0, der_len = 0;
	enum rc rc = RC_NOMEM;

	if (!der || !plain)
		goto out;
	/* RFC 8951 section 3.1: white space in base64 is passed over. */
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r\n", text[i]))
			plain[n++] = text[i];
	plain[n] = '\0';
	rc = RC_MALFORMED;
	if (b64_read(plain, n, der, len + 3, &der_len) == RC_OK)
		p7 = d2i_PKCS7(NULL, &at, (long)der_len);
	if (p7 && at == der + der_len && PKCS7_type_is_signed(p7) && p7->d.sign &&
		sk_X509_num(p7->d.sign->cert) > 0 && sk_X509_num(p7->d.sign->cert) <= CERTS_MAX)
		certs = X509_chain_up_ref(p7->d.sign->cert);
	if (certs)
		rc = RC_OK;
out:
	PKCS7_free(p7);
	free(plain);
	free(der);
	ERR_clear_error();
	if (rc != RC_OK)
		return diag_set(
			d, rc, "CA: its answer is no list of certificates (RFC 7030 4.2.3)");
	*out = certs;
	return RC_OK;
}

static enum rc check_chain(X509 *cert, STACK_OF(X509) * others, STACK_OF(X509) * roots,
	STACK_OF(X509) * *chain, struct diag *d)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	enum rc rc = RC_OK;

	for (int i = 0; store && i < sk_X509_num(roots); i++)
		(void)X509_STORE_add_cert(store, sk_X509_value(roots, i));
	if (!store || !ctx || X509_STORE_CTX_init(ctx, store, cert, others) != 1)
		rc = RC_NOMEM;
	/* What the CA names may be an issuing one: an anchor need not sign itself. */
	if (rc == RC_OK)
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_PARTIAL_CHAIN);
	if (rc == RC_OK && X509_verify_cert(ctx) != 1)
		rc = diag_set(d, RC_AUTH, "CA: its certificate does not verify: %s",
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	if (rc == RC_OK && !(*chain = X509_STORE_CTX_get1_chain(ctx)))
		rc = RC_NOMEM;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return rc;
}

static enum rc write_chain(STACK_OF(X509) * chain, char **pem)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool good = bio;

	for (int i = 0; good && i < sk_X509_num(chain); i++)
		good = PEM_write_bio_X509(bio, sk_X509_value(chain, i)) == 1;
	*pem = good ? svc__bio_text(bio) : NULL;
	BIO_free(bio);
	return *pem ? RC_OK : RC_NOMEM;
}

enum rc svc__est_answer(const char *text, size_t len, EVP_PKEY *key, STACK_OF(X509) * roots,
	char **pem, struct diag *d)
{
	STACK_OF(X509) *certs = NULL, *chain = NULL;
	X509 *own = NULL;
	enum rc rc = svc__est_certs(text, len, &certs, d);

	for (int i = 0; rc == RC_OK && i < sk_X509_num(certs) && !own; i++) {
		X509 *one = sk_X509_value(certs, i);

		if (EVP_PKEY_eq(X509_get0_pubkey(one), key) == 1)
			own = one;
	}
	if (rc == RC_OK && !own)
		rc = diag_set(d, RC_AUTH, "CA: it sent no certificate for the request's key");
	if (rc == RC_OK)
		rc = check_chain(own, certs, roots, &chain, d);
	if (rc == RC_OK)
		rc = write_chain(chain, pem);
	sk_X509_pop_free(chain, X509_free);
	sk_X509_pop_free(certs, X509_free);
	return rc;
}

/* ---- asking -----------------------------------------------------------------------------------
 */

struct est {
	CURL *curl;
	char base[512];
	char why[CURL_ERROR_SIZE];
	struct secret password;
	char *answer;
	size_t len;
};

static size_t take_bytes(char *bytes, size_t size, size_t n, void *user)
{
	struct est *e = user;
	size_t len = size * n;
	char *grown = len <= ANSWER_MAX - e->len ? realloc(e->answer, e->len + len + 1) : NULL;

	if (!grown)
		return 0;
	memcpy(grown + e->len, bytes, len);
	e->answer = grown;
	e->len += len;
	grown[e->len] = '\0';
	return len;
}

static enum rc set_base(struct est *e, const char *url, struct diag *d)
{
	size_t len;

	if (!url || strncmp(url, "https://", 8) != 0)
		return diag_set(d, RC_RANGE, "CA: its URL must begin with https://");
	if (str_format(e->base, sizeof(e->base) - 32, "%s%s", url,
		    strstr(url, WELL_KNOWN) ? "" : WELL_KNOWN) != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "CA: its URL is too long");
	len = strlen(e->base);
	if (len && e->base[len - 1] == '/')
		e->base[len - 1] = '\0';
	return RC_OK;
}

static enum rc set_login(struct est *e, const struct attest_ca *ca, CURLcode *bad, struct diag *d)
{
	struct stat st;
	enum rc rc = RC_OK;

	if (ca->cert_file) {
		if (!ca->key_file || stat(ca->key_file, &st) != 0 || (st.st_mode & 077))
			return diag_set(d, RC_DENIED,
				"CA: the login's key is missing, or others can read it; chmod 600 "
				"it");
		*bad |= curl_easy_setopt(e->curl, CURLOPT_SSLCERT, ca->cert_file);
		*bad |= curl_easy_setopt(e->curl, CURLOPT_SSLKEY, ca->key_file);
	}
	if (!ca->user)
		return rc;
	if (!ca->password_file)
		return diag_set(d, RC_RANGE, "CA: a user needs a password file");
	rc = secret_read_file(&e->password, ca->password_file, 128);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s%s", ca->password_file, rc_text(rc),
			rc == RC_DENIED ? "; chmod 600 it" : "");
	*bad |= curl_easy_setopt(
		e->curl, CURLOPT_HTTPAUTH, (long)(CURLAUTH_BASIC | CURLAUTH_DIGEST));
	*bad |= curl_easy_setopt(e->curl, CURLOPT_USERNAME, ca->user);
	return rc;
}

/* libcurl copies the password; ours is wiped when the request ends. */
static void set_password(struct est *e, CURLcode *bad)
{
	char text[129] = "";
	size_t n = 0;

	while (n < e->password.len && n < 128 && e->password.bytes[n] != '\n')
		n++;
	if (!e->password.bytes)
		return;
	memcpy(text, e->password.bytes, n);
	*bad |= curl_easy_setopt(e->curl, CURLOPT_PASSWORD, text);
	mem_wipe(text, sizeof(text));
}

static enum rc open_est(struct est *e, const struct attest_ca *ca, struct diag *d)
{
	CURLcode bad = CURLE_OK;
	enum rc rc = set_base(e, ca->url, d);

	if (rc != RC_OK)
		return rc;
	if (!ca->ca_file)
		return diag_set(
			d, RC_RANGE, "CA: a file with whom to trust as its server is needed");
	e->curl = curl_easy_init();
	if (!e->curl)
		return RC_NOMEM;
	bad |= curl_easy_setopt(e->curl, CURLOPT_PROTOCOLS_STR, "https");
	bad |= curl_easy_setopt(e->curl, CURLOPT_PROXY, "");
	bad |= curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
	bad |= curl_easy_setopt(e->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	bad |= curl_easy_setopt(e->curl, CURLOPT_CAINFO, ca->ca_file);
	bad |= curl_easy_setopt(e->curl, CURLOPT_CAPATH, NULL);
	bad |= curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	bad |= curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, e->why);
	bad |= curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, take_bytes);
	bad |= curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, e);
	rc = set_login(e, ca, &bad, d);
	set_password(e, &bad);
	return rc == RC_OK && bad != CURLE_OK
		       ? diag_set(d, RC_INTERNAL, "libcurl refuses an option")
		       : rc;
}

static enum rc judge(const struct est *e, CURLcode code, long http, struct diag *d)
{
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
		code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE)
		return diag_set(d, RC_AUTH, "CA: %s", e->why);
	if (code != CURLE_OK)
		return diag_set(
			d, RC_UNAVAILABLE, "CA: %s", *e->why ? e->why : curl_easy_strerror(code));
	if (http == 200)
		return RC_OK;
	if (http == 202 || http == 503) /* RFC 7030 section 4.2.3 */
		return diag_set(d, RC_UNAVAILABLE,
			"CA: it takes its time: send the same request again later");
	return diag_set(d, RC_DENIED, "CA: HTTP %ld: %.120s", http, e->answer ? e->answer : "");
}

static enum rc ask(struct est *e, const char *operation, const char *body, struct diag *d)
{
	struct curl_slist *type = NULL;
	CURLcode bad = CURLE_OK;
	char url[512];
	long http = 0;
	enum rc rc = str_format(url, sizeof(url), "%s/%s", e->base, operation);

	if (rc != RC_OK)
		return rc;
	free(e->answer);
	e->answer = NULL;
	e->len = 0;
	bad |= curl_easy_setopt(e->curl, CURLOPT_URL, url);
	if (body) {
		type = curl_slist_append(NULL, "Content-Type: application/pkcs10");
		bad |= curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, body);
		bad |= curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, type);
	}
	if (bad != CURLE_OK)
		rc = diag_set(d, RC_INTERNAL, "libcurl refuses an option");
	else
		bad = curl_easy_perform(e->curl);
	(void)curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &http);
	curl_slist_free_all(type);
	if (rc == RC_OK)
		rc = judge(e, bad, http, d);
	return rc == RC_OK && !e->answer ? diag_set(d, RC_MALFORMED, "CA: an empty answer") : rc;
}

enum rc svc__est(const struct attest_ca *ca, const uint8_t *csr, size_t csr_len, bool renew,
	char **pem, struct diag *d)
{
	const uint8_t *at = csr;
	X509_REQ *req = csr_len ? d2i_X509_REQ(NULL, &at, (long)csr_len) : NULL;
	STACK_OF(X509) *roots = NULL;
	struct est e = { 0 };
	char *base64 = NULL;
	enum rc rc = RC_OK;

	if (!req || at != csr + csr_len || X509_REQ_verify(req, X509_REQ_get0_pubkey(req)) != 1)
		rc = diag_set(d, RC_MALFORMED, "csr: no PKCS#10 request that its own key signed");
	if (rc == RC_OK && !(base64 = malloc(B64_LEN(csr_len))))
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = open_est(&e, ca, d);
	if (rc == RC_OK)
		rc = ask(&e, "cacerts", NULL, d);
	if (rc == RC_OK)
		rc = svc__est_certs(e.answer, e.len, &roots, d);
	if (rc == RC_OK) {
		b64_write(csr, csr_len, base64);
		rc = ask(&e, renew ? "simplereenroll" : "simpleenroll", base64, d);
	}
	if (rc == RC_OK)
		rc = svc__est_answer(e.answer, e.len, X509_REQ_get0_pubkey(req), roots, pem, d);
	sk_X509_pop_free(roots, X509_free);
	if (e.curl)
		curl_easy_cleanup(e.curl);
	secret_free(&e.password);
	free(e.answer);
	free(base64);
	X509_REQ_free(req);
	ERR_clear_error();
	return rc;
}

enum attest_error attest_ca_request(const struct attest_ca *ca, const unsigned char *csr,
	size_t csr_len, int renew, char **pem, char error[ATTEST_TEXT_MAX])
{
	struct diag d = { 0 };

	return svc__error(svc__est(ca, csr, csr_len, renew, pem, &d), &d, error);
}
