/* SPDX-License-Identifier: Apache-2.0 */
/* A parent's answer of any bytes. The first two octets are the id that is expected. */
#include "fuzz.h"

#include "zone/parent.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zone_name zone;
	struct parent_ds out;
	struct diag d = { 0 };

	if (zone_name_from_text("iotregistry.example", &zone) != RC_OK || size < 2)
		return 0;
	if (parent_answer(data, size, &zone, (uint16_t)(data[0] << 8 | data[1]), &out, &d) == RC_OK)
		assert(out.count <= PARENT_DS_MAX);
	else
		assert(d.text[0]);
	return 0;
}
