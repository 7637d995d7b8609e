/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The seam between the registry's questions (one file per noun) and a database engine. An
 * engine prepares every statement of sql.h once and runs one of them at a time. */

#include "store/node.h"
#include "store/sql.h"
#include "store/store.h"

#include <openssl/evp.h>

enum st__command {
	ST__BEGIN,
	ST__COMMIT,
	ST__ROLLBACK,
	ST__SAVEPOINT,
	ST__RELEASE,
	ST__ROLLBACK_TO,
	ST__READ_BEGIN,
	ST__NOTIFY, /* the others hear of the commit that follows */
	ST__COMMAND_COUNT
};

struct st__engine {
	/* Starts statement `id`; the parameters follow in order $1, $2 ... */
	void (*start)(struct store *s, enum st__sql id);
	/* Borrow the bytes until `end`. text NULL or blob NULL bind NULL. */
	void (*bind_int)(struct store *s, int n, int64_t v);
	void (*bind_text)(struct store *s, int n, const char *v);
	void (*bind_blob)(struct store *s, int n, const void *v, size_t len);
	/* RC_OK: a row; RC_NOT_FOUND: no more. */
	enum rc (*step)(struct store *s);
	int64_t (*col_int)(struct store *s, int col);
	/* NULL for NULL; valid until the next step or end. */
	const void *(*col_bytes)(struct store *s, int col, size_t *len);
	void (*end)(struct store *s);
	/* Transaction control and other statements without parameters or rows. */
	enum rc (*command)(struct store *s, enum st__command c);
	/* Puts another text into a free slot, ST__FREE_1 or ST__FREE_2. */
	enum rc (*define)(struct store *s, enum st__sql slot, const char *sql);
	/* Makes the numbers that the database gives for column %2$s of table %1$s go on after the
	 * highest there is; NULL where that goes without saying. */
	const char *identity_sql;
	bool nodes; /* runs the statements of node.h */
	int (*wal_pages)(const struct store *s);
	void (*checkpoint)(struct store *s);
	void (*close)(struct store *s);
};

/* What rolling back to a savepoint must take back beside the rows. */
struct st__marks {
	uint64_t change;
	uint64_t audit;
	uint8_t head[STORE_SHA256];
};

struct store {
	const struct st__engine *engine;
	struct st__marks now;
	struct st__marks at_begin;
	struct st__marks at_savepoint;
	bool in_txn;
	char node[STORE_NODE_MAX]; /* "": there are no nodes */
	bool down;		   /* the connection was lost and has not been opened again */
	uint64_t losses;
	bool retry; /* the last failure of a transaction passes, and nothing of it was done */
	EVP_MD_CTX *md;
	EVP_MD *sha256;
	char why[DIAG_TEXT_MAX];
};

/* One running statement with a sticky result. Bind, then st__row until false, then st__end. */
struct st__q {
	struct store *s;
	int bound;
	enum rc rc;
};

struct st__q st__start(struct store *s, enum st__sql id);
void st__int(struct st__q *q, int64_t v);
void st__text(struct st__q *q, const char *v);
void st__text_or_null(struct st__q *q, const char *v); /* "" becomes NULL */
void st__blob(struct st__q *q, const void *v, size_t len);
bool st__row(struct st__q *q);
/* Resets the statement: RC_OK, or what went wrong. */
enum rc st__end(struct st__q *q);
/* The same for a statement that looks for one row: RC_NOT_FOUND when none came. */
enum rc st__end_one(struct st__q *q, bool found);
/* For a statement that gives no rows. */
enum rc st__run(struct st__q *q);
/* For one that gives exactly one integer: RC_NOT_FOUND when it gives none. */
enum rc st__run_int(struct st__q *q, int64_t *out);
/* For one that gives a list of them. */
enum rc st__ids(struct st__q *q, size_t limit, int64_t *out, size_t *n);

int64_t st__col_int(struct st__q *q, int col);
/* Copies with a NUL; NULL becomes "". A longer value sets RC_INTERNAL. */
void st__col_text(struct st__q *q, int col, char *out, size_t cap);
/* Copies exactly `len` bytes; false (and zeros) when the column is NULL. */
bool st__col_fixed(struct st__q *q, int col, uint8_t *out, size_t len);
/* Into `a`; empty when NULL. */
struct store_blob st__col_blob(struct st__q *q, int col, struct arena *a);
const char *st__col_dup(struct st__q *q, int col, struct arena *a);

/* A growing list in an arena: room for one more of `size`, or NULL with q->rc set. */
struct st__list {
	char *items;
	size_t n;
	size_t cap;
};
void *st__list_add(struct st__list *l, size_t size, struct arena *a, struct st__q *q);

/* Reads counters and the head of the audit chain. */
enum rc st__load_marks(struct store *s);
enum rc st__init(struct store *s);
void st__fini(struct store *s);

/* The numbered migrations, oldest first; generated from schema/NNN_*.sql. */
extern const char *const st__schema[];
extern const int st__schema_count;
