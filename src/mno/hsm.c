/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/hsm.h"

#include "base/str.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 64
#define PIN_MAX	  256
#define MAC_LEN	  16
#define BLOCK	  16

struct mno__hsm {
	char *module, *token, *pin_file;
	void *library;
	CK_FUNCTION_LIST_PTR f;
	bool initialized, session_open;
	CK_SESSION_HANDLE session;
	struct scp80_engine engine;
};

static enum rc fault(struct diag *d, const char *what, CK_RV rv)
{
	return diag_set(d,
		rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED ? RC_AUTH : RC_UNAVAILABLE,
		"pkcs11: %s: %s", what,
		rv == CKR_PIN_INCORRECT	      ? "the PIN is not right"
		: rv == CKR_PIN_LOCKED	      ? "the PIN is locked"
		: rv == CKR_TOKEN_NOT_PRESENT ? "no token of that label"
					      : "the token says no");
}

/* Labels are padded with blanks (PKCS#11 2.40 section 3.2). */
static bool is_label(const CK_UTF8CHAR have[32], const char *want)
{
	size_t len = strlen(want);

	if (len > 32 || memcmp(have, want, len) != 0)
		return false;
	for (size_t i = len; i < 32; i++)
		if (have[i] != ' ')
			return false;
	return true;
}

static CK_RV find_slot(struct mno__hsm *h, CK_SLOT_ID *out)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_RV rv = h->f->C_GetSlotList(CK_TRUE, slots, &n);

	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		CK_TOKEN_INFO info;

		if (h->f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
			is_label(info.label, h->token)) {
			*out = slots[i];
			return CKR_OK;
		}
	}
	return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

static enum rc log_in(struct mno__hsm *h, struct diag *d)
{
	struct secret pin = { 0 };
	size_t len = 0;
	CK_RV rv;
	enum rc rc = secret_read_file(&pin, h->pin_file, PIN_MAX);

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: %s", h->pin_file,
			rc == RC_DENIED ? "others can read it; chmod 600" : rc_text(rc));
	while (len < pin.len && pin.bytes[len] != '\n')
		len++;
	rv = h->f->C_Login(h->session, CKU_USER, pin.bytes, len);
	secret_free(&pin);
	return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? RC_OK : fault(d, "log-in", rv);
}

static void close_session(struct mno__hsm *h)
{
	if (h->session_open)
		(void)h->f->C_CloseSession(h->session);
	h->session_open = false;
}

static enum rc open_session(struct mno__hsm *h, struct diag *d)
{
	CK_SLOT_ID slot = 0;
	CK_RV rv = find_slot(h, &slot);
	enum rc rc;

	if (rv == CKR_OK)
		rv = h->f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &h->session);
	if (rv != CKR_OK)
		return fault(d, h->token, rv);
	h->session_open = true;
	rc = log_in(h, d);
	if (rc != RC_OK)
		close_session(h);
	return rc;
}

static enum rc load(struct mno__hsm *h, struct diag *d)
{
	CK_C_GetFunctionList get;
	CK_RV rv;

	h->library = dlopen(h->module, RTLD_NOW | RTLD_LOCAL);
	if (!h->library)
		return diag_set(d, RC_NOT_FOUND, "pkcs11: %s: cannot be loaded", h->module);
	*(void **)(&get) = dlsym(h->library, "C_GetFunctionList");
	if (!get || get(&h->f) != CKR_OK)
		return diag_set(d, RC_UNSUPPORTED, "pkcs11: %s: is no PKCS#11 module", h->module);
	rv = h->f->C_Initialize(NULL);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return fault(d, h->module, rv);
	h->initialized = rv == CKR_OK;
	return open_session(h, d);
}

static CK_RV find_key(
	struct mno__hsm *h, const struct mno_sim_key *sim, const char *which, CK_OBJECT_HANDLE *out)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	char label[IDENT_ICCID_TEXT + 8];
	CK_ATTRIBUTE want[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_LABEL, label, 0 } };
	CK_ULONG n = 0;
	CK_RV rv;

	(void)snprintf(label, sizeof(label), "%s.%s", sim->iccid, which);
	want[1].ulValueLen = strlen(label);
	rv = h->f->C_FindObjectsInit(h->session, want, ARRAY_LEN(want));
	if (rv != CKR_OK)
		return rv;
	rv = h->f->C_FindObjects(h->session, out, 1, &n);
	(void)h->f->C_FindObjectsFinal(h->session);
	return rv != CKR_OK ? rv : n == 1 ? CKR_OK : CKR_KEY_NOT_NEEDED;
}

static CK_RV do_mac(struct mno__hsm *h, const struct mno_sim_key *sim, const uint8_t *bytes,
	size_t len, uint8_t out[MAC_LEN])
{
	CK_MECHANISM mechanism = { CKM_AES_CMAC, NULL, 0 };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG got = MAC_LEN;
	CK_RV rv = find_key(h, sim, "kid", &key);

	if (rv == CKR_OK)
		rv = h->f->C_SignInit(h->session, &mechanism, key);
	if (rv == CKR_OK)
		rv = h->f->C_Sign(h->session, (CK_BYTE_PTR)(uintptr_t)bytes, len, out, &got);
	return rv == CKR_OK && got != MAC_LEN ? CKR_FUNCTION_FAILED : rv;
}

static CK_RV do_cbc(struct mno__hsm *h, const struct mno_sim_key *sim, bool encrypt,
	const uint8_t *in, size_t len, uint8_t *out)
{
	CK_BYTE iv[BLOCK] = { 0 };
	CK_MECHANISM mechanism = { CKM_AES_CBC, iv, sizeof(iv) };
	CK_BYTE_PTR from = (CK_BYTE_PTR)(uintptr_t)in;
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG got = len;
	CK_RV rv = find_key(h, sim, "kic", &key);

	if (rv == CKR_OK)
		rv = encrypt ? h->f->C_EncryptInit(h->session, &mechanism, key)
			     : h->f->C_DecryptInit(h->session, &mechanism, key);
	if (rv == CKR_OK)
		rv = encrypt ? h->f->C_Encrypt(h->session, from, len, out, &got)
			     : h->f->C_Decrypt(h->session, from, len, out, &got);
	return rv == CKR_OK && got != len ? CKR_FUNCTION_FAILED : rv;
}

/* A session that has ended without a word is opened once more; a key that is not there stays so. */
static bool again(struct mno__hsm *h, CK_RV rv)
{
	struct diag unused = { 0 };

	if (rv == CKR_OK || rv == CKR_KEY_NOT_NEEDED)
		return false;
	close_session(h);
	return open_session(h, &unused) == RC_OK;
}

static enum rc result(CK_RV rv)
{
	return rv == CKR_OK ? RC_OK : rv == CKR_KEY_NOT_NEEDED ? RC_NOT_FOUND : RC_UNAVAILABLE;
}

static enum rc engine_mac(
	void *user, const void *which, const uint8_t *bytes, size_t len, uint8_t out[MAC_LEN])
{
	struct mno__hsm *h = user;
	CK_RV rv = do_mac(h, which, bytes, len, out);

	if (again(h, rv))
		rv = do_mac(h, which, bytes, len, out);
	return result(rv);
}

static enum rc engine_cbc(
	void *user, const void *which, bool encrypt, const uint8_t *in, size_t len, uint8_t *out)
{
	struct mno__hsm *h = user;
	CK_RV rv = do_cbc(h, which, encrypt, in, len, out);

	if (again(h, rv))
		rv = do_cbc(h, which, encrypt, in, len, out);
	return result(rv);
}

enum rc mno__hsm_has(struct mno__hsm *h, const struct mno_sim_key *sim, struct diag *d)
{
	static const char *const names[] = { "kic", "kid" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CK_OBJECT_HANDLE key;
		CK_RV rv = find_key(h, sim, names[i], &key);

		if (rv != CKR_OK)
			return diag_set(d, result(rv), "pkcs11: %s has no secret key %s.%s",
				h->token, sim->iccid, names[i]);
	}
	return RC_OK;
}

const struct scp80_engine *mno__hsm_engine(struct mno__hsm *h)
{
	return h ? &h->engine : NULL;
}

enum rc mno__hsm_new(const struct mno_config *config, struct mno__hsm **out, struct diag *d)
{
	struct mno__hsm *h = calloc(1, sizeof(*h));
	enum rc rc = RC_NOMEM;

	if (!h)
		return diag_set(d, RC_NOMEM, "no memory");
	h->engine = (struct scp80_engine){ .mac = engine_mac, .cbc = engine_cbc, .user = h };
	h->module = strdup(config->pkcs11.module);
	h->token = strdup(config->pkcs11.token);
	h->pin_file = strdup(config->pkcs11.pin_file);
	if (h->module && h->token && h->pin_file)
		rc = load(h, d);
	if (rc == RC_OK)
		*out = h;
	else
		mno__hsm_free(h);
	return rc;
}

void mno__hsm_free(struct mno__hsm *h)
{
	if (!h)
		return;
	close_session(h);
	if (h->initialized)
		(void)h->f->C_Finalize(NULL);
	if (h->library)
		(void)dlclose(h->library);
	free(h->module);
	free(h->token);
	free(h->pin_file);
	free(h);
}
