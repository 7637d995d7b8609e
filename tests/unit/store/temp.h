/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A database of its own for a test, gone afterwards. */

#include "store/store.h"
#include "../unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct temp_db {
	char dir[64];
	char path[96];
};

static inline void temp_db_make(struct temp_db *t)
{
	snprintf(t->dir, sizeof(t->dir), "/tmp/attestry-test-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->path, sizeof(t->path), "%s/registry.db", t->dir);
}

static inline struct store *temp_db_open(const struct temp_db *t, bool writable)
{
	struct store *s = NULL;
	struct diag d = { "" };

	if (store_sqlite_open(t->path, writable, &s, &d) != RC_OK)
		fail_msg("%s", d.text);
	return s;
}

static inline void temp_db_remove(const struct temp_db *t)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[112];

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", t->path, ends[i]);
		unlink(path);
	}
	rmdir(t->dir);
}
