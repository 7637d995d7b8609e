/* SPDX-License-Identifier: Apache-2.0 */
/* A request's head, then its chunked body in pieces, then its target through the table. */
#include "fuzz.h"

#include "http/api.h"
#include "http/head.h"

#include <stdlib.h>

static void chunks(const uint8_t *data, size_t size)
{
	struct http_chunks whole = { 0 }, pieces = { 0 };
	struct buf in = { 0 }, body = { 0 }, in2 = { 0 }, body2 = { 0 };
	enum rc rc = RC_TRUNCATED, rc2 = RC_TRUNCATED;

	if (buf_add(&in, data, size) == RC_OK)
		rc = http_chunks_read(&whole, &in, &body, 4096);
	for (size_t i = 0; i < size && rc2 == RC_TRUNCATED; i++)
		if (buf_add(&in2, data + i, 1) == RC_OK)
			rc2 = http_chunks_read(&pieces, &in2, &body2, 4096);
	if (rc != rc2 || (rc == RC_OK && buf_len(&body) != buf_len(&body2)))
		abort(); /* how the bytes are cut is not for the sender to use */
	buf_free(&in);
	buf_free(&body);
	buf_free(&in2);
	buf_free(&body2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_head head;
	struct api_fault fault = { 0 };
	unsigned status = 0;
	const char *why = NULL;
	size_t len = 0;

	if (!size)
		return 0;
	if (http_head_end(data, size, &len) != RC_OK) {
		chunks(data, size > 4096 ? 4096 : size);
		return 0;
	}
	if (http_head_parse(data, len, &head, &status, &why) != RC_OK) {
		if (status < 400 || !why)
			abort();
		return 0;
	}
	if (head.chunked && head.has_length)
		abort();
	if (!api_find(head.method, head.path, &fault) && fault.status < 400)
		abort();
	if (size > len)
		chunks(data + len, size - len > 4096 ? 4096 : size - len);
	return 0;
}
