/* SPDX-License-Identifier: Apache-2.0 */
/* The signed text of a trust update, and the answers of a CA that speaks EST. */
#include "asp/services/internal.h"
#include "../unit.h"

#include "base/hex.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <stdlib.h>
#include <string.h>

#define PIN "d4Ilb8GiSQX2txfOJdOqxuYcwD0O41BJ/ALRsSgBrB4="
#define DS \
	"a.example. DS 3623 13 2 a54614e7e55e1d52a785983c3d87624b61a070789b25063c2287fc670bd56bec"

struct fix {
	EVP_PKEY *key;
	X509 *cert;
	char base64[4096]; /* of the certificate */
	STACK_OF(X509) * roots;
};

static void make_cert(EVP_PKEY **key, X509 **cert)
{
	struct diag d = { 0 };
	char *pem = NULL;
	BIO *bio;

	*key = EVP_EC_gen("P-256");
	assert_rc(RC_OK, svc__self_signed(*key, "root.example", 30, &pem, &d));
	bio = BIO_new_mem_buf(pem, -1);
	*cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_non_null(*cert);
	BIO_free(bio);
	free(pem);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	uint8_t *der = NULL;
	int len;

	assert_non_null(f);
	make_cert(&f->key, &f->cert);
	len = i2d_X509(f->cert, &der);
	b64_write(der, (size_t)len, f->base64);
	OPENSSL_free(der);
	f->roots = sk_X509_new_null();
	sk_X509_push(f->roots, f->cert);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	sk_X509_free(f->roots);
	X509_free(f->cert);
	EVP_PKEY_free(f->key);
	free(f);
	return 0;
}

/* All lines and a signature by `key`; `more` goes before it. */
static char *make_text(const struct fix *f, EVP_PKEY *key, const char *more, size_t *len)
{
	char *text = NULL, hex[65], base64[B64_LEN(128)];
	uint8_t pin[32], sig[128];
	size_t sig_len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	FILE *to = open_memstream(&text, len);

	fprintf(to,
		"attestry-trust-1\nzone a.example\nserial 7\nexpires 4000000000\nroot %s\nca %s\n"
		"anchor " DS "\nresolver 192.0.2.1 853 dns.example " PIN "," PIN "\n%s",
		f->base64, f->base64, more);
	fflush(to);
	assert_int_equal(1, EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key));
	assert_int_equal(1, EVP_DigestSign(ctx, sig, &sig_len, (uint8_t *)text, *len));
	EVP_MD_CTX_free(ctx);
	assert_rc(RC_OK, svc__key_pin(key, pin));
	hex_write(pin, sizeof(pin), hex);
	b64_write(sig, sig_len, base64);
	fprintf(to, "signature %s %s\n", hex, base64);
	fclose(to);
	return text;
}

static void test_a_good_one(void **state)
{
	struct fix *f = *state;
	struct svc_update u = { 0 };
	struct diag d = { 0 };
	size_t len = 0;
	char *text = make_text(f, f->key, "", &len);

	assert_rc(RC_OK, svc__update_read(text, len, &u, &d));
	assert_string_equal("a.example", u.zone);
	assert_int_equal(7, u.serial);
	assert_int_equal(4000000000, u.expires);
	assert_int_equal(1, u.n_roots);
	assert_int_equal(1, u.n_cas);
	assert_int_equal(3623, u.anchors[0].tag);
	assert_string_equal("192.0.2.1 853 dns.example " PIN "," PIN, u.resolvers[0]);
	assert_rc(RC_OK, svc__update_verify(text, len, &u, f->roots, &d));
	svc__update_free(&u);
	free(text);
}

static void test_every_truncation_is_refused(void **state)
{
	struct fix *f = *state;
	size_t len = 0;
	char *text = make_text(f, f->key, "", &len);

	for (size_t i = 0; i < len; i++) {
		struct svc_update u = { 0 };
		struct diag d = { 0 };
		enum rc rc = svc__update_read(text, i, &u, &d);

		if (rc == RC_OK)
			rc = svc__update_verify(text, i, &u, f->roots, &d);
		assert_int_not_equal(RC_OK, rc);
		assert_int_not_equal('\0', d.text[0]);
		svc__update_free(&u);
	}
	free(text);
}

static void test_every_changed_byte_is_refused(void **state)
{
	struct fix *f = *state;
	size_t len = 0;
	char *text = make_text(f, f->key, "", &len);

	for (size_t i = 0; i < len; i++) {
		struct svc_update u = { 0 };
		struct diag d = { 0 };
		enum rc rc;

		text[i] ^= 1;
		rc = svc__update_read(text, len, &u, &d);
		if (rc == RC_OK)
			rc = svc__update_verify(text, len, &u, f->roots, &d);
		if (rc == RC_OK) /* hex digits and base64's last bits have two spellings */
			assert_in_range(i, u.signed_len, len);
		svc__update_free(&u);
		text[i] ^= 1;
	}
	free(text);
}

static void test_who_may_sign(void **state)
{
	struct fix *f = *state;
	struct svc_update u = { 0 };
	struct diag d = { 0 };
	EVP_PKEY *other = NULL;
	X509 *cert = NULL;
	size_t len = 0;
	char *text;

	make_cert(&other, &cert);
	text = make_text(f, other, "", &len);
	assert_rc(RC_OK, svc__update_read(text, len, &u, &d));
	assert_rc(RC_SIGNATURE, svc__update_verify(text, len, &u, f->roots, &d));
	svc__update_free(&u);
	/* A root on its way in is none yet, but it may be one of two. */
	sk_X509_push(f->roots, cert);
	assert_rc(RC_OK, svc__update_read(text, len, &u, &d));
	assert_rc(RC_OK, svc__update_verify(text, len, &u, f->roots, &d));
	svc__update_free(&u);
	(void)sk_X509_pop(f->roots);
	free(text);
	X509_free(cert);
	EVP_PKEY_free(other);
}

static void test_lines(void **state)
{
	static const struct {
		const char *more, *why;
	} rows[] = {
		{ "zone b.example\n", "line 9: zone: already exists" },
		{ "serial 8\n", "line 9: serial: already exists" },
		{ "expires 1\n", "line 9: expires: already exists" },
		{ "root AAAA\n", "line 9: root: malformed" },
		{ "ca !\n", "line 9: ca: malformed" },
		{ "anchor a.example. DS 1 13 1 00\n", "line 9: anchor: DS: digest type" },
		{ "anchor a.example. DS 1 13 4 "
		  "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
		  "0000"
		  "000000000000\n",
			"line 9: anchor: anchor: digest type must be 2" },
		{ "resolver 192.0.2.1 853 x\n", "line 9: resolver: resolver: must be" },
		{ "resolver 192.0.2.1 853 x short\n", "line 9: resolver: resolver: a pin" },
		{ "resolver 192.0.2.1 0 - " PIN "\n", "line 9: resolver: resolver: must be" },
		{ "resolver host 853 - " PIN "\n", "line 9: resolver: resolver: must be" },
		{ "resolver 192.0.2.1 853 - " PIN " x\n", "line 9: resolver: resolver: must be" },
		{ "colour red\n", "line 9: colour: not supported" },
		{ "lonely\n", "line 9 has no value" },
		{ "zone\tb\n", "line 9: no signature follows" },
	};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct svc_update u = { 0 };
		struct diag d = { 0 };
		size_t len = 0;
		char *text = make_text(f, f->key, rows[i].more, &len);

		assert_int_not_equal(RC_OK, svc__update_read(text, len, &u, &d));
		if (!strstr(d.text, rows[i].why))
			fail_msg("row %zu: %s", i, d.text);
		free(text);
	}
}

/* ---- EST --------------------------------------------------------------------------------------
 */

static char *certs_only(X509 *const *certs, size_t n, size_t *out_len)
{
	PKCS7 *p7 = PKCS7_new();
	uint8_t *der = NULL;
	char *text;
	int len;

	assert_int_equal(1, PKCS7_set_type(p7, NID_pkcs7_signed));
	assert_int_equal(1, PKCS7_content_new(p7, NID_pkcs7_data));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(1, PKCS7_add_certificate(p7, certs[i]));
	len = i2d_PKCS7(p7, &der);
	assert_true(len > 0);
	text = malloc(B64_LEN((size_t)len) + 2);
	b64_write(der, (size_t)len, text);
	*out_len = strlen(text);
	OPENSSL_free(der);
	PKCS7_free(p7);
	return text;
}

static void test_est_answers(void **state)
{
	struct fix *f = *state;
	EVP_PKEY *other = NULL;
	X509 *cert = NULL;
	struct diag d = { 0 };
	char *pem = NULL, *text;
	size_t len = 0;

	make_cert(&other, &cert);
	text = certs_only(&f->cert, 1, &len);
	assert_rc(RC_OK, svc__est_answer(text, len, f->key, f->roots, &pem, &d));
	assert_non_null(strstr(pem, "BEGIN CERTIFICATE"));
	free(pem);
	assert_rc(RC_AUTH, svc__est_answer(text, len, other, f->roots, &pem, &d));
	assert_non_null(strstr(d.text, "no certificate for the request's key"));
	for (size_t i = 0; i < len; i++) {
		STACK_OF(X509) *list = NULL;

		assert_rc(RC_MALFORMED, svc__est_certs(text, i, &list, &d));
	}
	free(text);
	/* Another CA's certificate, which itself signs. */
	text = certs_only((X509 *[]){ cert, f->cert }, 2, &len);
	assert_rc(RC_AUTH, svc__est_answer(text, len, other, f->roots, &pem, &d));
	assert_non_null(strstr(d.text, "does not verify"));
	free(text);
	text = certs_only(NULL, 0, &len);
	assert_rc(RC_MALFORMED, svc__est_answer(text, len, other, f->roots, &pem, &d));
	free(text);
	X509_free(cert);
	EVP_PKEY_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_one),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_every_changed_byte_is_refused),
		cmocka_unit_test(test_who_may_sign),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_est_answers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
