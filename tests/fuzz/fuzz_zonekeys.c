/* SPDX-License-Identifier: Apache-2.0 */
/* The file of the zone's keys with any bytes: a set with one active key of each kind, or a reason.
 */
#include "fuzz.h"

#include "ca/zonekeys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ca_zone_keys set = { 0 };
	struct diag d = { 0 };
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (ca_zone_keys_parse(&set, text, &d) == RC_OK)
		assert(set.count >= 2 && set.count <= CA_ZONE_KEYS_MAX);
	else
		assert(d.text[0]);
	free(text);
	return 0;
}
