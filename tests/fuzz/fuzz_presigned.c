/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-signed sets with any bytes: what is read can be written and read again, and looked at. */
#include "fuzz.h"

#include "ca/presigned.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ca_presigned *p = NULL, *q = NULL;
	struct diag d = { 0 };
	char *text = NULL;
	size_t len = 0;
	uint32_t from, next, end;

	if (ca_presigned_parse(&p, (const char *)data, size, &d) != RC_OK) {
		assert(size == 0 || d.text[0]);
		return 0;
	}
	(void)!ca_presigned_check(p, &d);
	ca_presigned_times(p, 1795539600, &from, &next, &end);
	if (ca_presigned_text(p, &text, &len) == RC_OK) {
		assert(ca_presigned_parse(&q, text, len, &d) == RC_OK);
		assert(q->set_count == p->set_count && q->span_count == p->span_count);
	}
	free(text);
	ca_presigned_unref(q);
	ca_presigned_unref(p);
	return 0;
}
