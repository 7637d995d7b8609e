/* SPDX-License-Identifier: Apache-2.0 */
#include "device/pkcs11/p11__.h"

#include <string.h>

/* Fixed fields of PKCS#11 are padded with blanks and have no NUL. */
static void pad(CK_UTF8CHAR *out, size_t cap, const char *text)
{
	size_t n = strlen(text);

	memset(out, ' ', cap);
	memcpy(out, text, n < cap ? n : cap);
}

struct p11_token *p11__token(struct p11 *p, CK_SLOT_ID slot)
{
	return slot < p->tokens_len ? &p->tokens[slot] : NULL;
}

CK_SLOT_ID p11__slot_of(const struct p11 *p, const struct p11_token *t)
{
	return (CK_SLOT_ID)(t - p->tokens);
}

CK_RV C_GetSlotList(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	CK_SLOT_ID found[P11_TOKENS_MAX];
	CK_ULONG n = 0, cap;
	struct p11 *p = p11__enter();

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!count)
		return p11__leave(CKR_ARGUMENTS_BAD);
	for (CK_SLOT_ID i = 0; i < p->tokens_len; i++)
		if (!token_present || p11__token_probe(p, &p->tokens[i]) == CKR_OK)
			found[n++] = i;
	cap = *count;
	*count = n;
	if (!list)
		return p11__leave(CKR_OK);
	if (cap < n)
		return p11__leave(CKR_BUFFER_TOO_SMALL);
	memcpy(list, found, n * sizeof(found[0]));
	return p11__leave(CKR_OK);
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	struct p11 *p = p11__enter();
	struct p11_token *t;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	t = p11__token(p, slot);
	if (!t || !info)
		return p11__leave(t ? CKR_ARGUMENTS_BAD : CKR_SLOT_ID_INVALID);
	*info = (CK_SLOT_INFO){ .flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT };
	pad(info->slotDescription, sizeof(info->slotDescription), t->card);
	pad(info->manufacturerID, sizeof(info->manufacturerID), "attestry");
	if (p11__token_probe(p, t) == CKR_OK)
		info->flags |= CKF_TOKEN_PRESENT;
	return p11__leave(CKR_OK);
}

static void count_sessions(const struct p11 *p, const struct p11_token *t, CK_TOKEN_INFO *info)
{
	for (const struct p11_session *s = p->sessions; s; s = s->next) {
		if (s->token != t)
			continue;
		info->ulSessionCount++;
		if (s->flags & CKF_RW_SESSION)
			info->ulRwSessionCount++;
	}
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	struct p11 *p = p11__enter();
	struct p11_token *t;
	size_t n;
	CK_RV rv;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	t = p11__token(p, slot);
	if (!t || !info)
		return p11__leave(t ? CKR_ARGUMENTS_BAD : CKR_SLOT_ID_INVALID);
	rv = p11__token_probe(p, t);
	if (rv != CKR_OK)
		return p11__leave(rv);
	*info = (CK_TOKEN_INFO){
		.flags = CKF_RNG | CKF_TOKEN_INITIALIZED,
		.ulMaxSessionCount = P11_SESSIONS_MAX,
		.ulMaxRwSessionCount = P11_SESSIONS_MAX,
		.ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
		.ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
		.ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
		.ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
		.hardwareVersion = { 1, 0 },
		.firmwareVersion = { 1, 0 },
	};
	count_sessions(p, t, info);
	pad(info->manufacturerID, sizeof(info->manufacturerID), "GSMA IoT SAFE");
	pad(info->model, sizeof(info->model), "IoT SAFE");
	pad(info->label, sizeof(info->label), "IoT SAFE ");
	memset(info->utcTime, ' ', sizeof(info->utcTime));
	n = strlen(t->iccid);
	if (9 + n <= sizeof(info->label))
		memcpy(info->label + 9, t->iccid, n);
	/* The serial number has 16 places: the last digits differ between cards. */
	pad(info->serialNumber, sizeof(info->serialNumber), t->iccid + (n > 16 ? n - 16 : 0));
	return p11__leave(CKR_OK);
}

static const struct p11_mechanism MECHANISMS[] = {
	{ CKM_ECDSA, CKF_SIGN | CKF_VERIFY, NULL },
	{ CKM_ECDSA_SHA256, CKF_SIGN | CKF_VERIFY, "SHA256" },
	{ CKM_ECDSA_SHA384, CKF_SIGN | CKF_VERIFY, "SHA384" },
	{ CKM_ECDSA_SHA512, CKF_SIGN | CKF_VERIFY, "SHA512" },
	{ CKM_ECDH1_DERIVE, CKF_DERIVE, NULL },
};
#define MECHANISMS_LEN (sizeof(MECHANISMS) / sizeof(MECHANISMS[0]))

const struct p11_mechanism *p11__mechanism(CK_MECHANISM_TYPE type)
{
	for (size_t i = 0; i < MECHANISMS_LEN; i++)
		if (MECHANISMS[i].type == type)
			return &MECHANISMS[i];
	return NULL;
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count)
{
	struct p11 *p = p11__enter();
	CK_ULONG cap;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!p11__token(p, slot) || !count)
		return p11__leave(count ? CKR_SLOT_ID_INVALID : CKR_ARGUMENTS_BAD);
	cap = *count;
	*count = MECHANISMS_LEN;
	if (list && cap < MECHANISMS_LEN)
		return p11__leave(CKR_BUFFER_TOO_SMALL);
	for (size_t i = 0; list && i < MECHANISMS_LEN; i++)
		list[i] = MECHANISMS[i].type;
	return p11__leave(CKR_OK);
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	struct p11 *p = p11__enter();
	const struct p11_mechanism *m = p11__mechanism(type);

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!p11__token(p, slot))
		return p11__leave(CKR_SLOT_ID_INVALID);
	if (!m || !info)
		return p11__leave(m ? CKR_ARGUMENTS_BAD : CKR_MECHANISM_INVALID);
	*info = (CK_MECHANISM_INFO){
		.ulMinKeySize = 256,
		.ulMaxKeySize = 256,
		.flags = m->flags | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS,
	};
	if (m->type == CKM_ECDSA || m->type == CKM_ECDH1_DERIVE)
		info->flags |= CKF_HW;
	return p11__leave(CKR_OK);
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved)
{
	(void)slot;
	(void)reserved;
	if (!p11__enter())
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	/* A modem tells nobody that its SIM went: there is nothing to wait on. */
	return p11__leave(flags & CKF_DONT_BLOCK ? CKR_NO_EVENT : CKR_FUNCTION_NOT_SUPPORTED);
}
