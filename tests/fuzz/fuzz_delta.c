/* SPDX-License-Identifier: Apache-2.0 */
/* A signed zone's delta as another node wrote it. */
#include "zone/delta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum rc count(const struct delta_item *item, void *user)
{
	size_t *n = user;

	*n += item->key_len + (item->value ? item->value_len : 0u);
	return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = 0;

	if (delta_each(data, size, count, &n) == RC_OK && n > size)
		__builtin_trap();
	return 0;
}
