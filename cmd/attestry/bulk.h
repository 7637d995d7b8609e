/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a batch has come to, row by row, in a file beside it: a batch that was cut off goes on where
 * the file ends, and rows whose answer was lost are asked for again under the same key. */

#include "cli.h"

#include <stdint.h>

#define BULK_ID_LEN 24

struct bulk_journal {
	const char *path;
	FILE *file;
	char id[BULK_ID_LEN + 1]; /* names the batch; begins every row's key */
	json_t *results;	  /* by row - 1; null: not done */
	size_t done, refused;
};

/* Opens or begins the journal of a batch of `kind` over these bytes. EXIT_USAGE: it is another's.
 */
int bulk_journal_open(struct bulk_journal *j, const char *path, const char *kind,
	const uint8_t *bytes, size_t len, bool refused_again);
/* The row's result; NULL: none yet. */
const json_t *bulk_journal_row(const struct bulk_journal *j, size_t row);
/* Keeps it. */
int bulk_journal_add(struct bulk_journal *j, size_t row, json_t *take_result);
/* What was kept is on disk. */
int bulk_journal_sync(struct bulk_journal *j);
void bulk_journal_close(struct bulk_journal *j);
