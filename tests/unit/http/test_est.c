/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/str.h"
#include "http/est.h"
#include "http/reflect.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE "iotregistry.example"
#define NAME "1.8912230200031010008f"

/* ---- what clients bring ------------------------------------------------------------------ */

static size_t make_csr(EVP_PKEY *key, const char *cn, const char *o, uint8_t *out)
{
	X509_REQ *req = X509_REQ_new();
	X509_NAME *name = X509_REQ_get_subject_name(req);
	unsigned char *at = out;
	int len;

	if (o)
		X509_NAME_add_entry_by_txt(
			name, "O", MBSTRING_UTF8, (const unsigned char *)o, -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_REQ_set_pubkey(req, key);
	assert_true(X509_REQ_sign(req, key, EVP_sha256()) > 0);
	len = i2d_X509_REQ(req, &at);
	assert_true(len > 0);
	X509_REQ_free(req);
	return (size_t)len;
}

static X509 *make_cert(EVP_PKEY *key, const char *eku)
{
	X509 *cert = X509_new();
	X509_EXTENSION *ext;

	X509_set_version(cert, 2);
	X509_set_pubkey(cert, key);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	if (eku) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, eku);
		X509_add_ext(cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static bool read(
	const char *type, const char *body, size_t len, struct enrol_csr *csr, struct est_fault *f)
{
	return est_read(type, (const uint8_t *)body, len, ZONE, csr, f);
}

static size_t base64(const uint8_t *der, size_t len, char *out)
{
	return (size_t)EVP_EncodeBlock((unsigned char *)out, der, (int)len);
}

static void refused(unsigned status, const char *why, const struct est_fault *f)
{
	assert_int_equal(status, f->status);
	if (!strstr(f->why.text, why))
		fail_msg("said \"%s\", not \"%s\"", f->why.text, why);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void test_paths(void **state)
{
	static const struct {
		const char *method, *path;
		unsigned status; /* 0: found */
		enum est_op op;
	} rows[] = {
		{ "GET", EST_PREFIX "cacerts", 0, EST_CACERTS },
		{ "HEAD", EST_PREFIX "cacerts", 0, EST_CACERTS },
		{ "GET", EST_PREFIX "csrattrs", 0, EST_CSRATTRS },
		{ "POST", EST_PREFIX "simpleenroll", 0, EST_ENROL },
		{ "POST", EST_PREFIX "simplereenroll", 0, EST_REENROL },
		{ "POST", EST_PREFIX "cacerts", 405, 0 },
		{ "GET", EST_PREFIX "simpleenroll", 405, 0 },
		{ "POST", EST_PREFIX "serverkeygen", 404, 0 },
		{ "POST", EST_PREFIX "fullcmc", 404, 0 },
		{ "GET", EST_PREFIX "", 404, 0 },
		{ "GET", EST_PREFIX "cacerts/", 404, 0 },
	};
	struct est_fault f;
	enum est_op op;

	(void)state;
	assert_true(est_is(EST_PREFIX "x"));
	assert_false(est_is("/.well-known/es"));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool found = est_find(rows[i].method, rows[i].path, &op, &f);

		assert_int_equal(!rows[i].status, found);
		if (found)
			assert_int_equal(rows[i].op, op);
		else
			assert_int_equal(rows[i].status, f.status);
	}
}

static void test_bodies(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *p384 = EVP_EC_gen("P-384");
	char text[4 * ENROL_CSR_MAX];
	uint8_t der[2048], again[2048];
	struct enrol_csr csr;
	struct est_fault f;
	size_t len, n, back;

	(void)state;
	len = make_csr(key, NAME "." ZONE, NULL, der);
	n = base64(der, len, text);
	assert_true(read("application/pkcs10", text, n, &csr, &f));
	assert_string_equal(NAME, csr.name);
	assert_int_equal(len, csr.len);
	assert_memory_equal(der, csr.der, len);
	assert_true(read("Application/PKCS10; charset=utf-8", text, n, &csr, &f));
	/* Each truncation of the body, and of the DER in it, is refused. */
	for (size_t i = 0; i < n; i++)
		assert_false(read("application/pkcs10", text, i, &csr, &f));
	for (size_t i = 0; i < len; i++) {
		n = base64(der, i, text);
		assert_false(read("application/pkcs10", text, n, &csr, &f));
		assert_int_equal(400, f.status);
	}
	/* So is each changed bit of it. */
	for (size_t i = 0; i < 8 * len; i++) {
		memcpy(again, der, len);
		again[i / 8] ^= (uint8_t)(1u << (i % 8));
		n = base64(again, len, text);
		assert_false(read("application/pkcs10", text, n, &csr, &f));
	}
	n = base64(der, len, text);
	assert_false(read(NULL, text, n, &csr, &f));
	refused(415, "application/pkcs10", &f);
	assert_false(read("application/pkcs100", text, n, &csr, &f));
	refused(415, "application/pkcs10", &f);
	assert_false(read("application/pkcs10", "", 0, &csr, &f));
	refused(400, "empty", &f);
	assert_false(read("application/pkcs10", text, EST_BODY_MAX + 1, &csr, &f));
	refused(413, "too large", &f);
	text[7] = '!';
	assert_false(read("application/pkcs10", text, n, &csr, &f));
	refused(400, "base64", &f);
	/* Names that are not to be had here. */
	back = base64(der, make_csr(key, "2.8912230200031010008f.other.example", NULL, der), text);
	assert_false(read("application/pkcs10", text, back, &csr, &f));
	refused(400, "zone", &f);
	back = base64(der, make_csr(key, "0.8912230200031010008f." ZONE, NULL, der), text);
	assert_false(read("application/pkcs10", text, back, &csr, &f));
	refused(400, "<slot>", &f);
	back = base64(der, make_csr(key, NAME "." ZONE, "parkoserv", der), text);
	assert_true(read("application/pkcs10", text, back, &csr, &f));
	assert_false(csr.bare);
	back = base64(der, make_csr(p384, NAME "." ZONE, NULL, der), text);
	assert_false(read("application/pkcs10", text, back, &csr, &f));
	refused(400, "P-256", &f);
	EVP_PKEY_free(key);
	EVP_PKEY_free(p384);
}

static void test_answers(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_cert(key, NULL);
	unsigned char *der = NULL, bytes[2048];
	ProtobufCBinaryData one = { 0, NULL }, bad = { 3, (uint8_t *)(uintptr_t) "\x30\x01" };
	const ProtobufCBinaryData *list[] = { &one, &one }, *odd[] = { &bad };
	char *text = NULL;
	size_t len = 0, n = 0, packed = 0;

	(void)state;
	one.len = (size_t)i2d_X509(cert, &der);
	one.data = der;
	assert_rc(RC_OK, est_write_certs(list, 2, &text, &len));
	for (size_t i = 0; i < len; i++)
		if (text[i] != '\n')
			text[packed++] = text[i];
	assert_rc(RC_OK, b64_read(text, packed, bytes, sizeof(bytes), &n));
	const unsigned char *at = bytes;
	PKCS7 *p7 = d2i_PKCS7(NULL, &at, (long)n);
	assert_non_null(p7);
	assert_int_equal(2, sk_X509_num(p7->d.sign->cert));
	assert_int_equal(0, X509_cmp(cert, sk_X509_value(p7->d.sign->cert, 1)));
	assert_int_equal(0, sk_PKCS7_SIGNER_INFO_num(p7->d.sign->signer_info));
	PKCS7_free(p7);
	free(text);
	assert_rc(RC_MALFORMED, est_write_certs(odd, 1, &text, &len));
	assert_rc(RC_OK, est_write_csrattrs(&text, &len));
	assert_true(len > 20);
	free(text);
	OPENSSL_free(der);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void test_who_may_ask(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *ra = make_cert(key, "clientAuth,1.3.6.1.5.5.7.3.28");
	X509 *other = make_cert(key, "clientAuth"), *plain = make_cert(key, NULL);
	uint8_t spki[ENROL_SPKI_LEN] = { 1 };
	struct enrol_client client = { .cert = ra, .spki_sha256 = spki, .peer = "p" };
	struct enrol_csr csr = { .len = 3, .name = NAME, .bare = true };
	Registry__Request *q = NULL;
	struct diag d = { "" };

	(void)state;
	assert_true(enrol_is_ra(ra));
	assert_false(enrol_is_ra(other));
	assert_false(enrol_is_ra(plain));
	assert_rc(RC_OK, enrol_request(&client, &csr, &q, &d));
	assert_int_equal(REGISTRY__REQUEST__OP_JOB_RESULT, q->op_case);
	assert_string_equal(NAME, q->job_result->name);
	assert_string_equal("", q->job_result->id);
	assert_int_equal(3, q->job_result->csr.len);
	assert_int_equal(0, q->cert_sha256.len);
	reflect_free(&q->base);
	client.cert = other;
	assert_rc(RC_DENIED, enrol_request(&client, &csr, &q, &d));
	assert_non_null(strstr(d.text, "id-kp-cmcRA"));
	/* A device: only with the key of its certificate, whatever its EKU. */
	client.device = true;
	client.cert = ra;
	assert_rc(RC_DENIED, enrol_request(&client, &csr, &q, &d));
	csr.spki_sha256[0] = 1;
	assert_rc(RC_OK, enrol_request(&client, &csr, &q, &d));
	assert_int_equal(REGISTRY__REQUEST__OP_PROFILE_REENROL, q->op_case);
	assert_int_equal(32, q->cert_sha256.len);
	reflect_free(&q->base);
	/* More than the name only as the certificate has it (RFC 7030 section 4.2.2). */
	X509_NAME_add_entry_by_txt(X509_get_subject_name(ra), "O", MBSTRING_UTF8,
		(const unsigned char *)"parkoserv", -1, -1, 0);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(ra), "CN", MBSTRING_UTF8,
		(const unsigned char *)NAME "." ZONE, -1, -1, 0);
	csr.bare = false;
	csr.len = make_csr(key, NAME "." ZONE, "parkoserv", csr.der);
	assert_rc(RC_OK, enrol_request(&client, &csr, &q, &d));
	reflect_free(&q->base);
	csr.len = make_csr(key, NAME "." ZONE, "carparkserv", csr.der);
	assert_rc(RC_MALFORMED, enrol_request(&client, &csr, &q, &d));
	client.device = false;
	assert_rc(RC_MALFORMED, enrol_request(&client, &csr, &q, &d));
	X509_free(ra);
	X509_free(other);
	X509_free(plain);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_who_may_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
