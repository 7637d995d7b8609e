/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE_MAX      4096 /* names waiting at once; more are told to come again */
#define UNREACHABLE_MS 1000 /* so long a failure is remembered, so a crowd does not repeat it */

/* One name being asked for. Held by the queue or the thread, and by everyone who waits. */
struct lookup {
	struct lookup *next;
	unsigned refs;
	bool started;
	bool done;
	char name[IDENT_OWNER_TEXT];
	struct asp_answer answer;
};

struct asp_worker {
	pthread_mutex_t lock; /* guards all below but dane */
	pthread_cond_t work;
	pthread_cond_t done;
	pthread_t thread;
	bool stop;
	size_t queued;
	struct lookup *head; /* waiting, oldest first */
	struct lookup **tail;
	struct lookup *current; /* being asked for by the thread */
	struct asp_cache *cache;
	struct dane *dane; /* the thread's own */
	unsigned timeout_ms;
	uint16_t type;
	const struct clock *clock;
};

static void unref(struct lookup *l)
{
	if (--l->refs == 0)
		free(l);
}

static void add_digest(struct asp_answer *a, const uint8_t *digest)
{
	if (a->n_digests < ASP_DIGESTS)
		memcpy(a->digests[a->n_digests++], digest, 32);
}

/* Only records that pin the exact certificate count: CERT with its SHA-256, TLSA 3 0 1. */
static void take_digests(const struct dane_answer *from, uint16_t type, struct asp_answer *a)
{
	for (size_t i = 0; i < from->n_rrs; i++) {
		const struct dane_rr *rr = &from->rrs[i];
		const uint8_t *tail = rr->rdata + (rr->len >= 32 ? rr->len - 32 : 0);
		struct dane_tlsa t;

		if (rr->len < 32)
			continue;
		if (type == DANE_TYPE_CERT && dane_cert_match(rr, tail))
			add_digest(a, tail);
		else if (type == DANE_TYPE_TLSA && dane_tlsa_parse(rr, &t) == RC_OK &&
			 t.usage == 3 && t.selector == 0 && t.matching == 1)
			add_digest(a, t.data);
	}
	a->n_records = (uint8_t)from->n_rrs;
}

static void ask(struct asp_worker *w, const char *name, struct asp_answer *out)
{
	struct dane_answer found;
	struct asp_answer a = { 0 };

	dane_lookup(w->dane, name, w->type, &found);
	a.status = found.status;
	a.ttl_s = found.ttl_s;
	a.until_ms = w->clock->monotonic_ms(w->clock) +
		     (found.status <= DANE_NODATA ? found.ttl_s * 1000ULL : UNREACHABLE_MS);
	memcpy(a.why, found.why, sizeof(a.why) - 1);
	if (found.status == DANE_SECURE)
		take_digests(&found, w->type, &a);
	*out = a;
}

/* With the lock held. */
static void finish(struct asp_worker *w, struct lookup *l, const struct asp_answer *a)
{
	l->answer = *a;
	l->done = true;
	asp__cache_put(w->cache, l->name, w->clock->monotonic_ms(w->clock), a);
	unref(l);
}

static struct lookup *take(struct asp_worker *w)
{
	struct lookup *l = w->head;

	w->head = l->next;
	if (!w->head)
		w->tail = &w->head;
	w->queued--;
	l->next = NULL;
	l->started = true;
	return l;
}

static void *run(void *arg)
{
	struct asp_worker *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct asp_answer a;
		uint64_t began;

		if (!w->head) {
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		w->current = take(w);
		pthread_mutex_unlock(&w->lock);
		began = w->clock->monotonic_ms(w->clock);
		ask(w, w->current->name, &a);
		pthread_mutex_lock(&w->lock);
		finish(w, w->current, &a);
		w->current = NULL;
		/* A resolver that cost us a time-out would cost it again for everyone in line. */
		if (a.status == DANE_UNREACHABLE &&
			w->clock->monotonic_ms(w->clock) - began >= w->timeout_ms / 2)
			while (w->head)
				finish(w, take(w), &a);
		pthread_cond_broadcast(&w->done);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static enum rc init_locks(struct asp_worker *w)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_condattr_init(&attr) != 0)
		return RC_NOMEM;
	ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
	     pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->work, NULL) == 0 &&
	     pthread_cond_init(&w->done, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return ok ? RC_OK : RC_NOMEM;
}

/* Signals stay the host's: none is delivered to our thread. */
static bool start_thread(struct asp_worker *w)
{
	sigset_t all, old;
	bool ok;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
		return false;
	ok = pthread_create(&w->thread, NULL, run, w) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ok;
}

enum rc asp__worker_new(const struct dane_options *opt, bool use_tlsa, size_t cache_entries,
	struct asp_worker **out, struct diag *d)
{
	struct asp_worker *w = calloc(1, sizeof(*w));
	enum rc rc;

	if (!w)
		return diag_set(d, RC_NOMEM, "no memory");
	w->tail = &w->head;
	w->type = use_tlsa ? DANE_TYPE_TLSA : DANE_TYPE_CERT;
	w->clock = opt->clock ? opt->clock : clock_system();
	w->timeout_ms = opt->timeout_ms;
	rc = dane_new(opt, &w->dane, d);
	if (rc == RC_OK)
		rc = asp__cache_new(cache_entries, &w->cache);
	if (rc == RC_OK)
		rc = init_locks(w);
	if (rc == RC_OK && !start_thread(w))
		rc = diag_set(d, RC_NOMEM, "no thread");
	if (rc != RC_OK) {
		asp__cache_free(w->cache);
		dane_free(w->dane);
		free(w);
		return rc;
	}
	*out = w;
	return RC_OK;
}

void asp__worker_free(struct asp_worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	while (w->head)
		unref(take(w));
	pthread_cond_destroy(&w->done);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	asp__cache_free(w->cache);
	dane_free(w->dane);
	free(w);
}

/* One look-up per name at a time. A fresh answer may share one that has not started yet. */
static struct lookup *find(struct asp_worker *w, const char *name, bool fresh)
{
	if (w->current && !fresh && strcmp(w->current->name, name) == 0)
		return w->current;
	for (struct lookup *l = w->head; l; l = l->next)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}

static struct lookup *enqueue(struct asp_worker *w, const char *name)
{
	size_t len = strlen(name);
	struct lookup *l = NULL;

	if (w->queued >= QUEUE_MAX || len >= sizeof(l->name))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	memcpy(l->name, name, len + 1);
	l->refs = 1; /* the queue's */
	*w->tail = l;
	w->tail = &l->next;
	w->queued++;
	pthread_cond_signal(&w->work);
	return l;
}

static void wait_until(struct asp_worker *w, struct lookup *l, unsigned wait_ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += wait_ms / 1000;
	t.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	while (!l->done)
		if (pthread_cond_timedwait(&w->done, &w->lock, &t) == ETIMEDOUT)
			break;
}

enum rc asp__worker_ask(struct asp_worker *w, const char *name, unsigned wait_ms, bool fresh,
	struct asp_answer *out, bool *cached)
{
	enum rc rc = RC_TIMEOUT;
	struct lookup *l;

	pthread_mutex_lock(&w->lock);
	*cached = !fresh && asp__cache_get(w->cache, name, w->clock->monotonic_ms(w->clock), out);
	if (*cached) {
		pthread_mutex_unlock(&w->lock);
		return RC_OK;
	}
	l = find(w, name, fresh);
	if (!l)
		l = enqueue(w, name);
	if (!l) {
		rc = RC_BUSY;
	} else {
		l->refs++;
		wait_until(w, l, wait_ms);
		if (l->done) {
			*out = l->answer;
			rc = RC_OK;
		}
		unref(l);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}
