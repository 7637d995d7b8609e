/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are removed, stolen or broken, and certificates that are renewed with overlap. */
#include "store/engine.h"

#include <string.h>

static enum rc history_add(struct store *s, const struct store_device *d, int64_t now)
{
	struct st__q q = st__start(s, ST__HISTORY_ADD);

	st__int(&q, d->id);
	st__text(&q, d->iccid);
	st__text(&q, d->mno);
	st__int(&q, now);
	return st__run(&q);
}

enum rc store_device_remove(struct store *s, int64_t device, int64_t now)
{
	struct st__q q = st__start(s, ST__DEVICE_REMOVE);
	enum rc rc;

	st__int(&q, device);
	st__int(&q, now);
	rc = st__run(&q);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__HISTORY_CLOSE);
	st__int(&q, device);
	st__int(&q, now);
	return st__run(&q);
}

enum rc store_device_revive(struct store *s, struct store_device *d, int64_t now)
{
	struct st__q q = st__start(s, ST__DEVICE_REVIVE);
	enum rc rc;

	st__text(&q, d->iccid);
	st__text_or_null(&q, d->eid);
	st__text(&q, d->imei);
	st__text(&q, d->mno);
	st__text_or_null(&q, d->owner);
	st__blob(&q, d->has_claim ? d->claim_salt : NULL, sizeof(d->claim_salt));
	st__blob(&q, d->has_claim ? d->claim_sha256 : NULL, sizeof(d->claim_sha256));
	rc = st__run_int(&q, &d->id);
	return rc == RC_OK ? history_add(s, d, now) : rc;
}

enum rc store_device_known(struct store *s, const char *iccid)
{
	struct st__q q = st__start(s, ST__DEVICE_KNOWN);
	int64_t id;

	st__text(&q, iccid);
	return st__run_int(&q, &id);
}

enum rc store_device_wipes(struct store *s, int64_t device, uint32_t *mask)
{
	struct st__q q = st__start(s, ST__DEVICE_WIPES);
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

/* ---- flags ------------------------------------------------------------------------------ */

enum rc store_flag_set(struct store *s, int64_t device, const struct store_flag *flag)
{
	struct st__q q = st__start(s, ST__FLAG_SET);

	st__int(&q, device);
	st__text(&q, flag->flag);
	st__text(&q, flag->who);
	st__int(&q, flag->since);
	st__text(&q, flag->reason);
	return st__run(&q);
}

enum rc store_flag_drop(struct store *s, int64_t device, const char *flag)
{
	struct st__q q = st__start(s, ST__FLAG_DROP);

	st__int(&q, device);
	st__text(&q, flag);
	return st__run(&q);
}

enum rc store_flag_list(
	struct store *s, int64_t device, struct arena *a, struct store_flag **out, size_t *n)
{
	struct st__q q = st__start(s, ST__FLAG_LIST);
	struct st__list l = { 0 };

	st__int(&q, device);
	while (st__row(&q)) {
		struct store_flag *f = st__list_add(&l, sizeof(*f), a, &q);

		if (!f)
			continue;
		st__col_text(&q, 0, f->flag, sizeof(f->flag));
		st__col_text(&q, 1, f->who, sizeof(f->who));
		f->since = st__col_int(&q, 2);
		st__col_text(&q, 3, f->reason, sizeof(f->reason));
	}
	*out = (struct store_flag *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

/* ---- renewals --------------------------------------------------------------------------- */

static void read_cert(struct st__q *q, struct store_cert *c)
{
	*c = (struct store_cert){ .id = st__col_int(q, 0), .profile = st__col_int(q, 1) };
	st__col_fixed(q, 2, c->sha256, sizeof(c->sha256));
	st__col_fixed(q, 3, c->spki, sizeof(c->spki));
	c->state = (int)st__col_int(q, 4);
	c->not_before = st__col_int(q, 5);
	c->not_after = st__col_int(q, 6);
	st__col_text(q, 7, c->service, sizeof(c->service));
}

enum rc store_cert_by_sha256(
	struct store *s, const uint8_t sha256[STORE_SHA256], struct store_cert *out)
{
	struct st__q q = st__start(s, ST__CERT_BY_SHA256);
	struct store_cert c = { 0 };
	enum rc rc;

	st__blob(&q, sha256, STORE_SHA256);
	if (st__row(&q))
		read_cert(&q, &c);
	rc = st__end(&q);
	if (rc == RC_OK && !c.id)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = c;
	return rc;
}

enum rc store_overlap_put(struct store *s, int64_t profile, int64_t cert, int64_t ends)
{
	struct st__q q = st__start(s, ST__OVERLAP_PUT);

	st__int(&q, profile);
	st__int(&q, cert);
	st__int(&q, ends);
	return st__run(&q);
}

enum rc store_overlap_get(struct store *s, int64_t profile, struct store_cert *out, int64_t *ends)
{
	struct st__q q = st__start(s, ST__OVERLAP_GET);
	struct store_cert c = { 0 };
	int64_t until = 0;
	enum rc rc;

	st__int(&q, profile);
	if (st__row(&q)) {
		read_cert(&q, &c);
		until = st__col_int(&q, 8);
	}
	rc = st__end(&q);
	if (rc == RC_OK && !c.id)
		return RC_NOT_FOUND;
	if (rc == RC_OK) {
		*out = c;
		*ends = until;
	}
	return rc;
}

enum rc store_overlap_drop(struct store *s, int64_t profile)
{
	struct st__q q = st__start(s, ST__OVERLAP_DROP);

	st__int(&q, profile);
	return st__run(&q);
}

enum rc store_overlap_due(struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__OVERLAP_DUE);

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}
