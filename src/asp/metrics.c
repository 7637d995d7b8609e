/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include "base/compiler.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

uint64_t attest_latency_ms(size_t i)
{
	static const uint64_t bounds[ATTEST_LATENCIES] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000,
		5000, UINT64_MAX };

	return i < ATTEST_LATENCIES ? bounds[i] : UINT64_MAX;
}

void attest_metrics(struct attest *attest, struct attest_metrics *out)
{
	asp__worker_metrics(attest->worker, out);
	asp__feed_metrics(attest, out);
}

struct text {
	char *out;
	size_t cap;
	size_t len;
};

static void add(struct text *t, const char *fmt, ...) ATT_PRINTF(2, 3);

static void add(struct text *t, const char *fmt, ...)
{
	size_t at = t->len < t->cap ? t->len : t->cap;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->cap ? t->out + at : NULL, t->cap - at, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n;
}

static void histogram(struct text *t, const struct attest_metrics *m)
{
	uint64_t sum = 0;

	add(t, "# HELP attest_lookup_seconds Time of a look-up.\n"
	       "# TYPE attest_lookup_seconds histogram\n");
	for (size_t i = 0; i < ATTEST_LATENCIES; i++) {
		sum += m->latency[i];
		if (attest_latency_ms(i) == UINT64_MAX)
			add(t, "attest_lookup_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
		else
			add(t, "attest_lookup_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
				(double)attest_latency_ms(i) / 1000, sum);
	}
	add(t, "attest_lookup_seconds_sum %g\nattest_lookup_seconds_count %" PRIu64 "\n",
		(double)m->latency_sum_ms / 1000, sum);
}

size_t attest_metrics_text(struct attest *attest, char *out, size_t cap)
{
	struct text t = { .out = out, .cap = cap };
	struct attest_metrics m;
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
		{ "hits_total", "counter", "Checks answered from memory." },
		{ "lookups_total", "counter", "Questions begun." },
		{ "joined_total", "counter", "Checks that shared a running question." },
		{ "renewals_total", "counter", "Questions begun before anybody waited." },
		{ "unreachable_total", "counter", "Look-ups without any resolver." },
		{ "unproved_total", "counter", "Insecure or bogus answers." },
		{ "late_total", "counter", "Checks that did not wait for the end." },
		{ "busy_total", "counter", "Checks turned away, too many waiting." },
		{ "news_total", "counter", "Events taken from the registry's feed." },
		{ "waiting", "gauge", "Names in line." },
		{ "cached", "gauge", "Names remembered." },
		{ "memory_bytes", "gauge", "Memory of answers." },
		{ "feed_wanted", "gauge", "1: a feed is configured." },
		{ "feed_up", "gauge", "1: the feed is heard; 0: cut-off takes a TTL." },
		{ "feed_age_ms", "gauge", "Time since the feed was last heard." },
		{ "feed_position", "gauge", "Events heard up to this one." },
		{ "feed_events_total", "counter", "Events taken from the feed." },
		{ "feed_failures_total", "counter", "Questions to the feed without an answer." },
		{ "feed_refused_total", "counter",
			"Answers that were old, had a gap or no sense." },
		{ "feed_restarts_total", "counter", "Times all was forgotten: events were lost." },
	};

	attest_metrics(attest, &m);
	add(&t, "# HELP attest_results_total Checks by reason.\n"
		"# TYPE attest_results_total counter\n");
	for (int i = 0; i < ATTEST_REASONS; i++)
		add(&t, "attest_results_total{reason=\"%s\"} %" PRIu64 "\n",
			attest_reason_text((enum attest_reason)i), m.results[i]);
	const uint64_t values[] = { m.hits, m.lookups, m.joined, m.renewals, m.unreachable,
		m.unproved, m.late, m.refused_busy, m.news, m.waiting, m.cached, m.memory_bytes,
		m.feed_wanted, m.feed_up, m.feed_age_ms, m.feed_position, m.feed_events,
		m.feed_failures, m.feed_refused, m.feed_restarts };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		add(&t, "# HELP attest_%s %s\n# TYPE attest_%s %s\nattest_%s %" PRIu64 "\n",
			rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
			values[i]);
	histogram(&t, &m);
	return t.len;
}
