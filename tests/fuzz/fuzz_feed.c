/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "asp/internal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const afters[] = { "head", "5-aaaaaaaaaaaaaaaa" };
	struct diag d = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(afters); i++) {
		struct asp_feed_answer a;

		if (asp__feed_read((const char *)data, size, afters[i], "iotregistry.example",
			    "parkoserv", &a, &d) != RC_OK)
			continue;
		if (strlen(a.position) < 18 || (i == 1 && a.number != 5 + a.n))
			abort();
		free(a.events);
	}
	return 0;
}
