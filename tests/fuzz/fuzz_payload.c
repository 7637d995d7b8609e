/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "payload/payload.h"

#include <stdlib.h>
#include <string.h>

/* What the reader takes, the writer must give back byte for byte; the registry profile and bare
 * maps are tried on the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[PAYLOAD_MAX];
	struct put out = put_init(again, sizeof(again));
	struct payload_cose cose;
	struct payload p;
	struct diag d;

	if (payload_parse(data, size, &p, &cose, &d) == RC_OK) {
		/* Unknown keys are dropped, so only the length can be compared in general. */
		if (payload_write_map(&p, &out, &d) != RC_OK || out.len > cose.map.len)
			abort();
		if (out.len == cose.map.len && memcmp(again, cose.map.at, out.len) != 0)
			abort();
	}
	(void)!payload_map_parse(data, size, &p, &d);
	(void)!payload_profile_parse(data, size, &p, &d);
	return 0;
}
