/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/csr.h"
#include "fixture.h"

#include <openssl/x509v3.h>
#include <string.h>

static void device_certificate(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	size_t len;
	struct ca_issued_cert out = { 0 };
	struct ca_key key;
	struct diag d = { 0 };

	fixture_csr(f, TEST_NAME, &key, csr, &len);
	struct ca_device_order order = fixture_order(csr, len);
	if (ca_issue_device(f->x, &f->ring.authority, &order, TEST_NOW, &out, &d) != RC_OK)
		fail_msg("%s", d.text);
	X509 *cert = fixture_x509(out.der, out.der_len);
	X509 *issuing = fixture_pem(f, "ca/issuing.pem"), *root = fixture_pem(f, "ca/root.pem");
	X509 *devkit = fixture_pem(f, "ca/devkit.pem");
	assert_int_equal(fixture_verify(cert, issuing, root, TEST_NOW), 1);
	assert_int_equal(fixture_verify(cert, devkit, root, TEST_NOW), 0);
	assert_int_equal(fixture_verify(cert, issuing, root, TEST_NOW + 91 * TEST_DAY), 0);
	char text[256];
	X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text));
	assert_string_equal(text, "/O=parkoserv/OU=meters/CN=" TEST_NAME
				  "/serialNumber=89049032123451234512345678901235");
	assert_int_equal(X509_check_host(cert, TEST_NAME, 0, 0, NULL), 1);
	assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
	assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 0);
	assert_int_equal(X509_get_key_usage(cert), X509v3_KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_ext_count(cert), 4);
	assert_null(X509_get0_subject_key_id(cert));
	assert_non_null(X509_get0_authority_key_id(cert));
	assert_int_equal(X509_get_version(cert), 2);
	assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(cert)), CA_SERIAL_LEN);
	assert_memory_equal(out.entry.spki_sha256, key.spki_sha256, 32);
	X509_free(cert);
	X509_free(issuing);
	X509_free(devkit);
	X509_free(root);
	ca_key_free(&key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_certificate),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
