/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

enum rc store_feed_add(struct store *s, const char *party, struct store_feed *e)
{
	struct st__q q = st__start(s, ST__FEED_ADD);
	int64_t position = 0;
	enum rc rc;

	st__text(&q, party);
	st__blob(&q, e->mark, sizeof(e->mark));
	st__int(&q, (int64_t)e->seq);
	st__int(&q, e->date);
	st__int(&q, e->kind);
	st__text(&q, e->name);
	st__text(&q, e->owner_name);
	st__text(&q, e->service);
	st__blob(&q, e->has_cert ? e->cert_sha256 : NULL, sizeof(e->cert_sha256));
	rc = st__run_int(&q, &position);
	if (rc == RC_OK)
		e->position = (uint64_t)position;
	return rc;
}

static void read_event(struct st__q *q, struct store_feed *e)
{
	*e = (struct store_feed){ .position = (uint64_t)st__col_int(q, 0) };
	(void)st__col_fixed(q, 1, e->mark, sizeof(e->mark));
	e->seq = (uint64_t)st__col_int(q, 2);
	e->date = st__col_int(q, 3);
	e->kind = (int)st__col_int(q, 4);
	st__col_text(q, 5, e->name, sizeof(e->name));
	st__col_text(q, 6, e->owner_name, sizeof(e->owner_name));
	st__col_text(q, 7, e->service, sizeof(e->service));
	e->has_cert = st__col_fixed(q, 8, e->cert_sha256, sizeof(e->cert_sha256));
}

enum rc store_feed_list(struct store *s, const char *party, uint64_t position, size_t limit,
	struct arena *a, struct store_feed **out, size_t *n)
{
	struct st__q q = st__start(s, ST__FEED_LIST);
	struct st__list l = { 0 };

	st__text(&q, party);
	st__int(&q, (int64_t)position);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_feed *e = st__list_add(&l, sizeof(*e), a, &q);

		if (e)
			read_event(&q, e);
	}
	*out = (struct store_feed *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_feed_head(struct store *s, const char *party, struct store_feed *out)
{
	struct st__q q = st__start(s, ST__FEED_HEAD);
	struct store_feed e;
	bool found;
	enum rc rc;

	st__text(&q, party);
	found = st__row(&q);
	if (found)
		read_event(&q, &e);
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = e;
	return rc;
}

enum rc store_feed_prune(struct store *s, int64_t date, size_t limit)
{
	struct st__q q = st__start(s, ST__FEED_PRUNE);

	st__int(&q, date);
	st__int(&q, (int64_t)limit);
	return st__run(&q);
}

enum rc store_feed_poll_get(struct store *s, const char *party)
{
	struct st__q q = st__start(s, ST__FEED_POLL_GET);
	bool found;

	st__text(&q, party);
	found = st__row(&q);
	return st__end_one(&q, found);
}

enum rc store_feed_poll_set(struct store *s, const char *party, bool on)
{
	struct st__q q = st__start(s, on ? ST__FEED_POLL_ADD : ST__FEED_POLL_DROP);

	st__text(&q, party);
	return st__run(&q);
}
