/* SPDX-License-Identifier: Apache-2.0 */
#include "base/der.h"
#include "ca/csr.h"
#include "fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define ATTR_OID "2.25.339676002348307032802535040727878614786"

/* Requests made by OpenSSL, so that what we read is not only what we write. */
struct made {
	EVP_PKEY *key;
	X509_REQ *req;
	uint8_t *der;
	size_t len;
};

static struct made begin(EVP_PKEY *key, int string_type, const char *cn)
{
	struct made m = { .key = key, .req = X509_REQ_new() };
	X509_NAME *name = X509_NAME_new();

	assert_true(m.key && m.req && name);
	X509_NAME_add_entry_by_txt(
		name, "CN", string_type, (const unsigned char *)cn, (int)strlen(cn), -1, 0);
	X509_REQ_set_subject_name(m.req, name);
	X509_NAME_free(name);
	X509_REQ_set_pubkey(m.req, key);
	return m;
}

static void finish(struct made *m, const EVP_MD *md)
{
	assert_true(X509_REQ_sign(m->req, m->key, md) > 0);
	int len = i2d_X509_REQ(m->req, &m->der);
	assert_true(len > 0);
	m->len = (size_t)len;
}

static void end(struct made *m)
{
	OPENSSL_free(m->der);
	X509_REQ_free(m->req);
	EVP_PKEY_free(m->key);
}

static void refused(struct made *m, enum rc rc, const char *text)
{
	struct ca_csr csr;
	struct diag d = { 0 };

	assert_rc(rc, ca_csr_parse(m->der, m->len, &csr, &d));
	if (!strstr(d.text, text))
		fail_msg("\"%s\" does not say \"%s\"", d.text, text);
	end(m);
}

static void accepts_generic_tools(void **state)
{
	static const int types[] = { MBSTRING_ASC, V_ASN1_UTF8STRING, V_ASN1_PRINTABLESTRING };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct made m = begin(EVP_EC_gen("P-256"), types[i], TEST_NAME);
		struct ca_csr csr;
		struct diag d = { 0 };
		finish(&m, EVP_sha256());
		if (ca_csr_parse(m.der, m.len, &csr, &d) != RC_OK)
			fail_msg("%s", d.text);
		assert_rc(RC_OK, ca_csr_verify(f->x, &csr, &d));
		assert_string_equal(csr.name, TEST_NAME);
		assert_null(csr.b_point);
		assert_null(csr.attest);
		end(&m);
	}
}

static void add_attribute(struct made *m, const char *arc, const uint8_t *value, size_t len)
{
	X509_ATTRIBUTE *a = NULL;
	char oid[80];

	snprintf(oid, sizeof(oid), ATTR_OID "%s", arc);
	ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
	assert_non_null(obj);
	a = X509_ATTRIBUTE_create_by_OBJ(NULL, obj, V_ASN1_SEQUENCE, value, (int)len);
	assert_non_null(a);
	assert_int_equal(1, X509_REQ_add1_attr(m->req, a));
	X509_ATTRIBUTE_free(a);
	ASN1_OBJECT_free(obj);
}

/* SEQUENCE { OCTET STRING S, OCTET STRING r||s }, with S so long that .2 sorts before or after. */
static size_t attestation(uint8_t *out, size_t s_len, size_t sig_len)
{
	uint8_t zeros[512] = { 0 };
	struct put p = put_init(out, 600);
	size_t seq = der_open(&p, DER_SEQUENCE);

	der_put(&p, DER_OCTET_STRING, zeros, s_len);
	der_put(&p, DER_OCTET_STRING, zeros, sig_len);
	der_close(&p, seq);
	assert_true(put_ok(&p));
	return p.len;
}

static void reads_both_attributes(void **state)
{
	static const size_t s_lens[] = { 1, 10, 100, 400 };
	struct fixture *f = *state;
	uint8_t value[600];

	for (size_t i = 0; i < ARRAY_LEN(s_lens); i++) {
		struct made m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);
		struct ca_csr csr;
		struct diag d = { 0 };
		add_attribute(&m, ".1", f->ring.seal.spki, CA_SPKI_LEN);
		add_attribute(&m, ".2", value, attestation(value, s_lens[i], 64));
		finish(&m, EVP_sha256());
		if (ca_csr_parse(m.der, m.len, &csr, &d) != RC_OK)
			fail_msg("%s", d.text);
		assert_rc(RC_OK, ca_csr_verify(f->x, &csr, &d));
		assert_memory_equal(csr.b_point, f->ring.seal.point, CA_POINT_LEN);
		assert_int_equal(csr.attest_len, s_lens[i]);
		assert_non_null(csr.attest_sig);
		end(&m);
	}
}

static void refuses_other_attributes(void **state)
{
	struct fixture *f = *state;
	uint8_t value[600];
	struct made m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);

	add_attribute(&m, ".3", f->ring.seal.spki, CA_SPKI_LEN);
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "attributes: another attribute");

	m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);
	assert_int_equal(1, X509_REQ_add1_attr_by_NID(m.req, NID_pkcs9_challengePassword,
				    MBSTRING_ASC, (const unsigned char *)"secret", 6));
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "challengePassword");

	m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);
	add_attribute(&m, ".2", value, attestation(value, 20, 63));
	finish(&m, EVP_sha256());
	refused(&m, RC_MALFORMED, "signature of 64 octets");
}

/* A request with these attributes in this order; its signature is of no use. */
static size_t with_attributes(const struct fixture *f, const char *arcs, uint8_t *out)
{
	static const uint8_t base[] = { 0x69, 0x83, 0xff, 0x8b, 0x9b, 0xfa, 0xe3, 0xc0, 0xa2, 0x9d,
		0x83, 0xab, 0xd7, 0xba, 0x8e, 0xb3, 0xde, 0xe8, 0xfe, 0x02 };
	uint8_t plain[CA_CSR_MAX], value[600];
	struct ca_csr csr;
	struct diag d;
	size_t len;

	assert_rc(RC_OK, ca_csr_write(f->x, &f->ring.issuing, TEST_NAME, NULL, plain, &len, &d));
	assert_rc(RC_OK, ca_csr_parse(plain, len, &csr, &d));
	struct cur tbs = cur_init(csr.tbs, csr.tbs_len);
	struct cur info = der_take(&tbs, DER_SEQUENCE);
	struct put p = put_init(out, CA_CSR_MAX);
	size_t outer = der_open(&p, DER_SEQUENCE), inner = der_open(&p, DER_SEQUENCE);
	put_bytes(&p, info.at, info.left - 2); /* all but the empty [0] */
	size_t set = der_open(&p, DER_CONTEXT_CONS(0));
	for (; *arcs; arcs++) {
		size_t attr = der_open(&p, DER_SEQUENCE), oid = der_open(&p, DER_OID);
		put_bytes(&p, base, sizeof(base));
		put_u8(&p, (uint8_t)(*arcs - '0'));
		der_close(&p, oid);
		size_t values = der_open(&p, DER_SET);
		if (*arcs == '1')
			put_bytes(&p, f->ring.seal.spki, CA_SPKI_LEN);
		else
			put_bytes(&p, value, attestation(value, 100, 64));
		der_close(&p, values);
		der_close(&p, attr);
	}
	der_close(&p, set);
	der_close(&p, inner);
	put_bytes(&p, csr.tbs + csr.tbs_len, (size_t)(plain + len - csr.tbs) - csr.tbs_len);
	der_close(&p, outer);
	assert_true(put_ok(&p));
	return p.len;
}

static void attributes_stand_in_der_order(void **state)
{
	static const struct {
		const char *arcs;
		enum rc rc;
	} rows[] = {
		{ "", RC_OK },
		{ "1", RC_OK },
		{ "12", RC_OK },
		{ "2", RC_OK },
		{ "21", RC_MALFORMED },
		{ "11", RC_MALFORMED },
		{ "22", RC_MALFORMED },
		{ "122", RC_MALFORMED },
		{ "3", RC_UNSUPPORTED },
	};
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	struct ca_csr out;
	struct diag d;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = with_attributes(f, rows[i].arcs, csr);
		enum rc rc = ca_csr_parse(csr, len, &out, &d);
		if (rc != rows[i].rc)
			fail_msg("%s: %s: %s", rows[i].arcs, rc_text(rc), d.text);
	}
}

static void refuses_other_keys_and_names(void **state)
{
	struct made m = begin(EVP_EC_gen("P-384"), V_ASN1_UTF8STRING, TEST_NAME);

	(void)state;
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "curve secp384r1, only prime256v1");
	m = begin(EVP_EC_gen("secp256k1"), V_ASN1_UTF8STRING, TEST_NAME);
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "curve secp256k1");
	m = begin(EVP_RSA_gen(2048), V_ASN1_UTF8STRING, TEST_NAME);
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "rsaEncryption");
	m = begin(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), V_ASN1_UTF8STRING, TEST_NAME);
	finish(&m, NULL);
	refused(&m, RC_UNSUPPORTED, "Ed25519");
	m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);
	finish(&m, EVP_sha384());
	refused(&m, RC_UNSUPPORTED, "signatureAlgorithm");
	m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);
	X509_REQ_set_version(m.req, 1);
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "version: only v1");
	m = begin(EVP_EC_gen("P-256"), V_ASN1_IA5STRING, TEST_NAME);
	finish(&m, EVP_sha256());
	refused(&m, RC_MALFORMED, "subject.CN: UTF8String");
	m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, "bell\a");
	finish(&m, EVP_sha256());
	refused(&m, RC_MALFORMED, "printable ASCII");
	m = begin(EVP_EC_gen("P-256"), V_ASN1_UTF8STRING, TEST_NAME);
	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(m.req), "O", MBSTRING_ASC,
		(const unsigned char *)"x", -1, -1, 0);
	finish(&m, EVP_sha256());
	refused(&m, RC_MALFORMED, "subject: exactly one RDN");
}

static void compressed_point_is_refused(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	(void)state;
	assert_int_equal(1, EVP_PKEY_set_utf8_string_param(key, "point-format", "compressed"));
	struct made m = begin(key, V_ASN1_UTF8STRING, TEST_NAME);
	finish(&m, EVP_sha256());
	refused(&m, RC_UNSUPPORTED, "uncompressed point");
}

static void every_truncation_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	struct ca_csr out;
	struct diag d;
	size_t len;

	fixture_csr(f, TEST_NAME, NULL, csr, &len);
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		memcpy(exact, csr, cut);
		assert_rc(RC_MALFORMED, ca_csr_parse(exact, cut, &out, &d));
		assert_non_null(strstr(d.text, cut ? "truncated" : "empty"));
		free(exact);
	}
	csr[len] = 0;
	assert_rc(RC_MALFORMED, ca_csr_parse(csr, len + 1, &out, &d));
	assert_non_null(strstr(d.text, "bytes follow"));
}

static void every_flipped_bit_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	struct ca_csr out;
	struct diag d;
	size_t len;

	fixture_csr(f, TEST_NAME, NULL, csr, &len);
	for (size_t bit = 0; bit < len * 8; bit++) {
		csr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (ca_csr_parse(csr, len, &out, &d) == RC_OK)
			assert_int_not_equal(RC_OK, ca_csr_verify(f->x, &out, &d));
		csr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_rc(RC_OK, ca_csr_parse(csr, len, &out, &d));
	assert_rc(RC_OK, ca_csr_verify(f->x, &out, &d));
}

static void oversized_is_refused(void **state)
{
	static uint8_t big[CA_CSR_MAX + 1] = { 0x30, 0x82, 0x0f, 0xfd };
	struct ca_csr out;
	struct diag d;

	(void)state;
	assert_rc(RC_TOO_LARGE, ca_csr_parse(big, sizeof(big), &out, &d));
	assert_non_null(strstr(d.text, "oversized"));
}

static void b_key_must_be_a_point(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX], point[CA_POINT_LEN];
	struct ca_csr out;
	struct diag d;
	size_t len;

	memcpy(point, f->ring.seal.point, sizeof(point));
	point[64] ^= 1;
	assert_rc(RC_OK, ca_csr_write(f->x, &f->ring.issuing, TEST_NAME, point, csr, &len, &d));
	assert_rc(RC_OK, ca_csr_parse(csr, len, &out, &d));
	assert_rc(RC_RANGE, ca_csr_verify(f->x, &out, &d));
	assert_non_null(strstr(d.text, "not on P-256"));
}

static void what_we_write_openssl_reads(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	struct diag d;
	size_t len;

	assert_rc(RC_OK,
		ca_csr_write(f->x, &f->ring.issuing, TEST_NAME, f->ring.seal.point, csr, &len, &d));
	assert_in_range(len, 350, 370);
	const uint8_t *at = csr;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)len);
	assert_non_null(req);
	assert_int_equal(1, X509_REQ_verify(req, f->ring.issuing.pkey));
	assert_int_equal(1, X509_REQ_get_attr_count(req));
	char oid[80];
	OBJ_obj2txt(oid, sizeof(oid), X509_ATTRIBUTE_get0_object(X509_REQ_get_attr(req, 0)), 1);
	assert_string_equal(oid, ATTR_OID ".1");
	X509_REQ_free(req);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_generic_tools),
		cmocka_unit_test(reads_both_attributes),
		cmocka_unit_test(refuses_other_attributes),
		cmocka_unit_test(attributes_stand_in_der_order),
		cmocka_unit_test(refuses_other_keys_and_names),
		cmocka_unit_test(compressed_point_is_refused),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(oversized_is_refused),
		cmocka_unit_test(b_key_must_be_a_point),
		cmocka_unit_test(what_we_write_openssl_reads),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
