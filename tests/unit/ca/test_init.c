/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/str.h"
#include "ca/csr.h"
#include "ca/keyfile.h"
#include "fixture.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void modes(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} rows[] = {
		{ "keys", 0700 },
		{ "root", 0700 },
		{ "operator", 0755 },
		{ "keys/issuing.key", 0600 },
		{ "keys/ksk.key", 0600 },
		{ "keys/issued.log", 0600 },
		{ "root/root.key", 0600 },
		{ "tls/https.key", 0600 },
		{ "operator/operator.key", 0600 },
		{ "ca/root.pem", 0644 },
		{ "ca/anchor.ds", 0644 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[160];
		struct stat st;
		snprintf(path, sizeof(path), "%s/%s", f->dir, rows[i].name);
		assert_int_equal(0, stat(path, &st));
		assert_int_equal(st.st_mode & 07777, rows[i].mode);
	}
}

static void chains_hold(void **state)
{
	struct fixture *f = *state;
	X509 *root = fixture_pem(f, "ca/root.pem"), *issuing = fixture_pem(f, "ca/issuing.pem");
	X509 *devkit = fixture_pem(f, "ca/devkit.pem"), *party = fixture_pem(f, "ca/party.pem");
	X509 *payload = fixture_pem(f, "ca/payload.pem");
	X509 *payload_kit = fixture_pem(f, "ca/payload-devkit.pem");
	X509 *https = fixture_pem(f, "tls/https.pem"), *dot = fixture_pem(f, "tls/dot.pem");
	X509 *who = fixture_pem(f, "operator/operator.pem");

	assert_int_equal(1, fixture_verify(root, NULL, root, TEST_NOW));
	assert_int_equal(1, fixture_verify(issuing, NULL, root, TEST_NOW));
	assert_int_equal(1, fixture_verify(devkit, NULL, root, TEST_NOW));
	assert_int_equal(1, fixture_verify(payload, issuing, root, TEST_NOW));
	assert_int_equal(1, fixture_verify(payload_kit, devkit, root, TEST_NOW));
	assert_int_equal(0, fixture_verify(payload, devkit, root, TEST_NOW));
	assert_int_equal(1, fixture_verify(party, NULL, party, TEST_NOW));
	assert_int_equal(0, fixture_verify(party, NULL, root, TEST_NOW));
	assert_int_equal(1, fixture_verify(https, NULL, party, TEST_NOW));
	assert_int_equal(1, fixture_verify(dot, NULL, party, TEST_NOW));
	assert_int_equal(1, fixture_verify(who, NULL, party, TEST_NOW));
	assert_int_equal(1, X509_check_host(https, "localhost", 0, 0, NULL));
	assert_int_equal(1, X509_check_ip_asc(https, "127.0.0.1", 0));
	assert_int_equal(1, X509_check_ip_asc(https, "::1", 0));
	assert_int_equal(1, X509_check_host(dot, "ns1." TEST_ZONE, 0, 0, NULL));
	assert_int_equal(1, X509_check_purpose(https, X509_PURPOSE_SSL_SERVER, 0));
	assert_int_equal(0, X509_check_purpose(https, X509_PURPOSE_SSL_CLIENT, 0));
	assert_int_equal(1, X509_check_purpose(who, X509_PURPOSE_SSL_CLIENT, 0));
	assert_int_equal(1, X509_check_host(issuing, TEST_ZONE, 0, 0, NULL));
	assert_int_equal(0, X509_get_pathlen(issuing));
	assert_int_equal(-1, X509_get_pathlen(root));
	X509 *all[] = { root, issuing, devkit, party, payload, payload_kit, https, dot, who };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		X509_free(all[i]);
}

static size_t entries_of(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void touches_no_folder_with_content(void **state)
{
	struct fixture *f = *state;
	struct ca_init_params p = { .dir = f->dir, .zone = TEST_ZONE, .now = TEST_NOW };
	struct ca_init_result result;
	struct diag d = { 0 };
	size_t before = entries_of(f->folder);

	assert_rc(RC_EXISTS, ca_init(&p, &result, &d));
	assert_non_null(strstr(d.text, "not empty"));
	assert_int_equal(before, entries_of(f->folder)); /* nothing left beside it */
}

static void takes_an_empty_folder(void **state)
{
	struct fixture *f = *state;
	char dir[128];
	struct ca_init_params p = { .dir = dir, .zone = TEST_ZONE, .now = TEST_NOW };
	struct ca_init_result result;
	struct diag d = { 0 };

	snprintf(dir, sizeof(dir), "%s/empty", f->folder);
	assert_int_equal(0, mkdir(dir, 0755));
	p.https_names[0] = "registry.example";
	p.dot_names[0] = "a.ns.example";
	p.ips[0] = "192.0.2.7";
	p.ips[1] = "2001:db8::7";
	if (ca_init(&p, &result, &d) != RC_OK)
		fail_msg("%s", d.text);
	struct fixture other = { 0 };
	assert_rc(RC_OK, str_copy(other.dir, sizeof(other.dir), dir));
	X509 *https = fixture_pem(&other, "tls/https.pem");
	assert_int_equal(1, X509_check_host(https, "registry.example", 0, 0, NULL));
	assert_int_equal(1, X509_check_host(https, "localhost", 0, 0, NULL));
	assert_int_equal(1, X509_check_ip_asc(https, "192.0.2.7", 0));
	assert_int_equal(1, X509_check_ip_asc(https, "2001:db8::7", 0));
	X509_free(https);
}

static void refuses(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *zone, *ip;
	} rows[] = {
		{ "a2345678901234567890123456789012345.example", NULL }, /* 43 characters */
		{ "IoT.example", NULL },
		{ "iot.example.", NULL },
		{ "", NULL },
		{ TEST_ZONE, "not-an-address" },
	};
	char dir[128];
	size_t before = entries_of(f->folder);

	snprintf(dir, sizeof(dir), "%s/new", f->folder);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ca_init_params p = { .dir = dir, .zone = rows[i].zone, .now = TEST_NOW };
		struct ca_init_result result;
		struct diag d = { 0 };
		p.ips[0] = rows[i].ip;
		assert_rc(RC_RANGE, ca_init(&p, &result, &d));
		assert_int_equal(before, entries_of(f->folder));
	}
}

static void longest_zone(void **state)
{
	struct fixture *f = *state;
	char dir[128];
	struct ca_init_params p = {
		.dir = dir, .zone = "a2345678901234567890123456789012x.example", .now = TEST_NOW
	};
	struct ca_init_result result;
	struct diag d = { 0 };

	assert_int_equal(strlen(p.zone), CA_ZONE_MAX);
	snprintf(dir, sizeof(dir), "%s/long", f->folder);
	if (ca_init(&p, &result, &d) != RC_OK)
		fail_msg("%s", d.text);
}

/* The air-gapped root is played by OpenSSL. */
static void sign_as_root(const char *csr_path, const char *out_path, EVP_PKEY *root_key, X509 *root,
	const char *constraints)
{
	FILE *file = fopen(csr_path, "r");
	X509_REQ *req = PEM_read_X509_REQ(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(req);
	assert_int_equal(1, X509_REQ_verify(req, X509_REQ_get0_pubkey(req)));
	X509 *x = X509_new();
	X509V3_CTX ctx;
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), root == NULL ? 1 : 2);
	X509_set_subject_name(x, X509_REQ_get_subject_name(req));
	X509_set_issuer_name(
		x, root ? X509_get_subject_name(root) : X509_REQ_get_subject_name(req));
	X509_set_pubkey(x, X509_REQ_get0_pubkey(req));
	ASN1_TIME_set(X509_getm_notBefore(x), TEST_NOW - TEST_DAY);
	ASN1_TIME_set(X509_getm_notAfter(x), TEST_NOW + 1000 * TEST_DAY);
	X509V3_set_ctx(&ctx, root ? root : x, x, NULL, NULL, 0);
	const struct {
		int nid;
		const char *text;
	} exts[] = {
		{ NID_basic_constraints, constraints },
		{ NID_key_usage, "critical,keyCertSign" },
		{ NID_subject_key_identifier, "hash" },
	};
	for (size_t i = 0; i < ARRAY_LEN(exts); i++) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, exts[i].nid, exts[i].text);
		assert_non_null(e);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, root_key, EVP_sha256()) > 0);
	file = fopen(out_path, "w");
	assert_int_equal(1, PEM_write_X509(file, x));
	fclose(file);
	X509_free(x);
	X509_REQ_free(req);
}

static void make_root(struct fixture *f, const char *folder, EVP_PKEY **key, X509 **root)
{
	struct ca_key k;
	uint8_t der[CA_CERT_MAX];
	char path[160], pem[CA_PEM_LEN(CA_CERT_MAX)];
	struct ca_cert_spec spec = { .profile = CA_ROOT,
		.cn = "vault root",
		.not_before = TEST_NOW - 2 * TEST_DAY,
		.not_after = TEST_NOW + 7000 * TEST_DAY };
	struct diag d;
	size_t len;

	assert_rc(RC_OK, ca_key_new(&k, &d));
	spec.spki = k.spki;
	assert_rc(RC_OK, ca_serial_next(spec.serial));
	assert_rc(RC_OK, ca_cert_write_self(f->x, &k, &spec, der, &len, &d));
	assert_rc(RC_OK, ca_pem_write("CERTIFICATE", der, len, pem, sizeof(pem)));
	snprintf(path, sizeof(path), "%s/vault.pem", folder);
	assert_rc(RC_OK, file_write_atomic(path, pem, strlen(pem), 0644, &d));
	*root = fixture_x509(der, len);
	EVP_PKEY_up_ref(k.pkey);
	*key = k.pkey;
	ca_key_free(&k);
}

static void root_elsewhere(void **state)
{
	struct fixture *f = *state;
	char dir[128], root_pem[160], issuing[160], devkit[160], csr[2][160], keys[160], ca[160];
	struct ca_init_params p = {
		.dir = dir, .zone = TEST_ZONE, .now = TEST_NOW, .root_csr = true
	};
	struct ca_init_result result;
	struct ca_keyring ring;
	struct diag d = { 0 };
	EVP_PKEY *key;
	X509 *root;

	snprintf(dir, sizeof(dir), "%s/gapped", f->folder);
	if (ca_init(&p, &result, &d) != RC_OK)
		fail_msg("%s", d.text);
	snprintf(keys, sizeof(keys), "%s/keys", dir);
	snprintf(ca, sizeof(ca), "%s/ca", dir);
	assert_rc(RC_NOT_FOUND, ca_keyring_load(&ring, f->x, keys, ca, TEST_ZONE, &d));
	assert_non_null(strstr(d.text, "to be finished"));
	snprintf(root_pem, sizeof(root_pem), "%s/root/root.key", dir);
	struct stat st;
	assert_int_equal(-1, stat(root_pem, &st));

	make_root(f, f->folder, &key, &root);
	snprintf(root_pem, sizeof(root_pem), "%s/vault.pem", f->folder);
	snprintf(issuing, sizeof(issuing), "%s/i.pem", f->folder);
	snprintf(devkit, sizeof(devkit), "%s/d.pem", f->folder);
	snprintf(csr[0], sizeof(csr[0]), "%s/ca/issuing.csr", dir);
	snprintf(csr[1], sizeof(csr[1]), "%s/ca/devkit.csr", dir);
	sign_as_root(csr[0], issuing, key, root, "critical,CA:TRUE");
	sign_as_root(csr[1], devkit, key, root, "critical,CA:TRUE,pathlen:0");
	struct ca_init_finish_params fin = { .dir = dir,
		.root_pem = root_pem,
		.issuing_pem = issuing,
		.devkit_pem = devkit,
		.now = TEST_NOW };
	assert_rc(RC_RANGE, ca_init_finish(&fin, &d));
	assert_non_null(strstr(d.text, "pathlen"));
	fin.issuing_pem = devkit; /* the other's */
	assert_rc(RC_CONFLICT, ca_init_finish(&fin, &d));
	fin.issuing_pem = issuing;
	sign_as_root(csr[0], issuing, key, root, "critical,CA:TRUE,pathlen:0");
	if (ca_init_finish(&fin, &d) != RC_OK)
		fail_msg("%s", d.text);
	if (ca_keyring_load(&ring, f->x, keys, ca, TEST_ZONE, &d) != RC_OK)
		fail_msg("%s", d.text);
	ca_keyring_free(&ring);
	assert_rc(RC_STATE, ca_init_finish(&fin, &d));
	fin.dir = f->dir;
	assert_rc(RC_STATE, ca_init_finish(&fin, &d));
	X509_free(root);
	EVP_PKEY_free(key);
}

static void wrong_pairs_are_found_at_load(void **state)
{
	struct fixture *f = *state;
	char keys[160], ca[160], from[200], to[200];
	struct ca_keyring ring;
	struct diag d = { 0 };

	snprintf(keys, sizeof(keys), "%s/keys", f->dir);
	snprintf(ca, sizeof(ca), "%s/long/ca", f->folder); /* another registry's certificates */
	assert_rc(RC_CONFLICT, ca_keyring_load(&ring, f->x, keys, ca, TEST_ZONE, &d));
	snprintf(ca, sizeof(ca), "%s/long/ca", f->folder);
	snprintf(keys, sizeof(keys), "%s/long/keys", f->folder);
	snprintf(from, sizeof(from), "%s/ca/root.pem", f->dir);
	snprintf(to, sizeof(to), "%s/root.pem", ca);
	uint8_t *text;
	size_t len;
	assert_rc(RC_OK, file_read(from, 10000, &text, &len, &d));
	assert_rc(RC_OK, file_write_atomic(to, text, len, 0644, &d));
	free(text);
	assert_rc(RC_SIGNATURE, ca_keyring_load(&ring, f->x, keys, ca, TEST_ZONE, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes),
		cmocka_unit_test(chains_hold),
		cmocka_unit_test(touches_no_folder_with_content),
		cmocka_unit_test(takes_an_empty_folder),
		cmocka_unit_test(refuses),
		cmocka_unit_test(longest_zone),
		cmocka_unit_test(root_elsewhere),
		cmocka_unit_test(wrong_pairs_are_found_at_load),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
