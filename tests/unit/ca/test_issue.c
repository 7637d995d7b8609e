/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/csr.h"
#include "fixture.h"

#include <openssl/x509v3.h>
#include <string.h>

static void subject_is(X509 *cert, const char *want)
{
	char text[256];

	X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text));
	assert_string_equal(text, want);
}

static struct ca_issued_cert issue(struct fixture *f, const struct ca_device_order *order)
{
	struct ca_issued_cert out = { 0 };
	struct diag d = { 0 };

	if (ca_issue_device(f->x, &f->ring.authority, order, TEST_NOW, &out, &d) != RC_OK)
		fail_msg("%s", d.text);
	return out;
}

static void uta_iot(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	struct ca_key key;
	size_t len;

	fixture_csr(f, TEST_NAME, &key, csr, &len);
	struct ca_device_order order = fixture_order(csr, len);
	struct ca_issued_cert out = issue(f, &order);
	X509 *cert = fixture_x509(out.der, out.der_len);
	X509 *issuing = fixture_pem(f, "ca/issuing.pem"), *root = fixture_pem(f, "ca/root.pem");
	X509 *devkit = fixture_pem(f, "ca/devkit.pem"), *party = fixture_pem(f, "ca/party.pem");
	assert_int_equal(fixture_verify(cert, issuing, root, TEST_NOW), 1);
	assert_int_equal(fixture_verify(cert, devkit, root, TEST_NOW), 0);
	/* A device certificate never authenticates a party. */
	assert_int_equal(fixture_verify(cert, issuing, party, TEST_NOW), 0);
	assert_int_equal(fixture_verify(cert, issuing, root, order.not_after - 1), 1);
	assert_int_equal(fixture_verify(cert, issuing, root, order.not_after + 1), 0);
	assert_int_equal(fixture_verify(cert, issuing, root, order.not_before - 1), 0);
	subject_is(cert, "/O=parkoserv/OU=meters/CN=" TEST_NAME
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
	assert_int_equal(1, EVP_PKEY_eq(X509_get0_pubkey(cert), key.pkey));
	assert_in_range(out.der_len, 500, 600); /* what goes over the air */
	X509_free(cert);
	X509_free(issuing);
	X509_free(devkit);
	X509_free(party);
	X509_free(root);
	ca_key_free(&key);
}

static void devkit(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	size_t len;

	fixture_csr(f, "1.8912230200031010008F.iot.example", NULL, csr, &len); /* upper case */
	struct ca_device_order order = fixture_order(csr, len);
	order.devkit = true;
	struct ca_issued_cert out = issue(f, &order);
	X509 *cert = fixture_x509(out.der, out.der_len);
	X509 *issuing = fixture_pem(f, "ca/devkit.pem"), *root = fixture_pem(f, "ca/root.pem");
	assert_int_equal(fixture_verify(cert, issuing, root, TEST_NOW), 1);
	subject_is(cert, "/O=parkoserv/OU=meters/CN=" TEST_NAME);
	assert_int_equal(X509_get_ext_count(cert), 2);
	assert_non_null(X509_get0_subject_key_id(cert));
	assert_non_null(X509_get0_authority_key_id(cert));
	X509_free(cert);
	X509_free(issuing);
	X509_free(root);
}

static int eku_count(X509 *cert, int nid)
{
	EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
	int n = 0;

	for (int i = 0; i < sk_ASN1_OBJECT_num(eku); i++)
		n += OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, i)) == nid;
	EXTENDED_KEY_USAGE_free(eku);
	return n;
}

static void party(void **state)
{
	struct fixture *f = *state;
	struct ca_issued_cert out = { 0 };
	uint8_t csr[CA_CSR_MAX];
	struct diag d = { 0 };
	size_t len;

	fixture_csr(f, "parkoserv", NULL, csr, &len);
	struct ca_party_order order = { .csr = csr,
		.csr_len = len,
		.id = "parkoserv",
		.not_before = TEST_NOW,
		.not_after = TEST_NOW + 365 * TEST_DAY };
	if (ca_issue_party(f->x, &f->ring.authority, &order, TEST_NOW, &out, &d) != RC_OK)
		fail_msg("%s", d.text);
	X509 *cert = fixture_x509(out.der, out.der_len), *ca = fixture_pem(f, "ca/party.pem");
	X509 *root = fixture_pem(f, "ca/root.pem");
	assert_int_equal(fixture_verify(cert, NULL, ca, TEST_NOW), 1);
	assert_int_equal(fixture_verify(cert, ca, root, TEST_NOW), 0);
	assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
	subject_is(cert, "/CN=parkoserv");
	assert_int_equal(1, eku_count(cert, NID_client_auth));
	assert_int_equal(0, eku_count(cert, NID_cmcRA));
	X509_free(cert);
	/* An operator is a registration authority for its SIMs. */
	order.ra = true;
	assert_rc(RC_OK, ca_issue_party(f->x, &f->ring.authority, &order, TEST_NOW, &out, &d));
	cert = fixture_x509(out.der, out.der_len);
	assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
	assert_int_equal(1, eku_count(cert, NID_client_auth));
	assert_int_equal(1, eku_count(cert, NID_cmcRA));
	X509_free(cert);
	X509_free(ca);
	X509_free(root);
	order.id = "another";
	assert_rc(
		RC_CONFLICT, ca_issue_party(f->x, &f->ring.authority, &order, TEST_NOW, &out, &d));
	order.id = "parkoserv";
	order.not_after = TEST_NOW + (CA_LEAF_DAYS_MAX + 1) * TEST_DAY;
	assert_rc(RC_RANGE, ca_issue_party(f->x, &f->ring.authority, &order, TEST_NOW, &out, &d));
}

static void orders_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t csr[CA_CSR_MAX];
	size_t len;

	fixture_csr(f, TEST_NAME, NULL, csr, &len);
	const struct ca_device_order good = fixture_order(csr, len);
	static const struct {
		const char *owner_name, *asp, *service, *eid;
		int64_t not_before, not_after;
		enum rc rc;
		const char *text;
	} rows[] = {
		{ .owner_name = "1.8912230200031010008f.other.example",
			.rc = RC_RANGE,
			.text = "owner_name" },
		{ .owner_name = "1.8912230200031010008F.iot.example",
			.rc = RC_RANGE,
			.text = "owner_name" },
		{ .owner_name = TEST_NAME ".", .rc = RC_RANGE, .text = "owner_name" },
		{ .owner_name = "0.8912230200031010008f.iot.example",
			.rc = RC_RANGE,
			.text = "owner_name" },
		{ .owner_name = "2.8912230200031010008f.iot.example",
			.rc = RC_CONFLICT,
			.text = "is not the name asked for" },
		{ .asp = "", .rc = RC_RANGE, .text = "asp" },
		{ .asp = "park\noserv", .rc = RC_RANGE, .text = "O: printable" },
		{ .service = "a234567890123456789012345678901234567890123456789012345678901234"
			     "5",
			.rc = RC_RANGE,
			.text = "OU: 1 to 64" },
		{ .eid = "8904903212345", .rc = RC_RANGE, .text = "eid: 32 digits" },
		{ .not_before = TEST_NOW - 3 * TEST_DAY, .rc = RC_RANGE, .text = "not_before" },
		{ .not_before = TEST_NOW + 2 * TEST_DAY, .rc = RC_RANGE, .text = "not_before" },
		{ .not_after = TEST_NOW, .rc = RC_RANGE, .text = "has passed" },
		{ .not_after = TEST_NOW + (CA_DEVICE_DAYS_MAX + 1) * TEST_DAY,
			.rc = RC_RANGE,
			.text = "validity" },
		{ .not_after = TEST_NOW + (CA_DEVICE_DAYS_MAX - 1) * TEST_DAY, .rc = RC_OK },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ca_device_order order = good;
		struct ca_issued_cert out = { 0 };
		struct diag d = { 0 };
		if (rows[i].owner_name)
			order.owner_name = rows[i].owner_name;
		if (rows[i].asp)
			order.asp = rows[i].asp;
		if (rows[i].service)
			order.service = rows[i].service;
		if (rows[i].eid)
			order.eid = rows[i].eid;
		if (rows[i].not_before)
			order.not_before = rows[i].not_before;
		if (rows[i].not_after)
			order.not_after = rows[i].not_after;
		enum rc rc = ca_issue_device(f->x, &f->ring.authority, &order, TEST_NOW, &out, &d);
		if (rc != rows[i].rc || (rows[i].text && !strstr(d.text, rows[i].text)))
			fail_msg("row %zu: %s: %s", i, rc_text(rc), d.text);
	}
}

static void serials_differ(void **state)
{
	uint8_t a[CA_SERIAL_LEN], b[CA_SERIAL_LEN];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_rc(RC_OK, ca_serial_next(a));
		assert_rc(RC_OK, ca_serial_next(b));
		assert_memory_not_equal(a, b, sizeof(a));
		assert_int_equal(a[0] & 0xc0, 0x40);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uta_iot),
		cmocka_unit_test(devkit),
		cmocka_unit_test(party),
		cmocka_unit_test(orders_refused),
		cmocka_unit_test(serials_differ),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
