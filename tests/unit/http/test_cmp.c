/* SPDX-License-Identifier: Apache-2.0 */
/* CMP with OpenSSL's own client at the other end, in one process. */
#include "../unit.h"

#include "base/str.h"
#include "http/cmp.h"

#include <openssl/cmp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZONE "iotregistry.example"
#define NAME "1.8912230200031010008f"

struct world {
	struct cmp *cmp;
	struct clock clock;
	uint64_t ms;
	EVP_PKEY *server_key, *client_key, *card_key;
	X509 *server, *client, *issued;
	X509_REQ *csr;
	uint8_t spki[ENROL_SPKI_LEN];
	/* What the registry says. */
	bool waiting, refuse;
	unsigned asked, waits;
	/* The first message as it went over the wire. */
	uint8_t first[4096];
	size_t first_len;
	bool spoil; /* another certificate comes by TLS */
};

static uint64_t clock_ms(const struct clock *c)
{
	return ((const struct world *)c->user)->ms;
}

static int64_t clock_s(const struct clock *c)
{
	(void)c;
	return 1800000000;
}

static X509 *make_cert(EVP_PKEY *key, const char *cn)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static void write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	if (cert)
		PEM_write_X509(f, cert);
	if (key)
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static void open_world(struct world *w)
{
	char cert[64], key[64];
	struct diag d = { "" };

	*w = (struct world){ .ms = 1 };
	w->clock = (struct clock){ clock_s, clock_ms, w };
	w->server_key = EVP_EC_gen("P-256");
	w->client_key = EVP_EC_gen("P-256");
	w->card_key = EVP_EC_gen("P-256");
	w->server = make_cert(w->server_key, "server");
	w->client = make_cert(w->client_key, "mno");
	w->issued = make_cert(w->card_key, NAME "." ZONE);
	w->csr = X509_REQ_new();
	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(w->csr), "CN", MBSTRING_UTF8,
		(const unsigned char *)NAME "." ZONE, -1, -1, 0);
	X509_REQ_set_pubkey(w->csr, w->card_key);
	assert_true(X509_REQ_sign(w->csr, w->card_key, EVP_sha256()) > 0);
	(void)snprintf(cert, sizeof(cert), "/tmp/test_cmp.%d.pem", (int)getpid());
	(void)snprintf(key, sizeof(key), "/tmp/test_cmp.%d.key", (int)getpid());
	write_pem(cert, w->server, NULL);
	write_pem(key, NULL, w->server_key);
	if (cmp_new(&w->cmp, cert, key, ZONE, &w->clock, &d) != RC_OK)
		fail_msg("%s", d.text);
	unlink(cert);
	unlink(key);
}

static void close_world(struct world *w)
{
	cmp_free(w->cmp);
	EVP_PKEY_free(w->server_key);
	EVP_PKEY_free(w->client_key);
	EVP_PKEY_free(w->card_key);
	X509_free(w->server);
	X509_free(w->client);
	X509_free(w->issued);
	X509_REQ_free(w->csr);
	ERR_clear_error();
}

static struct enrol_client client_of(struct world *w)
{
	return (struct enrol_client){
		.cert = w->spoil ? w->server : w->client, .spki_sha256 = w->spki, .peer = "test"
	};
}

/* The registry's answer to a CSR. */
static enum rc say(struct world *w, struct cmp_ask *take_ask, struct cmp_reply *out)
{
	struct cmp_verdict v = { .why = "no job waits for it" };
	unsigned char *der = NULL;
	enum rc rc;

	w->asked++;
	assert_string_equal(NAME, cmp_csr(take_ask)->name);
	if (w->waiting && w->waits++ < 2) {
		v.waiting = true;
	} else if (!w->refuse) {
		v.cert_len = (size_t)i2d_X509(w->issued, &der);
		v.cert = der;
	}
	rc = cmp_answer(w->cmp, take_ask, &v, out);
	OPENSSL_free(der);
	return rc;
}

static OSSL_CMP_MSG *transfer(OSSL_CMP_CTX *ctx, const OSSL_CMP_MSG *req)
{
	struct world *w = OSSL_CMP_CTX_get_transfer_cb_arg(ctx);
	struct enrol_client client = client_of(w);
	unsigned char *der = NULL;
	const unsigned char *at;
	struct cmp_reply out;
	struct cmp_ask *ask;
	struct diag d;
	int len = i2d_OSSL_CMP_MSG((OSSL_CMP_MSG *)(uintptr_t)req, &der);
	OSSL_CMP_MSG *answer;

	assert_true(len > 0 && (size_t)len < sizeof(w->first));
	if (!w->first_len) {
		memcpy(w->first, der, (size_t)len);
		w->first_len = (size_t)len;
	}
	assert_rc(RC_OK, cmp_take(w->cmp, &client, der, (size_t)len, &ask, &out, &d));
	if (ask)
		assert_rc(RC_OK, say(w, ask, &out));
	OPENSSL_free(der);
	at = out.der;
	answer = d2i_OSSL_CMP_MSG(NULL, &at, (long)out.len);
	cmp_reply_free(&out);
	return answer;
}

static int quiet(
	const char *func, const char *file, int line, OSSL_CMP_severity level, const char *msg)
{
	(void)func;
	(void)file;
	(void)line;
	(void)level;
	(void)msg;
	return 1;
}

static OSSL_CMP_CTX *new_client(struct world *w)
{
	OSSL_CMP_CTX *ctx = OSSL_CMP_CTX_new(NULL, NULL);

	assert_non_null(ctx);
	OSSL_CMP_CTX_set_log_cb(ctx, quiet);
	OSSL_CMP_CTX_set_transfer_cb(ctx, transfer);
	OSSL_CMP_CTX_set_transfer_cb_arg(ctx, w);
	OSSL_CMP_CTX_set1_cert(ctx, w->client);
	OSSL_CMP_CTX_set1_pkey(ctx, w->client_key);
	OSSL_CMP_CTX_set1_srvCert(ctx, w->server);
	OSSL_CMP_CTX_set1_p10CSR(ctx, w->csr);
	return ctx;
}

/* The certificate, or NULL. */
static X509 *enrol(struct world *w, OSSL_CMP_CTX *ctx)
{
	X509 *cert = OSSL_CMP_exec_certreq(ctx, OSSL_CMP_P10CR, NULL);

	ERR_clear_error();
	(void)w;
	return cert;
}

static void test_p10cr(void **state)
{
	struct world w;
	OSSL_CMP_CTX *ctx;

	(void)state;
	open_world(&w);
	for (int implicit = 0; implicit < 2; implicit++) {
		ctx = new_client(&w);
		OSSL_CMP_CTX_set_option(ctx, OSSL_CMP_OPT_IMPLICIT_CONFIRM, implicit);
		X509 *cert = enrol(&w, ctx);
		assert_non_null(cert);
		assert_int_equal(0, X509_cmp(cert, w.issued));
		OSSL_CMP_CTX_free(ctx);
	}
	assert_int_equal(2, w.asked);
	close_world(&w);
}

static void test_waiting_is_polled_for(void **state)
{
	struct world w;
	OSSL_CMP_CTX *ctx;
	int check = 0, done;

	(void)state;
	open_world(&w);
	w.waiting = true;
	ctx = new_client(&w);
	do { /* -1: to be asked for again after `check` seconds */
		done = OSSL_CMP_try_certreq(ctx, OSSL_CMP_P10CR, NULL, &check);
		assert_true(done != -1 || check == CMP_RETRY_S);
	} while (done == -1);
	assert_int_equal(1, done);
	assert_int_equal(3, w.asked);
	assert_int_equal(0, X509_cmp(OSSL_CMP_CTX_get0_newCert(ctx), w.issued));
	OSSL_CMP_CTX_free(ctx);
	close_world(&w);
}

static void test_refusals(void **state)
{
	char why[300] = "";
	struct world w;
	OSSL_CMP_CTX *ctx;

	(void)state;
	open_world(&w);
	w.refuse = true;
	ctx = new_client(&w);
	assert_null(enrol(&w, ctx));
	assert_int_equal(OSSL_CMP_PKISTATUS_rejection, OSSL_CMP_CTX_get_status(ctx));
	assert_true(
		OSSL_CMP_CTX_get_failInfoCode(ctx) & 1 << OSSL_CMP_PKIFAILUREINFO_notAuthorized);
	OSSL_CMP_PKIFREETEXT *text = OSSL_CMP_CTX_get0_statusString(ctx);
	assert_int_equal(1, sk_ASN1_UTF8STRING_num(text));
	(void)snprintf(why, sizeof(why), "%s",
		(const char *)ASN1_STRING_get0_data(sk_ASN1_UTF8STRING_value(text, 0)));
	assert_string_equal("no job waits for it", why);
	OSSL_CMP_CTX_free(ctx);
	assert_int_equal(1, w.asked);
	w.refuse = false;
	/* Signed by another key than TLS has seen. */
	w.spoil = true;
	ctx = new_client(&w);
	assert_null(enrol(&w, ctx));
	OSSL_CMP_CTX_free(ctx);
	w.spoil = false;
	/* Not signed at all, and by a shared secret. */
	ctx = new_client(&w);
	OSSL_CMP_CTX_set_option(ctx, OSSL_CMP_OPT_UNPROTECTED_SEND, 1);
	assert_null(enrol(&w, ctx));
	OSSL_CMP_CTX_free(ctx);
	ctx = new_client(&w);
	OSSL_CMP_CTX_set1_secretValue(ctx, (const unsigned char *)"secret", 6);
	OSSL_CMP_CTX_set1_referenceValue(ctx, (const unsigned char *)"1", 1);
	OSSL_CMP_CTX_set1_pkey(ctx, NULL);
	assert_null(enrol(&w, ctx));
	OSSL_CMP_CTX_free(ctx);
	/* CRMF: a card makes PKCS#10 only. */
	ctx = new_client(&w);
	OSSL_CMP_CTX_set0_newPkey(ctx, 1, EVP_EC_gen("P-256"));
	assert_null(OSSL_CMP_exec_certreq(ctx, OSSL_CMP_CR, NULL));
	OSSL_CMP_CTX_free(ctx);
	assert_int_equal(1, w.asked);
	close_world(&w);
}

static void test_bad_bytes(void **state)
{
	uint8_t bytes[sizeof(((struct world *)0)->first) + 1];
	struct cmp_reply out;
	struct cmp_ask *ask;
	struct world w;
	struct diag d;

	(void)state;
	open_world(&w);
	OSSL_CMP_CTX *ctx = new_client(&w);
	assert_non_null(enrol(&w, ctx));
	OSSL_CMP_CTX_free(ctx);
	struct enrol_client client = client_of(&w);
	assert_true(w.first_len > 300);
	for (size_t i = 0; i < w.first_len; i++) {
		assert_rc(RC_MALFORMED, cmp_take(w.cmp, &client, w.first, i, &ask, &out, &d));
		assert_non_null(strstr(d.text, "PKIMessage"));
	}
	memcpy(bytes, w.first, w.first_len);
	bytes[w.first_len] = 0;
	assert_rc(RC_MALFORMED, cmp_take(w.cmp, &client, bytes, w.first_len + 1, &ask, &out, &d));
	assert_rc(
		RC_TOO_LARGE, cmp_take(w.cmp, &client, w.first, CMP_BODY_MAX + 1, &ask, &out, &d));
	/* No changed bit of what is signed gets through; extraCerts are not. */
	for (size_t i = 0; i < 8 * 300; i++) {
		memcpy(bytes, w.first, w.first_len);
		bytes[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (cmp_take(w.cmp, &client, bytes, w.first_len, &ask, &out, &d) == RC_OK)
			cmp_reply_free(&out);
		assert_null(ask);
		ERR_clear_error();
	}
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_p10cr),
		cmocka_unit_test(test_waiting_is_polled_for),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_bad_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
