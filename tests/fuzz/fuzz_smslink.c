/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "ota/smslink.h"

#include <stdlib.h>
#include <string.h>

/* Frames that are read are written again as the bytes they were. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_init(data, size);
	struct smslink_frame f;

	for (;;) {
		uint8_t buf[SMSLINK_FRAME_MAX];
		struct put p = put_init(buf, sizeof(buf));
		const uint8_t *at = c.at;

		if (smslink_read(&c, &f) != RC_OK)
			return 0;
		smslink_write(&p, f.kind, f.iccid, f.ud.at, f.ud.left);
		if (!put_ok(&p) || p.len != (size_t)(c.at - at) || memcmp(buf, at, p.len) != 0)
			abort();
	}
}
