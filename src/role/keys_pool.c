/* SPDX-License-Identifier: Apache-2.0 */
#include "role/keys_internal.h"
#include "proc/killpoint.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define INLINE_ITEMS 4 /* signatures of about 20 us: two thread switches cost as much */

struct queue {
	struct keys_job *first, **last;
};

struct keys_pool {
	struct keys_pool_opts opts;
	struct ca_crypt *x; /* the event loop's own */
	struct ca_crypt *worker_x[KEYS_THREADS_MAX];
	pthread_t workers[KEYS_THREADS_MAX], logger;
	unsigned threads, started;
	bool logger_started;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t work, log;
	struct queue waiting, to_log, done;
	unsigned idle;
	bool stop, failed;
	struct diag fatal;
	int wake_fd;
	struct event *wake;
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_put(struct queue *q, struct keys_job *job)
{
	job->queue_next = NULL;
	*q->last = job;
	q->last = &job->queue_next;
}

static struct keys_job *queue_take(struct queue *q)
{
	struct keys_job *job = q->first;

	if (job) {
		q->first = job->queue_next;
		if (!q->first)
			q->last = &q->first;
	}
	return job;
}

static void wake_loop(struct keys_pool *p)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then the loop is awake. */
	ssize_t n = write(p->wake_fd, &one, sizeof(one));
	(void)n;
}

/* All items are there: to the log, or to the event loop. Under the lock; true: wake the loop. */
static bool route(struct keys_pool *p, struct keys_job *job)
{
	if (job->op->logged) {
		queue_put(&p->to_log, job);
		pthread_cond_signal(&p->log);
		return false;
	}
	bool first = !p->done.first;
	queue_put(&p->done, job);
	return first;
}

static void *worker(void *arg)
{
	struct keys_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	struct ca_crypt *x = p->worker_x[p->started++];
	while (!p->stop) {
		struct keys_job *job = p->waiting.first;
		if (!job) {
			p->idle++;
			pthread_cond_wait(&p->work, &p->lock);
			p->idle--;
			continue;
		}
		size_t item = job->next++;
		if (job->next == job->count)
			(void)queue_take(&p->waiting);
		pthread_mutex_unlock(&p->lock);
		job->op->run(job, item, x);
		pthread_mutex_lock(&p->lock);
		if (++job->finished == job->count && route(p, job))
			wake_loop(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Appends what these jobs issued, with one sync for all of them. */
static enum rc log_jobs(struct keys_pool *p, struct keys_job *first, struct diag *d)
{
	size_t max = 0, count = 0;
	enum rc rc;

	for (struct keys_job *job = first; job; job = job->queue_next)
		max += job->count;
	const struct ca_issued_entry **list = calloc(max, sizeof(*list));
	if (!list)
		return diag_set(d, RC_NOMEM, "issued.log: no memory");
	for (struct keys_job *job = first; job; job = job->queue_next)
		count += job->op->entries(job, list + count);
	rc = ca_issued_append(p->opts.issued, list, count, d);
	free(list);
	return rc;
}

static void *logger(void *arg)
{
	struct keys_pool *p = arg;
	struct diag d = { 0 };

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (!p->to_log.first) {
			pthread_cond_wait(&p->log, &p->lock);
			continue;
		}
		struct keys_job *job = p->to_log.first;
		queue_init(&p->to_log);
		pthread_mutex_unlock(&p->lock);
		enum rc rc = log_jobs(p, job, &d);
		if (rc == RC_OK)
			kill_point("keys-after-log-sync");
		pthread_mutex_lock(&p->lock);
		if (rc != RC_OK) {
			p->fatal = d;
			p->failed = p->stop = true;
			pthread_cond_broadcast(&p->work);
		}
		while (job) {
			struct keys_job *next = job->queue_next;
			queue_put(&p->done, job);
			job = next;
		}
		wake_loop(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct keys_pool *p = arg;
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n;
	(void)what;
	pthread_mutex_lock(&p->lock);
	struct keys_job *job = p->done.first;
	bool failed = p->failed;
	if (!failed)
		queue_init(&p->done);
	pthread_mutex_unlock(&p->lock);
	/* After a failed append nothing leaves: the certificates may not be on disk. */
	if (failed) {
		p->opts.on_fatal(p->fatal.text, p->opts.user);
		return;
	}
	while (job) {
		struct keys_job *next = job->queue_next;
		p->opts.on_done(job, p->opts.user);
		job = next;
	}
}

enum rc keys_pool_new(struct keys_pool **out, const struct keys_pool_opts *opts, struct diag *d)
{
	struct keys_pool *p = calloc(1, sizeof(*p));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	enum rc rc;

	if (!p)
		return RC_NOMEM;
	p->opts = *opts;
	p->threads = opts->threads ? opts->threads : cores > 0 ? (unsigned)cores : 1;
	if (p->threads > KEYS_THREADS_MAX)
		p->threads = KEYS_THREADS_MAX;
	queue_init(&p->waiting);
	queue_init(&p->to_log);
	queue_init(&p->done);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->log, NULL);
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->wake = p->wake_fd >= 0
			  ? event_new(opts->base, p->wake_fd, EV_READ | EV_PERSIST, on_wake, p)
			  : NULL;
	rc = p->wake && event_add(p->wake, NULL) == 0 ? RC_OK : RC_NOMEM;
	if (rc == RC_OK)
		rc = ca_crypt_new(&p->x, d);
	for (unsigned i = 0; rc == RC_OK && i < p->threads; i++)
		rc = ca_crypt_new(&p->worker_x[i], d);
	if (rc != RC_OK)
		keys_pool_free(p);
	else
		*out = p;
	return rc;
}

enum rc keys_pool_start(struct keys_pool *p, struct diag *d)
{
	if (pthread_create(&p->logger, NULL, logger, p) != 0)
		return diag_set(d, RC_INTERNAL, "cannot make threads");
	p->logger_started = true;
	unsigned made = 0;
	while (made < p->threads && pthread_create(&p->workers[made], NULL, worker, p) == 0)
		made++;
	p->threads = made;
	return made > 0 ? RC_OK : diag_set(d, RC_INTERNAL, "cannot make threads");
}

void keys_pool_submit(struct keys_pool *p, struct keys_job *job)
{
	pthread_mutex_lock(&p->lock);
	bool alone = !p->waiting.first && p->idle == p->threads;
	/* A certificate costs three signatures. */
	if (job->count == 0 || (alone && job->count <= (job->op->logged ? 1 : INLINE_ITEMS))) {
		pthread_mutex_unlock(&p->lock);
		for (size_t i = 0; i < job->count; i++)
			job->op->run(job, i, p->x);
		if (!job->op->logged) {
			p->opts.on_done(job, p->opts.user);
			return;
		}
		pthread_mutex_lock(&p->lock);
		(void)route(p, job);
	} else {
		queue_put(&p->waiting, job);
		if (job->count > 1)
			pthread_cond_broadcast(&p->work);
		else
			pthread_cond_signal(&p->work);
	}
	pthread_mutex_unlock(&p->lock);
}

static void drop(struct keys_pool *p, struct queue *q)
{
	for (struct keys_job *job = queue_take(q); job; job = queue_take(q))
		p->opts.on_drop(job, p->opts.user);
}

void keys_pool_free(struct keys_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_cond_broadcast(&p->log);
	pthread_mutex_unlock(&p->lock);
	if (p->logger_started) {
		pthread_join(p->logger, NULL);
		for (unsigned i = 0; i < p->threads; i++)
			pthread_join(p->workers[i], NULL);
	}
	drop(p, &p->waiting);
	drop(p, &p->to_log);
	drop(p, &p->done);
	if (p->wake)
		event_free(p->wake);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	ca_crypt_free(p->x);
	for (unsigned i = 0; i < KEYS_THREADS_MAX; i++)
		ca_crypt_free(p->worker_x[i]);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->log);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
