/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/str.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <winscard.h>

/* A card in a PC/SC reader: `pcsc:READER`, or `pcsc:` for the first reader with a card. The library
 * is loaded when it is first wanted: a device with a modem has none. pcscd keeps programs apart by
 * transactions; it offers no time-out for waiting on one, nor for an exchange. */

#define READERS_MAX 2048
#define LIBRARY	    "libpcsclite.so.1"

struct pcsc {
	void *so;
	pid_t owner; /* a context belongs to the process that made it */
	SCARDCONTEXT context;
	SCARDHANDLE handle;
	DWORD protocol;
	LONG (*establish)(DWORD, LPCVOID, LPCVOID, LPSCARDCONTEXT);
	LONG (*release)(SCARDCONTEXT);
	LONG (*list)(SCARDCONTEXT, LPCSTR, LPSTR, LPDWORD);
	LONG (*connect)(SCARDCONTEXT, LPCSTR, DWORD, DWORD, LPSCARDHANDLE, LPDWORD);
	LONG (*reconnect)(SCARDHANDLE, DWORD, DWORD, DWORD, LPDWORD);
	LONG (*disconnect)(SCARDHANDLE, DWORD);
	LONG (*begin)(SCARDHANDLE);
	LONG (*end)(SCARDHANDLE, DWORD);
	LONG(*transmit)
	(SCARDHANDLE, const SCARD_IO_REQUEST *, LPCBYTE, DWORD, SCARD_IO_REQUEST *, LPBYTE,
		LPDWORD);
};

static bool symbol(struct pcsc *p, const char *name, void *out)
{
	void *at = dlsym(p->so, name);

	memcpy(out, &at, sizeof(at));
	return at != NULL;
}

static bool load(struct pcsc *p)
{
	p->so = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	return p->so && symbol(p, "SCardEstablishContext", &p->establish) &&
	       symbol(p, "SCardReleaseContext", &p->release) &&
	       symbol(p, "SCardListReaders", &p->list) && symbol(p, "SCardConnect", &p->connect) &&
	       symbol(p, "SCardReconnect", &p->reconnect) &&
	       symbol(p, "SCardDisconnect", &p->disconnect) &&
	       symbol(p, "SCardBeginTransaction", &p->begin) &&
	       symbol(p, "SCardEndTransaction", &p->end) &&
	       symbol(p, "SCardTransmit", &p->transmit);
}

static void pcsc_free(struct pcsc *p)
{
	if (!p)
		return;
	/* After a fork the connection to pcscd is the parent's: it must not be spoken on. */
	if (p->owner == getpid()) {
		if (p->handle)
			(void)p->disconnect(p->handle, SCARD_LEAVE_CARD);
		if (p->context)
			(void)p->release(p->context);
	}
	if (p->so)
		(void)dlclose(p->so);
	free(p);
}

static void pcsc_close(struct dev_link *l)
{
	pcsc_free(l->state);
	l->state = NULL;
}

static struct pcsc *pcsc_new(struct diag *d)
{
	struct pcsc *p = calloc(1, sizeof(*p));
	LONG rc;

	if (!p || !load(p)) {
		(void)diag_set(d, RC_UNAVAILABLE, "PC/SC: %s is not installed", LIBRARY);
		pcsc_free(p);
		return NULL;
	}
	p->owner = getpid();
	rc = p->establish(SCARD_SCOPE_SYSTEM, NULL, NULL, &p->context);
	if (rc != SCARD_S_SUCCESS) {
		p->context = 0;
		(void)diag_set(d, RC_UNAVAILABLE, "PC/SC: pcscd does not answer (%08lX)",
			(unsigned long)rc);
		pcsc_free(p);
		return NULL;
	}
	return p;
}

/* The names of all readers, each with a NUL, and one NUL more. */
static bool readers(const struct pcsc *p, char names[READERS_MAX])
{
	DWORD len = READERS_MAX - 1;

	memset(names, 0, READERS_MAX);
	return p->list(p->context, NULL, names, &len) == SCARD_S_SUCCESS;
}

static LONG connect_to(struct pcsc *p, const char *reader)
{
	return p->connect(p->context, reader, SCARD_SHARE_SHARED,
		SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &p->handle, &p->protocol);
}

/* What pcscd's numbers mean to a person. */
static enum rc fail(
	const struct dev_link *l, enum rc rc, const char *what, LONG code, struct diag *d)
{
	static const struct {
		LONG code;
		const char *text;
	} texts[] = {
		{ SCARD_W_REMOVED_CARD, "no card: it was pulled out" },
		{ SCARD_E_NO_SMARTCARD, "no card in it" },
		{ SCARD_E_NO_READERS_AVAILABLE, "no card, and no reader that pcscd knows" },
		{ SCARD_E_UNKNOWN_READER, "no card: pcscd knows no reader of this name" },
		{ SCARD_E_READER_UNAVAILABLE, "no card: the reader was pulled out" },
		{ SCARD_E_NOT_TRANSACTED, "no card, or one that does not answer" },
		{ SCARD_W_UNRESPONSIVE_CARD, "the card does not answer" },
		{ SCARD_W_UNPOWERED_CARD, "the card has no power" },
		{ SCARD_E_SHARING_VIOLATION, "another program has the card to itself" },
		{ SCARD_E_NO_SERVICE, "pcscd ended" },
	};
	const char *text = "pcscd refuses";

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].code == code)
			text = texts[i].text;
	return diag_set(d, rc, "reader %s: %s%s (PC/SC %08lX)", l->path[0] ? l->path : "(any)",
		what, text, (unsigned long)code);
}

static enum rc pcsc_open(struct dev_link *l, struct diag *d)
{
	char names[READERS_MAX];
	struct pcsc *p = pcsc_new(d);
	LONG rc = SCARD_E_NO_READERS_AVAILABLE;

	if (!p)
		return RC_UNAVAILABLE;
	if (l->path[0])
		rc = connect_to(p, l->path);
	else if (readers(p, names))
		for (const char *at = names; *at && rc != SCARD_S_SUCCESS; at += strlen(at) + 1)
			rc = connect_to(p, at);
	if (rc != SCARD_S_SUCCESS) {
		p->handle = 0;
		pcsc_free(p);
		return fail(l, RC_UNAVAILABLE, "", rc, d);
	}
	l->state = p;
	l->fd = 0; /* open; there is no descriptor */
	return RC_OK;
}

/* A card that another program has reset has lost channels and selection, but is there. */
static enum rc lost(struct dev_link *l, LONG rc, const char *what, struct diag *d)
{
	struct pcsc *p = l->state;

	if (rc == SCARD_W_RESET_CARD &&
		p->reconnect(p->handle, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1,
			SCARD_LEAVE_CARD, &p->protocol) == SCARD_S_SUCCESS)
		return diag_set(d, RC_CLOSED, "reader %s: %sthe card was reset", l->path, what);
	dev__link_close(l);
	return fail(l, RC_CLOSED, what, rc, d);
}

static enum rc pcsc_exchange(struct dev_link *l, const uint8_t *apdu, size_t len,
	uint8_t reply[DEV_REPLY_MAX], size_t *reply_len, uint64_t deadline_ms, struct diag *d)
{
	struct pcsc *p = l->state;
	SCARD_IO_REQUEST io = { p->protocol, sizeof(io) };
	DWORD n = DEV_REPLY_MAX;
	LONG rc;

	(void)deadline_ms;
	/* T=0 has no place for Le behind data: the answer is fetched (ISO 7816-3 section 12.2.1).
	 */
	if (p->protocol == SCARD_PROTOCOL_T0 && len > 5 && len == 6U + apdu[4])
		len--;
	rc = p->transmit(p->handle, &io, apdu, (DWORD)len, NULL, reply, &n);
	if (rc != SCARD_S_SUCCESS)
		return lost(l, rc, "exchange: ", d);
	*reply_len = n;
	return RC_OK;
}

/* The reader takes the card's power away and gives it back. */
static enum rc pcsc_reset(
	struct dev_link *l, const char *program, uint64_t deadline_ms, struct diag *d)
{
	struct pcsc *p = l->state;
	LONG rc;

	(void)program;
	(void)deadline_ms;
	if (!p)
		return diag_set(d, RC_CLOSED, "reader %s: no card", l->path);
	/* The transaction goes with the connection's old state; ours is to be ended all the same.
	 */
	rc = p->reconnect(p->handle, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1,
		SCARD_UNPOWER_CARD, &p->protocol);
	return rc == SCARD_S_SUCCESS ? RC_OK : lost(l, rc, "reset: ", d);
}

static enum rc pcsc_lock(struct dev_link *l, uint64_t deadline_ms, struct diag *d)
{
	struct pcsc *p = l->state;
	LONG rc = p->begin(p->handle);

	(void)deadline_ms;
	return rc == SCARD_S_SUCCESS ? RC_OK : lost(l, rc, "transaction: ", d);
}

static void pcsc_unlock(struct dev_link *l)
{
	struct pcsc *p = l->state;

	if (p)
		(void)p->end(p->handle, SCARD_LEAVE_CARD);
}

const struct dev_link_ops dev__pcsc = {
	.open = pcsc_open,
	.close = pcsc_close,
	.exchange = pcsc_exchange,
	.lock = pcsc_lock,
	.unlock = pcsc_unlock,
	.reset = pcsc_reset,
};

void dev__pcsc_each(void (*each)(void *arg, const char *reader), void *arg)
{
	char names[READERS_MAX];
	struct pcsc *p = pcsc_new(NULL);

	if (p && readers(p, names))
		for (const char *at = names; *at; at += strlen(at) + 1)
			each(arg, at);
	pcsc_free(p);
}
