/* SPDX-License-Identifier: Apache-2.0 */
/* The payload signer is replaced, CA certificates are renewed. */
#include "ca/renew.h"

#include "base/str.h"
#include "ca/keyring.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As role keys does at its start. */
static void load(const struct fixture *f, struct ca_keyring *ring)
{
	char keys[160], ca[160];
	struct diag d = { 0 };

	snprintf(keys, sizeof(keys), "%s/keys", f->dir);
	snprintf(ca, sizeof(ca), "%s/ca", f->dir);
	if (ca_keyring_load(ring, f->x, keys, ca, TEST_ZONE, &d) != RC_OK)
		fail_msg("%s", d.text);
}

static bool there(const struct fixture *f, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return access(path, F_OK) == 0;
}

static void test_a_signer_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct ca_keyring *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct diag d = { 0 };

	assert_rc(RC_STATE, ca_signer_switch(f->dir, &d));
	assert_rc(RC_STATE, ca_signer_retire(f->dir, &d));
	assert_rc(RC_OK, ca_signer_prepare(f->dir, TEST_NOW, &d));
	assert_rc(RC_EXISTS, ca_signer_prepare(f->dir, TEST_NOW, &d));
	load(f, a);
	assert_true(a->has_payload_next && !a->has_payload_old);
	assert_rc(RC_OK, ca_signer_switch(f->dir, &d));
	assert_rc(RC_STATE, ca_signer_switch(f->dir, &d));
	assert_rc(RC_STATE, ca_signer_prepare(f->dir, TEST_NOW, &d));
	load(f, b);
	assert_true(!b->has_payload_next && b->has_payload_old);
	assert_memory_equal(a->payload.spki_sha256, b->payload_old.spki_sha256, CA_SHA256_LEN);
	assert_memory_equal(a->payload_next.spki_sha256, b->payload.spki_sha256, CA_SHA256_LEN);
	ca_keyring_free(a);
	ca_keyring_free(b);
	assert_rc(RC_OK, ca_signer_retire(f->dir, &d));
	assert_false(there(f, "keys/payload-old.key"));
	load(f, a);
	assert_true(!a->has_payload_next && !a->has_payload_old);
	ca_keyring_free(a);
	free(a);
	free(b);
}

/* A switch that was interrupted after any of its steps is finished by the next one. */
static void test_an_interrupted_switch_goes_on(void **state)
{
	static const char *const steps[][2] = { { "ca/payload.pem", "ca/payload-old.pem" },
		{ "ca/payload-next.pem", "ca/payload.pem" },
		{ "ca/payload-devkit.pem", "ca/payload-old-devkit.pem" },
		{ "ca/payload-next-devkit.pem", "ca/payload-devkit.pem" },
		{ "keys/payload.key", "keys/payload-old.key" } };
	struct fixture *f = *state;
	struct ca_keyring *ring = calloc(1, sizeof(*ring));
	struct diag d = { 0 };

	for (size_t cut = 1; cut <= ARRAY_LEN(steps); cut++) {
		assert_rc(RC_OK, ca_signer_prepare(f->dir, TEST_NOW, &d));
		for (size_t i = 0; i < cut; i++) {
			char from[160], to[160];

			snprintf(from, sizeof(from), "%s/%s", f->dir, steps[i][0]);
			snprintf(to, sizeof(to), "%s/%s", f->dir, steps[i][1]);
			assert_int_equal(0, rename(from, to));
		}
		assert_rc(RC_OK, ca_signer_switch(f->dir, &d));
		load(f, ring);
		assert_true(!ring->has_payload_next && ring->has_payload_old);
		ca_keyring_free(ring);
		assert_rc(RC_OK, ca_signer_retire(f->dir, &d));
	}
	free(ring);
}

static void test_ca_certificates_are_renewed(void **state)
{
	static const char *const files[] = { "ca/root.pem", "ca/issuing.pem", "ca/devkit.pem" };
	struct fixture *f = *state;
	struct ca_keyring *ring = calloc(1, sizeof(*ring));
	struct diag d = { 0 };
	char root_key[160];

	snprintf(root_key, sizeof(root_key), "%s/root/root.key", f->dir);
	for (int what = CA_RENEW_ROOT; what <= CA_RENEW_DEVKIT; what++) {
		struct ca_renew_params p = { .dir = f->dir,
			.what = (enum ca_renew_what)what,
			.root_key = root_key,
			.days = 4000,
			.now = TEST_NOW + 86400 };
		X509 *before = fixture_pem(f, files[what]), *after, *root, *issuing, *payload;

		if (ca_renew(&p, &d) != RC_OK)
			fail_msg("%s", d.text);
		after = fixture_pem(f, files[what]);
		root = fixture_pem(f, "ca/root.pem");
		issuing = fixture_pem(f, "ca/issuing.pem");
		payload = fixture_pem(f, "ca/payload.pem");
		assert_int_not_equal(0, X509_cmp(before, after));
		assert_int_equal(1, EVP_PKEY_eq(X509_get0_pubkey(before), X509_get0_pubkey(after)));
		assert_int_equal(0,
			X509_NAME_cmp(X509_get_subject_name(before), X509_get_subject_name(after)));
		assert_int_equal(1, fixture_verify(after, NULL, root, TEST_NOW + 86400));
		assert_int_equal(1, fixture_verify(payload, issuing, root, TEST_NOW + 86400));
		load(f, ring);
		ca_keyring_free(ring);
		X509_free(before);
		X509_free(after);
		X509_free(root);
		X509_free(issuing);
		X509_free(payload);
	}
	/* What was signed elsewhere: of the same key, by this root. */
	char path[160];
	struct ca_renew_params p = {
		.dir = f->dir, .what = CA_RENEW_ISSUING, .cert_pem = path, .now = TEST_NOW + 86400
	};
	snprintf(path, sizeof(path), "%s/ca/devkit.pem", f->dir);
	assert_rc(RC_CONFLICT, ca_renew(&p, &d));
	assert_non_null(strstr(d.text, "of another key"));
	snprintf(path, sizeof(path), "%s/ca/issuing.pem", f->dir);
	assert_rc(RC_OK, ca_renew(&p, &d));
	p.now += 20000LL * 86400;
	assert_rc(RC_RANGE, ca_renew(&p, &d));
	free(ring);
}

static void test_not_while_attestryd_runs(void **state)
{
	struct fixture *f = *state;
	struct ca_issued *log = NULL;
	struct diag d = { 0 };
	char path[160];

	snprintf(path, sizeof(path), "%s/keys/issued.log", f->dir);
	assert_rc(RC_OK, ca_issued_open(&log, path, &d));
	assert_rc(RC_BUSY, ca_signer_prepare(f->dir, TEST_NOW, &d));
	assert_false(there(f, "keys/payload-next.key") || there(f, "ca/payload-next.pem"));
	ca_issued_close(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_signer_is_replaced, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_an_interrupted_switch_goes_on, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_ca_certificates_are_renewed, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_not_while_attestryd_runs, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
