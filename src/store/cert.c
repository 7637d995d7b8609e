/* SPDX-License-Identifier: Apache-2.0 */
#include "store/engine.h"

#include <string.h>

enum rc store_cert_add(struct store *s, struct store_cert *c, struct store_blob der)
{
	struct st__q q = st__start(s, ST__CERT_ADD);

	st__int(&q, c->profile);
	st__blob(&q, c->sha256, sizeof(c->sha256));
	st__blob(&q, c->spki, sizeof(c->spki));
	st__int(&q, c->state);
	st__int(&q, c->not_before);
	st__int(&q, c->not_after);
	st__text(&q, c->service);
	st__blob(&q, der.bytes, der.len);
	return st__run_int(&q, &c->id);
}

enum rc store_cert_state(struct store *s, int64_t id, int state)
{
	struct st__q q = st__start(s, ST__CERT_STATE);

	st__int(&q, id);
	st__int(&q, state);
	return st__run(&q);
}

enum rc store_cert_get(struct store *s, int64_t id, struct arena *a, struct store_cert *out,
	struct store_blob *der)
{
	struct st__q q = st__start(s, ST__CERT_GET);
	struct store_cert c = { 0 };
	struct store_blob bytes = { 0 };
	enum rc rc;

	st__int(&q, id);
	if (st__row(&q)) {
		c.id = st__col_int(&q, 0);
		c.profile = st__col_int(&q, 1);
		st__col_fixed(&q, 2, c.sha256, sizeof(c.sha256));
		st__col_fixed(&q, 3, c.spki, sizeof(c.spki));
		c.state = (int)st__col_int(&q, 4);
		c.not_before = st__col_int(&q, 5);
		c.not_after = st__col_int(&q, 6);
		st__col_text(&q, 7, c.service, sizeof(c.service));
		bytes = st__col_blob(&q, 8, a);
	}
	rc = st__end(&q);
	if (rc == RC_OK && !c.id)
		return RC_NOT_FOUND;
	if (rc == RC_OK) {
		*out = c;
		*der = bytes;
	}
	return rc;
}

/* ---- keys ------------------------------------------------------------------------------- */

enum rc store_key_add(struct store *s, struct store_key *k)
{
	struct st__q q = st__start(s, ST__KEY_ADD);

	st__blob(&q, k->spki, sizeof(k->spki));
	st__int(&q, k->device);
	st__int(&q, k->slot);
	st__int(&q, k->state);
	st__blob(&q, k->csr.bytes, k->csr.len);
	st__blob(&q, k->b_point.len ? k->b_point.bytes : NULL, k->b_point.len);
	return st__run_int(&q, &k->id);
}

static enum rc one_key(struct st__q *q, struct arena *a, struct store_key *out)
{
	struct store_key k = { 0 };
	enum rc rc;

	if (st__row(q)) {
		k.id = st__col_int(q, 0);
		st__col_fixed(q, 1, k.spki, sizeof(k.spki));
		k.device = st__col_int(q, 2);
		k.slot = (uint32_t)st__col_int(q, 3);
		k.state = (enum store_key_state)st__col_int(q, 4);
		if (a) {
			k.csr = st__col_blob(q, 5, a);
			k.b_point = st__col_blob(q, 6, a);
		}
	}
	rc = st__end(q);
	if (rc == RC_OK && !k.id)
		return RC_NOT_FOUND;
	if (rc == RC_OK)
		*out = k;
	return rc;
}

enum rc store_key_get(struct store *s, int64_t id, struct arena *a, struct store_key *out)
{
	struct st__q q = st__start(s, ST__KEY_GET);

	st__int(&q, id);
	return one_key(&q, a, out);
}

enum rc store_key_by_spki(struct store *s, const uint8_t spki[STORE_SHA256], struct store_key *out)
{
	struct st__q q = st__start(s, ST__KEY_BY_SPKI);

	st__blob(&q, spki, STORE_SHA256);
	return one_key(&q, NULL, out);
}

enum rc store_key_revoke(struct store *s, int64_t id)
{
	struct st__q q = st__start(s, ST__KEY_REVOKE);

	st__int(&q, id);
	return st__run(&q);
}
