/* SPDX-License-Identifier: Apache-2.0 */
/* The frame parser over a whole stream: frames never overlap, never leave it, and a parse that
 * stops says why. */
#include "fuzz.h"

#include "proc/frame.h"

#include <assert.h>

#define MAX_BODY 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size), body = { 0 };
	const uint8_t *end = data;
	size_t need = 0;
	uint32_t sum = 0;
	enum rc rc;

	for (rc = frame_next(&c, MAX_BODY, &body, &need); rc == RC_OK;
		rc = frame_next(&c, MAX_BODY, &body, &need)) {
		assert(body.left > 0 && body.left <= MAX_BODY);
		assert(body.at == end + FRAME_HEADER);
		end = body.at + body.left;
		assert(c.at == end && end <= data + size);
		while (body.left > 0)
			sum += cur_u8(&body);
	}
	(void)sum;
	assert(c.left == (size_t)(data + size - end));
	if (rc == RC_TRUNCATED)
		assert(need > c.left);
	else
		assert(rc == RC_TOO_LARGE || rc == RC_MALFORMED);
	return 0;
}
