/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on their way to a node, after they were opened. */
#include "ca/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ca_bundle_file files[CA_BUNDLE_FILES];
	uint64_t version;
	size_t count = 0, sum = 0;

	if (ca_bundle_parse(data, size, CA_BUNDLE_ALL, &version, files, &count) != RC_OK)
		return 0;
	for (size_t i = 0; i < count; i++)
		sum += files[i].len;
	if (sum > size)
		__builtin_trap();
	return 0;
}
