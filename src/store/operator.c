/* SPDX-License-Identifier: Apache-2.0 */
/* What operators bring: proofs of their cards, the right to take devices over, eSIM events. */
#include "store/engine.h"

#include <string.h>

enum rc store_attest_set(struct store *s, int64_t device, struct store_blob cert)
{
	struct st__q q = st__start(s, ST__ATTEST_SET);

	st__int(&q, device);
	st__blob(&q, cert.bytes, cert.len);
	return st__run(&q);
}

enum rc store_attest_get(struct store *s, int64_t device, struct arena *a, struct store_blob *out)
{
	struct st__q q = st__start(s, ST__ATTEST_GET);
	struct store_blob cert = { 0 };
	enum rc rc;

	st__int(&q, device);
	if (st__row(&q))
		cert = st__col_blob(&q, 0, a);
	rc = st__end(&q);
	if (rc == RC_OK && !cert.len)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = cert;
	return rc;
}

enum rc store_attest_drop(struct store *s, int64_t device)
{
	struct st__q q = st__start(s, ST__ATTEST_DROP);

	st__int(&q, device);
	return st__run(&q);
}

enum rc store_key_prove(
	struct store *s, const uint8_t spki[STORE_SHA256], const char *maker, int64_t now)
{
	struct st__q q = st__start(s, ST__KEY_PROVEN_ADD);

	st__blob(&q, spki, STORE_SHA256);
	st__text(&q, maker);
	st__int(&q, now);
	return st__run(&q);
}

enum rc store_key_proven(
	struct store *s, const uint8_t spki[STORE_SHA256], char maker[STORE_MAKER_MAX])
{
	struct st__q q = st__start(s, ST__KEY_PROVEN_GET);
	char who[STORE_MAKER_MAX] = "";
	enum rc rc;

	st__blob(&q, spki, STORE_SHA256);
	if (st__row(&q))
		st__col_text(&q, 0, who, sizeof(who));
	rc = st__end(&q);
	if (rc == RC_OK && !*who)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		memcpy(maker, who, sizeof(who));
	return rc;
}

/* ---- a change of operator ----------------------------------------------------------------- */

enum rc store_move_get(struct store *s, int64_t device, struct store_move *out)
{
	struct st__q q = st__start(s, ST__MOVE_GET);
	struct store_move m = { 0 };
	bool found = false;
	enum rc rc;

	st__int(&q, device);
	if (st__row(&q)) {
		found = true;
		st__col_text(&q, 0, m.move_to, sizeof(m.move_to));
		m.has_auth = st__col_fixed(&q, 1, m.auth_salt, sizeof(m.auth_salt)) &&
			     st__col_fixed(&q, 2, m.auth_sha256, sizeof(m.auth_sha256));
		m.auth_expires = st__col_int(&q, 3);
		m.auth_tries = (uint32_t)st__col_int(&q, 4);
	}
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = m;
	return rc;
}

enum rc store_move_set(struct store *s, int64_t device, const struct store_move *move)
{
	struct st__q q = st__start(s, ST__MOVE_SET);

	st__int(&q, device);
	st__text(&q, move->move_to);
	st__blob(&q, move->has_auth ? move->auth_salt : NULL, sizeof(move->auth_salt));
	st__blob(&q, move->has_auth ? move->auth_sha256 : NULL, sizeof(move->auth_sha256));
	st__int(&q, move->auth_expires);
	st__int(&q, move->auth_tries);
	return st__run(&q);
}

enum rc store_move_drop(struct store *s, int64_t device)
{
	struct st__q q = st__start(s, ST__MOVE_DROP);

	st__int(&q, device);
	return st__run(&q);
}

enum rc store_moving_get(struct store *s, int64_t device, struct arena *a, struct store_moving *out)
{
	struct st__q q = st__start(s, ST__MOVING_GET);
	struct store_moving m = { .device = device };
	bool found = false;
	enum rc rc;

	st__int(&q, device);
	if (st__row(&q)) {
		found = true;
		st__col_text(&q, 0, m.status, sizeof(m.status));
		st__col_text(&q, 1, m.requester, sizeof(m.requester));
		m.requested = st__col_int(&q, 2);
		st__col_text(&q, 3, m.actor, sizeof(m.actor));
		m.act_date = st__col_int(&q, 4);
		st__col_text(&q, 5, m.iccid, sizeof(m.iccid));
		st__col_text(&q, 6, m.new_iccid, sizeof(m.new_iccid));
		m.has_claim = st__col_fixed(&q, 7, m.claim_salt, sizeof(m.claim_salt)) &&
			      st__col_fixed(&q, 8, m.claim_sha256, sizeof(m.claim_sha256));
		m.attest_cert = st__col_blob(&q, 9, a);
	}
	rc = st__end(&q);
	if (rc == RC_OK && !found)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = m;
	return rc;
}

enum rc store_moving_save(struct store *s, const struct store_moving *m)
{
	struct st__q q = st__start(s, ST__MOVING_SAVE);

	st__int(&q, m->device);
	st__text(&q, m->status);
	st__text(&q, m->requester);
	st__int(&q, m->requested);
	st__text(&q, m->actor);
	st__int(&q, m->act_date);
	st__text(&q, m->iccid);
	st__text(&q, m->new_iccid);
	st__blob(&q, m->has_claim ? m->claim_salt : NULL, sizeof(m->claim_salt));
	st__blob(&q, m->has_claim ? m->claim_sha256 : NULL, sizeof(m->claim_sha256));
	st__blob(&q, m->attest_cert.len ? m->attest_cert.bytes : NULL, m->attest_cert.len);
	return st__run(&q);
}

enum rc store_moving_drop(struct store *s, int64_t device)
{
	struct st__q q = st__start(s, ST__MOVING_DROP);

	st__int(&q, device);
	return st__run(&q);
}

enum rc store_moving_due(struct store *s, int64_t now, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__MOVING_DUE);

	st__int(&q, now);
	st__int(&q, (int64_t)limit);
	return st__ids(&q, limit, out, n);
}

enum rc store_device_rename(struct store *s, const struct store_device *d, int64_t now)
{
	struct st__q q = st__start(s, ST__DEVICE_RENAME);
	enum rc rc;

	st__int(&q, d->id);
	st__text(&q, d->iccid);
	st__text(&q, d->mno);
	st__blob(&q, d->has_claim ? d->claim_salt : NULL, sizeof(d->claim_salt));
	st__blob(&q, d->has_claim ? d->claim_sha256 : NULL, sizeof(d->claim_sha256));
	rc = st__run(&q);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__HISTORY_CLOSE);
	st__int(&q, d->id);
	st__int(&q, now);
	rc = st__run(&q);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__HISTORY_ADD);
	st__int(&q, d->id);
	st__text(&q, d->iccid);
	st__text(&q, d->mno);
	st__int(&q, now);
	return st__run(&q);
}

enum rc store_device_profiles(
	struct store *s, int64_t device, size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__PROFILE_OF_DEVICE);
	size_t got = 0;

	st__int(&q, device);
	while (got < limit && st__row(&q))
		out[got++] = st__col_int(&q, 0);
	*n = got;
	return st__end(&q);
}

/* ---- eSIM events, receipts ---------------------------------------------------------------- */

enum rc store_esim_mark(struct store *s, int64_t profile)
{
	struct st__q q = st__start(s, ST__ESIM_ADD);

	st__int(&q, profile);
	return st__run(&q);
}

enum rc store_esim_marked(struct store *s, int64_t profile)
{
	struct st__q q = st__start(s, ST__ESIM_GET);
	int64_t found;

	st__int(&q, profile);
	return st__run_int(&q, &found);
}

enum rc store_esim_take(struct store *s, int64_t profile)
{
	struct st__q q = st__start(s, ST__ESIM_TAKE);
	int64_t taken;

	st__int(&q, profile);
	return st__run_int(&q, &taken);
}

enum rc store_receipt_list(
	struct store *s, int64_t job, struct arena *a, struct store_receipt **out, size_t *n)
{
	struct st__q q = st__start(s, ST__RECEIPT_LIST);
	struct st__list l = { 0 };

	st__int(&q, job);
	while (st__row(&q)) {
		struct store_receipt *r = st__list_add(&l, sizeof(*r), a, &q);

		if (!r)
			continue;
		st__col_text(&q, 0, r->file, sizeof(r->file));
		r->por = st__col_blob(&q, 1, a);
		r->received = st__col_int(&q, 2);
	}
	*out = (struct store_receipt *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

enum rc store_profile_due_all(struct store *s)
{
	struct st__q q = st__start(s, ST__PROFILE_DUE_ALL);

	return st__run(&q);
}
