/* SPDX-License-Identifier: Apache-2.0 */

/* libattest from the command line, for the end-to-end tests and the bench:
 * attest_tool KEY=VALUE... takes lines and answers each with a line of JSON:
 *   check|now|fresh|local FILE     dance NAME FILE     name NAME
 *   start N FILE...                N operations by attest_check_start, in one answer
 *   cancel FILE                    begins one and cancels it
 *   news activated|superseded|withdrawn NAME
 *   load check|now N FILE...       N times round the files: counts, seconds, p50 and p99 in us
 *   metrics | prometheus
 * Files are certificates in PEM. */

#include "attest.h"
#include "attest_args.h"
#include "base/str.h"

#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX 20000

struct der {
	unsigned char *bytes;
	size_t len;
};

struct pending {
	json_t *list;
	size_t left;
};

static struct der load(const char *path)
{
	struct der d = { 0 };
	FILE *f = fopen(path, "r");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	int len = x ? i2d_X509(x, &d.bytes) : 0;

	if (f)
		fclose(f);
	X509_free(x);
	d.len = len > 0 ? (size_t)len : 0;
	return d;
}

static void print(json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(j);
}

static json_t *shown(const struct attest_result *r)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:b}", "reason",
		attest_reason_text(r->reason), "name", r->name, "service", r->service, "text",
		r->text, "asked", r->asked, "answered", r->answered, "proved", r->proved, "ttl",
		(int)r->ttl_s, "cached", r->cached);
}

static void ended(struct attest_op *op, const struct attest_result *r, void *user)
{
	struct pending *p = user;

	(void)op;
	json_array_append_new(p->list, shown(r));
	p->left--;
}

static void start(struct attest *a, size_t n, char **files, size_t n_files)
{
	struct pending p = { json_array(), 0 };

	for (size_t i = 0; i < n; i++) {
		struct der d = load(files[i % n_files]);

		p.left += attest_check_start(a, d.bytes, d.len, NULL, ended, &p, NULL) ==
			  ATTEST_SUCCESS;
		OPENSSL_free(d.bytes);
	}
	while (p.left > 0) {
		struct pollfd fd = { .fd = attest_fd(a), .events = POLLIN };

		if (poll(&fd, 1, 20000) <= 0)
			break;
		(void)attest_dispatch(a);
	}
	print(p.list);
}

static void cancel(struct attest *a, const char *file)
{
	struct pending p = { json_array(), 1 };
	struct der d = load(file);
	struct attest_op *op = NULL;

	(void)attest_check_start(a, d.bytes, d.len, NULL, ended, &p, &op);
	attest_cancel(op);
	(void)attest_dispatch(a);
	OPENSSL_free(d.bytes);
	print(p.list);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(struct attest *a, bool wait, size_t n, char **files, size_t n_files)
{
	struct der *ders = calloc(n_files, sizeof(*ders));
	uint64_t *took = calloc(n, sizeof(*took)), began, all;
	struct attest_result r;
	size_t good = 0;

	for (size_t i = 0; i < n_files; i++)
		ders[i] = load(files[i]);
	all = now_ns();
	for (size_t i = 0; i < n; i++) {
		const struct der *d = &ders[i % n_files];

		began = now_ns();
		good += (wait ? attest_check_wait(a, d->bytes, d->len, 0, &r)
			      : attest_check_now(a, d->bytes, d->len, &r)) == ATTEST_OK;
		took[i] = now_ns() - began;
	}
	all = now_ns() - all;
	qsort(took, n, sizeof(*took), by_value);
	print(json_pack("{s:I,s:I,s:f,s:f,s:f}", "n", (json_int_t)n, "ok", (json_int_t)good,
		"seconds", (double)all / 1e9, "p50_us", (double)took[n / 2] / 1e3, "p99_us",
		(double)took[n * 99 / 100] / 1e3));
	for (size_t i = 0; i < n_files; i++)
		OPENSSL_free(ders[i].bytes);
	free(ders);
	free(took);
}

static void metrics(struct attest *a)
{
	struct attest_metrics m;

	attest_metrics(a, &m);
	print(json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "feed_up",
		(json_int_t)m.feed_up, "feed_position", (json_int_t)m.feed_position, "feed_events",
		(json_int_t)m.feed_events, "feed_failures", (json_int_t)m.feed_failures,
		"feed_refused", (json_int_t)m.feed_refused, "feed_restarts",
		(json_int_t)m.feed_restarts, "hits", (json_int_t)m.hits, "lookups",
		(json_int_t)m.lookups, "joined", (json_int_t)m.joined, "renewals",
		(json_int_t)m.renewals, "unreachable", (json_int_t)m.unreachable, "late",
		(json_int_t)m.late, "ok", (json_int_t)m.results[ATTEST_OK], "cached",
		(json_int_t)m.cached, "memory_bytes", (json_int_t)m.memory_bytes));
}

static void news(struct attest *a, const char *what, const char *name)
{
	enum attest_news n = strcmp(what, "withdrawn") == 0    ? ATTEST_NEWS_WITHDRAWN
			     : strcmp(what, "superseded") == 0 ? ATTEST_NEWS_SUPERSEDED
							       : ATTEST_NEWS_ACTIVATED;

	print(json_pack("{s:i}", "error", (int)attest_news(a, n, name, NULL, 0)));
}

static void one(struct attest *a, char **w, size_t n)
{
	const char *file = w[n - 1];
	struct attest_result r;
	struct der d;

	if (strcmp(w[0], "name") == 0) {
		(void)attest_verify_name(a, file, &r);
		print(shown(&r));
		return;
	}
	d = load(file);
	if (strcmp(w[0], "dance") == 0)
		(void)attest_check_dance(a, d.bytes, d.len, w[1], &r);
	else if (strcmp(w[0], "now") == 0)
		(void)attest_check_now(a, d.bytes, d.len, &r);
	else if (strcmp(w[0], "local") == 0)
		(void)attest_check_local(a, d.bytes, d.len, &r);
	else if (strcmp(w[0], "fresh") == 0)
		(void)attest_check_wait(a, d.bytes, d.len, 1, &r);
	else
		(void)attest_check(a, d.bytes, d.len, &r);
	OPENSSL_free(d.bytes);
	print(shown(&r));
}

static void obey(struct attest *a, char **w, size_t n)
{
	uint64_t count = 0;
	char text[16384];

	if (strcmp(w[0], "metrics") == 0) {
		metrics(a);
	} else if (strcmp(w[0], "prometheus") == 0) {
		(void)attest_metrics_text(a, text, sizeof(text));
		print(json_pack("{s:s}", "text", text));
	} else if (strcmp(w[0], "start") == 0 && n > 2 &&
		   u64_read(w[1], 1, 100000, &count) == RC_OK) {
		start(a, (size_t)count, w + 2, n - 2);
	} else if (strcmp(w[0], "load") == 0 && n > 3 &&
		   u64_read(w[2], 1, 10000000, &count) == RC_OK) {
		measure(a, strcmp(w[1], "check") == 0, (size_t)count, w + 3, n - 3);
	} else if (strcmp(w[0], "cancel") == 0 && n == 2) {
		cancel(a, w[1]);
	} else if (strcmp(w[0], "news") == 0 && n == 3) {
		news(a, w[1], w[2]);
	} else {
		one(a, w, n);
	}
}

int main(int argc, char **argv)
{
	struct attest *a = attest_args(argc, argv);
	char *line = NULL, **words = calloc(WORDS_MAX, sizeof(*words));
	size_t cap = 0;

	if (!a || !words)
		return 2;
	while (getline(&line, &cap, stdin) > 0) {
		char *save = NULL;
		size_t n = 0;

		for (char *w = strtok_r(line, " \n", &save); w && n < WORDS_MAX;
			w = strtok_r(NULL, " \n", &save))
			words[n++] = w;
		if (n > 0)
			obey(a, words, n);
	}
	attest_free(a);
	free(line);
	free(words);
	return 0;
}
