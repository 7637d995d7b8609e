/* SPDX-License-Identifier: Apache-2.0 */
/* What the zones of providers say of their services' TLSA: a validated look-up for each question of
 * core, one after the other in a thread, since a look-up waits for its resolver. */
#include "role/out_internal.h"
#include "role/role.h"

#include "base/str.h"
#include "dane/dane.h"
#include "out.pb-c.h"
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_MAX 64

struct question {
	struct question *next;
	Out__AskTlsa *ask;
	Out__FoundTlsa found;
	char why[129];
};

struct out_tlsa {
	struct role *role;
	out_tlsa_fn *done;
	void *user;
	struct dane *dane; /* the thread's; NULL: no anchor is configured */
	struct event *wake;
	int wake_fd;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	bool stop;
	size_t waiting;
	struct question *todo, **todo_end, *answered;
};

static void question_free(struct question *q)
{
	if (!q)
		return;
	out__ask_tlsa__free_unpacked(q->ask, NULL);
	free(q);
}

/* ---- the thread --------------------------------------------------------------------------- */

static bool names_a_pin(const Out__AskTlsa *ask, const struct dane_answer *a)
{
	for (size_t i = 0; i < a->n_rrs; i++) {
		struct dane_tlsa t;

		if (dane_tlsa_parse(&a->rrs[i], &t) != RC_OK)
			continue;
		for (size_t k = 0; k < ask->n_pins; k++) {
			const Out__Pin *p = ask->pins[k];

			if (p->usage == t.usage && p->selector == t.selector &&
				p->matching == t.matching && p->data.len == t.len &&
				memcmp(p->data.data, t.data, t.len) == 0)
				return true;
		}
	}
	return false;
}

static enum store_tlsa judge(const struct question *q, const struct dane_answer *a)
{
	switch (a->status) {
	case DANE_SECURE: return names_a_pin(q->ask, a) ? STORE_TLSA_OK : STORE_TLSA_MISMATCH;
	case DANE_NXDOMAIN:
	case DANE_NODATA: return STORE_TLSA_MISSING;
	case DANE_INSECURE: return STORE_TLSA_INSECURE;
	case DANE_BOGUS: return STORE_TLSA_BOGUS;
	case DANE_UNREACHABLE: break;
	}
	return STORE_TLSA_UNREACHABLE;
}

static const char *advice(enum store_tlsa state)
{
	switch (state) {
	case STORE_TLSA_MISSING: return "publish one of the service's pins there";
	case STORE_TLSA_MISMATCH: return "none of its records is a pin of the service";
	case STORE_TLSA_INSECURE: return "its zone is not signed: sign it, or set publish_tlsa";
	case STORE_TLSA_BOGUS: return "signatures are missing or wrong";
	case STORE_TLSA_UNREACHABLE: return "the registry's resolver did not answer";
	case STORE_TLSA_OK:
	case STORE_TLSA_UNCHECKED:
	case STORE_TLSA_STATES: break;
	}
	return "";
}

static void look_up(struct out_tlsa *o, struct question *q)
{
	struct dane_answer *a = calloc(1, sizeof(*a));
	enum store_tlsa state = STORE_TLSA_UNREACHABLE;
	char name[DANE_NAME_MAX];

	if (a && str_format(name, sizeof(name), "_%u._tcp.%s", q->ask->port, q->ask->fqdn) ==
			 RC_OK) {
		dane_lookup(o->dane, name, DANE_TYPE_TLSA, a);
		state = judge(q, a);
	}
	out__found_tlsa__init(&q->found);
	(void)snprintf(q->why, sizeof(q->why), "%s", advice(state));
	q->found.service = q->ask->service;
	q->found.state = (uint32_t)state;
	q->found.why = q->why;
	free(a);
}

static void *run(void *arg)
{
	struct out_tlsa *o = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&o->lock);
	while (!o->stop) {
		struct question *q = o->todo;

		if (!q) {
			pthread_cond_wait(&o->work, &o->lock);
			continue;
		}
		o->todo = q->next;
		if (!o->todo)
			o->todo_end = &o->todo;
		pthread_mutex_unlock(&o->lock);
		look_up(o, q);
		pthread_mutex_lock(&o->lock);
		q->next = o->answered;
		o->answered = q;
		(void)!write(o->wake_fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* ---- the event loop's side ---------------------------------------------------------------- */

static void on_wake(evutil_socket_t fd, short what, void *user)
{
	struct out_tlsa *o = user;
	struct question *list, *next;
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof(n));
	pthread_mutex_lock(&o->lock);
	list = o->answered;
	o->answered = NULL;
	pthread_mutex_unlock(&o->lock);
	for (; list; list = next) {
		next = list->next;
		o->waiting--;
		o->done(o->user, &list->found);
		question_free(list);
	}
}

void out_tlsa_ask(struct out_tlsa *o, const Out__AskTlsa *ask)
{
	size_t len = out__ask_tlsa__get_packed_size(ask);
	uint8_t *bytes = o->dane && o->started && o->waiting < QUEUE_MAX ? malloc(len) : NULL;
	struct question *q = bytes ? calloc(1, sizeof(*q)) : NULL;

	if (q) {
		out__ask_tlsa__pack(ask, bytes);
		q->ask = out__ask_tlsa__unpack(NULL, len, bytes);
	}
	free(bytes);
	if (!q || !q->ask) {
		free(q);
		return; /* core asks again */
	}
	pthread_mutex_lock(&o->lock);
	*o->todo_end = q;
	o->todo_end = &q->next;
	o->waiting++;
	pthread_cond_signal(&o->work);
	pthread_mutex_unlock(&o->lock);
}

/* ---- life --------------------------------------------------------------------------------- */

static enum rc read_resolver(const struct config *c, struct dane_resolver *r, struct diag *d)
{
	if (dane_resolver_addr(r, c->resolver.addr, (uint16_t)c->resolver.port) != RC_OK)
		return diag_set(d, RC_MALFORMED, "[tlsa] needs [resolver] addr and pin");
	if (str_copy(r->name, sizeof(r->name), c->resolver.name) != RC_OK)
		return diag_set(d, RC_MALFORMED, "[resolver] name: too long");
	for (size_t i = 0; i < c->resolver.pin.count; i++)
		if (dane_resolver_pin(r, c->resolver.pin.items[i]) != RC_OK)
			return diag_set(d, RC_MALFORMED, "[resolver] pin: not 32 bytes in base64");
	return RC_OK;
}

static enum rc open_dane(struct out_tlsa *o, struct diag *d)
{
	const struct config *c = o->role->config;
	struct dane_anchor anchors[DANE_ANCHORS_MAX];
	struct dane_resolver r = { 0 };
	struct dane_options opt = { .anchors = anchors, .resolvers = &r, .n_resolvers = 1 };
	enum rc rc;

	if (!c->tlsa.anchor_file[0])
		return RC_OK;
	rc = dane_anchors_read_file(c->tlsa.anchor_file, anchors, &opt.n_anchors, d);
	if (rc == RC_OK)
		rc = read_resolver(c, &r, d);
	return rc == RC_OK ? dane_new(&opt, &o->dane, d) : rc;
}

enum rc out_tlsa_new(
	struct role *role, out_tlsa_fn *done, void *user, struct out_tlsa **out, struct diag *d)
{
	struct out_tlsa *o = calloc(1, sizeof(*o));
	enum rc rc = RC_NOMEM;

	if (!o)
		return rc;
	o->role = role;
	o->done = done;
	o->user = user;
	o->todo_end = &o->todo;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->work, NULL);
	o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->wake_fd >= 0)
		o->wake = event_new(role->base, o->wake_fd, EV_READ | EV_PERSIST, on_wake, o);
	if (o->wake && event_add(o->wake, NULL) == 0)
		rc = open_dane(o, d);
	if (rc != RC_OK) {
		out_tlsa_free(o);
		return rc;
	}
	*out = o;
	return RC_OK;
}

enum rc out_tlsa_start(struct out_tlsa *o)
{
	if (!o->dane)
		return RC_OK;
	o->started = pthread_create(&o->thread, NULL, run, o) == 0;
	return o->started ? RC_OK : RC_NOMEM;
}

void out_tlsa_free(struct out_tlsa *o)
{
	struct question *next;

	if (!o)
		return;
	if (o->started) {
		pthread_mutex_lock(&o->lock);
		o->stop = true;
		pthread_cond_signal(&o->work);
		pthread_mutex_unlock(&o->lock);
		pthread_join(o->thread, NULL);
	}
	for (struct question *q = o->todo; q; q = next) {
		next = q->next;
		question_free(q);
	}
	for (struct question *q = o->answered; q; q = next) {
		next = q->next;
		question_free(q);
	}
	if (o->wake)
		event_free(o->wake);
	if (o->wake_fd >= 0)
		close(o->wake_fd);
	pthread_cond_destroy(&o->work);
	pthread_mutex_destroy(&o->lock);
	dane_free(o->dane);
	free(o);
}
