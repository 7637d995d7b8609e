/* SPDX-License-Identifier: Apache-2.0 */
#include "device/pkcs11/p11__.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void p11__objects_free(struct p11_object *list)
{
	while (list) {
		struct p11_object *next = list->next;
		OPENSSL_free(list->value.at);
		OPENSSL_free(list->subject.at);
		OPENSSL_free(list->issuer.at);
		OPENSSL_free(list->serial.at);
		OPENSSL_cleanse(list->secret, sizeof(list->secret));
		free(list);
		list = next;
	}
}

void p11__objects_of_session(struct p11_token *t, CK_SESSION_HANDLE handle)
{
	struct p11_object **at = &t->objects;

	while (*at) {
		struct p11_object *o = *at;
		if (o->session != handle) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		o->next = NULL;
		p11__objects_free(o);
	}
}

struct p11_object *p11__object(const struct p11_session *s, CK_OBJECT_HANDLE handle)
{
	for (struct p11_object *o = s->token->objects; o; o = o->next)
		if (o->handle == handle)
			return o;
	return NULL;
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE_PTR templ, CK_ULONG count)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;
	CK_RV rv;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || (!templ && count > 0))
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	if (s->finding)
		return p11__leave(CKR_OPERATION_ACTIVE);
	rv = p11__token_load(p, s->token); /* a lost card takes the session with it */
	if (rv != CKR_OK)
		return p11__leave(rv);
	if (!s->found)
		s->found = calloc(P11_OBJECTS_MAX, sizeof(*s->found));
	if (!s->found)
		return p11__leave(CKR_HOST_MEMORY);
	s->found_len = s->found_at = 0;
	s->finding = true;
	for (const struct p11_object *o = s->token->objects; o; o = o->next)
		if (s->found_len < P11_OBJECTS_MAX && p11__matches(o, templ, count))
			s->found[s->found_len++] = o->handle;
	return p11__leave(CKR_OK);
}

CK_RV C_FindObjects(
	CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE_PTR out, CK_ULONG max, CK_ULONG_PTR count)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;
	size_t n;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !count || (!out && max > 0))
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	if (!s->finding)
		return p11__leave(CKR_OPERATION_NOT_INITIALIZED);
	n = s->found_len - s->found_at;
	if (n > max)
		n = max;
	if (n > 0)
		memcpy(out, s->found + s->found_at, n * sizeof(*out));
	s->found_at += n;
	*count = n;
	return p11__leave(CKR_OK);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;
	bool was;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s)
		return p11__leave(CKR_SESSION_HANDLE_INVALID);
	was = s->finding;
	s->finding = false;
	return p11__leave(was ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED);
}

/* A file's bytes come from the card when they are wanted; their number does not. */
static enum iotsafe_error file_value(
	struct p11_token *t, const struct p11_object *o, CK_ATTRIBUTE *a)
{
	size_t len = 0;
	enum iotsafe_error e;

	if (!a->pValue) {
		a->ulValueLen = o->file_size;
		return IOTSAFE_OK;
	}
	e = iotsafe_read_file_by_id(t->iotsafe, p11__container(o), a->pValue, a->ulValueLen, &len);
	a->ulValueLen = e == IOTSAFE_OK ? len : CK_UNAVAILABLE_INFORMATION;
	return e;
}

static CK_RV give(const struct p11_object *o, CK_ATTRIBUTE *a)
{
	struct p11_value v;
	CK_RV rv = p11__attribute(o, a->type, &v);

	if (rv == CKR_OK && a->pValue && a->ulValueLen < v.len)
		rv = CKR_BUFFER_TOO_SMALL;
	if (rv != CKR_OK) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return rv;
	}
	if (a->pValue && v.len > 0)
		memcpy(a->pValue, v.at, v.len);
	a->ulValueLen = v.len;
	return CKR_OK;
}

CK_RV C_GetAttributeValue(
	CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR templ, CK_ULONG count)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;
	struct p11_object *o;
	CK_RV rv = CKR_OK;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !templ)
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	o = p11__object(s, object);
	if (!o)
		return p11__leave(CKR_OBJECT_HANDLE_INVALID);
	for (CK_ULONG i = 0; i < count; i++) {
		CK_RV one;
		if (o->class == CKO_DATA && templ[i].type == CKA_VALUE) {
			enum iotsafe_error e = file_value(s->token, o, &templ[i]);
			one = e == IOTSAFE_ETOOLARGE ? CKR_BUFFER_TOO_SMALL
						     : p11__error(p, s->token, e);
			if (one == CKR_DEVICE_REMOVED) /* session and object are gone */
				return p11__leave(one);
		} else {
			one = give(o, &templ[i]);
		}
		if (one != CKR_OK)
			rv = one;
	}
	return p11__leave(rv);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s)
		return p11__leave(CKR_SESSION_HANDLE_INVALID);
	for (struct p11_object **at = &s->token->objects; *at; at = &(*at)->next) {
		struct p11_object *o = *at;
		if (o->handle != object)
			continue;
		if (o->session == 0)
			return p11__leave(CKR_ACTION_PROHIBITED);
		*at = o->next;
		o->next = NULL;
		p11__objects_free(o);
		return p11__leave(CKR_OK);
	}
	return p11__leave(CKR_OBJECT_HANDLE_INVALID);
}
