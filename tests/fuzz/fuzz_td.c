/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "http/td.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag d = { 0 };

	if (td_check(data, size, &d) != RC_OK && !d.text[0])
		abort();
	return 0;
}
