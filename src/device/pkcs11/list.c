/* SPDX-License-Identifier: Apache-2.0 */
#include "device/pkcs11/p11__.h"

/* The function list, and one answer per shape of function for what an IoT SAFE card cannot do, or
 * must not be made to do by a client of PKCS#11. */

#define NO CKR_FUNCTION_NOT_SUPPORTED

static CK_RV no_init_token(CK_SLOT_ID slot, CK_UTF8CHAR *pin, CK_ULONG len, CK_UTF8CHAR *label)
{
	(void)slot, (void)pin, (void)len, (void)label;
	return CKR_TOKEN_WRITE_PROTECTED;
}

static CK_RV no_set_pin(
	CK_SESSION_HANDLE s, CK_UTF8CHAR *old, CK_ULONG old_len, CK_UTF8CHAR *new, CK_ULONG new_len)
{
	(void)s, (void)old, (void)old_len, (void)new, (void)new_len;
	return NO;
}

static CK_RV no_input(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG len)
{
	(void)s, (void)in, (void)len;
	return NO;
}

static CK_RV no_output(CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *len)
{
	(void)s, (void)out, (void)len;
	return NO;
}

static CK_RV no_in_out(
	CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
	(void)s, (void)in, (void)in_len, (void)out, (void)out_len;
	return NO;
}

static CK_RV no_key_init(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	(void)s, (void)mechanism, (void)key;
	return NO;
}

static CK_RV no_init(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism)
{
	(void)s, (void)mechanism;
	return NO;
}

static CK_RV no_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	(void)s, (void)key;
	return NO;
}

static CK_RV no_set_state(
	CK_SESSION_HANDLE s, CK_BYTE *state, CK_ULONG len, CK_OBJECT_HANDLE a, CK_OBJECT_HANDLE b)
{
	(void)s, (void)state, (void)len, (void)a, (void)b;
	return NO;
}

static CK_RV no_create(
	CK_SESSION_HANDLE s, CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	(void)s, (void)templ, (void)count, (void)out;
	return NO;
}

static CK_RV no_copy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ,
	CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	(void)s, (void)object, (void)templ, (void)count, (void)out;
	return NO;
}

static CK_RV no_size(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ULONG *size)
{
	(void)s, (void)object, (void)size;
	return NO;
}

static CK_RV no_set(
	CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *templ, CK_ULONG count)
{
	(void)s, (void)object, (void)templ, (void)count;
	return CKR_ATTRIBUTE_READ_ONLY;
}

static CK_RV no_generate(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *templ,
	CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	(void)s, (void)mechanism, (void)templ, (void)count, (void)out;
	return NO;
}

static CK_RV no_generate_pair(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public,
	CK_ULONG public_count, CK_ATTRIBUTE *private, CK_ULONG private_count,
	CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out)
{
	(void)s, (void)mechanism, (void)public, (void)public_count, (void)private;
	(void)private_count, (void)public_out, (void)private_out;
	return NO;
}

static CK_RV no_wrap(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping,
	CK_OBJECT_HANDLE key, CK_BYTE *out, CK_ULONG *len)
{
	(void)s, (void)mechanism, (void)wrapping, (void)key, (void)out, (void)len;
	return NO;
}

static CK_RV no_unwrap(CK_SESSION_HANDLE s, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping,
	CK_BYTE *in, CK_ULONG len, CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	(void)s, (void)mechanism, (void)unwrapping, (void)in, (void)len;
	(void)templ, (void)count, (void)out;
	return NO;
}

static CK_RV not_parallel(CK_SESSION_HANDLE s)
{
	(void)s;
	return CKR_FUNCTION_NOT_PARALLEL;
}

static CK_RV no_seed(CK_SESSION_HANDLE s, CK_BYTE *seed, CK_ULONG len)
{
	(void)s, (void)seed, (void)len;
	return CKR_RANDOM_SEED_NOT_SUPPORTED;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	/* Callers get a pointer that is not const; none has a reason to write. */
	static const CK_FUNCTION_LIST functions = {
		.version = { 2, 40 },
		.C_Initialize = C_Initialize,
		.C_Finalize = C_Finalize,
		.C_GetInfo = C_GetInfo,
		.C_GetFunctionList = C_GetFunctionList,
		.C_GetSlotList = C_GetSlotList,
		.C_GetSlotInfo = C_GetSlotInfo,
		.C_GetTokenInfo = C_GetTokenInfo,
		.C_GetMechanismList = C_GetMechanismList,
		.C_GetMechanismInfo = C_GetMechanismInfo,
		.C_InitToken = no_init_token,
		.C_InitPIN = no_input,
		.C_SetPIN = no_set_pin,
		.C_OpenSession = C_OpenSession,
		.C_CloseSession = C_CloseSession,
		.C_CloseAllSessions = C_CloseAllSessions,
		.C_GetSessionInfo = C_GetSessionInfo,
		.C_GetOperationState = no_output,
		.C_SetOperationState = no_set_state,
		.C_Login = C_Login,
		.C_Logout = C_Logout,
		.C_CreateObject = no_create,
		.C_CopyObject = no_copy,
		.C_DestroyObject = C_DestroyObject,
		.C_GetObjectSize = no_size,
		.C_GetAttributeValue = C_GetAttributeValue,
		.C_SetAttributeValue = no_set,
		.C_FindObjectsInit = C_FindObjectsInit,
		.C_FindObjects = C_FindObjects,
		.C_FindObjectsFinal = C_FindObjectsFinal,
		.C_EncryptInit = no_key_init,
		.C_Encrypt = no_in_out,
		.C_EncryptUpdate = no_in_out,
		.C_EncryptFinal = no_output,
		.C_DecryptInit = no_key_init,
		.C_Decrypt = no_in_out,
		.C_DecryptUpdate = no_in_out,
		.C_DecryptFinal = no_output,
		.C_DigestInit = no_init,
		.C_Digest = no_in_out,
		.C_DigestUpdate = no_input,
		.C_DigestKey = no_key,
		.C_DigestFinal = no_output,
		.C_SignInit = C_SignInit,
		.C_Sign = C_Sign,
		.C_SignUpdate = C_SignUpdate,
		.C_SignFinal = C_SignFinal,
		.C_SignRecoverInit = no_key_init,
		.C_SignRecover = no_in_out,
		.C_VerifyInit = C_VerifyInit,
		.C_Verify = C_Verify,
		.C_VerifyUpdate = C_VerifyUpdate,
		.C_VerifyFinal = C_VerifyFinal,
		.C_VerifyRecoverInit = no_key_init,
		.C_VerifyRecover = no_in_out,
		.C_DigestEncryptUpdate = no_in_out,
		.C_DecryptDigestUpdate = no_in_out,
		.C_SignEncryptUpdate = no_in_out,
		.C_DecryptVerifyUpdate = no_in_out,
		.C_GenerateKey = no_generate,
		.C_GenerateKeyPair = no_generate_pair,
		.C_WrapKey = no_wrap,
		.C_UnwrapKey = no_unwrap,
		.C_DeriveKey = C_DeriveKey,
		.C_SeedRandom = no_seed,
		.C_GenerateRandom = C_GenerateRandom,
		.C_GetFunctionStatus = not_parallel,
		.C_CancelFunction = not_parallel,
		.C_WaitForSlotEvent = C_WaitForSlotEvent,
	};

	if (!list)
		return CKR_ARGUMENTS_BAD;
	*list = (CK_FUNCTION_LIST_PTR)(uintptr_t)&functions;
	return CKR_OK;
}
