/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/compiler.h"
#include "fake.h"

#include <dlfcn.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rand.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS	   8
#define SIGNATURES 5

static void *so;
static CK_FUNCTION_LIST *f;

/* A card with a signature key, an agreement key, its certificate, a CA's, and some other file; the
 * module finds it through a link, so that a test can put in another card. */
struct world {
	struct fake card;
	EVP_PKEY *ca_key;
	X509 *ca, *device;
	uint8_t *device_der, *ca_der;
	char link[96];
};

static void insert(struct world *w)
{
	const char *path = strchr(w->card.card, ':') + 1;

	unlink(w->link);
	assert_int_equal(symlink(path, w->link), 0);
}

static struct world *world_with(bool modem, bool long_ids)
{
	struct world *w = calloc(1, sizeof(*w));
	char card[128];

	w->ca_key = EVP_EC_gen("P-256");
	w->card.sign_key = EVP_EC_gen("P-256");
	w->card.agree_key = EVP_EC_gen("P-256");
	w->card.lists_agree_key = true;
	w->card.modem = modem;
	w->card.long_ids = long_ids;
	w->ca = fake_cert(w->ca_key, "test CA", NULL, NULL);
	w->device = fake_cert(w->card.sign_key, "device", w->ca_key, w->ca);
	w->card.files_len = 3;
	w->card.files[0] =
		(struct fake_file){ .id = 2, .len = (size_t)i2d_X509(w->device, &w->device_der) };
	w->card.files[0].bytes = w->device_der;
	w->card.files[1] =
		(struct fake_file){ .id = 1, .len = (size_t)i2d_X509(w->ca, &w->ca_der) };
	w->card.files[1].bytes = w->ca_der;
	w->card.files[2] = (struct fake_file){ .id = 0x0d, .len = 9 };
	w->card.files[2].bytes = (const uint8_t *)"not X.509";
	fake_start(&w->card);
	(void)snprintf(w->link, sizeof(w->link), "/tmp/attestry-p11-%d", (int)getpid());
	insert(w);
	(void)snprintf(card, sizeof(card), "%s:%s", modem ? "tty" : "socket", w->link);
	assert_int_equal(setenv("IOTSAFE_CARD", card, 1), 0);
	assert_int_equal(f->C_Initialize(NULL), CKR_OK);
	return w;
}

static struct world *world_new(bool modem)
{
	return world_with(modem, false);
}

static void world_free(struct world *w)
{
	assert_int_equal(f->C_Finalize(NULL), CKR_OK);
	fake_stop(&w->card);
	unlink(w->link);
	X509_free(w->ca);
	X509_free(w->device);
	OPENSSL_free(w->device_der);
	OPENSSL_free(w->ca_der);
	EVP_PKEY_free(w->ca_key);
	EVP_PKEY_free(w->card.sign_key);
	EVP_PKEY_free(w->card.agree_key);
	free(w);
}

static CK_SESSION_HANDLE session(void)
{
	CK_SESSION_HANDLE s = 0;

	assert_int_equal(f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s), CKR_OK);
	return s;
}

/* The objects of a class with an id (-1: any). */
static CK_ULONG find(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, int id, CK_OBJECT_HANDLE *out)
{
	CK_BYTE one = (CK_BYTE)id;
	CK_ATTRIBUTE t[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, &one, 1 } };
	CK_OBJECT_HANDLE found[8];
	CK_ULONG n = 0;

	assert_int_equal(f->C_FindObjectsInit(s, t, id < 0 ? 1 : 2), CKR_OK);
	assert_int_equal(f->C_FindObjects(s, found, 8, &n), CKR_OK);
	assert_int_equal(f->C_FindObjectsFinal(s), CKR_OK);
	if (n > 0 && out)
		*out = found[0];
	return n;
}

static bool verifies(EVP_PKEY *key, const uint8_t digest[32], const uint8_t raw[64])
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	uint8_t *der = NULL;
	int n;
	bool ok;

	ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	n = i2d_ECDSA_SIG(sig, &der);
	ok = EVP_PKEY_verify_init(ctx) == 1 &&
	     EVP_PKEY_verify(ctx, der, (size_t)n, digest, 32) == 1;
	OPENSSL_free(der);
	EVP_PKEY_CTX_free(ctx);
	ECDSA_SIG_free(sig);
	return ok;
}

static void test_life(void **state)
{
	CK_C_INITIALIZE_ARGS own = { .CreateMutex = (CK_CREATEMUTEX)(uintptr_t)1 };
	CK_C_INITIALIZE_ARGS bad = { .pReserved = "slots=3" };
	CK_C_INITIALIZE_ARGS two = { .flags = CKF_OS_LOCKING_OK,
		.pReserved = " card=socket:/nowhere card='tty:/dev/no where' " };
	CK_SLOT_INFO info;
	CK_ULONG n = 9;

	(void)state;
	assert_int_equal(f->C_GetSlotList(CK_FALSE, NULL, &n), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(f->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	assert_int_equal(f->C_Initialize(&own), CKR_ARGUMENTS_BAD);
	assert_int_equal(f->C_Initialize(&bad), CKR_ARGUMENTS_BAD);
	assert_int_equal(f->C_Initialize(&two), CKR_OK);
	assert_int_equal(f->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	assert_int_equal(f->C_GetSlotList(CK_FALSE, NULL, &n), CKR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(f->C_GetSlotInfo(1, &info), CKR_OK);
	assert_memory_equal(info.slotDescription, "tty:/dev/no where ", 18);
	assert_false(info.flags & CKF_TOKEN_PRESENT);
	assert_int_equal(f->C_GetSlotList(CK_TRUE, NULL, &n), CKR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(
		f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &n), CKR_TOKEN_NOT_PRESENT);
	assert_int_equal(
		f->C_OpenSession(2, CKF_SERIAL_SESSION, NULL, NULL, &n), CKR_SLOT_ID_INVALID);
	assert_int_equal(f->C_Finalize(NULL), CKR_OK);
	/* Nobody named a card: none is looked for. */
	unsetenv("IOTSAFE_CARD");
	assert_int_equal(f->C_Initialize(NULL), CKR_OK);
	assert_int_equal(f->C_GetSlotList(CK_FALSE, NULL, &n), CKR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(f->C_Finalize(NULL), CKR_OK);
}

static void test_objects(void **state)
{
	struct world *w = world_new(false);
	CK_SESSION_HANDLE s = session();
	CK_OBJECT_HANDLE key, cert, o;
	CK_BYTE value[2048], label[64] = "", label2[64] = "", point[80];
	CK_BBOOL yes = CK_FALSE, no = CK_TRUE;
	CK_ATTRIBUTE of_key[] = { { CKA_LABEL, label, sizeof(label) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_EC_POINT, point, sizeof(point) } };
	CK_ATTRIBUTE of_cert[] = { { CKA_VALUE, NULL, 0 }, { CKA_LABEL, label2, sizeof(label2) } };
	CK_ATTRIBUTE secret = { CKA_VALUE, value, sizeof(value) };
	CK_ATTRIBUTE small = { CKA_VALUE, value, 3 }, unknown = { CKA_PRIME, value, 8 };
	int exchanges;

	(void)state;
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 1, &key), 1);
	assert_int_equal(find(s, CKO_PUBLIC_KEY, 1, NULL), 1);
	assert_int_equal(find(s, CKO_CERTIFICATE, 1, &cert), 1);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, -1, NULL), 2);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 0x0b, NULL), 1);
	/* The CA stands in file 01, but is not the certificate of key 01. */
	assert_int_equal(find(s, CKO_CERTIFICATE, -1, NULL), 2);
	exchanges = atomic_load(&w->card.exchanges);
	assert_int_equal(f->C_GetAttributeValue(s, key, of_key, 4), CKR_OK);
	assert_true(yes == CK_TRUE && no == CK_FALSE && of_key[3].ulValueLen == 67);
	assert_int_equal(f->C_GetAttributeValue(s, cert, of_cert, 2), CKR_OK);
	assert_int_equal(of_cert[0].ulValueLen, w->card.files[0].len);
	of_cert[0].pValue = value;
	of_cert[1].ulValueLen = sizeof(label2);
	assert_int_equal(f->C_GetAttributeValue(s, cert, of_cert, 2), CKR_OK);
	assert_memory_equal(value, w->device_der, of_cert[0].ulValueLen);
	assert_string_equal((char *)label, (char *)label2);
	assert_int_equal(f->C_GetAttributeValue(s, key, &secret, 1), CKR_ATTRIBUTE_SENSITIVE);
	assert_int_equal(secret.ulValueLen, CK_UNAVAILABLE_INFORMATION);
	assert_int_equal(f->C_GetAttributeValue(s, cert, &small, 1), CKR_BUFFER_TOO_SMALL);
	assert_int_equal(f->C_GetAttributeValue(s, key, &unknown, 1), CKR_ATTRIBUTE_TYPE_INVALID);
	assert_int_equal(f->C_GetAttributeValue(s, 99999, &small, 1), CKR_OBJECT_HANDLE_INVALID);
	assert_int_equal(f->C_DestroyObject(s, key), CKR_ACTION_PROHIBITED);
	assert_int_equal(find(s, CKO_DATA, -1, &o), 0);
	/* None of it asked the card. */
	assert_int_equal(atomic_load(&w->card.exchanges), exchanges);
	world_free(w);
}

static void test_signatures(void **state)
{
	struct world *w = world_new(true);
	CK_SESSION_HANDLE s = session();
	CK_MECHANISM raw = { CKM_ECDSA, NULL, 0 }, sha = { CKM_ECDSA_SHA256, NULL, 0 };
	CK_MECHANISM rsa = { CKM_RSA_PKCS, NULL, 0 };
	CK_OBJECT_HANDLE key, public, agree;
	CK_BYTE digest[32], sig[64], longer[65] = { 0 }, text[] = "hello";
	CK_ULONG len = 0;
	unsigned n = 0;

	(void)state;
	assert_int_equal(EVP_Digest(text, 5, digest, &n, EVP_sha256(), NULL), 1);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 1, &key), 1);
	assert_int_equal(find(s, CKO_PUBLIC_KEY, 1, &public), 1);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 0x0b, &agree), 1);
	assert_int_equal(f->C_SignInit(s, &rsa, key), CKR_MECHANISM_INVALID);
	assert_int_equal(f->C_SignInit(s, &raw, public), CKR_KEY_TYPE_INCONSISTENT);
	assert_int_equal(f->C_SignInit(s, &raw, agree), CKR_KEY_FUNCTION_NOT_PERMITTED);
	assert_int_equal(f->C_Sign(s, digest, 32, sig, &len), CKR_OPERATION_NOT_INITIALIZED);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_OK);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_OPERATION_ACTIVE);
	/* How long, twice, and too short: still the same operation, and nothing was signed. */
	assert_int_equal(f->C_Sign(s, digest, 32, NULL, &len), CKR_OK);
	assert_int_equal(len, 64);
	len = 63;
	assert_int_equal(f->C_Sign(s, digest, 32, sig, &len), CKR_BUFFER_TOO_SMALL);
	assert_int_equal(len, 64);
	assert_int_equal(atomic_load(&w->card.signatures), 0);
	assert_int_equal(f->C_Sign(s, digest, 32, sig, &len), CKR_OK);
	assert_int_equal(atomic_load(&w->card.signatures), 1);
	assert_true(verifies(w->card.sign_key, digest, sig));
	/* Hashed here, in parts. */
	assert_int_equal(f->C_SignInit(s, &sha, key), CKR_OK);
	assert_int_equal(f->C_SignUpdate(s, text, 2), CKR_OK);
	assert_int_equal(f->C_SignUpdate(s, text + 2, 3), CKR_OK);
	assert_int_equal(f->C_SignFinal(s, NULL, &len), CKR_OK);
	assert_int_equal(f->C_SignFinal(s, sig, &len), CKR_OK);
	assert_true(verifies(w->card.sign_key, digest, sig));
	assert_int_equal(f->C_VerifyInit(s, &raw, public), CKR_OK);
	assert_int_equal(f->C_Verify(s, digest, 32, sig, 64), CKR_OK);
	sig[5] ^= 1;
	assert_int_equal(f->C_VerifyInit(s, &sha, public), CKR_OK);
	assert_int_equal(f->C_Verify(s, text, 5, sig, 64), CKR_SIGNATURE_INVALID);
	assert_int_equal(f->C_VerifyInit(s, &sha, public), CKR_OK);
	assert_int_equal(f->C_Verify(s, text, 5, sig, 63), CKR_SIGNATURE_LEN_RANGE);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_OK);
	assert_int_equal(f->C_Sign(s, longer, sizeof(longer), sig, &len), CKR_DATA_LEN_RANGE);
	atomic_store(&w->card.blocked, true);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_OK);
	assert_int_equal(f->C_Sign(s, digest, 32, sig, &len), CKR_KEY_FUNCTION_NOT_PERMITTED);
	world_free(w);
}

static void test_agreement(void **state)
{
	struct world *w = world_new(false);
	CK_SESSION_HANDLE s = session();
	CK_OBJECT_HANDLE key, secret = 0;
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(peer, NULL);
	CK_BYTE point[65], want[32], got[32];
	size_t n = 0;
	CK_ECDH1_DERIVE_PARAMS params = { .kdf = CKD_NULL, .ulPublicDataLen = 65 };
	CK_MECHANISM m = { CKM_ECDH1_DERIVE, &params, sizeof(params) };
	CK_ULONG half = 16;
	CK_ATTRIBUTE shorter = { CKA_VALUE_LEN, &half, sizeof(half) };
	CK_ATTRIBUTE value = { CKA_VALUE, got, sizeof(got) };

	(void)state;
	params.pPublicData = point;
	assert_int_equal(EVP_PKEY_get_octet_string_param(peer, "pub", point, 65, &n), 1);
	n = sizeof(want);
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, w->card.agree_key), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, want, &n), 1);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 0x0b, &key), 1);
	assert_int_equal(f->C_DeriveKey(s, &m, key, NULL, 0, &secret), CKR_OK);
	assert_int_equal(f->C_GetAttributeValue(s, secret, &value, 1), CKR_OK);
	assert_int_equal(value.ulValueLen, 32);
	assert_memory_equal(got, want, 32);
	assert_int_equal(f->C_DestroyObject(s, secret), CKR_OK);
	assert_int_equal(f->C_GetAttributeValue(s, secret, &value, 1), CKR_OBJECT_HANDLE_INVALID);
	assert_int_equal(f->C_DeriveKey(s, &m, key, &shorter, 1, &secret), CKR_OK);
	assert_int_equal(f->C_GetAttributeValue(s, secret, &value, 1), CKR_OK);
	assert_int_equal(value.ulValueLen, 16);
	half = 33;
	assert_int_equal(f->C_DeriveKey(s, &m, key, &shorter, 1, &secret), CKR_KEY_SIZE_RANGE);
	params.ulPublicDataLen = 64;
	assert_int_equal(f->C_DeriveKey(s, &m, key, NULL, 0, &secret), CKR_MECHANISM_PARAM_INVALID);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 1, &key), 1);
	params.ulPublicDataLen = 65;
	assert_int_equal(
		f->C_DeriveKey(s, &m, key, NULL, 0, &secret), CKR_KEY_FUNCTION_NOT_PERMITTED);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	world_free(w);
}

static CK_OBJECT_HANDLE find_named(CK_SESSION_HANDLE s, CK_OBJECT_CLASS class, CK_BYTE last)
{
	CK_BYTE name[] = { 0x30, 0x30, last };
	CK_ATTRIBUTE t[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, name, sizeof(name) } };
	CK_OBJECT_HANDLE found[2] = { 0 };
	CK_ULONG n = 0;

	assert_int_equal(f->C_FindObjectsInit(s, t, 2), CKR_OK);
	assert_int_equal(f->C_FindObjects(s, found, 2, &n), CKR_OK);
	assert_int_equal(f->C_FindObjectsFinal(s), CKR_OK);
	assert_int_equal(n, 1);
	return found[0];
}

/* A card whose containers have names of three bytes, public keys other ones than private keys. */
static void test_long_names(void **state)
{
	struct world *w = world_with(true, true);
	CK_SESSION_HANDLE s = session();
	CK_OBJECT_HANDLE key, secret = 0;
	CK_MECHANISM sign = { CKM_ECDSA, NULL, 0 };
	CK_BYTE digest[32] = { 3 }, sig[64], point[65], got[32];
	CK_ULONG len = sizeof(sig);
	size_t n = 0;
	CK_ECDH1_DERIVE_PARAMS params = {
		.kdf = CKD_NULL, .pPublicData = point, .ulPublicDataLen = 65
	};
	CK_MECHANISM derive = { CKM_ECDH1_DERIVE, &params, sizeof(params) };
	CK_ATTRIBUTE value = { CKA_VALUE, got, sizeof(got) };

	(void)state;
	key = find_named(s, CKO_PRIVATE_KEY, 1);
	(void)find_named(s, CKO_PUBLIC_KEY, 1);
	(void)find_named(s, CKO_CERTIFICATE, 1);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, -1, NULL), 2);
	assert_int_equal(f->C_SignInit(s, &sign, key), CKR_OK);
	assert_int_equal(f->C_Sign(s, digest, sizeof(digest), sig, &len), CKR_OK);
	assert_true(verifies(w->card.sign_key, digest, sig));
	assert_int_equal(
		EVP_PKEY_get_octet_string_param(w->card.sign_key, "pub", point, 65, &n), 1);
	key = find_named(s, CKO_PRIVATE_KEY, 0x0b);
	assert_int_equal(f->C_DeriveKey(s, &derive, key, NULL, 0, &secret), CKR_OK);
	assert_int_equal(f->C_GetAttributeValue(s, secret, &value, 1), CKR_OK);
	assert_int_equal(value.ulValueLen, 32);
	world_free(w);
}

static void *sign_many(void *arg)
{
	const struct world *w = arg;
	CK_MECHANISM raw = { CKM_ECDSA, NULL, 0 };
	CK_SESSION_HANDLE s = 0;
	CK_OBJECT_HANDLE key = 0;
	uintptr_t good = 0;

	if (f->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &s) != CKR_OK)
		return NULL;
	if (find(s, CKO_PRIVATE_KEY, 1, &key) != 1)
		return NULL;
	for (int i = 0; i < SIGNATURES; i++) {
		CK_BYTE digest[32], sig[64];
		CK_ULONG len = 64;
		RAND_bytes(digest, 32);
		if (f->C_SignInit(s, &raw, key) == CKR_OK &&
			f->C_Sign(s, digest, 32, sig, &len) == CKR_OK &&
			verifies(w->card.sign_key, digest, sig))
			good++;
	}
	return f->C_CloseSession(s) == CKR_OK ? (void *)good : NULL;
}

static void test_threads(void **state)
{
	struct world *w = world_new(true);
	pthread_t threads[THREADS];
	uintptr_t all = 0;

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sign_many, w), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *good = NULL;
		assert_int_equal(pthread_join(threads[i], &good), 0);
		all += (uintptr_t)good;
	}
	assert_int_equal(all, THREADS * SIGNATURES);
	world_free(w);
}

/* The card goes in the middle; its sessions go with it; another one is another token. */
static void test_unplugged(void **state)
{
	struct world *w = world_new(false);
	CK_SESSION_HANDLE s = session();
	CK_MECHANISM raw = { CKM_ECDSA, NULL, 0 };
	CK_OBJECT_HANDLE key;
	CK_BYTE digest[32] = { 1 }, sig[64];
	CK_ULONG len = 64;
	CK_TOKEN_INFO info;
	CK_SLOT_INFO slot;
	EVP_PKEY *old = w->card.sign_key;

	(void)state;
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 1, &key), 1);
	fake_stop(&w->card);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_OK);
	assert_int_equal(f->C_Sign(s, digest, 32, sig, &len), CKR_DEVICE_REMOVED);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(f->C_GetSlotInfo(0, &slot), CKR_OK);
	assert_false(slot.flags & CKF_TOKEN_PRESENT);
	w->card.sign_key = EVP_EC_gen("P-256");
	w->card.iccid[0] = 0x98;
	fake_start(&w->card);
	insert(w);
	/* It is not looked for at once again. */
	for (int i = 0; i < 60 && f->C_GetTokenInfo(0, &info) != CKR_OK; i++)
		usleep(50000);
	s = session();
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 1, &key), 1);
	assert_int_equal(f->C_SignInit(s, &raw, key), CKR_OK);
	assert_int_equal(f->C_Sign(s, digest, 32, sig, &len), CKR_OK);
	assert_true(verifies(w->card.sign_key, digest, sig));
	assert_false(verifies(old, digest, sig));
	EVP_PKEY_free(old);
	world_free(w);
}

static void test_hostile_templates(void **state)
{
	struct world *w = world_new(false);
	CK_SESSION_HANDLE s = session();
	CK_OBJECT_HANDLE found[8], key;
	CK_ATTRIBUTE none = { CKA_LABEL, NULL, 4 }, huge = { CKA_ID, (void *)"x", ~0UL };
	CK_ULONG n = 0;

	(void)state;
	assert_int_equal(f->C_FindObjectsInit(s, NULL, 1), CKR_ARGUMENTS_BAD);
	assert_int_equal(f->C_FindObjectsInit(s, &none, 1), CKR_OK);
	assert_int_equal(f->C_FindObjectsInit(s, &none, 1), CKR_OPERATION_ACTIVE);
	assert_int_equal(f->C_FindObjects(s, NULL, 1, &n), CKR_ARGUMENTS_BAD);
	assert_int_equal(f->C_FindObjects(s, found, 8, &n), CKR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(f->C_FindObjectsFinal(s), CKR_OK);
	assert_int_equal(f->C_FindObjectsFinal(s), CKR_OPERATION_NOT_INITIALIZED);
	assert_int_equal(f->C_FindObjectsInit(s, &huge, 1), CKR_OK);
	assert_int_equal(f->C_FindObjects(s, found, 8, &n), CKR_OK);
	assert_int_equal(n, 0);
	assert_int_equal(f->C_FindObjectsFinal(s), CKR_OK);
	assert_int_equal(find(s, CKO_PRIVATE_KEY, 1, &key), 1);
	assert_int_equal(f->C_GetAttributeValue(s, key, NULL, 1), CKR_ARGUMENTS_BAD);
	assert_int_equal(f->C_SignInit(s, NULL, key), CKR_ARGUMENTS_BAD);
	assert_int_equal(f->C_CloseSession(s), CKR_OK);
	assert_int_equal(f->C_CloseSession(s), CKR_SESSION_HANDLE_INVALID);
	assert_int_equal(f->C_SignInit(s, NULL, key), CKR_SESSION_HANDLE_INVALID);
	world_free(w);
}

static int load(void **state)
{
	CK_C_GetFunctionList get;

	(void)state;
	so = dlopen(MODULE_DIR "/libiotsafe-pkcs11.so", RTLD_NOW | RTLD_LOCAL);
	if (!so)
		return -1;
	*(void **)&get = dlsym(so, "C_GetFunctionList");
	return get && get(&f) == CKR_OK ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	return dlclose(so);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_unplugged),
		cmocka_unit_test(test_hostile_templates),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
