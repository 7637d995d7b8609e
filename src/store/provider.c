/* SPDX-License-Identifier: Apache-2.0 */
/* What a service says of itself, what was found of its TLSA, whom makers vouch for, counts. */
#include "store/engine.h"

#include <string.h>

enum rc store_td_get(struct store *s, const char *service, struct arena *a, struct store_blob *out)
{
	struct st__q q = st__start(s, ST__TD_GET);
	struct store_blob doc = { 0 };
	bool found;
	enum rc rc;

	st__text(&q, service);
	found = st__row(&q);
	if (found)
		doc = st__col_blob(&q, 0, a);
	rc = st__end(&q);
	if (rc == RC_OK && !found)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = doc;
	return rc;
}

enum rc store_td_set(struct store *s, const char *service, struct store_blob doc)
{
	struct st__q q = st__start(s, doc.len ? ST__TD_SET : ST__TD_DROP);

	st__text(&q, service);
	if (doc.len)
		st__blob(&q, doc.bytes, doc.len);
	return st__run(&q);
}

/* ---- TLSA --------------------------------------------------------------------------------- */

enum rc store_tlsa_get(struct store *s, const char *service, struct store_tlsa_found *out)
{
	struct st__q q = st__start(s, ST__TLSA_GET);
	struct store_tlsa_found f = { 0 };
	bool found;
	enum rc rc;

	st__text(&q, service);
	found = st__row(&q);
	if (found) {
		f.state = (enum store_tlsa)st__col_int(&q, 0);
		f.checked = st__col_int(&q, 1);
		st__col_text(&q, 2, f.why, sizeof(f.why));
	}
	rc = st__end(&q);
	if (rc == RC_OK && !found)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = f;
	return rc;
}

enum rc store_tlsa_set(struct store *s, const char *service, const struct store_tlsa_found *found)
{
	struct st__q q = st__start(s, ST__TLSA_SET);

	st__text(&q, service);
	st__int(&q, found->state);
	st__int(&q, found->checked);
	st__text(&q, found->why);
	return st__run(&q);
}

enum rc store_tlsa_due(
	struct store *s, int64_t before, size_t limit, struct arena *a, char ***out, size_t *n)
{
	struct st__q q = st__start(s, ST__TLSA_DUE);
	struct st__list l = { 0 };

	st__int(&q, before);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		const char **one = st__list_add(&l, sizeof(*one), a, &q);

		if (one)
			*one = st__col_dup(&q, 0, a);
	}
	*out = (char **)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_tlsa_count(struct store *s, uint64_t out[STORE_TLSA_STATES])
{
	struct st__q q = st__start(s, ST__TLSA_COUNT);

	memset(out, 0, STORE_TLSA_STATES * sizeof(*out));
	while (st__row(&q)) {
		int64_t state = st__col_int(&q, 0);

		if (state >= 0 && state < STORE_TLSA_STATES)
			out[state] = (uint64_t)st__col_int(&q, 1);
	}
	return st__end(&q);
}

/* ---- makers ------------------------------------------------------------------------------- */

enum rc store_maker_get(struct store *s, const char *id, struct store_maker *out)
{
	struct st__q q = st__start(s, ST__MAKER_GET);
	struct store_maker m = { 0 };
	bool found;
	enum rc rc;

	st__text(&q, id);
	found = st__row(&q);
	if (found) {
		st__col_text(&q, 0, m.id, sizeof(m.id));
		st__col_text(&q, 1, m.maker, sizeof(m.maker));
		st__col_text(&q, 2, m.model, sizeof(m.model));
		m.confirmed = st__col_int(&q, 3);
	}
	rc = st__end(&q);
	if (rc == RC_OK && !found)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = m;
	return rc;
}

enum rc store_maker_set(struct store *s, const struct store_maker *m, struct store_blob signature)
{
	struct st__q q = st__start(s, ST__MAKER_SET);

	st__text(&q, m->id);
	st__text(&q, m->maker);
	st__text(&q, m->model);
	st__int(&q, m->confirmed);
	st__blob(&q, signature.bytes, signature.len);
	return st__run(&q);
}

/* ---- counts ------------------------------------------------------------------------------- */

enum rc store_count(struct store *s, enum store_counted of, int64_t from, int64_t to,
	struct arena *a, struct store_count **out, size_t *n)
{
	static const enum st__sql sql[] = { ST__COUNT_PROFILES, ST__COUNT_DEVICES,
		ST__COUNT_AUDIT };
	struct st__q q = st__start(s, sql[of]);
	struct st__list l = { 0 };

	if (of == STORE_COUNT_OPERATIONS) {
		st__int(&q, from);
		st__int(&q, to);
	}
	while (st__row(&q)) {
		struct store_count *c = st__list_add(&l, sizeof(*c), a, &q);
		bool profiles = of == STORE_COUNT_PROFILES;

		if (!c)
			continue;
		c->party = st__col_dup(&q, 0, a);
		c->what = st__col_dup(&q, 1, a);
		c->state = profiles ? (int)st__col_int(&q, 2) : 0;
		c->n = (uint64_t)st__col_int(&q, profiles ? 3 : 2);
	}
	*out = (struct store_count *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}
