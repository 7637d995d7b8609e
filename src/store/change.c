/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <stdio.h>
#include <string.h>

enum rc store_change_add(struct store *s, struct store_change *c)
{
	struct st__q q = st__start(s, ST__CHANGE_ADD);

	c->seq = ++s->now.change;
	st__int(&q, (int64_t)c->seq);
	st__text(&q, c->name);
	st__int(&q, c->withdrawn);
	st__blob(&q, c->has_cert ? c->cert_sha256 : NULL, sizeof(c->cert_sha256));
	st__blob(&q, c->has_cert ? c->spki_sha256 : NULL, sizeof(c->spki_sha256));
	st__int(&q, c->not_after);
	st__blob(&q, c->records.len ? c->records.bytes : NULL, c->records.len);
	return st__run(&q);
}

uint64_t store_change_last(const struct store *s)
{
	return s->now.change;
}

enum rc store_change_first(struct store *s, uint64_t *out)
{
	struct st__q q = st__start(s, ST__CHANGE_FIRST);
	int64_t first = 0;
	enum rc rc = st__run_int(&q, &first);

	if (rc == RC_OK)
		*out = first > 0 ? (uint64_t)first : s->now.change + 1;
	return rc;
}

enum rc store_change_list(struct store *s, uint64_t after, uint64_t upto, bool withdrawn_only,
	size_t limit, struct arena *a, struct store_change **out, size_t *n)
{
	struct st__q q = st__start(s, ST__CHANGE_LIST);
	struct st__list l = { 0 };

	st__int(&q, (int64_t)after);
	st__int(&q, (int64_t)upto);
	st__int(&q, withdrawn_only);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_change *c = st__list_add(&l, sizeof(*c), a, &q);

		if (!c)
			continue;
		*c = (struct store_change){ .seq = (uint64_t)st__col_int(&q, 0) };
		st__col_text(&q, 1, c->name, sizeof(c->name));
		c->withdrawn = st__col_int(&q, 2) != 0;
		c->has_cert = st__col_fixed(&q, 3, c->cert_sha256, sizeof(c->cert_sha256));
		st__col_fixed(&q, 4, c->spki_sha256, sizeof(c->spki_sha256));
		c->not_after = st__col_int(&q, 5);
		c->records = st__col_blob(&q, 6, a);
	}
	*out = (struct store_change *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_change_prune(struct store *s, uint64_t below, size_t limit)
{
	struct st__q q = st__start(s, ST__CHANGE_PRUNE);

	st__int(&q, (int64_t)below);
	st__int(&q, (int64_t)limit);
	return st__run(&q);
}

enum rc store_zone_page(struct store *s, int64_t after, size_t limit, struct arena *a,
	struct store_change **out, size_t *n, int64_t *next)
{
	struct st__q q = st__start(s, ST__ZONE_PAGE);
	struct st__list l = { 0 };
	int64_t last = after;

	st__int(&q, after);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_change *c = st__list_add(&l, sizeof(*c), a, &q);
		char iccid[STORE_ICCID_MAX];

		if (!c)
			continue;
		*c = (struct store_change){ .has_cert = true };
		last = st__col_int(&q, 0);
		st__col_text(&q, 2, iccid, sizeof(iccid));
		snprintf(c->name, sizeof(c->name), "%d.%s", (int)st__col_int(&q, 1), iccid);
		st__col_fixed(&q, 3, c->cert_sha256, sizeof(c->cert_sha256));
		st__col_fixed(&q, 4, c->spki_sha256, sizeof(c->spki_sha256));
		c->not_after = st__col_int(&q, 5);
		c->has_previous = st__col_fixed(&q, 6, c->previous, sizeof(c->previous));
	}
	*out = (struct store_change *)(void *)l.items;
	*n = l.n;
	*next = last;
	return st__end(&q);
}

/* ---- answers given as pending ----------------------------------------------------------- */

enum rc store_wait_add(struct store *s, const struct store_wait *w)
{
	struct st__q q = st__start(s, ST__WAIT_ADD);

	st__int(&q, (int64_t)w->seq);
	st__text(&q, w->party);
	st__text(&q, w->name);
	st__text(&q, w->operation);
	st__text(&q, w->cl_trid);
	st__text(&q, w->sv_trid);
	return st__run(&q);
}

enum rc store_wait_list(struct store *s, uint64_t upto, size_t limit, struct arena *a,
	struct store_wait **out, size_t *n)
{
	struct st__q q = st__start(s, ST__WAIT_LIST);
	struct st__list l = { 0 };

	st__int(&q, (int64_t)upto);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_wait *w = st__list_add(&l, sizeof(*w), a, &q);

		if (!w)
			continue;
		w->id = st__col_int(&q, 0);
		w->seq = (uint64_t)st__col_int(&q, 1);
		st__col_text(&q, 2, w->party, sizeof(w->party));
		st__col_text(&q, 3, w->name, sizeof(w->name));
		st__col_text(&q, 4, w->operation, sizeof(w->operation));
		st__col_text(&q, 5, w->cl_trid, sizeof(w->cl_trid));
		st__col_text(&q, 6, w->sv_trid, sizeof(w->sv_trid));
	}
	*out = (struct store_wait *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_wait_remove(struct store *s, int64_t id)
{
	struct st__q q = st__start(s, ST__WAIT_DROP);

	st__int(&q, id);
	return st__run(&q);
}
