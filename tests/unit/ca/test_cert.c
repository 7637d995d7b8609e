/* SPDX-License-Identifier: Apache-2.0 */
#include "base/der.h"
#include "ca/csr.h"
#include "ca/kit.h"
#include "fixture.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* A certificate such as an ASP might have: not ours, RSA, with extensions we do not read. */
static size_t foreign_cert(int version, uint8_t **der)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *x = X509_new();
	X509_NAME *name = X509_NAME_new();
	X509V3_CTX ctx;

	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"broker.example", -1, -1, 0);
	X509_set_version(x, version);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
	X509_set_issuer_name(x, name);
	X509_set_subject_name(x, name);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	if (version == X509_VERSION_3) {
		X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
		X509_EXTENSION *e = X509V3_EXT_conf_nid(
			NULL, &ctx, NID_subject_alt_name, "DNS:broker.example,IP:192.0.2.1");
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	*der = NULL;
	int len = i2d_X509(x, der);
	assert_true(len > 0);
	X509_NAME_free(name);
	X509_free(x);
	EVP_PKEY_free(key);
	return (size_t)len;
}

static size_t crl(uint8_t **der)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_CRL *c = X509_CRL_new();
	X509_NAME *name = X509_NAME_new();
	ASN1_TIME *t = X509_gmtime_adj(NULL, 0);

	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"some CA", -1, -1, 0);
	X509_CRL_set_version(c, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(c, name);
	X509_CRL_set1_lastUpdate(c, t);
	X509_CRL_set1_nextUpdate(c, t);
	assert_true(X509_CRL_sign(c, key, EVP_sha256()) > 0);
	*der = NULL;
	int len = i2d_X509_CRL(c, der);
	ASN1_TIME_free(t);
	X509_NAME_free(name);
	X509_CRL_free(c);
	EVP_PKEY_free(key);
	return (size_t)len;
}

static void kit_files(void **state)
{
	struct fixture *f = *state;
	struct ca_kit kit;
	struct diag d = { 0 };
	uint8_t *asp, digest[32];
	size_t len = foreign_cert(X509_VERSION_3, &asp);

	if (ca_kit_sign(f->x, &f->ring.devkit, "broker.example", 8883, asp, len, &kit, &d) != RC_OK)
		fail_msg("%s", d.text);
	static const char want[] = "{\"url\":\"broker.example\",\"port\":8883}";
	assert_int_equal(kit.file08_len, sizeof(want) - 1);
	assert_memory_equal(kit.file08, want, sizeof(want) - 1);
	assert_rc(RC_OK, ca_sha256(f->x, kit.file08, kit.file08_len, digest));
	assert_rc(RC_OK, ca_verify(f->x, f->ring.devkit.point, digest, kit.file09, kit.file09_len));
	assert_rc(RC_OK, ca_sha256(f->x, asp, len, digest));
	assert_rc(RC_OK, ca_verify(f->x, f->ring.devkit.point, digest, kit.file0a, kit.file0a_len));
	OPENSSL_free(asp);
}

static void kit_refused(struct fixture *f, const uint8_t *der, size_t len, const char *text)
{
	struct ca_kit kit;
	struct diag d = { 0 };
	enum rc rc = ca_kit_sign(f->x, &f->ring.devkit, "a", 1, der, len, &kit, &d);

	if (rc != RC_UNSUPPORTED || !strstr(d.text, text))
		fail_msg("%s: \"%s\" does not say \"%s\"", rc_text(rc), d.text, text);
}

static void what_is_no_certificate_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	uint8_t *der, csr[CA_CSR_MAX];
	struct ca_cert cert;
	struct diag d;
	size_t len = foreign_cert(X509_VERSION_3, &der);

	assert_rc(RC_OK, ca_cert_parse(der, len, &cert, &d));
	kit_refused(f, cert.tbs, cert.tbs_len, "this is a TBSCertificate");
	OPENSSL_free(der);
	fixture_csr(f, TEST_NAME, NULL, csr, &len);
	kit_refused(f, csr, len, "this is a certificate request (CSR)");
	struct ca_csr parsed;
	assert_rc(RC_OK, ca_csr_parse(csr, len, &parsed, &d));
	kit_refused(f, parsed.tbs, parsed.tbs_len, "unsigned part");
	len = crl(&der);
	kit_refused(f, der, len, "this is a CRL");
	OPENSSL_free(der);
	len = foreign_cert(X509_VERSION_1, &der);
	kit_refused(f, der, len, "this is a v1 certificate");
	OPENSSL_free(der);
}

static void kit_urls_refused(void **state)
{
	static const char *const urls[] = { "", "a b", "a\"b", "a}b", "a{b", "a\\b", "caf\xc3\xa9",
		"a\nb",
		("12345678901234567890123456789012345678901234567890123456789012345678901234567890"
		 "12345") };
	struct fixture *f = *state;
	struct ca_kit kit;
	struct diag d;

	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		assert_rc(RC_RANGE,
			ca_kit_sign(f->x, &f->ring.devkit, urls[i], 1, f->ring.authority.party.cert,
				f->ring.authority.party.cert_len, &kit, &d));
	assert_rc(RC_RANGE, ca_kit_sign(f->x, &f->ring.devkit, "a", 0, NULL, 0, &kit, &d));
	assert_rc(RC_RANGE, ca_kit_sign(f->x, &f->ring.devkit, "a", 65536, NULL, 0, &kit, &d));
}

static void truncations_and_flips(void **state)
{
	struct fixture *f = *state;
	const uint8_t *der = f->ring.authority.issuing.cert;
	size_t len = f->ring.authority.issuing.cert_len;
	uint8_t copy[CA_CERT_MAX];
	struct ca_cert cert, root;
	struct diag d;

	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		memcpy(exact, der, cut);
		assert_int_not_equal(RC_OK, ca_cert_parse(exact, cut, &cert, &d));
		free(exact);
	}
	assert_rc(RC_OK, ca_cert_parse(f->ring.root, f->ring.root_len, &root, &d));
	for (size_t bit = 0; bit < len * 8; bit++) {
		memcpy(copy, der, len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (ca_cert_parse(copy, len, &cert, &d) == RC_OK)
			assert_int_not_equal(RC_OK, ca_cert_signed_by(f->x, &cert, &root, &d));
	}
}

static void parser_and_writer_agree(void **state)
{
	struct fixture *f = *state;
	const struct ca_issuer *i = &f->ring.authority.issuing;
	struct ca_cert cert;
	struct diag d;

	assert_rc(RC_OK, ca_cert_parse(i->cert, i->cert_len, &cert, &d));
	assert_true(cert.ca && cert.has_path_len && cert.path_len == 0 && cert.key_cert_sign);
	assert_true(cert.ecdsa_sha256 && cert.ski_len == 20);
	assert_memory_equal(cert.point, f->ring.issuing.point, CA_POINT_LEN);
	assert_true(cert.not_before == TEST_NOW - TEST_DAY);
	assert_true(cert.not_after == TEST_NOW + 3650 * TEST_DAY);
}

static void issuer_must_be_a_ca_of_this_key(void **state)
{
	struct fixture *f = *state;
	const struct ca_issuer *i = &f->ring.authority.issuing;
	struct ca_issuer out;
	struct diag d;

	assert_rc(RC_OK, ca_issuer_init(&out, &f->ring.issuing, i->cert, i->cert_len, &d));
	assert_rc(RC_CONFLICT, ca_issuer_init(&out, &f->ring.devkit, i->cert, i->cert_len, &d));
	assert_rc(RC_RANGE, ca_issuer_init(&out, &f->ring.payload, f->ring.payload_cert,
				    f->ring.payload_cert_len, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kit_files),
		cmocka_unit_test(what_is_no_certificate_is_refused_by_name),
		cmocka_unit_test(kit_urls_refused),
		cmocka_unit_test(truncations_and_flips),
		cmocka_unit_test(parser_and_writer_agree),
		cmocka_unit_test(issuer_must_be_a_ca_of_this_key),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
