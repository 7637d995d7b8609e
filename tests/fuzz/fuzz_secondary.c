/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of [dns] secondary, of any text. */
#include "fuzz.h"

#include "zone/peers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	const char *line[LINES_MAX];
	struct tsig_keys *keys = NULL;
	struct peers peers;
	struct diag d = { 0 };
	size_t n = 0;
	char *save = NULL;

	if (!text ||
		tsig_keys_parse("hmac-sha256:one:MDEyMzQ1Njc4OWFiY2RlZg==", &keys, &d) != RC_OK)
		abort();
	memcpy(text, data, size);
	text[size] = 0;
	for (char *at = strtok_r(text, "\n", &save); at && n < LINES_MAX;
		at = strtok_r(NULL, "\n", &save))
		line[n++] = at;
	if (peers_read(line, n, keys, true, &peers, &d) == RC_OK)
		assert(peers.count == n && n <= PEERS_SECONDARY_MAX);
	else
		assert(d.text[0]);
	tsig_keys_free(keys);
	free(text);
	return 0;
}
