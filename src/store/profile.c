/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

/* ST__PROFILE_OWN: columns 0 to 21. */
static void read_own(struct st__q *q, struct store_profile *p)
{
	p->id = st__col_int(q, 0);
	p->device = st__col_int(q, 1);
	p->slot = (uint32_t)st__col_int(q, 2);
	st__col_text(q, 3, p->sponsor, sizeof(p->sponsor));
	st__col_text(q, 4, p->service, sizeof(p->service));
	p->state = (int)st__col_int(q, 5);
	p->kind = (int)st__col_int(q, 6);
	p->wipe_pending = st__col_int(q, 7) != 0;
	p->install_due = (uint32_t)st__col_int(q, 8);
	p->sequence = (uint64_t)st__col_int(q, 9);
	p->pending_job = st__col_int(q, 10);
	p->attempts = (uint32_t)st__col_int(q, 11);
	p->cert = st__col_int(q, 12);
	p->key = st__col_int(q, 13);
	p->card_cert = st__col_int(q, 14);
	p->card_sequence = (uint64_t)st__col_int(q, 15);
	p->has_auth = st__col_fixed(q, 16, p->auth_salt, sizeof(p->auth_salt)) &&
		      st__col_fixed(q, 17, p->auth_sha256, sizeof(p->auth_sha256));
	p->auth_expires = st__col_int(q, 18);
	p->auth_tries = (uint32_t)st__col_int(q, 19);
	p->created = st__col_int(q, 20);
	p->updated = st__col_int(q, 21);
}

static void read_view(struct st__q *q, struct store_profile_view *v)
{
	*v = (struct store_profile_view){ 0 };
	read_own(q, &v->p);
	st__col_text(q, 22, v->iccid, sizeof(v->iccid));
	st__col_text(q, 23, v->eid, sizeof(v->eid));
	st__col_text(q, 24, v->mno, sizeof(v->mno));
	st__col_text(q, 25, v->owner, sizeof(v->owner));
	v->locked = st__col_int(q, 26) != 0;
	v->stolen = st__col_int(q, 27) != 0;
	v->broken = st__col_int(q, 28) != 0;
	v->cert.id = st__col_int(q, 29);
	if (v->cert.id) {
		v->cert.profile = st__col_int(q, 30);
		st__col_fixed(q, 31, v->cert.sha256, sizeof(v->cert.sha256));
		st__col_fixed(q, 32, v->cert.spki, sizeof(v->cert.spki));
		v->cert.state = (int)st__col_int(q, 33);
		v->cert.not_before = st__col_int(q, 34);
		v->cert.not_after = st__col_int(q, 35);
		st__col_text(q, 36, v->cert.service, sizeof(v->cert.service));
	}
	if (st__col_fixed(q, 37, v->key_spki, sizeof(v->key_spki)))
		v->key_state = (enum store_key_state)st__col_int(q, 38);
}

static enum rc one_view(struct st__q *q, struct store_profile_view *out)
{
	bool found;

	found = st__row(q);
	if (found)
		read_view(q, out);
	return st__end_one(q, found);
}

enum rc store_profile_add(struct store *s, struct store_profile *p)
{
	struct st__q q = st__start(s, ST__PROFILE_ADD);

	st__int(&q, p->device);
	st__int(&q, p->slot);
	st__text(&q, p->sponsor);
	st__text(&q, p->service);
	st__int(&q, p->state);
	st__int(&q, p->kind);
	st__int(&q, p->wipe_pending);
	st__int(&q, p->install_due);
	st__int(&q, (int64_t)p->sequence);
	st__int(&q, p->pending_job);
	st__int(&q, p->attempts);
	st__int(&q, p->cert);
	st__int(&q, p->key);
	st__int(&q, p->card_cert);
	st__int(&q, (int64_t)p->card_sequence);
	st__blob(&q, p->has_auth ? p->auth_salt : NULL, sizeof(p->auth_salt));
	st__blob(&q, p->has_auth ? p->auth_sha256 : NULL, sizeof(p->auth_sha256));
	st__int(&q, p->auth_expires);
	st__int(&q, p->auth_tries);
	st__int(&q, p->created);
	st__int(&q, p->updated);
	return st__run_int(&q, &p->id);
}

static void bind_changing(struct st__q *q, const struct store_profile *p)
{
	st__int(q, p->id);
	st__int(q, p->state);
	st__int(q, p->wipe_pending);
	st__int(q, p->install_due);
	st__int(q, (int64_t)p->sequence);
	st__int(q, p->pending_job);
	st__int(q, p->attempts);
	st__int(q, p->cert);
	st__int(q, p->key);
	st__int(q, p->card_cert);
	st__int(q, (int64_t)p->card_sequence);
	st__int(q, p->updated);
}

enum rc store_profile_save(struct store *s, const struct store_profile *p)
{
	struct st__q q = st__start(s, ST__PROFILE_SAVE);

	bind_changing(&q, p);
	return st__run(&q);
}

enum rc store_profile_save_all(struct store *s, const struct store_profile *p)
{
	struct st__q q = st__start(s, ST__PROFILE_SAVE_ALL);

	bind_changing(&q, p);
	st__text(&q, p->sponsor);
	st__text(&q, p->service);
	st__int(&q, p->kind);
	st__blob(&q, p->has_auth ? p->auth_salt : NULL, sizeof(p->auth_salt));
	st__blob(&q, p->has_auth ? p->auth_sha256 : NULL, sizeof(p->auth_sha256));
	st__int(&q, p->auth_expires);
	st__int(&q, p->auth_tries);
	st__int(&q, p->created);
	return st__run(&q);
}

enum rc store_profile_get(
	struct store *s, const char *iccid, uint32_t slot, struct store_profile_view *out)
{
	struct st__q q = st__start(s, ST__PROFILE_GET);

	st__text(&q, iccid);
	st__int(&q, slot);
	return one_view(&q, out);
}

enum rc store_profile_by_id(struct store *s, int64_t id, struct store_profile_view *out)
{
	struct st__q q = st__start(s, ST__PROFILE_BY_ID);

	st__int(&q, id);
	return one_view(&q, out);
}

enum rc store_profile_list(struct store *s, enum store_side side, const char *party,
	const char *service, int64_t after_device, uint32_t after_slot, size_t limit,
	struct arena *a, struct store_profile_view **out, size_t *n)
{
	static const enum st__sql by_side[] = {
		[STORE_ALL] = ST__PROFILE_LIST,
		[STORE_SPONSOR] = ST__PROFILE_LIST_SPONSOR,
		[STORE_MNO] = ST__PROFILE_LIST_MNO,
		[STORE_OWNER] = ST__PROFILE_LIST_OWNER,
	};
	struct st__q q = st__start(s, by_side[side]);
	struct st__list l = { 0 };

	st__text(&q, side == STORE_ALL ? "" : party);
	st__text(&q, service);
	st__int(&q, after_device);
	st__int(&q, after_slot);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_profile_view *v = st__list_add(&l, sizeof(*v), a, &q);

		if (v)
			read_view(&q, v);
	}
	*out = (struct store_profile_view *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

/* ---- sweeps ----------------------------------------------------------------------------- */

enum rc store_profile_due(struct store *s, int64_t after, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__PROFILE_DUE);

	st__int(&q, after);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}

enum rc store_profile_due_service(struct store *s, const char *service)
{
	struct st__q q = st__start(s, ST__PROFILE_DUE_SERVICE);

	st__text(&q, service);
	return st__run(&q);
}

enum rc store_profile_expired(struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__PROFILE_EXPIRED);

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}
