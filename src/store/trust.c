/* SPDX-License-Identifier: Apache-2.0 */
/* What cards hold of whom they trust, and how far a payload signer's replacement is. */
#include "store/engine.h"

#include <string.h>

enum rc store_card_trust_put(struct store *s, int64_t profile, const struct store_card_trust *t)
{
	struct st__q q = st__start(s, ST__CARD_TRUST_PUT);

	st__int(&q, profile);
	st__text(&q, t->iccid);
	st__blob(&q, t->root, sizeof(t->root));
	st__blob(&q, t->issuing, sizeof(t->issuing));
	st__blob(&q, t->signer, sizeof(t->signer));
	st__blob(&q, t->spki, sizeof(t->spki));
	st__blob(&q, t->has_announced ? t->announced : NULL, sizeof(t->announced));
	st__int(&q, t->ready);
	return st__run(&q);
}

enum rc store_card_trust_get(struct store *s, int64_t profile, struct store_card_trust *out)
{
	struct st__q q = st__start(s, ST__CARD_TRUST_GET);
	struct store_card_trust t = { 0 };
	bool found;
	enum rc rc;

	st__int(&q, profile);
	found = st__row(&q);
	if (found) {
		st__col_text(&q, 0, t.iccid, sizeof(t.iccid));
		st__col_fixed(&q, 1, t.root, sizeof(t.root));
		st__col_fixed(&q, 2, t.issuing, sizeof(t.issuing));
		st__col_fixed(&q, 3, t.signer, sizeof(t.signer));
		st__col_fixed(&q, 4, t.spki, sizeof(t.spki));
		t.has_announced = st__col_fixed(&q, 5, t.announced, sizeof(t.announced));
		t.ready = st__col_int(&q, 6);
	}
	rc = st__end_one(&q, found);
	if (rc == RC_OK)
		*out = t;
	return rc;
}

enum rc store_card_trust_ready(struct store *s, int64_t now, const uint8_t spki[STORE_SHA256],
	size_t limit, int64_t *out, size_t *n)
{
	struct st__q q = st__start(s, ST__CARD_TRUST_READY);
	size_t got = 0;

	st__int(&q, now);
	st__blob(&q, spki, STORE_SHA256);
	st__int(&q, (int64_t)limit);
	while (got < limit && st__row(&q))
		out[got++] = st__col_int(&q, 0);
	*n = got;
	return st__end(&q);
}

enum rc store_signer_count(struct store *s, const uint8_t next[STORE_SHA256],
	const uint8_t spki[STORE_SHA256], int64_t since, struct store_signer_counts *out)
{
	struct st__q q = st__start(s, ST__SIGNER_PROFILES);
	enum rc rc = st__run_int(&q, &out->profiles);

	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__SIGNER_KNOWN);
	st__blob(&q, next, STORE_SHA256);
	rc = st__run_int(&q, &out->known);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__SIGNER_LEFT);
	st__blob(&q, spki, STORE_SHA256);
	st__int(&q, since);
	return st__run_int(&q, &out->left);
}
