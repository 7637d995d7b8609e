/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

static void read_device(struct st__q *q, struct store_device *d)
{
	*d = (struct store_device){ .id = st__col_int(q, 0) };
	st__col_text(q, 1, d->iccid, sizeof(d->iccid));
	st__col_text(q, 2, d->eid, sizeof(d->eid));
	st__col_text(q, 3, d->imei, sizeof(d->imei));
	st__col_text(q, 4, d->mno, sizeof(d->mno));
	st__col_text(q, 5, d->owner, sizeof(d->owner));
	d->locked = st__col_int(q, 6) != 0;
	d->stolen = st__col_int(q, 7) != 0;
	d->broken = st__col_int(q, 8) != 0;
	d->has_claim = st__col_fixed(q, 9, d->claim_salt, sizeof(d->claim_salt)) &&
		       st__col_fixed(q, 10, d->claim_sha256, sizeof(d->claim_sha256));
	d->claim_tries = (uint32_t)st__col_int(q, 11);
	d->claim_tried = st__col_int(q, 12);
	d->created = st__col_int(q, 13);
}

enum rc store_device_add(struct store *s, struct store_device *d)
{
	struct st__q q = st__start(s, ST__DEVICE_ADD);
	enum rc rc;

	st__text(&q, d->iccid);
	st__text_or_null(&q, d->eid);
	st__text(&q, d->imei);
	st__text(&q, d->mno);
	st__text_or_null(&q, d->owner);
	st__int(&q, d->locked);
	st__int(&q, d->stolen);
	st__int(&q, d->broken);
	st__blob(&q, d->has_claim ? d->claim_salt : NULL, sizeof(d->claim_salt));
	st__blob(&q, d->has_claim ? d->claim_sha256 : NULL, sizeof(d->claim_sha256));
	st__int(&q, d->created);
	rc = st__run_int(&q, &d->id);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__HISTORY_ADD);
	st__int(&q, d->id);
	st__text(&q, d->iccid);
	st__text(&q, d->mno);
	st__int(&q, d->created);
	return st__run(&q);
}

enum rc store_device_by_iccid(struct store *s, const char *iccid, struct store_device *out)
{
	struct st__q q = st__start(s, ST__DEVICE_BY_ICCID);
	struct store_device d;
	bool found;
	enum rc rc;

	st__text(&q, iccid);
	found = st__row(&q);
	if (found)
		read_device(&q, &d);
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = d;
	return rc;
}

enum rc store_device_save(struct store *s, const struct store_device *d)
{
	struct st__q q = st__start(s, ST__DEVICE_SAVE);

	st__int(&q, d->id);
	st__text(&q, d->imei);
	st__text_or_null(&q, d->owner);
	st__int(&q, d->locked);
	st__int(&q, d->stolen);
	st__int(&q, d->broken);
	st__int(&q, d->claim_tries);
	st__int(&q, d->claim_tried);
	return st__run(&q);
}

enum rc store_device_list(struct store *s, enum store_side side, const char *party, int64_t after,
	size_t limit, struct arena *a, struct store_device **out, size_t *n)
{
	static const enum st__sql by_side[] = {
		[STORE_ALL] = ST__DEVICE_LIST,
		[STORE_SPONSOR] = ST__DEVICE_LIST_SPONSOR,
		[STORE_MNO] = ST__DEVICE_LIST_MNO,
		[STORE_OWNER] = ST__DEVICE_LIST_OWNER,
	};
	struct st__q q = st__start(s, by_side[side]);
	struct st__list l = { 0 };

	st__int(&q, after);
	st__int(&q, (int64_t)limit);
	if (side != STORE_ALL)
		st__text(&q, party);
	while (st__row(&q)) {
		struct store_device *d = st__list_add(&l, sizeof(*d), a, &q);

		if (d)
			read_device(&q, d);
	}
	*out = (struct store_device *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_device_history(
	struct store *s, int64_t device, struct arena *a, struct store_iccid **out, size_t *n)
{
	struct st__q q = st__start(s, ST__HISTORY_LIST);
	struct st__list l = { 0 };

	st__int(&q, device);
	while (st__row(&q)) {
		struct store_iccid *h = st__list_add(&l, sizeof(*h), a, &q);

		if (!h)
			continue;
		st__col_text(&q, 0, h->iccid, sizeof(h->iccid));
		st__col_text(&q, 1, h->mno, sizeof(h->mno));
		h->since = st__col_int(&q, 2);
		h->until = st__col_int(&q, 3);
	}
	*out = (struct store_iccid *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

/* ---- consent ---------------------------------------------------------------------------- */

static enum rc consent(struct store *s, enum st__sql id, int64_t device, const char *asp)
{
	struct st__q q = st__start(s, id);

	st__int(&q, device);
	if (asp)
		st__text(&q, asp);
	return st__run(&q);
}

enum rc store_consent_add(struct store *s, int64_t device, const char *asp)
{
	return consent(s, ST__CONSENT_ADD, device, asp);
}

enum rc store_consent_remove(struct store *s, int64_t device, const char *asp)
{
	return consent(s, ST__CONSENT_DROP, device, asp);
}

enum rc store_consent_drop_all(struct store *s, int64_t device)
{
	return consent(s, ST__CONSENT_DROP_ALL, device, NULL);
}

enum rc store_consent_check(struct store *s, int64_t device, const char *asp)
{
	struct st__q q = st__start(s, ST__CONSENT_GET);
	int64_t one;

	st__int(&q, device);
	st__text(&q, asp);
	return st__run_int(&q, &one);
}

enum rc store_consent_list(struct store *s, int64_t device, struct arena *a, char ***out, size_t *n)
{
	struct st__q q = st__start(s, ST__CONSENT_LIST);
	struct st__list l = { 0 };

	st__int(&q, device);
	while (st__row(&q)) {
		const char **asp = st__list_add(&l, sizeof(*asp), a, &q);

		if (asp)
			*asp = st__col_dup(&q, 0, a);
	}
	*out = (char **)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

/* ---- what hangs on a device ------------------------------------------------------------- */

enum rc store_device_slots(struct store *s, int64_t device, uint32_t *mask)
{
	struct st__q q = st__start(s, ST__DEVICE_SLOTS);
	uint32_t m = 0;
	enum rc rc;

	st__int(&q, device);
	while (st__row(&q))
		m |= 1U << (st__col_int(&q, 0) & 31);
	rc = st__end(&q);
	if (rc == RC_OK)
		*mask = m;
	return rc;
}

enum rc store_device_sponsored(struct store *s, int64_t device, const char *party)
{
	struct st__q q = st__start(s, ST__DEVICE_SPONSORED);
	int64_t one;

	st__int(&q, device);
	st__text(&q, party);
	return st__run_int(&q, &one);
}
