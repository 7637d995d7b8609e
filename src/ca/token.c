/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/token.h"
#include "base/compiler.h"
#include "base/der.h"
#include "base/rng.h"
#include "base/secret.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX    64
#define SESSIONS_MAX 64 /* kept open; as many threads may sign at a time without opening one */
#define PIN_MAX	     256

struct ca_token {
	void *library;
	CK_FUNCTION_LIST_PTR f;
	bool initialized;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE login; /* stays: the token forgets the PIN with the last session */
	pthread_mutex_t lock;
	CK_SESSION_HANDLE idle[SESSIONS_MAX];
	size_t idle_count;
};

/* X9.62 prime256v1; RFC 8410 id-Ed25519. */
static const uint8_t p256_oid[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t ed25519_oid[] = { 0x06, 0x03, 0x2b, 0x65, 0x70 };

static enum rc failed(struct diag *d, const char *what, CK_RV rv)
{
	enum rc rc = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_EXPIRED
			     ? RC_DENIED
			     : RC_UNAVAILABLE;

	return diag_set(d, rc, "token: %s: PKCS#11 error 0x%lx%s", what, (unsigned long)rv,
		rv == CKR_PIN_INCORRECT	      ? " (PIN incorrect)"
		: rv == CKR_PIN_LOCKED	      ? " (PIN locked)"
		: rv == CKR_MECHANISM_INVALID ? " (it does not know this algorithm)"
					      : "");
}

static enum rc load(struct ca_token *t, const char *path, struct diag *d)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	CK_C_GetFunctionList list = NULL;
	CK_RV rv;

	t->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!t->library)
		return diag_set(d, RC_NOT_FOUND, "token: %s", dlerror());
	/* ISO C has no conversion from an object's pointer to a function's. */
	*(void **)&list = dlsym(t->library, "C_GetFunctionList");
	if (!list || list(&t->f) != CKR_OK)
		return diag_set(d, RC_NOT_FOUND, "token: %s: not a PKCS#11 module", path);
	rv = t->f->C_Initialize(&args);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return failed(d, "C_Initialize", rv);
	t->initialized = true;
	return RC_OK;
}

static enum rc find_slot(struct ca_token *t, const char *label, struct diag *d)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_TOKEN_INFO info;
	char padded[sizeof(info.label)];
	size_t len = strlen(label);
	CK_RV rv = t->f->C_GetSlotList(CK_TRUE, slots, &n);

	if (rv != CKR_OK)
		return failed(d, "C_GetSlotList", rv);
	if (len > sizeof(padded))
		return diag_set(d, RC_RANGE, "[keys] pkcs11_token: more than 32 characters");
	/* PKCS #11: padded with blanks, without a NUL. */
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, len);
	for (CK_ULONG i = 0; i < n; i++) {
		if (t->f->C_GetTokenInfo(slots[i], &info) != CKR_OK ||
			memcmp(info.label, padded, sizeof(padded)) != 0)
			continue;
		t->slot = slots[i];
		return RC_OK;
	}
	return diag_set(d, RC_NOT_FOUND, "token: none has the label \"%s\"", label);
}

static enum rc log_in(struct ca_token *t, const char *pin_file, struct diag *d)
{
	struct secret pin = { 0 };
	enum rc rc;
	CK_RV rv = t->f->C_OpenSession(
		t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &t->login);

	if (rv != CKR_OK)
		return failed(d, "C_OpenSession", rv);
	if (!pin_file || !pin_file[0])
		return RC_OK;
	rc = secret_read_file(&pin, pin_file, PIN_MAX);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", pin_file,
			rc == RC_DENIED ? "a PIN that group or others can access; chmod 600"
					: rc_text(rc));
	size_t n = pin.len;
	while (n > 0 && (pin.bytes[n - 1] == '\n' || pin.bytes[n - 1] == '\r'))
		n--;
	rv = t->f->C_Login(t->login, CKU_USER, pin.bytes, n);
	secret_free(&pin);
	return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? RC_OK : failed(d, "C_Login", rv);
}

enum rc ca_token_open(struct ca_token **out, const struct ca_token_opts *opts, struct diag *d)
{
	struct ca_token *t = calloc(1, sizeof(*t));
	enum rc rc;

	if (!t)
		return RC_NOMEM;
	if (pthread_mutex_init(&t->lock, NULL) != 0) {
		free(t);
		return RC_NOMEM;
	}
	rc = load(t, opts->module, d);
	if (rc == RC_OK)
		rc = find_slot(t, opts->label, d);
	if (rc == RC_OK)
		rc = log_in(t, opts->pin_file, d);
	if (rc == RC_OK)
		*out = t;
	else
		ca_token_close(t);
	return rc;
}

void ca_token_close(struct ca_token *t)
{
	if (!t)
		return;
	/* The module stays loaded: some leave threads or exit handlers behind. */
	if (t->initialized)
		(void)t->f->C_Finalize(NULL);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static enum rc session_take(struct ca_token *t, CK_SESSION_HANDLE *out, struct diag *d)
{
	CK_RV rv;

	pthread_mutex_lock(&t->lock);
	if (t->idle_count > 0) {
		*out = t->idle[--t->idle_count];
		pthread_mutex_unlock(&t->lock);
		return RC_OK;
	}
	pthread_mutex_unlock(&t->lock);
	rv = t->f->C_OpenSession(t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, out);
	return rv == CKR_OK ? RC_OK : failed(d, "C_OpenSession", rv);
}

/* One that failed is not used again. */
static void session_give(struct ca_token *t, CK_SESSION_HANDLE session, bool good)
{
	bool kept = false;

	pthread_mutex_lock(&t->lock);
	if (good && t->idle_count < SESSIONS_MAX) {
		t->idle[t->idle_count++] = session;
		kept = true;
	}
	pthread_mutex_unlock(&t->lock);
	if (!kept)
		(void)t->f->C_CloseSession(session);
}

static CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
	return (CK_ATTRIBUTE){ type, (void *)(uintptr_t)value, len };
}

/* The key's public point: an OCTET STRING around 04 | x | y, or around Ed25519's 32 octets (some
 * modules leave the wrapping out). */
static enum rc read_point(struct ca_token *t, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE pub_key,
	bool ed25519, uint8_t pub[64], size_t *pub_len, struct diag *d)
{
	uint8_t value[128];
	CK_ATTRIBUTE get = attribute(CKA_EC_POINT, value, sizeof(value));
	CK_RV rv = t->f->C_GetAttributeValue(s, pub_key, &get, 1);
	size_t want = ed25519 ? 32 : 65;
	const uint8_t *at = value;

	if (rv != CKR_OK)
		return failed(d, "C_GetAttributeValue", rv);
	if (get.ulValueLen == want + 2 && value[0] == DER_OCTET_STRING && value[1] == want)
		at += 2;
	else if (get.ulValueLen != want)
		return diag_set(d, RC_CRYPTO, "token: CKA_EC_POINT is not a point of the curve");
	if (!ed25519 && *at != 0x04)
		return diag_set(d, RC_CRYPTO, "token: CKA_EC_POINT is compressed");
	*pub_len = ed25519 ? 32 : 64;
	memcpy(pub, at + (ed25519 ? 0 : 1), *pub_len);
	return RC_OK;
}

enum rc ca_token_make(struct ca_token *t, bool ed25519, const char *label, struct ca_token_key *out,
	uint8_t pub[64], size_t *pub_len, struct diag *d)
{
	static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM how = { ed25519 ? CKM_EC_EDWARDS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	struct ca_token_key k = { .token = t };
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE public_key, private_key;
	enum rc rc = rng_system()->fill(rng_system(), k.id, sizeof(k.id));
	CK_RV rv;

	if (rc == RC_OK)
		rc = session_take(t, &s, d);
	if (rc != RC_OK)
		return rc;
	CK_ATTRIBUTE pub_attrs[] = {
		attribute(CKA_EC_PARAMS, ed25519 ? ed25519_oid : p256_oid,
			ed25519 ? sizeof(ed25519_oid) : sizeof(p256_oid)),
		attribute(CKA_TOKEN, &yes, sizeof(yes)),
		attribute(CKA_VERIFY, &yes, sizeof(yes)),
		attribute(CKA_ID, k.id, sizeof(k.id)),
		attribute(CKA_LABEL, label, strlen(label)),
	};
	CK_ATTRIBUTE priv_attrs[] = {
		attribute(CKA_TOKEN, &yes, sizeof(yes)),
		attribute(CKA_PRIVATE, &yes, sizeof(yes)),
		attribute(CKA_SENSITIVE, &yes, sizeof(yes)),
		attribute(CKA_EXTRACTABLE, &no, sizeof(no)),
		attribute(CKA_SIGN, &yes, sizeof(yes)),
		attribute(CKA_ID, k.id, sizeof(k.id)),
		attribute(CKA_LABEL, label, strlen(label)),
	};
	rv = t->f->C_GenerateKeyPair(s, &how, pub_attrs, ARRAY_LEN(pub_attrs), priv_attrs,
		ARRAY_LEN(priv_attrs), &public_key, &private_key);
	if (rv != CKR_OK)
		rc = failed(d, "C_GenerateKeyPair", rv);
	else
		rc = read_point(t, s, public_key, ed25519, pub, pub_len, d);
	session_give(t, s, rv == CKR_OK);
	k.handle = private_key;
	if (rc == RC_OK)
		*out = k;
	return rc;
}

static CK_RV find_object(struct ca_token *t, CK_SESSION_HANDLE s, CK_OBJECT_CLASS class,
	const uint8_t id[CA_TOKEN_ID_LEN], CK_OBJECT_HANDLE *out, CK_ULONG *n)
{
	CK_ATTRIBUTE want[] = {
		attribute(CKA_CLASS, &class, sizeof(class)),
		attribute(CKA_ID, id, CA_TOKEN_ID_LEN),
	};
	CK_RV rv = t->f->C_FindObjectsInit(s, want, ARRAY_LEN(want));

	*n = 0;
	if (rv != CKR_OK)
		return rv;
	rv = t->f->C_FindObjects(s, out, 1, n);
	(void)t->f->C_FindObjectsFinal(s);
	return rv;
}

enum rc ca_token_find(struct ca_token *t, struct ca_token_key *key, struct diag *d)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE object = 0;
	CK_ULONG n = 0;
	CK_RV rv;
	enum rc rc = session_take(t, &s, d);

	if (rc != RC_OK)
		return rc;
	rv = find_object(t, s, CKO_PRIVATE_KEY, key->id, &object, &n);
	session_give(t, s, rv == CKR_OK);
	if (rv != CKR_OK)
		return failed(d, "C_FindObjects", rv);
	if (n == 0)
		return diag_set(d, RC_NOT_FOUND, "token: the key is not there");
	key->token = t;
	key->handle = object;
	return RC_OK;
}

void ca_token_destroy(const struct ca_token_key *key)
{
	static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY };
	struct ca_token *t = key->token;
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE object;
	CK_ULONG n;

	if (!t || session_take(t, &s, NULL) != RC_OK)
		return;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (find_object(t, s, classes[i], key->id, &object, &n) == CKR_OK && n == 1)
			(void)t->f->C_DestroyObject(s, object);
	session_give(t, s, true);
}

enum rc ca_token_sign(const struct ca_token_key *key, bool ed25519, const uint8_t *bytes,
	size_t len, uint8_t sig[64], struct diag *d)
{
	CK_MECHANISM how = { ed25519 ? CKM_EDDSA : CKM_ECDSA, NULL, 0 };
	struct ca_token *t = key->token;
	CK_ULONG n = 64;
	CK_SESSION_HANDLE s;
	CK_RV rv;
	enum rc rc = session_take(t, &s, d);

	if (rc != RC_OK)
		return rc;
	rv = t->f->C_SignInit(s, &how, key->handle);
	if (rv == CKR_OK)
		rv = t->f->C_Sign(s, (CK_BYTE_PTR)(uintptr_t)bytes, len, sig, &n);
	session_give(t, s, rv == CKR_OK);
	if (rv != CKR_OK)
		return failed(d, "C_Sign", rv);
	return n == 64 ? RC_OK : diag_set(d, RC_CRYPTO, "token: a signature of %lu octets", n);
}
