/* SPDX-License-Identifier: Apache-2.0 */
#include "store/audit.h"
#include "base/put.h"
#include "store/engine.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

#define VERIFY_PAGE 1000

static void length_of(const char *text, uint8_t out[4])
{
	struct put p = put_init(out, 4);

	put_u32(&p, (uint32_t)strlen(text));
}

static enum rc hash_row(EVP_MD_CTX *ctx, const EVP_MD *md, const uint8_t prev[STORE_SHA256],
	const struct store_audit *row, uint8_t out[STORE_SHA256])
{
	const char *const fields[] = { row->party, row->operation, row->object, row->detail };
	uint8_t head[16];
	struct put p = put_init(head, sizeof(head));
	unsigned len = 0;
	int ok;

	put_u64(&p, row->seq);
	put_u64(&p, (uint64_t)row->time);
	ok = EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, prev, STORE_SHA256) &&
	     EVP_DigestUpdate(ctx, head, sizeof(head));
	for (size_t i = 0; i < ARRAY_LEN(fields) && ok; i++) {
		uint8_t len_bytes[4];

		length_of(fields[i], len_bytes);
		ok = EVP_DigestUpdate(ctx, len_bytes, sizeof(len_bytes)) &&
		     EVP_DigestUpdate(ctx, fields[i], strlen(fields[i]));
	}
	return ok && EVP_DigestFinal_ex(ctx, out, &len) ? RC_OK : RC_CRYPTO;
}

enum rc store_audit_hash(
	const uint8_t prev[STORE_SHA256], const struct store_audit *row, uint8_t out[STORE_SHA256])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum rc rc = ctx ? hash_row(ctx, EVP_sha256(), prev, row, out) : RC_NOMEM;

	EVP_MD_CTX_free(ctx);
	return rc;
}

enum rc store_audit_add(struct store *s, struct store_audit *row)
{
	struct st__q q;
	enum rc rc;

	row->seq = s->now.audit + 1;
	rc = hash_row(s->md, s->sha256, s->now.head, row, row->hash);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__AUDIT_ADD);
	st__int(&q, (int64_t)row->seq);
	st__int(&q, row->time);
	st__text(&q, row->party);
	st__text(&q, row->operation);
	st__text(&q, row->object);
	st__text(&q, row->detail);
	st__blob(&q, row->hash, sizeof(row->hash));
	st__text(&q, s->node);
	rc = st__run(&q);
	if (rc == RC_OK) {
		s->now.audit = row->seq;
		memcpy(s->now.head, row->hash, sizeof(row->hash));
	}
	return rc;
}

enum rc store_audit_list(struct store *s, uint64_t after, size_t limit, struct arena *a,
	struct store_audit **out, size_t *n)
{
	struct st__q q = st__start(s, ST__AUDIT_LIST);
	struct st__list l = { 0 };

	st__int(&q, (int64_t)after);
	st__int(&q, (int64_t)limit);
	while (st__row(&q)) {
		struct store_audit *r = st__list_add(&l, sizeof(*r), a, &q);

		if (!r)
			continue;
		r->seq = (uint64_t)st__col_int(&q, 0);
		r->time = st__col_int(&q, 1);
		r->party = st__col_dup(&q, 2, a);
		r->operation = st__col_dup(&q, 3, a);
		r->object = st__col_dup(&q, 4, a);
		r->detail = st__col_dup(&q, 5, a);
		st__col_fixed(&q, 6, r->hash, sizeof(r->hash));
		r->node = st__col_dup(&q, 7, a);
	}
	*out = (struct store_audit *)(void *)l.items;
	*n = l.n;
	return st__end(&q);
}

uint64_t store_audit_head(const struct store *s, uint8_t head[STORE_SHA256])
{
	memcpy(head, s->now.head, STORE_SHA256);
	return s->now.audit;
}

static struct store_audit_chain *chain_of(struct store_audit_report *r, const char *node)
{
	struct store_audit_chain *c;

	for (size_t i = 0; i < r->chains; i++)
		if (strcmp(r->chain[i].node, node) == 0)
			return &r->chain[i];
	if (r->chains == STORE_CHAINS_MAX || strlen(node) >= STORE_NODE_MAX)
		return NULL;
	c = &r->chain[r->chains++];
	*c = (struct store_audit_chain){ .rows = 0 };
	memcpy(c->node, node, strlen(node) + 1);
	return c;
}

struct walk {
	store_audit_fn *fn;
	void *user;
};

static enum rc verify_row(struct store *s, const struct walk *w, const struct store_audit *row,
	struct store_audit_report *r, struct diag *d)
{
	struct store_audit_chain *c = chain_of(r, row->node);
	uint8_t hash[STORE_SHA256];
	enum rc rc;

	if (!c)
		return diag_set(d, RC_TOO_LARGE, "audit: more than %d chains", STORE_CHAINS_MAX);
	rc = hash_row(s->md, s->sha256, c->head, row, hash);
	if (rc == RC_OK && row->seq != r->rows + 1)
		rc = diag_set(d, RC_CONFLICT,
			"audit: row %" PRIu64 " is missing (row %" PRIu64 " follows)", r->rows + 1,
			row->seq);
	else if (rc == RC_OK && memcmp(hash, row->hash, sizeof(hash)) != 0)
		rc = diag_set(d, RC_CONFLICT, "audit: row %" PRIu64 " does not fit the chain%s%s",
			row->seq, *row->node ? " of node " : "", row->node);
	if (rc == RC_OK && w->fn)
		rc = w->fn(row, c, w->user, d);
	if (rc != RC_OK) {
		r->broken_at = r->rows + 1;
		return rc;
	}
	r->rows++;
	c->rows++;
	c->last = row->seq;
	memcpy(c->head, hash, sizeof(hash));
	memcpy(r->head, hash, sizeof(hash));
	return RC_OK;
}

/* Checks one page after `r`; *more tells whether there may be another. */
static enum rc verify_page(struct store *s, const struct walk *w, struct store_audit_report *r,
	bool *more, struct diag *d)
{
	struct arena a = arena_init(64 << 20);
	struct store_audit *rows = NULL;
	size_t n = 0;
	enum rc rc = store_audit_list(s, r->rows, VERIFY_PAGE, &a, &rows, &n);

	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = verify_row(s, w, &rows[i], r, d);
	*more = n == VERIFY_PAGE;
	arena_fini(&a);
	return rc;
}

enum rc store_audit_walk(struct store *s, store_audit_fn *fn, void *user,
	struct store_audit_report *out, struct diag *d)
{
	struct store_audit_report r = { 0 };
	struct walk w = { fn, user };
	bool more = true;
	enum rc rc = RC_OK;

	while (more && rc == RC_OK)
		rc = verify_page(s, &w, &r, &more, d);
	*out = r;
	return rc;
}

enum rc store_audit_verify(struct store *s, struct store_audit_report *out, struct diag *d)
{
	return store_audit_walk(s, NULL, NULL, out, d);
}
