/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of every table, from one store into another of either engine. The list of tables comes
 * from the migrations themselves, run in memory, so that a new one cannot be forgotten. */
#include "store/copy.h"
#include "base/put.h"
#include "store/engine.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 32
#define PK_MAX	    4
#define NAME_LEN    32
#define PAGE	    500

enum kind { KIND_INT, KIND_TEXT, KIND_BLOB };

struct column {
	char name[NAME_LEN];
	enum kind kind;
	int pk; /* place in the primary key, from 1; 0: none */
};

struct table {
	char name[NAME_LEN];
	struct column columns[COLUMNS_MAX];
	int count;
	int pk[PK_MAX]; /* columns, in the order of the key */
	int pk_count;
};

struct catalog {
	struct table tables[STORE_TABLES_MAX];
	size_t count;
};

/* ---- the catalog ------------------------------------------------------------------------- */

static enum kind kind_of(const char *type)
{
	if (strcmp(type, "BLOB") == 0)
		return KIND_BLOB;
	return strcmp(type, "TEXT") == 0 ? KIND_TEXT : KIND_INT;
}

static enum rc read_columns(sqlite3 *db, struct table *t)
{
	sqlite3_stmt *q = NULL;
	enum rc rc = RC_OK;

	if (sqlite3_prepare_v2(db, "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid",
		    -1, &q, NULL) != SQLITE_OK)
		return RC_IO;
	sqlite3_bind_text(q, 1, t->name, -1, SQLITE_STATIC);
	while (rc == RC_OK && sqlite3_step(q) == SQLITE_ROW) {
		struct column *c = &t->columns[t->count];

		if (t->count == COLUMNS_MAX) {
			rc = RC_INTERNAL;
			break;
		}
		snprintf(c->name, sizeof(c->name), "%s", (const char *)sqlite3_column_text(q, 0));
		c->kind = kind_of((const char *)sqlite3_column_text(q, 1));
		c->pk = sqlite3_column_int(q, 2);
		if (c->pk > PK_MAX)
			rc = RC_INTERNAL;
		else if (c->pk)
			t->pk[c->pk - 1] = t->count;
		t->pk_count += c->pk ? 1 : 0;
		t->count++;
	}
	sqlite3_finalize(q);
	/* A table without a key has no order to read it in. */
	return rc == RC_OK && !t->pk_count ? RC_INTERNAL : rc;
}

/* Tables in the order of their making: what others refer to comes first. */
static enum rc read_tables(sqlite3 *db, struct catalog *c)
{
	sqlite3_stmt *q = NULL;
	enum rc rc = RC_OK;

	if (sqlite3_prepare_v2(db,
		    "SELECT name FROM sqlite_master WHERE type = 'table' AND "
		    "name NOT LIKE 'sqlite_%' AND "
		    /* follows from the rest, and may be large */
		    "name NOT IN ('zone_delta', 'zone_image', 'node_keys') ORDER BY rowid",
		    -1, &q, NULL) != SQLITE_OK)
		return RC_IO;
	while (rc == RC_OK && sqlite3_step(q) == SQLITE_ROW) {
		struct table *t = &c->tables[c->count];

		if (c->count == STORE_TABLES_MAX) {
			rc = RC_INTERNAL;
			break;
		}
		snprintf(t->name, sizeof(t->name), "%s", (const char *)sqlite3_column_text(q, 0));
		rc = read_columns(db, t);
		c->count++;
	}
	sqlite3_finalize(q);
	return rc;
}

static enum rc catalog_read(struct catalog *out, struct diag *d)
{
	struct catalog *c = out;
	sqlite3 *db = NULL;
	enum rc rc = RC_OK;

	*c = (struct catalog){ .count = 0 };
	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		rc = RC_NOMEM;
	for (int i = 0; rc == RC_OK && i < st__schema_count; i++) {
		if (sqlite3_exec(db, st__schema[i], NULL, NULL, NULL) != SQLITE_OK)
			rc = RC_IO;
	}
	if (rc == RC_OK)
		rc = read_tables(db, c);
	sqlite3_close(db);
	return rc == RC_OK ? rc : diag_set(d, rc, "the list of tables cannot be made");
}

/* ---- statements -------------------------------------------------------------------------- */

static void list(FILE *f, const struct table *t, bool key)
{
	int n = key ? t->pk_count : t->count;

	for (int i = 0; i < n; i++)
		fprintf(f, "%s%s", i ? ", " : "", t->columns[key ? t->pk[i] : i].name);
}

static void marks(FILE *f, int n)
{
	for (int i = 1; i <= n; i++)
		fprintf(f, "%s$%d", i > 1 ? ", " : "", i);
}

static enum rc define(struct store *s, enum st__sql slot, FILE *take_f, char **take_text)
{
	enum rc rc = take_f && fclose(take_f) == 0 ? RC_OK : RC_NOMEM;

	if (rc == RC_OK)
		rc = s->engine->define(s, slot, *take_text);
	free(*take_text);
	return rc;
}

/* The first page, or the page after a key. */
static enum rc define_read(struct store *s, const struct table *t, bool first)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return RC_NOMEM;
	fputs("SELECT ", f);
	list(f, t, false);
	fprintf(f, " FROM %s ", t->name);
	if (!first) {
		fputs("WHERE (", f);
		list(f, t, true);
		fputs(") > (", f);
		marks(f, t->pk_count);
		fputs(") ", f);
	}
	fputs("ORDER BY ", f);
	list(f, t, true);
	fprintf(f, " LIMIT %d", PAGE);
	return define(s, first ? ST__FREE_1 : ST__FREE_2, f, &text);
}

static enum rc define_write(struct store *s, const struct table *t)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return RC_NOMEM;
	fprintf(f, "INSERT INTO %s (", t->name);
	list(f, t, false);
	fputs(") VALUES (", f);
	marks(f, t->count);
	fputs(")", f);
	return define(s, ST__FREE_1, f, &text);
}

/* ---- rows -------------------------------------------------------------------------------- */

struct value {
	bool null;
	int64_t i;
	struct store_blob b; /* text with its NUL after it */
};

struct page {
	struct arena arena;
	struct value *values; /* rows of t->count */
	size_t rows;
};

static void bind(struct st__q *q, enum kind kind, const struct value *v)
{
	if (v->null || kind == KIND_BLOB)
		st__blob(q, v->null ? NULL : v->b.bytes, v->null ? 0 : v->b.len);
	else if (kind == KIND_TEXT)
		st__text(q, (const char *)v->b.bytes);
	else
		st__int(q, v->i);
}

static void read_value(struct st__q *q, int col, enum kind kind, struct arena *a, struct value *out)
{
	size_t len = 0;
	const void *bytes = q->s->engine->col_bytes(q->s, col, &len);
	char *copy;

	*out = (struct value){ .null = bytes == NULL };
	if (!bytes)
		return;
	if (kind == KIND_INT) {
		out->i = st__col_int(q, col);
		return;
	}
	copy = arena_alloc(a, len + 1);
	if (!copy) {
		q->rc = RC_NOMEM;
		return;
	}
	memcpy(copy, bytes, len);
	out->b = (struct store_blob){ (const uint8_t *)copy, len };
}

/* The page after the last row of `last`; its arena is the caller's to end. */
static enum rc read_page(
	struct store *s, const struct table *t, const struct page *last, struct page *out)
{
	struct st__q q = st__start(s, last ? ST__FREE_2 : ST__FREE_1);
	const struct value *key = NULL;

	out->arena = arena_init(1u << 30);
	out->rows = 0;
	out->values = arena_array(&out->arena, (size_t)t->count * PAGE, sizeof(*out->values));
	if (!out->values)
		q.rc = RC_NOMEM;
	if (last)
		key = last->values + (last->rows - 1) * (size_t)t->count;
	for (int i = 0; key && i < t->pk_count; i++)
		bind(&q, t->columns[t->pk[i]].kind, &key[t->pk[i]]);
	while (out->rows < PAGE && st__row(&q)) {
		for (int i = 0; i < t->count; i++)
			read_value(&q, i, t->columns[i].kind, &out->arena,
				&out->values[out->rows * (size_t)t->count + (size_t)i]);
		out->rows++;
	}
	return st__end(&q);
}

/* What to do with each page; NULL: no more. */
typedef enum rc page_fn(const struct table *t, const struct page *p, void *user);

static enum rc each_page(struct store *s, const struct table *t, page_fn *fn, void *user)
{
	struct page pages[2] = { { .rows = 0 }, { .rows = 0 } };
	enum rc rc = define_read(s, t, true);
	int now = 0;

	if (rc == RC_OK)
		rc = define_read(s, t, false);
	for (bool first = true, more = true; rc == RC_OK && more; first = false, now = !now) {
		arena_fini(&pages[now].arena);
		rc = read_page(s, t, first ? NULL : &pages[!now], &pages[now]);
		more = pages[now].rows == PAGE;
		if (rc == RC_OK)
			rc = fn(t, &pages[now], user);
	}
	arena_fini(&pages[0].arena);
	arena_fini(&pages[1].arena);
	return rc;
}

/* ---- copy -------------------------------------------------------------------------------- */

struct copying {
	struct store *to;
	store_progress_fn *progress;
	void *user;
	uint64_t rows;
};

static enum rc write_page(const struct table *t, const struct page *p, void *user)
{
	struct copying *c = user;
	enum rc rc = RC_OK;

	for (size_t r = 0; r < p->rows && rc == RC_OK; r++) {
		struct st__q q = st__start(c->to, ST__FREE_1);

		for (int i = 0; i < t->count; i++)
			bind(&q, t->columns[i].kind, &p->values[r * (size_t)t->count + (size_t)i]);
		rc = st__run(&q);
	}
	c->rows += p->rows;
	if (c->progress)
		c->progress(t->name, c->rows, c->user);
	return rc;
}

static enum rc run_text(struct store *s, const char *format, const struct table *t)
{
	struct st__q q;
	char sql[256];
	enum rc rc;

	snprintf(sql, sizeof(sql), format, t->name, t->columns[t->pk[0]].name);
	rc = s->engine->define(s, ST__FREE_1, sql);
	if (rc != RC_OK)
		return rc;
	q = st__start(s, ST__FREE_1);
	return st__run(&q);
}

/* Only the migrations' own rows may be there: they are in the copy too. */
static enum rc prepare_target(struct store *to, const struct table *t, struct diag *d)
{
	struct st__q q;
	char sql[256];
	int64_t n = 0;
	enum rc rc;

	if (strcmp(t->name, "counter") == 0 || strcmp(t->name, "zone_head") == 0)
		return run_text(to, "DELETE FROM %s", t);
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", t->name);
	rc = to->engine->define(to, ST__FREE_1, sql);
	if (rc != RC_OK)
		return rc;
	q = st__start(to, ST__FREE_1);
	rc = st__run_int(&q, &n);
	if (rc == RC_OK && n)
		rc = diag_set(d, RC_EXISTS, "the target is not empty: %lld rows in %s",
			(long long)n, t->name);
	return rc;
}

static enum rc copy_table(
	struct store *from, const struct table *t, struct copying *c, struct diag *d)
{
	enum rc rc = prepare_target(c->to, t, d);

	c->rows = 0;
	if (rc == RC_OK)
		rc = define_write(c->to, t);
	if (rc == RC_OK)
		rc = each_page(from, t, write_page, c);
	/* Numbers that PostgreSQL gives must go on after the copied ones. */
	if (rc == RC_OK && c->to->engine->identity_sql && t->pk_count == 1 &&
		t->columns[t->pk[0]].kind == KIND_INT)
		rc = run_text(c->to, c->to->engine->identity_sql, t);
	if (rc != RC_OK && !*d->text)
		diag_set(d, rc, "table %s: %s %s", t->name, store_why(c->to), store_why(from));
	return rc;
}

enum rc store_copy(struct store *from, struct store *to, store_progress_fn *progress, void *user,
	struct diag *d)
{
	struct copying c = { .to = to, .progress = progress, .user = user };
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	enum rc rc = catalog ? catalog_read(catalog, d) : RC_NOMEM;

	if (rc == RC_OK)
		rc = store_begin(to);
	if (rc != RC_OK)
		goto out;
	for (size_t i = 0; rc == RC_OK && i < catalog->count; i++)
		rc = copy_table(from, &catalog->tables[i], &c, d);
	if (rc == RC_OK) {
		to->at_begin = to->now; /* the counter came with the copy */
		rc = store_commit(to);
	} else {
		store_rollback(to);
	}
	if (rc == RC_OK)
		rc = st__load_marks(to);
out:
	free(catalog);
	return rc;
}

/* ---- digest ------------------------------------------------------------------------------ */

struct digesting {
	EVP_MD_CTX *md;
	uint64_t rows;
};

static bool hash_value(EVP_MD_CTX *md, uint8_t tag, const void *bytes, size_t len)
{
	uint8_t head[9];
	struct put p = put_init(head, sizeof(head));

	put_u8(&p, tag);
	put_u64(&p, len);
	return EVP_DigestUpdate(md, head, sizeof(head)) &&
	       (!len || EVP_DigestUpdate(md, bytes, len));
}

static enum rc digest_page(const struct table *t, const struct page *p, void *user)
{
	struct digesting *g = user;
	bool ok = true;

	for (size_t i = 0; i < p->rows * (size_t)t->count && ok; i++) {
		const struct value *v = &p->values[i];
		uint8_t number[8];
		struct put n = put_init(number, sizeof(number));

		put_u64(&n, (uint64_t)v->i);
		if (v->null)
			ok = hash_value(g->md, 'n', NULL, 0);
		else if (t->columns[i % (size_t)t->count].kind == KIND_INT)
			ok = hash_value(g->md, 'i', number, sizeof(number));
		else
			ok = hash_value(g->md, 'b', v->b.bytes, v->b.len);
	}
	g->rows += p->rows;
	return ok ? RC_OK : RC_CRYPTO;
}

static enum rc digest_table(struct store *s, const struct table *t, struct store_digest *out)
{
	struct digesting g = { .md = EVP_MD_CTX_new() };
	unsigned len = 0;
	enum rc rc = g.md && EVP_DigestInit_ex(g.md, EVP_sha256(), NULL) ? RC_OK : RC_CRYPTO;

	if (rc == RC_OK)
		rc = each_page(s, t, digest_page, &g);
	snprintf(out->table, sizeof(out->table), "%s", t->name);
	out->rows = g.rows;
	if (rc == RC_OK && !EVP_DigestFinal_ex(g.md, out->sha256, &len))
		rc = RC_CRYPTO;
	EVP_MD_CTX_free(g.md);
	return rc;
}

enum rc store_digest(
	struct store *s, struct store_digest out[STORE_TABLES_MAX], size_t *n, struct diag *d)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	enum rc rc = catalog ? catalog_read(catalog, d) : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < catalog->count; i++) {
		rc = digest_table(s, &catalog->tables[i], &out[i]);
		if (rc != RC_OK)
			diag_set(d, rc, "table %s: %s", out[i].table, store_why(s));
	}
	if (rc == RC_OK)
		*n = catalog->count;
	free(catalog);
	return rc;
}
