/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of rows, as CSV and as NDJSON: every row is an object, and reading ends. */
#include "fuzz.h"

#include "http/rows.h"

#include <stdlib.h>

static void read_all(const uint8_t *data, size_t size, bool csv)
{
	struct diag d = { 0 };
	struct rows r;
	size_t n = 0;
	enum rc rc = rows_open(&r, (const char *)data, size, csv, &d);

	while (rc == RC_OK || rc == RC_MALFORMED) {
		size_t before = r.left;
		json_t *row = NULL;

		if (n == 0 && rc == RC_MALFORMED)
			return; /* the heading */
		rc = rows_next(&r, &row, &d);
		if (rc == RC_OK && !json_is_object(row))
			abort();
		if (rc != RC_NOT_FOUND && r.left >= before)
			abort();
		json_decref(row);
		n++;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_all(data, size, true);
	read_all(data, size, false);
	return 0;
}
