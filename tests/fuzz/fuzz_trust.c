/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "asp/services/internal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct svc_update u = { 0 };
	struct diag d = { 0 };

	if (svc__update_read((const char *)data, size, &u, &d) == RC_OK) {
		if (u.signed_len >= size || !u.n_roots)
			abort();
		svc__update_free(&u);
	}
	return 0;
}
