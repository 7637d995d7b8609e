/* SPDX-License-Identifier: Apache-2.0 */
/* What concerns a provider's names, by position: a reader that goes on where it stopped misses
 * nothing, is told nothing twice, and notices when it reads another history. */
#include "registry/internal.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define FEED(k)	  REGISTRY__FEED_KIND__FEED_##k
#define LIMIT_MAX 500
#define LATE_S	  2 /* a zone that is later than this is not waited for */

static const char *const words[] = { "", "activated", "superseded", "withdrawn" };

static enum rc add(struct registry_run *run, const char *party, struct store_feed *e)
{
	enum rc rc = run->reg->rng->fill(run->reg->rng, e->mark, sizeof(e->mark));
	struct registry_news *n;

	e->date = run->now;
	e->seq = run->change_seq;
	if (rc == RC_OK)
		rc = store_feed_add(run->reg->store, party, e);
	if (rc != RC_OK)
		return rc;
	n = reg__news(run, party);
	if (!n)
		return RC_NOMEM;
	n->feed = true;
	rc = store_feed_poll_get(run->reg->store, party);
	if (rc == RC_OK) {
		char event[32], sha256[2 * STORE_SHA256 + 1] = "-";

		snprintf(event, sizeof(event), "feed.%s", words[e->kind]);
		if (e->has_cert)
			hex_write(e->cert_sha256, sizeof(e->cert_sha256), sha256);
		rc = reg__poll(run, party, event, e->name, "%s position=%llu service=%s sha256=%s",
			words[e->kind], (unsigned long long)e->position,
			*e->service ? e->service : "-", sha256);
	}
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static struct store_feed event_of(
	const struct registry_run *run, int kind, const struct store_profile_view *v)
{
	struct store_feed e = { .kind = kind };

	snprintf(e.name, sizeof(e.name), "%u.%s", v->p.slot, v->iccid);
	snprintf(e.owner_name, sizeof(e.owner_name), "%u.%s.%s", v->p.slot, v->iccid,
		run->reg->settings.zone);
	return e;
}

enum rc reg__feed_published(
	struct registry_run *run, const struct store_profile_view *v, bool instead)
{
	struct store_feed e = event_of(run, instead ? FEED(SUPERSEDED) : FEED(ACTIVATED), v);

	snprintf(e.service, sizeof(e.service), "%s", v->p.service);
	e.has_cert = true;
	memcpy(e.cert_sha256, v->cert.sha256, sizeof(e.cert_sha256));
	return add(run, v->p.sponsor, &e);
}

enum rc reg__feed_withdrawn(struct registry_run *run, const struct store_profile_view *v)
{
	struct store_feed e = event_of(run, FEED(WITHDRAWN), v);

	snprintf(e.service, sizeof(e.service), "%s", v->p.service);
	return add(run, v->p.sponsor, &e);
}

enum rc reg__feed_lost(
	struct registry_run *run, const struct store_profile_view *v, const char *loser)
{
	struct store_feed e = event_of(run, FEED(SUPERSEDED), v);

	return add(run, loser, &e);
}

/* ---- reading ---------------------------------------------------------------------------- */

static char *position_text(struct registry_run *run, uint64_t position, const uint8_t *mark)
{
	static const uint8_t none[STORE_MARK];
	char hex[2 * STORE_MARK + 1];

	hex_write(mark ? mark : none, STORE_MARK, hex);
	return arena_printf(run->arena, "%llu-%s", (unsigned long long)position, hex);
}

/* "12-0011223344556677" */
static bool position_read(const char *text, uint64_t *position, uint8_t mark[STORE_MARK])
{
	size_t digits = strspn(text, "0123456789");
	char number[24];

	if (digits < 1 || digits > 19 || text[digits] != '-' ||
		strlen(text + digits + 1) != 2 * STORE_MARK)
		return false;
	snprintf(number, sizeof(number), "%.*s", (int)digits, text);
	return u64_read(number, 0, INT64_MAX, position) == RC_OK &&
	       hex_read(text + digits + 1, mark, STORE_MARK) == RC_OK;
}

static Registry__FeedEvent *event_message(struct registry_run *run, const struct store_feed *e)
{
	Registry__FeedEvent *m = arena_alloc(run->arena, sizeof(*m));

	if (!m)
		return NULL;
	registry__feed_event__init(m);
	m->position = e->position;
	m->date = e->date;
	m->event = (Registry__FeedKind)e->kind;
	m->name = arena_str(run->arena, e->name);
	m->owner_name = arena_str(run->arena, e->owner_name);
	m->service = arena_str(run->arena, e->service);
	if (e->has_cert) {
		m->cert_sha256.data = arena_dup(run->arena, e->cert_sha256, STORE_SHA256);
		m->cert_sha256.len = STORE_SHA256;
	}
	return m;
}

/* Good news waits until the zone serves it, or its reader would find nothing and remember that; bad
 * news never waits. */
static bool too_early(const struct registry_run *run, const struct store_feed *e)
{
	return e->kind != FEED(WITHDRAWN) && e->seq > run->reg->served &&
	       run->now - e->date < LATE_S;
}

static enum rc unknown_position(struct registry_run *run)
{
	return reg__no(run, CODE(RANGE), "after",
		"this position is not in the feed: older than what is kept, or of a registry "
		"before "
		"it was restored; ask the DNS anew for every name and go on from \"head\"");
}

/* The place to read on from: the first of `list` is the event that was read last, which shows that
 * it is the same history. */
static enum rc answer(struct registry_run *run, Registry__FeedData *out, struct store_feed *list,
	size_t n, size_t first)
{
	out->events = arena_array(run->arena, n, sizeof(*out->events));
	for (size_t i = first; out->events && i < n; i++) {
		if (too_early(run, &list[i])) {
			run->held = true;
			break;
		}
		out->events[out->n_events++] = event_message(run, &list[i]);
		out->position = position_text(run, list[i].position, list[i].mark);
	}
	run->reply.code = out->n_events ? CODE(OK) : CODE(NO_MESSAGES);
	run->reply.result_case = REGISTRY__REPLY__RESULT_FEED;
	run->reply.feed = out;
	return RC_OK;
}

static enum rc from_position(struct registry_run *run, Registry__FeedData *out, const char *after,
	const struct store_feed *head, size_t limit)
{
	uint64_t position = 0;
	uint8_t mark[STORE_MARK] = { 0 };
	struct store_feed *list = NULL;
	size_t n = 0, known;
	enum rc rc;

	if (*after && !position_read(after, &position, mark))
		return reg__no(run, CODE(VALUE_SYNTAX), "after",
			"empty, \"head\", or the position of an answer");
	rc = store_feed_list(
		run->reg->store, run->caller->id, position, limit + 1, run->arena, &list, &n);
	if (rc != RC_OK)
		return rc;
	known = position ? 1 : 0;
	if (position && (n == 0 || list[0].position != position ||
				memcmp(list[0].mark, mark, sizeof(mark)) != 0))
		return unknown_position(run);
	/* From the beginning: the first that is kept need not be the first that was. */
	if (!position && *after && head && list[0].position != 1)
		return unknown_position(run);
	out->after = position_text(run, position, position ? mark : NULL);
	out->position = out->after;
	return answer(run, out, list, n > limit + known ? limit + known : n, known);
}

enum rc reg__feed_wait(struct registry_run *run)
{
	const Registry__FeedWait *m = run->request->feed_wait;
	Registry__FeedData *out = arena_alloc(run->arena, sizeof(*out));
	size_t limit = m->limit && m->limit < LIMIT_MAX ? m->limit : LIMIT_MAX;
	struct store_feed head = { 0 };
	enum rc rc, poll;

	if (!out)
		return RC_NOMEM;
	registry__feed_data__init(out);
	rc = store_feed_head(run->reg->store, run->caller->id, &head);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	poll = store_feed_poll_get(run->reg->store, run->caller->id);
	if (poll != RC_OK && poll != RC_NOT_FOUND)
		return poll;
	out->poll = poll == RC_OK;
	out->head = head.position;
	if (strcmp(m->after, "head") != 0)
		return from_position(run, out, m->after, rc == RC_OK ? &head : NULL, limit);
	out->after = position_text(run, head.position, rc == RC_OK ? head.mark : NULL);
	out->position = out->after;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_FEED;
	run->reply.feed = out;
	return RC_OK;
}

enum rc reg__feed_set(struct registry_run *run)
{
	Registry__Flag poll = run->request->feed_set->poll;
	Registry__FeedData *out = arena_alloc(run->arena, sizeof(*out));
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	if (poll != REGISTRY__FLAG__FLAG_TRUE && poll != REGISTRY__FLAG__FLAG_FALSE)
		return reg__no(run, CODE(MISSING), "poll", "true or false");
	rc = store_feed_poll_set(
		run->reg->store, run->caller->id, poll == REGISTRY__FLAG__FLAG_TRUE);
	if (rc == RC_OK)
		rc = reg__audit(run, run->caller->id, "feed by poll messages: %s",
			poll == REGISTRY__FLAG__FLAG_TRUE ? "on" : "off");
	registry__feed_data__init(out);
	out->poll = poll == REGISTRY__FLAG__FLAG_TRUE;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_FEED;
	run->reply.feed = out;
	return rc;
}
