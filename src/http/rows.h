/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Batches of rows: CSV (RFC 4180, the first line names the columns) or one JSON object a line.
 * Gives one JSON object after the other and goes on behind a row that is malformed. Knows nothing
 * of what the rows are for. */

#include "base/diag.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define ROWS_COLUMNS_MAX 32
#define ROWS_NAME_MAX	 64	     /* of a column */
#define ROWS_LINE_MAX	 (16u << 10) /* bytes of one row: a certificate in base64 is the longest */
#define ROWS_DEPTH_MAX	 4

struct rows {
	const char *at; /* borrows the text */
	size_t left;
	bool csv;
	unsigned line; /* of the row that was read last, from 1 */
	size_t column_count;
	char columns[ROWS_COLUMNS_MAX][ROWS_NAME_MAX];
};

/* CSV: reads the heading. RC_MALFORMED and *d. `text` is borrowed until the last rows_next. */
enum rc rows_open(
	struct rows *r, const char *text, size_t len, bool csv, struct diag *d) ATT_MUST_CHECK;
/* The next row as a new object (json_decref); an empty CSV field is absent, the others are texts.
 * RC_NOT_FOUND: there is none. RC_MALFORMED and *d: this one is none, the next may be. */
enum rc rows_next(struct rows *r, json_t **out, struct diag *d) ATT_MUST_CHECK;
