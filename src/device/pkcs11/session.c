/* SPDX-License-Identifier: Apache-2.0 */
#include "device/pkcs11/p11__.h"

#include <stdlib.h>
#include <string.h>

struct p11_session *p11__session(struct p11 *p, CK_SESSION_HANDLE handle)
{
	for (struct p11_session *s = p->sessions; s; s = s->next)
		if (s->handle == handle)
			return s;
	return NULL;
}

void p11__operation_end(struct p11_session *s)
{
	EVP_MD_CTX_free(s->md);
	s->md = NULL;
	s->data_len = 0;
	s->operation = P11_IDLE;
}

static void session_free(struct p11 *p, struct p11_session *s)
{
	p11__operation_end(s);
	p11__objects_of_session(s->token, s->handle);
	free(s->found);
	free(s);
	p->sessions_len--;
}

/* Without sessions nobody is logged in (PKCS#11 2.40 section 5.6, C_CloseSession). */
static void forget_login(const struct p11 *p, struct p11_token *t)
{
	for (const struct p11_session *s = p->sessions; s; s = s->next)
		if (s->token == t)
			return;
	t->logged_in = false;
}

void p11__sessions_close(struct p11 *p, const struct p11_token *t)
{
	struct p11_session **at = &p->sessions;

	while (*at) {
		struct p11_session *s = *at;
		if (s->token != t) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		session_free(p, s);
	}
}

CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
	CK_SESSION_HANDLE_PTR out)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;
	struct p11_token *t;
	CK_RV rv;

	(void)application;
	(void)notify;
	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	t = p11__token(p, slot);
	if (!t || !out)
		return p11__leave(t ? CKR_ARGUMENTS_BAD : CKR_SLOT_ID_INVALID);
	if (!(flags & CKF_SERIAL_SESSION))
		return p11__leave(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
	if (p->sessions_len >= P11_SESSIONS_MAX)
		return p11__leave(CKR_SESSION_COUNT);
	rv = p11__token_probe(p, t);
	if (rv != CKR_OK)
		return p11__leave(rv);
	s = calloc(1, sizeof(*s));
	if (!s)
		return p11__leave(CKR_HOST_MEMORY);
	s->handle = p->next_handle++;
	s->token = t;
	s->flags = flags;
	s->next = p->sessions;
	p->sessions = s;
	p->sessions_len++;
	*out = s->handle;
	return p11__leave(CKR_OK);
}

CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
	struct p11 *p = p11__enter();

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	for (struct p11_session **at = &p->sessions; *at; at = &(*at)->next) {
		struct p11_session *s = *at;
		struct p11_token *t = s->token;
		if (s->handle != handle)
			continue;
		*at = s->next;
		session_free(p, s);
		forget_login(p, t);
		return p11__leave(CKR_OK);
	}
	return p11__leave(CKR_SESSION_HANDLE_INVALID);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
	struct p11 *p = p11__enter();
	struct p11_token *t;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	t = p11__token(p, slot);
	if (!t)
		return p11__leave(CKR_SLOT_ID_INVALID);
	p11__sessions_close(p, t);
	t->logged_in = false;
	return p11__leave(CKR_OK);
}

static CK_STATE state_of(const struct p11_session *s)
{
	if (s->flags & CKF_RW_SESSION)
		return s->token->logged_in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
	return s->token->logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO_PTR info)
{
	struct p11 *p = p11__enter();
	const struct p11_session *s;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !info)
		return p11__leave(s ? CKR_ARGUMENTS_BAD : CKR_SESSION_HANDLE_INVALID);
	*info = (CK_SESSION_INFO){
		.slotID = p11__slot_of(p, s->token), .state = state_of(s), .flags = s->flags
	};
	return p11__leave(CKR_OK);
}

/* The applet has no PIN. Programs that insist on giving one are told that it was right: who can
 * talk to the modem can use the card, with or without it. */
CK_RV C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;

	(void)pin;
	(void)len;
	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s)
		return p11__leave(CKR_SESSION_HANDLE_INVALID);
	if (user != CKU_USER)
		return p11__leave(CKR_USER_TYPE_INVALID);
	if (s->token->logged_in)
		return p11__leave(CKR_USER_ALREADY_LOGGED_IN);
	s->token->logged_in = true;
	return p11__leave(CKR_OK);
}

CK_RV C_Logout(CK_SESSION_HANDLE handle)
{
	struct p11 *p = p11__enter();
	struct p11_session *s;

	if (!p)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	s = p11__session(p, handle);
	if (!s || !s->token->logged_in)
		return p11__leave(s ? CKR_USER_NOT_LOGGED_IN : CKR_SESSION_HANDLE_INVALID);
	s->token->logged_in = false;
	return p11__leave(CKR_OK);
}
