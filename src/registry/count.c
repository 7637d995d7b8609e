/* SPDX-License-Identifier: Apache-2.0 */
/* Counts per party for chargeback: what each has now, and what it did in a time. Not money. */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define ALL_TIME 253402300800 /* the year 10,000 */

static const char *const states[] = { "", "profiles.registered", "profiles.activated",
	"profiles.deactivated", "profiles.deleted" };

static void add(struct registry_run *run, Registry__CountData *out, const char *party,
	const char *role, const char *what, const char *of, uint64_t n)
{
	Registry__Count *c = arena_alloc(run->arena, sizeof(*c));

	if (!c)
		return;
	registry__count__init(c);
	c->party = arena_str(run->arena, party);
	c->role = arena_str(run->arena, role);
	c->what = arena_str(run->arena, what);
	c->of = arena_str(run->arena, of);
	c->n = n;
	out->counts[out->n_counts++] = c;
}

static void add_rows(struct registry_run *run, Registry__CountData *out, enum store_counted of,
	const struct store_count *rows, size_t n)
{
	bool all = reg__has_role(run, ROLE_BIT(OPERATOR));

	for (size_t i = 0; i < n; i++) {
		const struct store_count *r = &rows[i];
		bool mine = all || reg__is_caller(run, r->party);

		if (of == STORE_COUNT_PROFILES && mine && r->state > 0 &&
			r->state < (int)ARRAY_LEN(states))
			add(run, out, r->party, "asp", states[r->state], r->what, r->n);
		else if (of == STORE_COUNT_OPERATIONS && mine)
			add(run, out, r->party, "", r->what, "", r->n);
		else if (of == STORE_COUNT_DEVICES) {
			if (mine)
				add(run, out, r->party, "mno", "devices", r->what, r->n);
			if (*r->what && (all || reg__is_caller(run, r->what)))
				add(run, out, r->what, "owner", "devices", r->party, r->n);
		}
	}
}

enum rc reg__count_list(struct registry_run *run)
{
	const Registry__CountList *m = run->request->count_list;
	Registry__CountData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_count *rows[3] = { NULL };
	size_t n[3] = { 0 };
	int64_t from = (int64_t)m->from, to = m->to ? (int64_t)m->to : ALL_TIME;
	enum rc rc = RC_OK;

	if (m->from > ALL_TIME || m->to > ALL_TIME || from > to)
		return reg__no(run, CODE(RANGE), "from", "seconds since 1970, from before to");
	if (!out)
		return RC_NOMEM;
	registry__count_data__init(out);
	out->from = from;
	out->to = to;
	for (int i = 0; i < 3 && rc == RC_OK; i++)
		rc = store_count(run->reg->store, (enum store_counted)i, from, to, run->arena,
			&rows[i], &n[i]);
	if (rc != RC_OK)
		return rc;
	out->counts = arena_array(run->arena, n[0] + 2 * n[1] + n[2], sizeof(*out->counts));
	for (int i = 0; out->counts && i < 3; i++)
		add_rows(run, out, (enum store_counted)i, rows[i], n[i]);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_COUNTS;
	run->reply.counts = out;
	return RC_OK;
}
