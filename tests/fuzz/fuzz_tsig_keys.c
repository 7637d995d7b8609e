/* SPDX-License-Identifier: Apache-2.0 */
/* The file of TSIG keys, of any text. No secret may show in what is said about it. */
#include "fuzz.h"

#include "zone/tsig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct tsig_keys *keys = NULL;
	struct diag d = { 0 };

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	if (tsig_keys_parse(text, &keys, &d) != RC_OK) {
		/* Nothing of the file but the number of a line. */
		assert(strncmp(d.text, "line ", 5) == 0);
		for (const char *p = d.text; *p; p++)
			assert((*p >= ' ' && *p <= '~') || *p == '\t');
	}
	tsig_keys_free(keys);
	free(text);
	return 0;
}
