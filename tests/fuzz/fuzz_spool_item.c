/* SPDX-License-Identifier: Apache-2.0 */
/* What a transfer reads back from its spool, of any bytes. */
#include "fuzz.h"

#include "zone/spool.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		struct spool_item it;
		size_t used = 0;

		if (spool_item_read(data + at, size - at, &it, &used) != RC_OK)
			break;
		assert(used >= 10 && used <= size - at);
		assert(10u + it.key_len + it.old_len + it.old_next_len + it.new_len +
				it.new_next_len ==
			used);
		assert(it.new_next + it.new_next_len == data + at + used);
		at += used;
	}
	return 0;
}
