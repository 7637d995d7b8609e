/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "device/pkcs11/p11__.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* PKCS#11 has no context argument: one lock and one pointer for the whole module, here only. */
static struct {
	pthread_mutex_t lock;
	struct p11 *p11;
	bool forked; /* p11 is the parent's */
	bool watches_fork;
} module = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct p11 *p11__enter(void)
{
	pthread_mutex_lock(&module.lock);
	if (module.p11 && !module.forked)
		return module.p11;
	pthread_mutex_unlock(&module.lock);
	return NULL;
}

CK_RV p11__leave(CK_RV rv)
{
	pthread_mutex_unlock(&module.lock);
	return rv;
}

/* A child has one thread and a copy of everything. The lock may have been held by a thread that is
 * not there; the cards are the parent's (PKCS#11 2.40 section 2.6.1: C_Initialize once more). */
static void in_child(void)
{
	pthread_mutex_init(&module.lock, NULL);
	module.forked = true;
}

static void p11_free(struct p11 *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->tokens_len; i++)
		p11__token_gone(p, &p->tokens[i]);
	OSSL_LIB_CTX_free(p->libctx);
	free(p);
}

static CK_RV token_add(struct p11 *p, const char *name, size_t len)
{
	struct p11_token *t = &p->tokens[p->tokens_len];

	if (p->tokens_len == P11_TOKENS_MAX || len == 0 || len >= sizeof(t->card))
		return CKR_ARGUMENTS_BAD;
	memcpy(t->card, name, len);
	t->card[len] = '\0';
	p->tokens_len++;
	return CKR_OK;
}

/* "card=tty:/dev/ttyUSB2 card=pcsc:", quotes allowed: what p11-kit (x-init-reserved) and NSS
 * (parameters) hand over. */
static CK_RV tokens_named(struct p11 *p, const char *text)
{
	static const char key[] = "card=";
	CK_RV rv = CKR_OK;

	while (rv == CKR_OK) {
		const char *end;
		text += strspn(text, " \t");
		if (!*text)
			return CKR_OK;
		if (strncmp(text, key, sizeof(key) - 1) != 0)
			return CKR_ARGUMENTS_BAD;
		text += sizeof(key) - 1;
		if (*text == '\'' || *text == '"') {
			end = strchr(text + 1, *text);
			if (!end)
				return CKR_ARGUMENTS_BAD;
			rv = token_add(p, text + 1, (size_t)(end - text - 1));
			text = end + 1;
		} else {
			end = text + strcspn(text, " \t");
			rv = token_add(p, text, (size_t)(end - text));
			text = end;
		}
	}
	return rv;
}

static CK_RV p11_new(const char *names, struct p11 **out)
{
	struct p11 *p = calloc(1, sizeof(*p));
	const char *env = getenv("IOTSAFE_CARD");
	CK_RV rv = CKR_HOST_MEMORY;

	if (!p)
		return rv;
	p->next_handle = 1;
	p->libctx = OSSL_LIB_CTX_new();
	if (p->libctx)
		rv = names && *names ? tokens_named(p, names)
		     : env && *env   ? token_add(p, env, strlen(env))
				     : CKR_OK; /* no card named: no slots */
	if (rv != CKR_OK) {
		p11_free(p);
		return rv;
	}
	*out = p;
	return CKR_OK;
}

/* We lock by ourselves: a caller that allows nothing but its own functions cannot be served. */
static CK_RV check_arguments(const CK_C_INITIALIZE_ARGS *a)
{
	int given;

	if (!a)
		return CKR_OK;
	given = !!a->CreateMutex + !!a->DestroyMutex + !!a->LockMutex + !!a->UnlockMutex;
	if (given != 0 && given != 4)
		return CKR_ARGUMENTS_BAD;
	return given == 4 && !(a->flags & CKF_OS_LOCKING_OK) ? CKR_CANT_LOCK : CKR_OK;
}

CK_RV C_Initialize(CK_VOID_PTR init_args)
{
	const CK_C_INITIALIZE_ARGS *a = init_args;
	CK_RV rv = check_arguments(a);
	struct p11 *old = NULL;

	if (rv != CKR_OK)
		return rv;
	pthread_mutex_lock(&module.lock);
	if (module.p11 && !module.forked) {
		rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
		goto out;
	}
	if (!module.watches_fork && pthread_atfork(NULL, NULL, in_child) != 0) {
		rv = CKR_HOST_MEMORY;
		goto out;
	}
	module.watches_fork = true;
	old = module.p11;
	module.p11 = NULL;
	module.forked = false;
	rv = p11_new(a ? a->pReserved : NULL, &module.p11);
	p11_free(old); /* the parent's: closes our copies, says nothing to the cards */
out:
	pthread_mutex_unlock(&module.lock);
	return rv;
}

CK_RV C_Finalize(CK_VOID_PTR reserved)
{
	struct p11 *p = NULL;
	CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;

	if (reserved)
		return CKR_ARGUMENTS_BAD;
	pthread_mutex_lock(&module.lock);
	if (module.p11 && !module.forked) {
		p = module.p11;
		module.p11 = NULL;
		rv = CKR_OK;
	}
	p11_free(p);
	pthread_mutex_unlock(&module.lock);
	return rv;
}

CK_RV C_GetInfo(CK_INFO_PTR info)
{
	if (!p11__enter())
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (!info)
		return p11__leave(CKR_ARGUMENTS_BAD);
	*info = (CK_INFO){ .cryptokiVersion = { 2, 40 }, .libraryVersion = { 0, 1 } };
	memset(info->manufacturerID, ' ', sizeof(info->manufacturerID));
	memset(info->libraryDescription, ' ', sizeof(info->libraryDescription));
	memcpy(info->manufacturerID, "attestry", 8);
	memcpy(info->libraryDescription, "IoT SAFE cards", 14);
	return p11__leave(CKR_OK);
}
