/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/queue.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UNREACHABLE_MS 1000 /* so long a failure is remembered, so a crowd does not repeat it */
#define RENEW_PART     10   /* an answer in use is renewed in the last tenth of its life */

struct asp_worker {
	pthread_mutex_t lock; /* guards all below but the threads' own dane */
	pthread_cond_t work;
	pthread_cond_t done;
	bool stop;
	unsigned n_threads; /* started */
	unsigned max_threads;
	unsigned idle;
	struct asp_thread {
		struct asp_worker *worker;
		pthread_t thread;
		struct dane *dane;
		unsigned slot;
	} threads[ASP_THREADS_MAX];
	struct asp_queue queue;
	struct asp_cache *cache;
	struct asp_cache *news;
	unsigned timeout_ms;
	uint32_t max_ttl_s;
	bool prefetch;
	const struct clock *clock;
	struct attest_metrics m;
};

static uint64_t now_ms(const struct asp_worker *w)
{
	return w->clock->monotonic_ms(w->clock);
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

static void ask(
	struct asp_worker *w, struct dane *dane, const struct asp_lookup *l, struct asp_answer *out)
{
	struct dane_answer found;
	struct asp_answer a = { 0 };

	dane_lookup(dane, l->name, l->type, &found);
	a.status = found.status;
	a.ttl_s = w->max_ttl_s && found.ttl_s > w->max_ttl_s ? w->max_ttl_s : found.ttl_s;
	a.until_ms = now_ms(w) + (found.status <= DANE_NODATA ? a.ttl_s * 1000ULL : UNREACHABLE_MS);
	memcpy(a.why, found.why, sizeof(a.why) - 1);
	if (found.status == DANE_SECURE)
		take_digests(&found, l->type, &a);
	*out = a;
}

/* A resolver's cache counts down: what it gave to a renewal runs out when the answer in use does.
 * Then the name is asked for once more, just as it ran out there. */
static void renew_again(
	struct asp_worker *w, const struct asp_lookup *l, const struct asp_answer *a)
{
	if (l->renewal && l->former_ttl_s > 0 && a->status == DANE_SECURE &&
		a->ttl_s < l->former_ttl_s / 2)
		asp__queue_later(&w->queue, l, a->until_ms);
}

static void end_waiters(struct asp_lookup *l, enum rc rc, const struct asp_answer *a)
{
	while (l->waiters) {
		struct asp_waiter *one = l->waiters;

		l->waiters = one->next;
		one->ended(one, rc, a, false);
	}
}

/* With the lock held. */
static void finish(struct asp_worker *w, struct asp_lookup *l, const struct asp_answer *a)
{
	struct asp_answer kept;

	/* A renewal that failed does not take away an answer that still stands. */
	if (a->status > DANE_NODATA && l->renewal &&
		asp__cache_get(w->cache, l->name, l->type, now_ms(w), &kept))
		a = &kept;
	else
		asp__cache_put(w->cache, l->name, l->type, now_ms(w), a);
	l->answer = *a;
	l->done = true;
	renew_again(w, l, a);
	end_waiters(l, RC_OK, a);
	asp__lookup_unref(l);
}

static void count_lookup(struct asp_worker *w, uint64_t took_ms, enum dane_status status)
{
	size_t i = 0;

	while (took_ms > attest_latency_ms(i))
		i++;
	w->m.latency[i]++;
	w->m.latency_sum_ms += took_ms;
	w->m.unreachable += status == DANE_UNREACHABLE;
	w->m.unproved += status == DANE_INSECURE || status == DANE_BOGUS;
}

static void work(struct asp_worker *w, struct asp_thread *t)
{
	struct asp_lookup *l = asp__queue_take(&w->queue);
	uint64_t began = now_ms(w);
	struct asp_answer a;

	if (began - l->since_ms > w->timeout_ms) { /* nobody waits so long */
		a = (struct asp_answer){ .status = DANE_UNREACHABLE,
			.until_ms = began,
			.why = "resolver: too slow for those in line" };
		finish(w, l, &a);
		pthread_cond_broadcast(&w->done);
		return;
	}
	w->queue.running[t->slot] = l;
	pthread_mutex_unlock(&w->lock);
	ask(w, t->dane, l, &a);
	pthread_mutex_lock(&w->lock);
	w->queue.running[t->slot] = NULL;
	count_lookup(w, now_ms(w) - began, a.status);
	finish(w, l, &a);
	/* A resolver that cost us a time-out would cost it again for everyone in line. */
	if (a.status == DANE_UNREACHABLE && now_ms(w) - began >= w->timeout_ms / 2)
		while (w->queue.head)
			finish(w, asp__queue_take(&w->queue), &a);
	pthread_cond_broadcast(&w->done);
}

static void sleep_until(struct asp_worker *w, uint64_t due_ms)
{
	struct timespec t;
	uint64_t now = now_ms(w), ms;

	if (due_ms == UINT64_MAX) {
		pthread_cond_wait(&w->work, &w->lock);
		return;
	}
	ms = due_ms > now ? due_ms - now : 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000 + 1) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	(void)pthread_cond_timedwait(&w->work, &w->lock, &t);
}

static void *run(void *arg)
{
	struct asp_thread *t = arg;
	struct asp_worker *w = t->worker;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		uint64_t moved = 0, due = asp__queue_due(&w->queue, now_ms(w), &moved);

		w->m.renewals += moved;
		w->m.lookups += moved;
		if (w->queue.head) {
			work(w, t);
			continue;
		}
		w->idle++;
		sleep_until(w, due);
		w->idle--;
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
	     pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->work, &attr) == 0 &&
	     pthread_cond_init(&w->done, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return ok ? RC_OK : RC_NOMEM;
}

/* Signals stay the host's: none is delivered to our threads. */
static bool start_thread(struct asp_worker *w)
{
	struct asp_thread *t = &w->threads[w->n_threads];
	sigset_t all, old;
	bool ok;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
		return false;
	ok = pthread_create(&t->thread, NULL, run, t) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->n_threads += ok;
	return ok;
}

static void dispose(struct asp_worker *w)
{
	for (unsigned i = 0; i < ASP_THREADS_MAX; i++)
		dane_free(w->threads[i].dane);
	asp__cache_free(w->cache);
	asp__cache_free(w->news);
	free(w);
}

enum rc asp__worker_new(
	const struct asp_worker_options *opt, struct asp_worker **out, struct diag *d)
{
	struct asp_worker *w = calloc(1, sizeof(*w));
	enum rc rc = RC_OK;

	if (!w)
		return diag_set(d, RC_NOMEM, "no memory");
	asp__queue_init(&w->queue);
	w->clock = opt->dane->clock ? opt->dane->clock : clock_system();
	w->timeout_ms = opt->dane->timeout_ms;
	w->max_threads = opt->threads;
	w->max_ttl_s = opt->max_ttl_s;
	w->prefetch = opt->prefetch;
	for (unsigned i = 0; i < w->max_threads && rc == RC_OK; i++) {
		w->threads[i].worker = w;
		w->threads[i].slot = i;
		rc = dane_new(opt->dane, &w->threads[i].dane, d);
	}
	if (rc == RC_OK)
		rc = asp__cache_new(opt->cache_entries, &w->cache);
	if (rc == RC_OK)
		rc = asp__cache_new(opt->cache_entries, &w->news);
	if (rc == RC_OK)
		rc = init_locks(w);
	if (rc == RC_OK && !start_thread(w))
		rc = diag_set(d, RC_NOMEM, "no thread");
	if (rc != RC_OK) {
		dispose(w);
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
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i].thread, NULL);
	asp__queue_fini(&w->queue);
	pthread_cond_destroy(&w->done);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	dispose(w);
}

static struct asp_lookup *enqueue(struct asp_worker *w, const char *name, uint16_t type)
{
	struct asp_lookup *l = asp__queue_add(&w->queue, name, type, now_ms(w));

	if (!l)
		return NULL;
	w->m.lookups++;
	if (w->idle == 0 && w->n_threads < w->max_threads)
		(void)start_thread(w); /* without it those that run will do it */
	pthread_cond_signal(&w->work);
	return l;
}

static struct asp_lookup *join(struct asp_worker *w, const char *name, uint16_t type, bool fresh)
{
	struct asp_lookup *l = asp__queue_find(&w->queue, name, type, fresh);

	if (l) {
		w->m.joined++;
		return l;
	}
	l = enqueue(w, name, type);
	w->m.refused_busy += l == NULL;
	return l;
}

/* Somebody uses an answer that will soon run out: ask before anybody has to wait. */
static void renew(struct asp_worker *w, const char *name, uint16_t type, const struct asp_answer *a)
{
	struct asp_lookup *l;

	if (!w->prefetch || a->status != DANE_SECURE ||
		a->until_ms - now_ms(w) > a->ttl_s * 1000ULL / RENEW_PART ||
		asp__queue_find(&w->queue, name, type, false))
		return;
	l = enqueue(w, name, type);
	if (!l)
		return;
	l->renewal = true;
	l->former_ttl_s = a->ttl_s;
	w->m.renewals++;
}

static bool remembered(
	struct asp_worker *w, const char *name, uint16_t type, struct asp_answer *out)
{
	if (!asp__cache_get(w->cache, name, type, now_ms(w), out))
		return false;
	w->m.hits++;
	renew(w, name, type, out);
	return true;
}

static void wait_until(struct asp_worker *w, struct asp_lookup *l, unsigned wait_ms)
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

enum rc asp__worker_ask(struct asp_worker *w, const char *name, uint16_t type, unsigned wait_ms,
	bool fresh, struct asp_answer *out, bool *cached)
{
	enum rc rc = RC_TIMEOUT;
	struct asp_lookup *l;

	pthread_mutex_lock(&w->lock);
	*cached = !fresh && remembered(w, name, type, out);
	if (*cached) {
		pthread_mutex_unlock(&w->lock);
		return RC_OK;
	}
	l = join(w, name, type, fresh);
	if (!l) {
		rc = RC_BUSY;
	} else {
		l->refs++;
		wait_until(w, l, wait_ms);
		if (l->done) {
			*out = l->answer;
			rc = RC_OK;
		} else {
			w->m.late++;
		}
		asp__lookup_unref(l);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

void asp__worker_start(
	struct asp_worker *w, const char *name, uint16_t type, struct asp_waiter *waiter)
{
	struct asp_answer a;
	struct asp_lookup *l;

	pthread_mutex_lock(&w->lock);
	if (remembered(w, name, type, &a)) {
		waiter->ended(waiter, RC_OK, &a, true);
	} else if ((l = join(w, name, type, false)) != NULL) {
		waiter->next = l->waiters;
		l->waiters = waiter;
	} else {
		waiter->ended(waiter, RC_BUSY, NULL, false);
	}
	pthread_mutex_unlock(&w->lock);
}

static bool unlink_waiter(struct asp_lookup *l, const struct asp_waiter *waiter)
{
	for (struct asp_waiter **at = l ? &l->waiters : NULL; at && *at; at = &(*at)->next)
		if (*at == waiter) {
			*at = waiter->next;
			return true;
		}
	return false;
}

void asp__worker_leave(struct asp_worker *w, struct asp_waiter *waiter)
{
	bool found = false;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < ASP_THREADS_MAX && !found; i++)
		found = unlink_waiter(w->queue.running[i], waiter);
	for (struct asp_lookup *l = w->queue.head; l && !found; l = l->next)
		found = unlink_waiter(l, waiter);
	pthread_mutex_unlock(&w->lock);
}

void asp__worker_news(struct asp_worker *w, enum attest_news what, const char *name,
	const uint8_t *sha256, unsigned hold_s)
{
	struct asp_answer a = { .status = DANE_NXDOMAIN };

	pthread_mutex_lock(&w->lock);
	w->m.news++;
	a.until_ms = now_ms(w) + hold_s * 1000ULL;
	if (what == ATTEST_NEWS_SUPERSEDED) {
		a.status = DANE_SECURE;
		if (sha256)
			add_digest(&a, sha256);
	}
	asp__cache_forget(w->cache, name, DANE_TYPE_CERT);
	asp__cache_forget(w->cache, name, DANE_TYPE_TLSA);
	if (what == ATTEST_NEWS_ACTIVATED)
		asp__cache_forget(w->news, name, 0);
	else
		asp__cache_put(w->news, name, 0, now_ms(w), &a);
	pthread_mutex_unlock(&w->lock);
}

void asp__worker_forget(struct asp_worker *w)
{
	pthread_mutex_lock(&w->lock);
	asp__cache_clear(w->cache);
	pthread_mutex_unlock(&w->lock);
}

bool asp__worker_noted(struct asp_worker *w, const char *name, struct asp_answer *out)
{
	bool found;

	pthread_mutex_lock(&w->lock);
	found = asp__cache_get(w->news, name, 0, now_ms(w), out);
	pthread_mutex_unlock(&w->lock);
	return found;
}

void asp__worker_count(struct asp_worker *w, enum attest_reason reason)
{
	pthread_mutex_lock(&w->lock);
	w->m.results[reason]++;
	pthread_mutex_unlock(&w->lock);
}

void asp__worker_metrics(struct asp_worker *w, struct attest_metrics *out)
{
	pthread_mutex_lock(&w->lock);
	*out = w->m;
	out->waiting = w->queue.n;
	asp__cache_size(w->cache, &out->cached, &out->memory_bytes);
	pthread_mutex_unlock(&w->lock);
}
