/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/str.h"
#include "device/self.h"

#include <curl/curl.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Enrolment over Secure Transport (RFC 7030): the request is signed on the card; who we are is said
 * by the certificate that the card has already (simplereenroll), or by name and password. */

#define ANSWER_MAX   65536
#define TIMEOUT_S    60L
#define PASSWORD_MAX 256

struct answer {
	char *at;
	size_t len;
};

static size_t on_answer(char *bytes, size_t size, size_t n, void *user)
{
	struct answer *a = user;

	if (size != 1 || n > ANSWER_MAX - a->len)
		return 0;
	memcpy(a->at + a->len, bytes, n);
	a->len += n;
	return n;
}

struct est {
	const struct run *run;
	struct iotsafe *card;
	CURL *curl;
	struct curl_slist *headers;
	struct answer answer;
	bool known; /* the card has a certificate: it is shown, and renewed */
	struct self self;
	char base64[B64_LEN(8192)];
};

static CURLcode use_card_slot(CURL *curl, void *ctx, void *user)
{
	const struct est *e = user;

	(void)curl;
	return iotsafe_ssl_ctx_use(e->card, e->run->slot, ctx) == IOTSAFE_OK
		       ? CURLE_OK
		       : CURLE_SSL_CERTPROBLEM;
}

static enum rc make_request(struct est *e, EVP_PKEY *key, const char *name, struct diag *d)
{
	const uint8_t *at = e->self.cert;
	X509 *like = e->known ? d2i_X509(NULL, &at, (long)e->self.cert_len) : NULL;
	X509_REQ *req = cmd_csr_make(key, name, like);
	uint8_t *der = NULL;
	int len = req ? i2d_X509_REQ(req, &der) : 0;
	enum rc rc = RC_OK;

	if (len <= 0 || B64_LEN((size_t)len) > sizeof(e->base64))
		rc = diag_set(d, RC_CRYPTO, "the card does not sign the request: %s",
			iotsafe_last_error(e->card));
	else
		b64_write(der, (size_t)len, e->base64);
	OPENSSL_free(der);
	X509_REQ_free(req);
	X509_free(like);
	return rc;
}

/* NAME:FILE; the password is never an argument. */
static enum rc set_user(struct est *e, struct diag *d)
{
	const char *colon = strchr(e->run->user, ':');
	struct secret s = { 0 };
	char name[128], password[PASSWORD_MAX];
	size_t n;
	enum rc rc;

	if (!colon || colon == e->run->user || (size_t)(colon - e->run->user) >= sizeof(name))
		return diag_set(d, RC_RANGE, "--user: not NAME:PASSWORDFILE");
	memcpy(name, e->run->user, (size_t)(colon - e->run->user));
	name[colon - e->run->user] = '\0';
	rc = secret_read_file(&s, colon + 1, sizeof(password) - 1);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", colon + 1,
			rc == RC_DENIED ? "others can read it; chmod 600" : rc_text(rc));
	memcpy(password, s.bytes, s.len);
	password[s.len] = '\0';
	n = strcspn(password, "\r\n");
	password[n] = '\0';
	(void)curl_easy_setopt(e->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	(void)curl_easy_setopt(e->curl, CURLOPT_USERNAME, name);
	(void)curl_easy_setopt(e->curl, CURLOPT_PASSWORD, password);
	mem_wipe(password, sizeof(password));
	secret_free(&s);
	return RC_OK;
}

static enum rc call(struct est *e, const char *url, long *status, struct diag *d)
{
	char full[2048], error[CURL_ERROR_SIZE] = "";
	CURLcode c;

	if (strncmp(url, "https://", 8) != 0)
		return diag_set(
			d, RC_RANGE, "%.200s: EST is spoken over https only (RFC 7030 3.2)", url);
	if (str_format(full, sizeof(full), "%s/.well-known/est/%s", url,
		    e->known ? "simplereenroll" : "simpleenroll") != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "URL");
	e->headers = curl_slist_append(NULL, "Content-Type: application/pkcs10");
	e->headers = curl_slist_append(e->headers, "Content-Transfer-Encoding: base64");
	(void)curl_easy_setopt(e->curl, CURLOPT_URL, full);
	(void)curl_easy_setopt(e->curl, CURLOPT_PROTOCOLS_STR, "https");
	(void)curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	(void)curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, e->base64);
	(void)curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, e->headers);
	(void)curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void)curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, &e->answer);
	(void)curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, error);
	if (e->run->ca)
		(void)curl_easy_setopt(e->curl, CURLOPT_CAINFO, e->run->ca);
	if (e->known) {
		(void)curl_easy_setopt(e->curl, CURLOPT_SSL_CTX_FUNCTION, use_card_slot);
		(void)curl_easy_setopt(e->curl, CURLOPT_SSL_CTX_DATA, e);
	}
	c = curl_easy_perform(e->curl);
	if (c != CURLE_OK)
		return diag_set(d, c == CURLE_PEER_FAILED_VERIFICATION ? RC_AUTH : RC_UNAVAILABLE,
			"%s", *error ? error : curl_easy_strerror(c));
	(void)curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, status);
	return RC_OK;
}

/* Certificates without a signature around them (RFC 7030 section 4.2.3), in base64 with or without
 * line breaks: the one that is our key's. */
static enum rc take_certificate(struct est *e, EVP_PKEY *key, X509 **out, struct diag *d)
{
	size_t n = 0, len = 0;
	uint8_t *der = malloc(ANSWER_MAX);
	const uint8_t *at = der;
	PKCS7 *p7 = NULL;
	enum rc rc = RC_NOMEM;

	for (size_t i = 0; i < e->answer.len; i++)
		if (!strchr(" \t\r\n", e->answer.at[i]) && e->answer.at[i])
			e->answer.at[n++] = e->answer.at[i];
	if (der)
		rc = b64_read(e->answer.at, n, der, ANSWER_MAX, &len);
	if (rc == RC_OK)
		p7 = d2i_PKCS7(NULL, &at, (long)len);
	if (!p7 || !PKCS7_type_is_signed(p7)) {
		rc = diag_set(
			d, RC_MALFORMED, "the answer is no PKCS#7 in base64 (RFC 7030 4.2.3)");
	} else {
		STACK_OF(X509) *certs = p7->d.sign->cert;
		rc = diag_set(d, RC_SIGNATURE, "the answer holds no certificate of the card's key");
		for (int i = 0; i < sk_X509_num(certs); i++) {
			X509 *x = sk_X509_value(certs, i);
			if (X509_check_private_key(x, key) != 1 || X509_up_ref(x) != 1)
				continue;
			*out = x;
			rc = RC_OK;
			break;
		}
	}
	PKCS7_free(p7);
	free(der);
	return rc;
}

static enum rc deliver(const struct run *run, X509 *x, struct diag *d)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	enum rc rc = RC_NOMEM;

	if (f && PEM_write_X509(f, x) == 1)
		rc = RC_OK;
	if (f && fclose(f) != 0)
		rc = RC_NOMEM;
	if (rc == RC_OK && run->out)
		rc = file_write_atomic(run->out, text, len, 0644, d);
	else if (rc == RC_OK && (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0))
		rc = diag_set(d, RC_IO, "standard output");
	free(text);
	return rc;
}

static enum rc refusal(const struct est *e, long status, struct diag *d)
{
	static const char *const words[] = { "", "the server wants to know who asks (--user)" };
	int n = e->answer.len < 160 ? (int)e->answer.len : 160;

	if (status == 202)
		return diag_set(d, RC_UNAVAILABLE,
			"the request waits for somebody's consent; ask again later (RFC 7030 "
			"4.2.3)");
	for (int i = 0; i < n; i++)
		if ((unsigned char)e->answer.at[i] < ' ' || e->answer.at[i] == 0x7f)
			e->answer.at[i] = ' ';
	return diag_set(d, status >= 500 ? RC_UNAVAILABLE : RC_DENIED, "EST: HTTP %ld: %s%.*s",
		status, words[status == 401], n, e->answer.at);
}

static enum rc enroll(struct est *e, const char *url, const char *name, struct diag *d)
{
	unsigned char id = iotsafe_container(e->run->slot, 1);
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	long status = 0;
	enum rc rc;

	if (iotsafe_evp_pkey(e->card, id, &key) != IOTSAFE_OK)
		return diag_set(d, RC_NOT_FOUND, "%s", iotsafe_last_error(e->card));
	rc = make_request(e, key, name, d);
	if (rc == RC_OK && e->run->user)
		rc = set_user(e, d);
	if (rc == RC_OK)
		rc = call(e, url, &status, d);
	if (rc == RC_OK && status != 200)
		rc = refusal(e, status, d);
	if (rc == RC_OK)
		rc = take_certificate(e, key, &cert, d);
	if (rc == RC_OK)
		rc = deliver(e->run, cert, d);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

int cmd_enroll(const struct run *run)
{
	struct est *e = calloc(1, sizeof(*e));
	const char *name = run->argc == 2 ? run->argv[1] : NULL;
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;
	int code = EXIT_CANNOT_TELL;

	if (run->argc < 1 || run->argc > 2 || (name && strlen(name) > CN_MAX) || !e) {
		free(e);
		return EXIT_USAGE;
	}
	e->run = run;
	e->card = cmd_open(run);
	if (!e->card)
		goto out;
	e->answer.at = malloc(ANSWER_MAX);
	e->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
	if (e->answer.at && e->curl) {
		e->known = !run->user && self_read_cert(e->card, run->slot, &e->self, &d) == RC_OK;
		rc = enroll(e, run->argv[0], name, &d);
	}
	if (rc == RC_OK) {
		code = EXIT_YES;
		if (run->json && run->out)
			cmd_print(json_pack("{s:s}", "certificate", run->out));
	} else {
		code = cmd_fail(run, rc == RC_UNAVAILABLE ? EXIT_CANNOT_TELL : EXIT_NO,
			d.text[0] ? d.text : rc_text(rc));
	}
out:
	curl_slist_free_all(e->headers);
	curl_easy_cleanup(e->curl);
	iotsafe_close(e->card);
	free(e->answer.at);
	free(e);
	return code;
}
