/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A registry's whole content, from one database into another of either engine, and what shows that
 * the two are equal: backup, restore and the move to PostgreSQL are made of this. It knows no
 * object, only tables, columns and keys as the migrations make them. */

#include "store/store.h"

#define STORE_TABLES_MAX 64

typedef void store_progress_fn(const char *table, uint64_t rows, void *user);

/* Copies every row of `from` (which holds a state: store_read_begin) into `to`, a fresh database,
 * in one transaction: all or nothing. RC_EXISTS: `to` has rows already. */
enum rc store_copy(struct store *from, struct store *to, store_progress_fn *progress, void *user,
	struct diag *d) ATT_MUST_CHECK;

struct store_digest {
	char table[32];
	uint64_t rows;
	uint8_t sha256[STORE_SHA256]; /* over all values, in the order of the primary key */
};

/* The same content gives the same digests on either engine. */
enum rc store_digest(struct store *s, struct store_digest out[STORE_TABLES_MAX], size_t *n,
	struct diag *d) ATT_MUST_CHECK;
