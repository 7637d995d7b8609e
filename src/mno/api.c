/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/epp.h"

#include "base/str.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define POLL_PATH      "/v1/jobs?wait=30&limit=100"
#define FRESH	       "&fresh=true"
#define POST_PATH      "/v1/jobs/results"
#define JOBS_MAX       100  /* of one poll */
#define RESULTS_MAX    100  /* of one request */
#define CODE_REFUSED   2000 /* RFC 5730 section 3: from here on */
#define CODE_FAILED    2400 /* for the moment */
#define QUEUE_MAX      4096 /* jobs and results on their way between the threads */
#define AGAIN_MS       200  /* open jobs are listed again and again: not faster than this */
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 10000
#define KEPT_MS	       10000 /* until a job is on disk: a disk that takes longer is none */

/* A job from the registry, a result to it, or word that one was posted. */
struct item {
	struct item *next;
	char id[MNO_ID_MAX + 1];
	json_t *body; /* owned; NULL: "posted" */
};

struct list {
	struct item *head, **tail;
	size_t n;
};

struct mno_api {
	struct mno_api_calls calls;
	const struct log *log;
	const volatile sig_atomic_t *stop;
	struct client *poller, *poster;
	struct mno__epp *queue, *answers; /* instead of them, each with a session of its own */
	unsigned queue_ms;		  /* between questions to an empty queue */
	pthread_t poll_thread, post_thread;
	bool polling, posting; /* threads that run */
	int wake_fd;	       /* the loop's */
	struct event *wake;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t change;
	bool quit;
	struct list in, out;
	char kept[MNO_ID_MAX + 1]; /* the last job that the loop has on disk */
	bool one_by_one;	   /* posting: the registry takes no lists */
};

static void push(struct list *l, struct item *i)
{
	i->next = NULL;
	*l->tail = i;
	l->tail = &i->next;
	l->n++;
}

static struct item *pop(struct list *l)
{
	struct item *i = l->head;

	if (i) {
		l->head = i->next;
		if (!l->head)
			l->tail = &l->head;
		l->n--;
	}
	return i;
}

static void item_free(struct item *i)
{
	if (i)
		json_decref(i->body);
	free(i);
}

static bool quitting(struct mno_api *a)
{
	bool quit;

	pthread_mutex_lock(&a->lock);
	quit = a->quit;
	pthread_mutex_unlock(&a->lock);
	return quit || (a->stop && *a->stop);
}

/* To the loop. */
static void deliver(struct mno_api *a, const char *id, json_t *take_body)
{
	struct item *i = calloc(1, sizeof(*i));
	uint64_t one = 1;

	if (!i) {
		json_decref(take_body);
		return;
	}
	i->body = take_body;
	if (id)
		memcpy(i->id, id, strlen(id) + 1);
	pthread_mutex_lock(&a->lock);
	push(&a->in, i);
	pthread_mutex_unlock(&a->lock);
	(void)!write(a->wake_fd, &one, sizeof(one));
}

/* Sleeps, or less when something changes. */
static void rest(struct mno_api *a, unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	pthread_mutex_lock(&a->lock);
	if (!a->quit)
		(void)pthread_cond_timedwait(&a->change, &a->lock, &t);
	pthread_mutex_unlock(&a->lock);
}

static unsigned longer(unsigned ms)
{
	return ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms * 2;
}

/* One long poll; the number of jobs in *n. */
static enum rc poll_once(struct mno_api *a, bool fresh, size_t *n, struct diag *d)
{
	json_t *answer = NULL, *jobs;
	int status = 0;
	enum rc rc = client_call(
		a->poller, "GET", fresh ? POLL_PATH FRESH : POLL_PATH, NULL, &answer, &status, d);

	*n = 0;
	if (rc == RC_OK && (status < 200 || status > 299)) {
		client_refusal(answer, status, d);
		rc = RC_DENIED;
	}
	jobs = json_is_array(answer) ? answer : json_object_get(answer, "jobs");
	for (size_t i = 0; rc == RC_OK && i < json_array_size(jobs); i++) {
		deliver(a, NULL, json_incref(json_array_get(jobs, i)));
		(*n)++;
	}
	json_decref(answer);
	return rc;
}

void mno__api_kept(struct mno_api *a, const char *id)
{
	pthread_mutex_lock(&a->lock);
	memcpy(a->kept, id, strlen(id) + 1);
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
}

/* To the loop, and back when it is on disk there. */
static bool keep_job(struct mno_api *a, json_t *take_job)
{
	const char *text = json_string_value(json_object_get(take_job, "id"));
	char id[MNO_ID_MAX + 1] = "";
	struct timespec until;
	int rc = 0;

	if (!text || !*text || str_copy(id, sizeof(id), text) != RC_OK) {
		json_decref(take_job);
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += KEPT_MS / 1000;
	pthread_mutex_lock(&a->lock);
	a->kept[0] = '\0';
	pthread_mutex_unlock(&a->lock);
	deliver(a, NULL, take_job);
	pthread_mutex_lock(&a->lock);
	while (!a->quit && strcmp(a->kept, id) != 0 && rc == 0)
		rc = pthread_cond_timedwait(&a->change, &a->lock, &until);
	rc = strcmp(a->kept, id);
	pthread_mutex_unlock(&a->lock);
	return rc == 0;
}

/* All that stands in the EPP queue; a job goes from there once it is kept here. */
static enum rc poll_queue(struct mno_api *a, struct diag *d)
{
	enum rc rc;

	for (;;) {
		char msg_id[MNO_ID_MAX + 1];
		json_t *job = NULL;

		rc = mno__epp_poll(a->queue, msg_id, &job, d);
		if (rc != RC_OK)
			break;
		if (!keep_job(a, job))
			return diag_set(d, RC_IO, "message %s: the job could not be kept", msg_id);
		rc = mno__epp_ack(a->queue, msg_id, d);
		if (rc != RC_OK)
			break;
	}
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static void *poll_run(void *user)
{
	struct mno_api *a = user;
	unsigned backoff_ms = BACKOFF_MIN_MS;
	bool told = false;
	bool fresh = true; /* what a gateway before us was handed, or an answer that was lost */

	while (!quitting(a)) {
		struct diag d = { 0 };
		size_t n = 0;
		enum rc rc = a->queue ? poll_queue(a, &d) : poll_once(a, fresh, &n, &d);

		fresh = rc != RC_OK;
		if (rc == RC_OK) {
			if (told)
				log_write(a->log, LOG_INFO, "registry-back");
			told = false;
			backoff_ms = BACKOFF_MIN_MS;
			if (a->queue)
				rest(a, a->queue_ms);
			else if (n > 0 && n < JOBS_MAX)
				rest(a, AGAIN_MS);
			continue;
		}
		if (!told && !quitting(a))
			log_write(a->log, LOG_WARNING, "registry-unavailable why=\"%s\"", d.text);
		told = true;
		rest(a, backoff_ms);
		backoff_ms = longer(backoff_ms);
	}
	return NULL;
}

/* Waits for results; all there are, up to what one request holds. */
static size_t next_results(struct mno_api *a, struct item *list[RESULTS_MAX])
{
	size_t n = 0;

	pthread_mutex_lock(&a->lock);
	while (!a->quit && !a->out.head)
		pthread_cond_wait(&a->change, &a->lock);
	while (!a->quit && n < RESULTS_MAX && (list[n] = pop(&a->out)))
		n++;
	pthread_mutex_unlock(&a->lock);
	return n;
}

/* By EPP. A refusal ends it too: the same result would be refused again. */
static bool answer_once(struct mno_api *a, const struct item *i)
{
	struct diag d = { 0 };
	enum rc rc = mno__epp_result(a->answers, i->id, i->body, &d);

	if (rc != RC_OK)
		log_write(a->log, LOG_WARNING, "result-%s job=%s why=\"%s\"",
			rc == RC_DENIED ? "refused" : "waits", i->id, d.text);
	return rc == RC_OK || rc == RC_DENIED;
}

/* Likewise by HTTPS. */
static bool post_once(struct mno_api *a, const struct item *i)
{
	char path[MNO_ID_MAX + 32];
	json_t *answer = NULL;
	struct diag d = { 0 };
	int status = 0, n;
	enum rc rc;

	n = snprintf(path, sizeof(path), "/v1/jobs/%s/result", i->id);
	if (n < 0 || (size_t)n >= sizeof(path))
		return true;
	rc = client_call(a->poster, "POST", path, i->body, &answer, &status, &d);
	if (rc == RC_OK && status >= 400) {
		client_refusal(answer, status, &d);
		log_write(a->log, LOG_WARNING, "result-refused job=%s why=\"%s\"", i->id, d.text);
	} else if (rc != RC_OK) {
		log_write(a->log, LOG_WARNING, "result-waits job=%s why=\"%s\"", i->id, d.text);
	}
	json_decref(answer);
	return rc == RC_OK && status < 500;
}

/* Several in one request; false when none of them has got through. What the answer does not speak
 * of, or says to have failed for the moment, stays. */
static bool post_list(struct mno_api *a, struct item *list[], size_t n, bool done[])
{
	json_t *body = json_object(), *results = json_array(), *answer = NULL, *said;
	struct diag d = { 0 };
	int status = 0;
	enum rc rc = RC_NOMEM;

	for (size_t i = 0; i < n; i++) {
		json_t *one = json_copy(list[i]->body);

		json_object_set_new(one, "id", json_string(list[i]->id));
		json_array_append_new(results, one);
	}
	if (json_object_set_new(body, "results", results) == 0)
		rc = client_call(a->poster, "POST", POST_PATH, body, &answer, &status, &d);
	a->one_by_one = rc == RC_OK && (status == 404 || status == 405);
	if (rc != RC_OK || status >= 400) {
		if (rc == RC_OK)
			client_refusal(answer, status, &d);
		if (!a->one_by_one)
			log_write(a->log, LOG_WARNING, "results-wait n=%zu why=\"%s\"", n, d.text);
		rc = RC_UNAVAILABLE;
	}
	said = rc == RC_OK ? json_object_get(answer, "results") : NULL;
	for (size_t i = 0; i < n && i < json_array_size(said); i++) {
		const json_t *one = json_array_get(said, i);
		const char *id = json_string_value(json_object_get(one, "id"));
		json_int_t code = json_integer_value(json_object_get(one, "code"));
		const char *why = json_string_value(json_object_get(one, "reason"));

		done[i] = id && strcmp(id, list[i]->id) == 0 && code > 0 && code != CODE_FAILED;
		if (done[i] && code >= CODE_REFUSED)
			log_write(a->log, LOG_WARNING, "result-refused job=%s why=\"%d %s\"", id,
				(int)code, why ? why : "");
	}
	json_decref(body);
	json_decref(answer);
	return rc == RC_OK;
}

/* One try for all of them; false while any is left, and those move to the front. */
static bool post_some(struct mno_api *a, struct item *list[], size_t *n)
{
	bool done[RESULTS_MAX] = { false };
	size_t left = 0;

	if (*n > 1 && !a->one_by_one)
		(void)post_list(a, list, *n, done);
	else
		for (size_t i = 0; i < *n && !quitting(a); i++)
			done[i] = a->answers ? answer_once(a, list[i]) : post_once(a, list[i]);
	for (size_t i = 0; i < *n; i++) {
		if (!done[i]) {
			list[left++] = list[i];
			continue;
		}
		deliver(a, list[i]->id, NULL);
		item_free(list[i]);
	}
	*n = left;
	return left == 0;
}

static void *post_run(void *user)
{
	struct mno_api *a = user;
	struct item *list[RESULTS_MAX];
	size_t n;

	while ((n = next_results(a, list)) > 0) {
		unsigned backoff_ms = BACKOFF_MIN_MS;

		while (!post_some(a, list, &n) && !quitting(a)) {
			if (a->one_by_one && backoff_ms == BACKOFF_MIN_MS) {
				backoff_ms = longer(backoff_ms);
				continue; /* only the form was not right */
			}
			rest(a, backoff_ms);
			backoff_ms = longer(backoff_ms);
		}
		pthread_mutex_lock(&a->lock);
		pthread_cond_broadcast(&a->change); /* the list of open jobs is shorter now */
		pthread_mutex_unlock(&a->lock);
		for (size_t i = 0; i < n; i++) /* kept in the state file */
			item_free(list[i]);
		if (quitting(a))
			break;
	}
	return NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *user)
{
	struct mno_api *a = user;
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	for (;;) {
		struct item *i;

		pthread_mutex_lock(&a->lock);
		i = pop(&a->in);
		pthread_mutex_unlock(&a->lock);
		if (!i)
			return;
		if (i->body)
			a->calls.job(a->calls.user, i->body);
		else
			a->calls.posted(a->calls.user, i->id);
		item_free(i);
	}
}

static enum rc init_locks(struct mno_api *a)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_condattr_init(&attr) != 0)
		return RC_NOMEM;
	ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
	     pthread_mutex_init(&a->lock, NULL) == 0 && pthread_cond_init(&a->change, &attr) == 0;
	pthread_condattr_destroy(&attr);
	return ok ? RC_OK : RC_NOMEM;
}

static enum rc start_https(struct mno_api *a, const struct mno_config *c, struct diag *d)
{
	enum rc rc = client_new(&a->poller, c->url, c->ca, c->cert, c->key, d);

	if (rc == RC_OK)
		rc = client_new(&a->poster, c->url, c->ca, c->cert, c->key, d);
	if (rc != RC_OK)
		return rc;
	client_set_tries(a->poller, 1); /* a lost answer may have held jobs: it must be seen */
	client_set_stop(a->poller, a->stop);
	client_set_stop(a->poster, a->stop);
	return RC_OK;
}

static enum rc start_epp(struct mno_api *a, const struct mno_config *c, struct diag *d)
{
	enum rc rc = mno__epp_new(c, a->log, &a->queue, d);

	a->queue_ms = c->epp.poll_ms;
	a->one_by_one = true;
	return rc == RC_OK ? mno__epp_new(c, a->log, &a->answers, d) : rc;
}

static enum rc start(
	struct mno_api *a, struct event_base *base, const struct mno_config *c, struct diag *d)
{
	enum rc rc = *c->epp.host ? start_epp(a, c, d) : start_https(a, c, d);

	if (rc != RC_OK)
		return rc;
	a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake_fd < 0)
		return diag_errno(d, RC_IO, "eventfd");
	a->wake = event_new(base, a->wake_fd, EV_READ | EV_PERSIST, on_wake, a);
	if (!a->wake || event_add(a->wake, NULL) != 0)
		return diag_set(d, RC_NOMEM, "no memory");
	a->polling = pthread_create(&a->poll_thread, NULL, poll_run, a) == 0;
	a->posting = pthread_create(&a->post_thread, NULL, post_run, a) == 0;
	return a->polling && a->posting ? RC_OK : diag_set(d, RC_NOMEM, "no threads");
}

enum rc mno__api_new(struct event_base *base, const struct mno_config *config,
	const volatile sig_atomic_t *stop, const struct mno_api_calls *calls, const struct log *log,
	struct mno_api **out, struct diag *d)
{
	struct mno_api *a = calloc(1, sizeof(*a));
	enum rc rc;

	if (!a)
		return diag_set(d, RC_NOMEM, "no memory");
	a->wake_fd = -1;
	a->calls = *calls;
	a->log = log;
	a->stop = stop;
	a->in.tail = &a->in.head;
	a->out.tail = &a->out.head;
	if (init_locks(a) != RC_OK) {
		free(a);
		return diag_set(d, RC_NOMEM, "no memory");
	}
	rc = start(a, base, config, d);
	if (rc != RC_OK)
		mno__api_free(a);
	else
		*out = a;
	return rc;
}

/* The clients end their calls within a second of *stop. */
void mno__api_free(struct mno_api *a)
{
	struct item *i;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->quit = true;
	pthread_cond_broadcast(&a->change);
	pthread_mutex_unlock(&a->lock);
	if (a->polling)
		pthread_join(a->poll_thread, NULL);
	if (a->posting)
		pthread_join(a->post_thread, NULL);
	while ((i = pop(&a->in)))
		item_free(i);
	while ((i = pop(&a->out)))
		item_free(i);
	if (a->wake)
		event_free(a->wake);
	if (a->wake_fd >= 0)
		close(a->wake_fd);
	client_free(a->poller);
	client_free(a->poster);
	mno__epp_free(a->queue);
	mno__epp_free(a->answers);
	pthread_cond_destroy(&a->change);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

enum rc mno__api_post(struct mno_api *a, const char *id, json_t *take_result)
{
	struct item *i = calloc(1, sizeof(*i));
	enum rc rc = RC_OK;

	if (!i) {
		json_decref(take_result);
		return RC_NOMEM;
	}
	memcpy(i->id, id, strlen(id) + 1);
	i->body = take_result;
	pthread_mutex_lock(&a->lock);
	if (a->out.n < QUEUE_MAX) {
		push(&a->out, i);
		pthread_cond_broadcast(&a->change);
	} else {
		rc = RC_BUSY;
	}
	pthread_mutex_unlock(&a->lock);
	if (rc != RC_OK)
		item_free(i);
	return rc;
}
