/* SPDX-License-Identifier: Apache-2.0 */
/* The providers' feeds: what is told to whom, positions, other histories, what waits for the zone.
 */
#include "world.h"

#define OPEN_WORLD(w)                 \
	struct world w;               \
	(void)state;                  \
	world_open(&w);               \
	w.reg.settings.feed_s = 1000; \
	w.reg.served = UINT64_MAX;    \
	world_people(&w)

static const Registry__FeedData *feed(struct world *w, const char *who, const char *after)
{
	Registry__FeedWait m = REGISTRY__FEED_WAIT__INIT;
	WORLD_REQUEST(q, FEED_WAIT, feed_wait, m);

	m.after = str(after);
	(void)world_run(w, who, &q);
	return w->run.reply.result_case == REGISTRY__REPLY__RESULT_FEED ? w->run.reply.feed : NULL;
}

static Registry__Code renew(struct world *w, const char *who)
{
	struct store_profile_view v = world_view(w, ICCID, 1);
	Registry__ProfileRenew m = REGISTRY__PROFILE_RENEW__INIT;
	WORLD_REQUEST(q, PROFILE_RENEW, profile_renew, m);

	m.name = str(NAME);
	m.not_after = v.cert.not_after;
	return world_run(w, who, &q);
}

static void check(const Registry__FeedData *f, size_t i, Registry__FeedKind kind, bool cert)
{
	assert_non_null(f);
	assert_true(i < f->n_events);
	assert_int_equal(kind, f->events[i]->event);
	assert_string_equal(NAME, f->events[i]->name);
	assert_string_equal(NAME ".iotregistry.example", f->events[i]->owner_name);
	assert_int_equal(cert ? 32 : 0, f->events[i]->cert_sha256.len);
}

static void live(struct world *w)
{
	assert_int_equal(1000, world_register(w, "parkoserv", ICCID, 1, CLAIM, "parking"));
	assert_int_equal(1000, world_activate(w, "parkoserv", NAME, "key 0001"));
}

static void test_what_is_told_to_whom(void **state)
{
	const Registry__FeedData *f;
	char code[64];

	OPEN_WORLD(w);
	assert_int_equal(0, feed(&w, "parkoserv", "")->n_events);
	assert_int_equal(1300, w.run.reply.code);
	live(&w);
	f = feed(&w, "parkoserv", "");
	assert_int_equal(1, f->n_events);
	check(f, 0, REGISTRY__FEED_KIND__FEED_ACTIVATED, true);
	assert_string_equal("parking", f->events[0]->service);
	w.now += 1;
	assert_int_equal(1000, renew(&w, "parkoserv"));
	assert_int_equal(1000, world_deactivate(&w, "gatineau", NAME));
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(1000, world_auth(&w, "parkoserv", NAME, code));
	assert_int_equal(1000, world_transfer(&w, "carparkserv", NAME, code, "carpark"));
	assert_int_equal(1000, world_delete(&w, "carparkserv", NAME));
	f = feed(&w, "parkoserv", "");
	assert_int_equal(5, f->n_events);
	check(f, 1, REGISTRY__FEED_KIND__FEED_ACTIVATED, true); /* renewed, beside the old one */
	check(f, 2, REGISTRY__FEED_KIND__FEED_WITHDRAWN, false);
	check(f, 3, REGISTRY__FEED_KIND__FEED_ACTIVATED, true);
	check(f, 4, REGISTRY__FEED_KIND__FEED_SUPERSEDED, false);
	assert_string_equal("", f->events[4]->service);
	for (size_t i = 0; i < f->n_events; i++)
		assert_int_equal(i + 1, f->events[i]->position);
	/* The winner hears of its own, from its own first position on. */
	f = feed(&w, "carparkserv", "");
	assert_int_equal(2, f->n_events);
	check(f, 0, REGISTRY__FEED_KIND__FEED_ACTIVATED, true);
	assert_string_equal("carpark", f->events[0]->service);
	check(f, 1, REGISTRY__FEED_KIND__FEED_WITHDRAWN, false);
	assert_int_equal(1, f->events[0]->position);
	assert_null(feed(&w, "mno", ""));
	assert_int_equal(2201, w.run.reply.code);
	world_close(&w);
}

static void test_positions(void **state)
{
	static const char *const wrong[] = { "1", "x", "-", "1-", "1-00112233445566",
		"1-001122334455667g", "99999999999999999999-0011223344556677",
		"1-0011223344556677 ", "head " };
	static const char *const unknown[] = { "1-0011223344556677", "7-0011223344556677" };
	char one[64], head[64];

	OPEN_WORLD(w);
	snprintf(one, sizeof(one), "%s", feed(&w, "parkoserv", "head")->position);
	assert_string_equal("0-0000000000000000", one);
	live(&w);
	assert_int_equal(1, feed(&w, "parkoserv", one)->n_events);
	snprintf(one, sizeof(one), "%s", w.run.reply.feed->position);
	assert_int_equal(0, feed(&w, "parkoserv", one)->n_events);
	assert_string_equal(one, w.run.reply.feed->after);
	assert_string_equal(one, w.run.reply.feed->position);
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_int_equal(1, feed(&w, "parkoserv", one)->n_events);
	assert_int_equal(2, w.run.reply.feed->events[0]->position);
	snprintf(head, sizeof(head), "%s", w.run.reply.feed->position);
	assert_string_equal(head, feed(&w, "parkoserv", "head")->position);
	assert_int_equal(2, w.run.reply.feed->head);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_null(feed(&w, "parkoserv", wrong[i]));
		assert_int_equal(2005, w.run.reply.code);
	}
	/* Another history, and what has not happened. */
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_null(feed(&w, "parkoserv", unknown[i]));
		assert_int_equal(2004, w.run.reply.code);
	}
	/* Old events go; the newest stays, so that the count never begins anew. */
	w.now += 2000;
	world_sweep(&w);
	assert_null(feed(&w, "parkoserv", one));
	assert_int_equal(2004, w.run.reply.code);
	assert_null(feed(&w, "parkoserv", "0-0000000000000000"));
	assert_int_equal(0, feed(&w, "parkoserv", head)->n_events);
	assert_int_equal(1, feed(&w, "parkoserv", "")->n_events);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(3, feed(&w, "parkoserv", head)->events[0]->position);
	world_close(&w);
}

static void test_good_news_waits_for_the_zone(void **state)
{
	OPEN_WORLD(w);
	w.reg.served = 0;
	live(&w);
	assert_int_equal(0, feed(&w, "parkoserv", "")->n_events);
	assert_true(w.run.held);
	w.reg.served = store_change_last(w.reg.store);
	assert_int_equal(1, feed(&w, "parkoserv", "")->n_events);
	assert_false(w.run.held);
	/* A zone that does not move is not waited for; bad news never waits. */
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_int_equal(2, feed(&w, "parkoserv", "")->n_events);
	assert_int_equal(1000, world_activate(&w, "parkoserv", NAME, ""));
	assert_int_equal(2, feed(&w, "parkoserv", "")->n_events);
	w.now += 2;
	assert_int_equal(3, feed(&w, "parkoserv", "")->n_events);
	world_close(&w);
}

static void test_by_poll(void **state)
{
	struct store_poll m;
	uint32_t count;
	Registry__FeedSet on = REGISTRY__FEED_SET__INIT;
	WORLD_REQUEST(q, FEED_SET, feed_set, on);

	OPEN_WORLD(w);
	assert_int_equal(2003, world_run(&w, "parkoserv", &q));
	on.poll = REGISTRY__FLAG__FLAG_TRUE;
	assert_int_equal(1000, world_run(&w, "parkoserv", &q));
	assert_int_equal(2201, world_run(&w, "mno", &q));
	live(&w);
	assert_rc(RC_OK, store_poll_head(w.reg.store, "parkoserv", &w.arena, &m, &count));
	assert_int_equal(1, count);
	assert_string_equal("feed.activated", m.event);
	assert_string_equal(NAME, m.name);
	assert_non_null(strstr(m.text, "position=1 service=parking sha256="));
	on.poll = REGISTRY__FLAG__FLAG_FALSE;
	assert_int_equal(1000, world_run(&w, "parkoserv", &q));
	assert_int_equal(1000, world_deactivate(&w, "parkoserv", NAME));
	assert_rc(RC_OK, store_poll_head(w.reg.store, "parkoserv", &w.arena, &m, &count));
	assert_int_equal(1, count);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_told_to_whom),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_good_news_waits_for_the_zone),
		cmocka_unit_test(test_by_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
