/* SPDX-License-Identifier: Apache-2.0 */
#include "device/pkcs11/p11__.h"

#include <string.h>

/* prime256v1 (RFC 5480 section 2.1.1.1) */
static const uint8_t EC_PARAMS[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };

static CK_RV number(struct p11_value *v, CK_ULONG n)
{
	v->own.number = n;
	v->at = &v->own.number;
	v->len = sizeof(v->own.number);
	return CKR_OK;
}

static CK_RV flag(struct p11_value *v, bool on)
{
	v->own.flag = on ? CK_TRUE : CK_FALSE;
	v->at = &v->own.flag;
	v->len = sizeof(v->own.flag);
	return CKR_OK;
}

static CK_RV bytes(struct p11_value *v, const void *at, size_t len)
{
	v->at = len > 0 ? at : "";
	v->len = len;
	return CKR_OK;
}

/* Every object (PKCS#11 2.40 section 4.4). */
static CK_RV common(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	switch (type) {
	case CKA_CLASS: return number(v, o->class);
	case CKA_TOKEN: return flag(v, o->session == 0);
	case CKA_PRIVATE: /* nothing is hidden before C_Login: there is no PIN */
	case CKA_MODIFIABLE:
	case CKA_COPYABLE: return flag(v, false);
	case CKA_DESTROYABLE: return flag(v, o->session != 0);
	case CKA_LABEL: return bytes(v, o->label, strlen(o->label));
	default: return CKR_ATTRIBUTE_TYPE_INVALID;
	}
}

static CK_RV of_key(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	switch (type) {
	case CKA_ID: return bytes(v, o->id.at, o->id.len);
	case CKA_KEY_TYPE: return number(v, CKK_EC);
	case CKA_SUBJECT: return bytes(v, o->subject.at, o->subject.len);
	case CKA_START_DATE:
	case CKA_END_DATE: return bytes(v, NULL, 0);
	case CKA_LOCAL: return flag(v, true);
	case CKA_KEY_GEN_MECHANISM: return number(v, CKM_ECDSA_KEY_PAIR_GEN);
	case CKA_EC_PARAMS: return bytes(v, EC_PARAMS, sizeof(EC_PARAMS));
	case CKA_EC_POINT: return bytes(v, o->point, sizeof(o->point));
	case CKA_PUBLIC_KEY_INFO: return bytes(v, o->spki, sizeof(o->spki));
	default: return common(o, type, v);
	}
}

static CK_RV of_private(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	static const CK_MECHANISM_TYPE sign[] = { CKM_ECDSA, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384,
		CKM_ECDSA_SHA512 };
	static const CK_MECHANISM_TYPE derive[] = { CKM_ECDH1_DERIVE };

	switch (type) {
	case CKA_VALUE: return CKR_ATTRIBUTE_SENSITIVE;
	case CKA_SIGN: return flag(v, o->can_sign);
	case CKA_DERIVE: return flag(v, o->can_derive);
	case CKA_SENSITIVE:
	case CKA_ALWAYS_SENSITIVE:
	case CKA_NEVER_EXTRACTABLE: return flag(v, true);
	case CKA_DECRYPT:
	case CKA_UNWRAP:
	case CKA_SIGN_RECOVER:
	case CKA_EXTRACTABLE:
	case CKA_WRAP_WITH_TRUSTED:
	case CKA_ALWAYS_AUTHENTICATE: return flag(v, false);
	case CKA_ALLOWED_MECHANISMS:
		return o->can_sign ? bytes(v, sign, sizeof(sign))
				   : bytes(v, derive, sizeof(derive));
	default: return of_key(o, type, v);
	}
}

static CK_RV of_public(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	switch (type) {
	case CKA_VERIFY: return flag(v, o->can_sign);
	case CKA_ENCRYPT:
	case CKA_WRAP:
	case CKA_VERIFY_RECOVER:
	case CKA_TRUSTED:
	case CKA_DERIVE: return flag(v, false);
	default: return of_key(o, type, v);
	}
}

static CK_RV of_cert(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	switch (type) {
	case CKA_ID: return bytes(v, o->id.at, o->id.len);
	case CKA_CERTIFICATE_TYPE: return number(v, CKC_X_509);
	/* 1: of the token's user, 2: of an authority, 3: of somebody else */
	case CKA_CERTIFICATE_CATEGORY: return number(v, o->is_of_key ? 1 : o->is_ca ? 2 : 3);
	case CKA_TRUSTED: return flag(v, false); /* whom to trust is the program's question */
	case CKA_VALUE: return bytes(v, o->value.at, o->value.len);
	case CKA_SUBJECT: return bytes(v, o->subject.at, o->subject.len);
	case CKA_ISSUER: return bytes(v, o->issuer.at, o->issuer.len);
	case CKA_SERIAL_NUMBER: return bytes(v, o->serial.at, o->serial.len);
	case CKA_START_DATE:
	case CKA_END_DATE: return bytes(v, NULL, 0);
	default: return common(o, type, v);
	}
}

static CK_RV of_data(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	static const char application[] = "iotsafe";

	switch (type) {
	case CKA_APPLICATION: return bytes(v, application, sizeof(application) - 1);
	case CKA_OBJECT_ID: return bytes(v, NULL, 0);
	default: return common(o, type, v); /* CKA_VALUE is read when it is asked for */
	}
}

/* What a key agreement gave; for the program that asked, which may read it. */
static CK_RV of_secret(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	switch (type) {
	case CKA_KEY_TYPE: return number(v, CKK_GENERIC_SECRET);
	case CKA_VALUE: return bytes(v, o->secret, o->secret_len);
	case CKA_VALUE_LEN: return number(v, o->secret_len);
	case CKA_ID:
	case CKA_START_DATE:
	case CKA_END_DATE: return bytes(v, NULL, 0);
	case CKA_EXTRACTABLE: return flag(v, true);
	case CKA_KEY_GEN_MECHANISM: return number(v, CK_UNAVAILABLE_INFORMATION);
	case CKA_SENSITIVE:
	case CKA_ALWAYS_SENSITIVE:
	case CKA_NEVER_EXTRACTABLE:
	case CKA_LOCAL:
	case CKA_DERIVE:
	case CKA_SIGN:
	case CKA_VERIFY:
	case CKA_ENCRYPT:
	case CKA_DECRYPT:
	case CKA_WRAP:
	case CKA_UNWRAP: return flag(v, false);
	default: return common(o, type, v);
	}
}

CK_RV p11__attribute(const struct p11_object *o, CK_ATTRIBUTE_TYPE type, struct p11_value *v)
{
	switch (o->class) {
	case CKO_PRIVATE_KEY: return of_private(o, type, v);
	case CKO_PUBLIC_KEY: return of_public(o, type, v);
	case CKO_CERTIFICATE: return of_cert(o, type, v);
	case CKO_SECRET_KEY: return of_secret(o, type, v);
	default: return of_data(o, type, v);
	}
}

bool p11__matches(const struct p11_object *o, const CK_ATTRIBUTE *templ, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		struct p11_value v;
		if (p11__attribute(o, templ[i].type, &v) != CKR_OK || v.len != templ[i].ulValueLen)
			return false;
		if (v.len > 0 && (!templ[i].pValue || memcmp(v.at, templ[i].pValue, v.len) != 0))
			return false;
	}
	return true;
}
