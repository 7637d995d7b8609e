/* SPDX-License-Identifier: Apache-2.0 */
/* Logins, transfers that wait for an answer, commands that were answered as pending. */
#include "store/engine.h"

#include <string.h>

enum rc store_login_get(struct store *s, const char *party, struct store_login *out)
{
	struct st__q q = st__start(s, ST__LOGIN_GET);
	struct store_login l = { 0 };
	bool found = false;
	enum rc rc;

	st__text(&q, party);
	if (st__row(&q)) {
		l.failed = (uint32_t)st__col_int(&q, 0);
		l.last = st__col_int(&q, 1);
		found = true;
	}
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = l;
	return rc;
}

enum rc store_login_save(struct store *s, const char *party, const struct store_login *l)
{
	struct st__q q = st__start(s, ST__LOGIN_SAVE);

	st__text(&q, party);
	st__int(&q, l->failed);
	st__int(&q, l->last);
	return st__run(&q);
}

enum rc store_password_save(struct store *s, const char *party, const char *encoded)
{
	struct st__q q = st__start(s, ST__PASSWORD_SAVE);

	st__text(&q, party);
	st__text(&q, encoded);
	return st__run(&q);
}

enum rc store_transfer_get(struct store *s, int64_t profile, struct store_transfer *out)
{
	struct st__q q = st__start(s, ST__TRANSFER_GET);
	struct store_transfer t = { .profile = profile };
	bool found = false;
	enum rc rc;

	st__int(&q, profile);
	if (st__row(&q)) {
		st__col_text(&q, 0, t.status, sizeof(t.status));
		st__col_text(&q, 1, t.requester, sizeof(t.requester));
		st__col_text(&q, 2, t.service, sizeof(t.service));
		t.requested = st__col_int(&q, 3);
		st__col_text(&q, 4, t.actor, sizeof(t.actor));
		t.act_date = st__col_int(&q, 5);
		found = true;
	}
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

enum rc store_transfer_save(struct store *s, const struct store_transfer *t)
{
	struct st__q q = st__start(s, ST__TRANSFER_SAVE);

	st__int(&q, t->profile);
	st__text(&q, t->status);
	st__text(&q, t->requester);
	st__text(&q, t->service);
	st__int(&q, t->requested);
	st__text(&q, t->actor);
	st__int(&q, t->act_date);
	return st__run(&q);
}

enum rc store_transfer_remove(struct store *s, int64_t profile)
{
	struct st__q q = st__start(s, ST__TRANSFER_DROP);

	st__int(&q, profile);
	return st__run(&q);
}

enum rc store_transfer_due(struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__TRANSFER_DUE);

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}

enum rc store_pending_save(struct store *s, int64_t profile, const char *cl, const char *sv)
{
	struct st__q q = st__start(s, ST__PENDING_SAVE);

	st__int(&q, profile);
	st__text(&q, cl);
	st__text(&q, sv);
	return st__run(&q);
}

enum rc store_pending_take(
	struct store *s, int64_t profile, struct arena *a, const char **cl, const char **sv)
{
	struct st__q q = st__start(s, ST__PENDING_TAKE);
	bool found = false;

	st__int(&q, profile);
	while (st__row(&q)) {
		*cl = st__col_dup(&q, 0, a);
		*sv = st__col_dup(&q, 1, a);
		found = true;
	}
	return st__end_one(&q, found);
}

/* ---- maintenance ------------------------------------------------------------------------ */

enum rc store_maintenance_add(struct store *s, const struct store_maintenance *m)
{
	struct st__q q = st__start(s, ST__MAINTENANCE_ADD);

	st__text(&q, m->id);
	st__text(&q, m->target);
	st__text(&q, m->impact);
	st__int(&q, m->begins);
	st__int(&q, m->ends);
	st__int(&q, m->emergency);
	st__text(&q, m->description);
	st__int(&q, m->created);
	return st__run(&q);
}

enum rc store_maintenance_save(struct store *s, const struct store_maintenance *m)
{
	struct st__q q = st__start(s, ST__MAINTENANCE_SAVE);

	st__text(&q, m->id);
	st__text(&q, m->target);
	st__text(&q, m->impact);
	st__int(&q, m->begins);
	st__int(&q, m->ends);
	st__int(&q, m->emergency);
	st__text(&q, m->description);
	st__int(&q, m->updated);
	st__int(&q, m->deleted ? m->updated : 0);
	return st__run(&q);
}

static void read_maintenance(struct st__q *q, struct store_maintenance *m)
{
	*m = (struct store_maintenance){ 0 };
	st__col_text(q, 0, m->id, sizeof(m->id));
	st__col_text(q, 1, m->target, sizeof(m->target));
	st__col_text(q, 2, m->impact, sizeof(m->impact));
	m->begins = st__col_int(q, 3);
	m->ends = st__col_int(q, 4);
	m->emergency = st__col_int(q, 5) != 0;
	st__col_text(q, 6, m->description, sizeof(m->description));
	m->created = st__col_int(q, 7);
	m->updated = st__col_int(q, 8);
	m->deleted = st__col_int(q, 9) != 0;
}

enum rc store_maintenance_get(struct store *s, const char *id, struct store_maintenance *out)
{
	struct st__q q = st__start(s, ST__MAINTENANCE_GET);
	struct store_maintenance m;
	bool found;
	enum rc rc;

	st__text(&q, id);
	found = st__row(&q);
	if (found)
		read_maintenance(&q, &m);
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = m;
	return rc;
}

enum rc store_maintenance_list(struct store *s, int64_t now, size_t limit, struct arena *a,
	struct store_maintenance **out, size_t *n)
{
	struct st__q q = st__start(s, ST__MAINTENANCE_LIST);
	struct st__list l = { 0 };

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_maintenance *m = st__list_add(&l, sizeof(*m), a, &q);

		if (m)
			read_maintenance(&q, m);
	}
	*out = (struct store_maintenance *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}
