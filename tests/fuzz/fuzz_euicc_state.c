/* SPDX-License-Identifier: Apache-2.0 */
/* An eUICC's state as it might lie on a damaged disk: refused, or taken and written back alike. */
#include "card/session.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct euicc_opts opts = { .has_eid = true };
	struct euicc *euicc = NULL;
	uint8_t again[1u << 14];
	struct put p = put_init(again, sizeof(again));

	if (euicc_new(&opts, &euicc, NULL) != RC_OK)
		abort();
	if (euicc__state_parse(euicc, data, size) == RC_OK) {
		euicc__state_write(euicc, &p);
		if (!put_ok(&p) || p.len != size || memcmp(again, data, size) != 0)
			abort();
	}
	euicc_free(euicc);
	return 0;
}
