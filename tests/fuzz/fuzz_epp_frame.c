/* SPDX-License-Identifier: Apache-2.0 */
/* The length before every EPP instance. */
#include "fuzz.h"

#include "epp/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = 0;
	enum rc rc = epp_frame_next(data, size, 65536, &len);

	if (rc == RC_OK && (len == 0 || len + EPP_FRAME_HEADER > size))
		abort();
	return 0;
}
