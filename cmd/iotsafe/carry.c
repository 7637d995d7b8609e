/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include "base/str.h"

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Pins and own record are asked for again after this. */
#define PROVED_S 300

/* ADDRESS:PORT, [ADDRESS]:PORT. */
static bool split(const char *where, char host[64], char port[8])
{
	const char *colon = strrchr(where, ':');
	size_t n = colon ? (size_t)(colon - where) : 0;

	if (n >= 2 && where[0] == '[' && where[n - 1] == ']') {
		where++;
		n -= 2;
	}
	if (!colon || n == 0 || n >= 64 || str_copy(port, 8, colon + 1) != RC_OK)
		return false;
	memcpy(host, where, n);
	host[n] = '\0';
	return true;
}

enum rc watch_listen(struct watch *w, const char *where, struct diag *d)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *a = NULL;
	char host[64], port[8], text[128];
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	int on = 1;

	if (!split(where, host, port) || getaddrinfo(host, port, &hints, &a) != 0)
		return diag_set(d, RC_RANGE, "--listen %.80s: not ADDRESS:PORT", where);
	w->listener = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->listener < 0 ||
		setsockopt(w->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(w->listener, a->ai_addr, a->ai_addrlen) != 0 || listen(w->listener, 8) != 0) {
		freeaddrinfo(a);
		return diag_errno(d, RC_RANGE, "--listen %.80s", where);
	}
	freeaddrinfo(a);
	/* Port 0: whoever starts us wants to know. */
	if (getsockname(w->listener, (struct sockaddr *)&at, &len) == 0 &&
		getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
		str_format(text, sizeof(text), "%s:%s", host, port) == RC_OK)
		watch_say(w, "listening", text);
	return RC_OK;
}

static void *carry(void *user)
{
	struct carried *c = user;

	(void)service_carry(c->ssl, c->remote, c->local, c->local);
	/* Both ends learn of it now; the descriptors are closed when the thread is collected. */
	(void)shutdown(c->local, SHUT_RDWR);
	(void)shutdown(c->remote, SHUT_RDWR);
	c->ended = true;
	return NULL;
}

static void collect(struct carried *c)
{
	pthread_join(c->thread, NULL);
	SSL_free(c->ssl);
	close(c->remote);
	close(c->local);
	c->used = false;
}

/* A place for one more, from those that have ended where none was free. */
static struct carried *place(struct watch *w)
{
	struct carried *free_one = NULL;

	for (size_t i = 0; i < WATCH_CARRIED_MAX; i++) {
		if (w->carried[i].used && w->carried[i].ended)
			collect(&w->carried[i]);
		if (!w->carried[i].used && !free_one)
			free_one = &w->carried[i];
	}
	return free_one;
}

/* Everything proved, now or not long ago. */
static enum rc ready(struct watch *w, struct diag *d)
{
	time_t now = time(NULL);
	bool busy = false;

	if (!w->live || !w->card)
		return diag_set(d, RC_STATE, "there is no service now");
	for (size_t i = 0; i < WATCH_CARRIED_MAX; i++)
		busy = busy || w->carried[i].used;
	if (w->service && (busy || (now >= w->proved && now - w->proved < PROVED_S)))
		return RC_OK;
	service_free(w->service);
	w->service = NULL;
	w->proved = now;
	return service_prove(w->card, w->run->slot, &w->state, &w->service, d);
}

void watch_accept(struct watch *w)
{
	int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	struct carried *c = fd >= 0 ? place(w) : NULL;
	struct diag d = { 0 };
	enum rc rc;

	if (fd < 0)
		return;
	rc = c ? ready(w, &d) : diag_set(&d, RC_BUSY, "too many connections");
	if (rc == RC_OK) {
		*c = (struct carried){ .watch = w, .local = fd, .remote = -1 };
		rc = service_connect(w->service, &c->ssl, &c->remote, &d);
	}
	if (rc == RC_OK) {
		c->used = pthread_create(&c->thread, NULL, carry, c) == 0;
		if (c->used) {
			watch_say(w, "connected", w->service->host);
			return;
		}
		SSL_free(c->ssl);
		close(c->remote);
	}
	close(fd);
	watch_say(w, "not connected", d.text[0] ? d.text : rc_text(rc));
}

void watch_cut(struct watch *w)
{
	for (size_t i = 0; i < WATCH_CARRIED_MAX; i++) {
		struct carried *c = &w->carried[i];
		if (!c->used)
			continue;
		(void)shutdown(c->local, SHUT_RDWR);
		(void)shutdown(c->remote, SHUT_RDWR);
		collect(c);
	}
	service_free(w->service);
	w->service = NULL;
}
