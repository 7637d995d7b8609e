/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

enum rc store_poll_add(struct store *s, const char *party, const struct store_poll *m)
{
	struct st__q q = st__start(s, ST__POLL_ADD);

	st__text(&q, party);
	st__int(&q, m->date);
	st__text(&q, m->event);
	st__text(&q, m->name);
	st__text(&q, m->text);
	st__text(&q, m->who ? m->who : "");
	st__text(&q, m->trid ? m->trid : "");
	st__text(&q, m->ended_cl_trid ? m->ended_cl_trid : "");
	st__text(&q, m->ended_sv_trid ? m->ended_sv_trid : "");
	st__int(&q, m->state);
	st__blob(&q, m->object.len ? m->object.bytes : NULL, m->object.len);
	st__text(&q, m->reason ? m->reason : "");
	st__text(&q, m->case_id ? m->case_id : "");
	return st__run(&q);
}

enum rc store_poll_head(struct store *s, const char *party, struct arena *a, struct store_poll *out,
	uint32_t *count)
{
	struct st__q q = st__start(s, ST__POLL_HEAD);
	struct store_poll m = { 0 };
	int64_t n = 0;
	enum rc rc;

	st__text(&q, party);
	if (st__row(&q)) {
		m.id = (uint64_t)st__col_int(&q, 0);
		m.date = st__col_int(&q, 1);
		m.event = st__col_dup(&q, 2, a);
		m.name = st__col_dup(&q, 3, a);
		m.text = st__col_dup(&q, 4, a);
		m.who = st__col_dup(&q, 5, a);
		m.trid = st__col_dup(&q, 6, a);
		m.ended_cl_trid = st__col_dup(&q, 7, a);
		m.ended_sv_trid = st__col_dup(&q, 8, a);
		m.state = (int)st__col_int(&q, 9);
		m.object = st__col_blob(&q, 10, a);
		m.reason = st__col_dup(&q, 11, a);
		m.case_id = st__col_dup(&q, 12, a);
	}
	rc = st__end(&q);
	if (rc != RC_OK)
		return rc;
	if (!m.id)
		return RC_NOT_FOUND;
	q = st__start(s, ST__POLL_COUNT);
	st__text(&q, party);
	rc = st__run_int(&q, &n);
	if (rc == RC_OK) {
		*out = m;
		*count = (uint32_t)n;
	}
	return rc;
}

enum rc store_poll_remove(struct store *s, const char *party, uint64_t id)
{
	struct st__q q = st__start(s, ST__POLL_DROP);
	int64_t gone;

	st__text(&q, party);
	st__int(&q, (int64_t)id);
	return st__run_int(&q, &gone);
}

/* ---- answers kept for a repeated request ------------------------------------------------ */

enum rc store_idem_get(struct store *s, const char *party, const char *key, struct arena *a,
	struct store_idem *out)
{
	struct st__q q = st__start(s, ST__IDEM_GET);
	struct store_idem i = { 0 };
	bool found = false;
	enum rc rc;

	st__text(&q, party);
	st__text(&q, key);
	if (st__row(&q)) {
		st__col_fixed(&q, 0, i.request_sha256, sizeof(i.request_sha256));
		i.reply = st__col_blob(&q, 1, a);
		i.seq = (uint64_t)st__col_int(&q, 2);
		i.expires = st__col_int(&q, 3);
		found = true;
	}
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = i;
	return rc;
}

enum rc store_idem_put(
	struct store *s, const char *party, const char *key, const struct store_idem *i)
{
	struct st__q q = st__start(s, ST__IDEM_PUT);

	st__text(&q, party);
	st__text(&q, key);
	st__blob(&q, i->request_sha256, sizeof(i->request_sha256));
	st__blob(&q, i->reply.bytes, i->reply.len);
	st__int(&q, (int64_t)i->seq);
	st__int(&q, i->expires);
	return st__run(&q);
}

enum rc store_idem_expire(struct store *s, int64_t now, size_t limit)
{
	struct st__q q = st__start(s, ST__IDEM_EXPIRE);

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	return st__run(&q);
}
