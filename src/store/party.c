/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

static void read_party(struct st__q *q, struct store_party *p)
{
	*p = (struct store_party){ 0 };
	st__col_text(q, 0, p->id, sizeof(p->id));
	st__col_text(q, 1, p->name, sizeof(p->name));
	p->roles = (uint32_t)st__col_int(q, 2);
	p->has_spki = st__col_fixed(q, 3, p->spki, sizeof(p->spki));
	st__col_text(q, 4, p->password, sizeof(p->password));
	p->created = st__col_int(q, 5);
}

static enum rc one_party(struct st__q *q, struct store_party *out)
{
	struct store_party p;
	bool found;
	enum rc rc;

	found = st__row(q);
	if (found)
		read_party(q, &p);
	rc = st__end_one(q, found);
	if (rc == RC_OK)
		*out = p;
	return rc;
}

enum rc store_party_add(struct store *s, const struct store_party *p)
{
	struct st__q q = st__start(s, ST__PARTY_ADD);

	st__text(&q, p->id);
	st__text(&q, p->name);
	st__int(&q, p->roles);
	st__blob(&q, p->has_spki ? p->spki : NULL, sizeof(p->spki));
	st__text(&q, p->password);
	st__int(&q, p->created);
	return st__run(&q);
}

enum rc store_party_get(struct store *s, const char *id, struct store_party *out)
{
	struct st__q q = st__start(s, ST__PARTY_GET);

	st__text(&q, id);
	return one_party(&q, out);
}

enum rc store_party_by_spki(
	struct store *s, const uint8_t spki[STORE_SHA256], struct store_party *out)
{
	struct st__q q = st__start(s, ST__PARTY_BY_SPKI);

	st__blob(&q, spki, STORE_SHA256);
	return one_party(&q, out);
}

enum rc store_party_list(struct store *s, const char *after, size_t limit, struct arena *a,
	struct store_party **out, size_t *n)
{
	struct st__q q = st__start(s, ST__PARTY_LIST);
	struct st__list l = { 0 };

	st__text(&q, after);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_party *p = st__list_add(&l, sizeof(*p), a, &q);

		if (p)
			read_party(&q, p);
	}
	*out = (struct store_party *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}
