/* SPDX-License-Identifier: Apache-2.0 */
#include "base/der.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/keyfile.h"
#include "ca/seal.h"
#include "fixture.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void signs_and_verifies(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[32], sig[CA_SIG_DER_MAX], raw[64], der[DER_ECDSA_MAX], point[CA_POINT_LEN];
	size_t len;

	assert_rc(RC_OK, ca_sha256(f->x, "abc", 3, digest));
	char hex[65];
	hex_write(digest, 32, hex);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	for (int i = 0; i < 50; i++) {
		assert_rc(RC_OK, ca_sign_der(f->x, &f->ring.payload, digest, sig, &len));
		assert_rc(RC_OK, ca_verify(f->x, f->ring.payload.point, digest, sig, len));
		assert_rc(RC_SIGNATURE, ca_verify(f->x, f->ring.seal.point, digest, sig, len));
		assert_rc(RC_OK, ca_sign_raw(f->x, &f->ring.seal, digest, raw));
		len = der_ecdsa_write(raw, der);
		assert_rc(RC_OK, ca_verify(f->x, f->ring.seal.point, digest, der, len));
		digest[0]++;
		assert_rc(RC_SIGNATURE, ca_verify(f->x, f->ring.seal.point, digest, der, len));
	}
	memcpy(point, f->ring.seal.point, sizeof(point));
	point[1] ^= 0x80;
	assert_rc(RC_RANGE, ca_verify(f->x, point, digest, der, len));
	assert_false(ca_point_ok(f->x, point));
	assert_true(ca_point_ok(f->x, f->ring.seal.point));
	/* A failed import must not leave the key before it in place. */
	assert_rc(RC_SIGNATURE, ca_verify(f->x, f->ring.payload.point, digest, der, len));
}

static void more_keys_than_contexts(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[32] = { 1 }, sig[CA_SIG_DER_MAX];
	struct diag d;
	size_t len;

	for (int i = 0; i < 40; i++) {
		struct ca_key key; /* the same address for each */
		assert_rc(RC_OK, ca_key_new(&key, &d));
		assert_rc(RC_OK, ca_sign_der(f->x, &key, digest, sig, &len));
		assert_rc(RC_OK, ca_verify(f->x, key.point, digest, sig, len));
		ca_key_free(&key);
	}
}

static void key_files(void **state)
{
	struct fixture *f = *state;
	struct ca_key key = { 0 };
	struct diag d = { 0 };
	struct stat st;
	char path[128], cmd[300];

	snprintf(path, sizeof(path), "%s/one.key", f->folder);
	assert_rc(RC_OK, ca_key_store(&f->ring.payload, path, &d));
	assert_int_equal(0, stat(path, &st));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_rc(RC_EXISTS, ca_key_store(&f->ring.payload, path, &d));
	assert_rc(RC_OK, ca_key_load(&key, path, &d));
	assert_memory_equal(key.spki_sha256, f->ring.payload.spki_sha256, 32);
	assert_int_equal(1, EVP_PKEY_eq(key.pkey, f->ring.payload.pkey));
	ca_key_free(&key);
	/* OpenSSL reads it and writes the same. */
	FILE *file = fopen(path, "r");
	EVP_PKEY *pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(pkey);
	assert_int_equal(1, EVP_PKEY_eq(pkey, f->ring.payload.pkey));
	assert_int_equal(0, unlink(path));
	file = fopen(path, "w");
	assert_int_equal(1, PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL));
	fclose(file);
	EVP_PKEY_free(pkey);
	assert_int_equal(0, chmod(path, 0640));
	assert_rc(RC_DENIED, ca_key_load(&key, path, &d));
	assert_non_null(strstr(d.text, "group or others"));
	assert_int_equal(0, chmod(path, 0600));
	assert_rc(RC_OK, ca_key_load(&key, path, &d));
	ca_key_free(&key);
	snprintf(cmd, sizeof(cmd), "%s/none.key", f->folder);
	assert_rc(RC_NOT_FOUND, ca_key_load(&key, cmd, &d));
}

static void other_keys_refused(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *keys[] = { EVP_EC_gen("P-384"), EVP_RSA_gen(2048) };
	char path[128];

	snprintf(path, sizeof(path), "%s/other.key", f->folder);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct ca_key key;
		struct diag d;
		FILE *file = fopen(path, "w");
		PEM_write_PrivateKey(file, keys[i], NULL, NULL, 0, NULL, NULL);
		fclose(file);
		assert_int_equal(0, chmod(path, 0600));
		assert_int_not_equal(RC_OK, ca_key_load(&key, path, &d));
		EVP_PKEY_free(keys[i]);
	}
}

static void halves_of_two_keys_refused(void **state)
{
	struct fixture *f = *state;
	char a[128], b[128];
	uint8_t *text_a, *text_b, key_a[200], key_b[200];
	size_t la, lb, na, nb;
	struct ca_key key;
	struct diag d;

	snprintf(a, sizeof(a), "%s/keys/zsk.key", f->dir);
	snprintf(b, sizeof(b), "%s/keys/ksk.key", f->dir);
	assert_rc(RC_OK, file_read(a, 4096, &text_a, &la, &d));
	assert_rc(RC_OK, file_read(b, 4096, &text_b, &lb, &d));
	assert_rc(RC_OK, ca_pem_read((char *)text_a, la, "PRIVATE KEY", key_a, 200, &na, &d));
	assert_rc(RC_OK, ca_pem_read((char *)text_b, lb, "PRIVATE KEY", key_b, 200, &nb, &d));
	assert_int_equal(na, nb);
	memcpy(key_a + na - 65, key_b + nb - 65, 65); /* the public point is last */
	char pem[CA_PEM_LEN(200)];
	assert_rc(RC_OK, ca_pem_write("PRIVATE KEY", key_a, na, pem, sizeof(pem)));
	snprintf(a, sizeof(a), "%s/mixed.key", f->folder);
	assert_rc(RC_OK, file_write_atomic(a, pem, strlen(pem), 0600, &d));
	assert_rc(RC_MALFORMED, ca_key_load(&key, a, &d));
	assert_non_null(strstr(d.text, "not one P-256 key pair"));
	free(text_a);
	free(text_b);
}

static void pem_is_strict(void **state)
{
	static const char *const bad[] = {
		"",
		"-----BEGIN X-----\n",
		"-----BEGIN X-----\nAAAA\n",
		"-----BEGIN X-----\nAA*A\n-----END X-----\n",
		"-----BEGIN Y-----\nAAAA\n-----END Y-----\n",
	};
	uint8_t der[64];
	struct diag d;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_not_equal(
			RC_OK, ca_pem_read(bad[i], strlen(bad[i]), "X", der, 64, &len, &d));
	static const char good[] =
		"text before\r\n-----BEGIN X-----\r\nAAEC\r\nAw==\r\n-----END X-----\r\nafter";
	assert_rc(RC_OK, ca_pem_read(good, strlen(good), "X", der, 64, &len, &d));
	assert_int_equal(len, 4);
	assert_memory_equal(der, "\0\1\2\3", 4);
	assert_rc(RC_TOO_LARGE, ca_pem_read(good, strlen(good), "X", der, 3, &len, &d));
}

static void seals_and_opens(void **state)
{
	static const size_t sizes[] = { 0, 1, 16, 100, CA_SEAL_PLAIN_MAX };
	static uint8_t plain[CA_SEAL_PLAIN_MAX], sealed[CA_SEAL_PLAIN_MAX + CA_SEAL_OVERHEAD];
	struct fixture *f = *state;
	struct secret out = { 0 };
	struct diag d;
	size_t len;

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_rc(RC_OK, ca_seal(f->ring.seal.point, plain, sizes[i], sealed, &len, &d));
		assert_int_equal(len, sizes[i] + CA_SEAL_OVERHEAD);
		assert_rc(RC_OK, ca_open(&f->ring.seal, sealed, len, &out, &d));
		assert_true(secret_equal(&out, plain, sizes[i]));
		secret_free(&out);
		assert_rc(RC_AUTH, ca_open(&f->ring.payload, sealed, len, &out, &d));
		for (size_t at = 0; at < len; at += 7) {
			sealed[at] ^= 1;
			assert_int_not_equal(RC_OK, ca_open(&f->ring.seal, sealed, len, &out, &d));
			sealed[at] ^= 1;
		}
		for (size_t cut = 0; cut < len; cut += 5)
			assert_int_not_equal(RC_OK, ca_open(&f->ring.seal, sealed, cut, &out, &d));
	}
	uint8_t bad[CA_POINT_LEN] = { 0x04, 1, 2, 3 };
	assert_rc(RC_RANGE, ca_seal(bad, plain, 1, sealed, &len, &d));
	assert_rc(RC_TOO_LARGE,
		ca_seal(f->ring.seal.point, plain, CA_SEAL_PLAIN_MAX + 1, sealed, &len, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_and_verifies),
		cmocka_unit_test(more_keys_than_contexts),
		cmocka_unit_test(key_files),
		cmocka_unit_test(other_keys_refused),
		cmocka_unit_test(halves_of_two_keys_refused),
		cmocka_unit_test(pem_is_strict),
		cmocka_unit_test(seals_and_opens),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
