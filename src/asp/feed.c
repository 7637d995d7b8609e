/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the registry's feed in a thread of its own. What it hears only takes trust away, so a feed
 * that lies can shut devices out but lets none in; a feed that is silent changes nothing. */
#include "asp/internal.h"

#include "base/file.h"
#include "base/str.h"
#include "client/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_S	       30
#define WAIT_MAX_S     60
#define MARGIN_MS      10000 /* beyond the wait: then the registry is gone */
#define BACKOFF_MS     250
#define BACKOFF_MAX_MS 8000
#define STATE_MAX      64
#define RANGE	       2004 /* the registry's code for a position that it does not know */

struct asp_feed {
	struct attest *attest;
	struct client *client;
	char *state_file;
	unsigned wait_s;
	unsigned hold_s;
	void (*heard)(enum attest_news what, const char *name, void *user);
	void *user;
	pthread_t thread;
	char position[ASP_FEED_POSITION]; /* "": not known yet; the thread's own */
	volatile sig_atomic_t stop;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool up;
	uint64_t since_ms; /* last heard */
	uint64_t number, events, failures, refused, restarts;
	char why[ATTEST_TEXT_MAX];
};

static uint64_t now_ms(void)
{
	const struct clock *c = clock_system();

	return c->monotonic_ms(c);
}

/* ---- the position, over restarts -------------------------------------------------------- */

static void load_state(struct asp_feed *f)
{
	uint8_t *text = NULL;
	size_t len = 0;
	struct diag d = { 0 };

	if (!f->state_file || file_read(f->state_file, STATE_MAX, &text, &len, &d) != RC_OK)
		return;
	len = strcspn((char *)text, "\n");
	if (len < sizeof(f->position)) {
		memcpy(f->position, text, len);
		f->position[len] = '\0';
	}
	free(text);
}

static enum rc save_state(struct asp_feed *f, const char *position, struct diag *d)
{
	char line[STATE_MAX];
	int len = snprintf(line, sizeof(line), "%s\n", position);

	return f->state_file ? file_write_atomic(f->state_file, line, (size_t)len, 0600, d) : RC_OK;
}

/* ---- what was heard --------------------------------------------------------------------- */

static void tell(struct asp_feed *f, enum attest_news what, const char *name)
{
	if (f->heard)
		f->heard(what, name, f->user);
}

static void apply(struct asp_feed *f, const struct asp_feed_answer *a)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct asp_feed_event *e = &a->events[i];

		if (!e->name[0])
			continue;
		(void)attest_news(
			f->attest, e->what, e->name, e->has_cert ? e->sha256 : NULL, f->hold_s);
		tell(f, e->what, e->name);
	}
}

static void note(struct asp_feed *f, bool up, const char *why)
{
	pthread_mutex_lock(&f->lock);
	f->up = up;
	if (up)
		f->since_ms = now_ms();
	(void)snprintf(f->why, sizeof(f->why), "%s", why);
	pthread_mutex_unlock(&f->lock);
}

static void count(struct asp_feed *f, uint64_t *what, uint64_t n)
{
	pthread_mutex_lock(&f->lock);
	*what += n;
	pthread_mutex_unlock(&f->lock);
}

/* Everything is applied before the position moves: after a crash it is applied again. */
static enum rc take(struct asp_feed *f, const struct asp_feed_answer *a, struct diag *d)
{
	enum rc rc = RC_OK;

	apply(f, a);
	if (strcmp(f->position, a->position) != 0)
		rc = save_state(f, a->position, d);
	memcpy(f->position, a->position, sizeof(f->position));
	pthread_mutex_lock(&f->lock);
	f->number = a->number;
	f->events += a->n;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* Our place in the feed is gone: what happened since is not known, so nothing remembered counts. */
static void begin_anew(struct asp_feed *f)
{
	f->position[0] = '\0';
	count(f, &f->restarts, 1);
	asp__worker_forget(f->attest->worker);
	tell(f, ATTEST_NEWS_WITHDRAWN, NULL);
}

/* ---- asking ----------------------------------------------------------------------------- */

static enum rc understand(struct asp_feed *f, const json_t *json, const char *after, struct diag *d)
{
	struct asp_feed_answer a = { 0 };
	char *text = json_dumps(json, JSON_COMPACT);
	enum rc rc = text ? asp__feed_read(text, strlen(text), after, f->attest->zone,
				    f->attest->service, &a, d)
			  : diag_set(d, RC_MALFORMED, "feed: an empty answer");

	free(text);
	if (rc != RC_OK) {
		count(f, &f->refused, 1);
		return rc;
	}
	rc = take(f, &a, d);
	free(a.events);
	return rc;
}

static bool position_unknown(const json_t *json, int status)
{
	const char *field = json_string_value(json_object_get(json, "field"));

	return status / 100 == 4 && field && strcmp(field, "after") == 0 &&
	       json_integer_value(json_object_get(json, "code")) == RANGE;
}

/* One question. `wait_s` 0 answers at once: the first tells whether the feed is there. */
static enum rc ask(struct asp_feed *f, unsigned wait_s, struct diag *d)
{
	const char *after = f->position[0] ? f->position : "head";
	char asked[ASP_FEED_POSITION], path[128];
	json_t *json = NULL;
	int status = 0;
	enum rc rc;

	(void)snprintf(asked, sizeof(asked), "%s", after);
	(void)snprintf(path, sizeof(path), "/v1/feed?after=%s&wait=%u", asked, wait_s);
	client_set_timeout_ms(f->client, wait_s * 1000 + MARGIN_MS);
	rc = client_call(f->client, "GET", path, NULL, &json, &status, d);
	if (rc == RC_OK && status == 200) {
		rc = understand(f, json, asked, d);
	} else if (rc == RC_OK && position_unknown(json, status)) {
		begin_anew(f);
	} else {
		if (rc == RC_OK) {
			client_refusal(json, status, d);
			rc = RC_DENIED;
		}
		count(f, &f->failures, 1);
	}
	json_decref(json);
	return rc;
}

static void pause_ms(struct asp_feed *f, unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	pthread_mutex_lock(&f->lock);
	while (!f->stop && pthread_cond_timedwait(&f->wake, &f->lock, &t) == 0)
		;
	pthread_mutex_unlock(&f->lock);
}

static void *run(void *arg)
{
	struct asp_feed *f = arg;
	unsigned backoff = BACKOFF_MS;
	bool waits = false;

	load_state(f);
	while (!f->stop) {
		struct diag d = { 0 };
		enum rc rc = ask(f, waits ? f->wait_s : 0, &d);

		if (f->stop)
			break;
		waits = rc == RC_OK && f->position[0];
		note(f, rc == RC_OK, rc == RC_OK ? "" : d.text);
		if (rc == RC_OK) {
			backoff = BACKOFF_MS;
			continue;
		}
		pause_ms(f, backoff);
		backoff = backoff < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
	}
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------- */

static void dispose(struct asp_feed *f)
{
	client_free(f->client);
	free(f->state_file);
	free(f);
}

static enum rc init(struct asp_feed *f, const struct attest_feed_options *o, struct diag *d)
{
	pthread_condattr_t attr;
	enum rc rc = client_new(&f->client, o->url, o->ca_file, o->cert_file, o->key_file, d);

	if (rc != RC_OK)
		return rc;
	client_set_tries(f->client, 1);
	client_set_stop(f->client, &f->stop);
	f->wait_s = o->wait_s ? o->wait_s : WAIT_S;
	f->hold_s = o->hold_s;
	f->heard = o->heard;
	f->user = o->user;
	f->since_ms = now_ms();
	(void)snprintf(f->why, sizeof(f->why), "not asked yet");
	if (f->wait_s > WAIT_MAX_S)
		return diag_set(d, RC_RANGE, "feed: wait_s is %d at most", WAIT_MAX_S);
	if (o->state_file && !(f->state_file = strdup(o->state_file)))
		return RC_NOMEM;
	if (pthread_condattr_init(&attr) != 0)
		return RC_NOMEM;
	if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
		pthread_mutex_init(&f->lock, NULL) != 0 || pthread_cond_init(&f->wake, &attr) != 0)
		rc = RC_NOMEM;
	pthread_condattr_destroy(&attr);
	return rc;
}

/* Signals stay the host's. */
static enum rc start(struct asp_feed *f)
{
	sigset_t all, old;
	int failed;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
		return RC_INTERNAL;
	failed = pthread_create(&f->thread, NULL, run, f);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return failed ? RC_NOMEM : RC_OK;
}

enum attest_error attest_feed_start(struct attest *attest,
	const struct attest_feed_options *options, char *error, size_t error_cap)
{
	struct diag d = { 0 };
	struct asp_feed *f = NULL;
	enum rc rc;

	if (attest->feed) {
		rc = diag_set(&d, RC_STATE, "feed: there is one already");
	} else {
		f = calloc(1, sizeof(*f));
		rc = f ? init(f, options, &d) : RC_NOMEM;
	}
	if (rc == RC_OK) {
		f->attest = attest;
		rc = start(f);
	}
	if (rc == RC_OK)
		attest->feed = f;
	else if (f)
		dispose(f);
	if (error && error_cap)
		(void)snprintf(
			error, error_cap, "%s", rc != RC_OK && !d.text[0] ? rc_text(rc) : d.text);
	return rc == RC_OK ? ATTEST_SUCCESS : rc == RC_NOMEM ? ATTEST_ENOMEM : ATTEST_EINVAL;
}

void attest_feed_stop(struct attest *attest)
{
	struct asp_feed *f = attest->feed;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = 1;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	attest->feed = NULL;
	dispose(f);
}

int attest_feed_up(struct attest *attest, char *text, size_t cap)
{
	struct asp_feed *f = attest->feed;
	bool up;

	if (!f) {
		if (text && cap)
			(void)snprintf(text, cap, "no feed is read");
		return 0;
	}
	pthread_mutex_lock(&f->lock);
	up = f->up;
	if (text && cap)
		(void)snprintf(text, cap, "%s", f->why);
	pthread_mutex_unlock(&f->lock);
	return up;
}

void asp__feed_metrics(struct attest *a, struct attest_metrics *out)
{
	struct asp_feed *f = a->feed;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	out->feed_wanted = 1;
	out->feed_up = f->up;
	out->feed_age_ms = now_ms() - f->since_ms;
	out->feed_position = f->number;
	out->feed_events = f->events;
	out->feed_failures = f->failures;
	out->feed_refused = f->refused;
	out->feed_restarts = f->restarts;
	pthread_mutex_unlock(&f->lock);
}
