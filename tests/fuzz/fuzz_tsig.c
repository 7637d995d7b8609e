/* SPDX-License-Identifier: Apache-2.0 */
/* A signed request, and a signed answer in several messages, of any bytes. */
#include "fuzz.h"

#include "zone/incoming.h"
#include "zone/tsig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t answer[512 + TSIG_ROOM] = { 0 };
	struct tsig_unsigned open = { 0 };
	struct tsig_keys *keys = NULL;
	struct tsig t = { .error = TSIG_GOOD }, mine;
	struct diag d = { 0 };
	size_t at;

	if (tsig_keys_parse("hmac-sha256:one:MDEyMzQ1Njc4OWFiY2RlZg==", &keys, &d) != RC_OK)
		abort();
	if (incoming_tsig_at(data, size, &at) == RC_OK && at > 0) {
		if (tsig_verify(keys, data, size, at, 1559731985, &t) == RC_OK)
			assert(tsig_sign(&t, answer, DNS_HEADER_LEN, 1559731985) <= sizeof(answer));
		tsig_start(&mine, tsig_key_find(keys, "one"), 0x1234);
		(void)tsig_sign(&mine, answer, DNS_HEADER_LEN, 1559731985);
		mine.chained = false;
		(void)!tsig_verify_next(&mine, &open, data, size, at, 1559731985);
		mine.chained = true;
		(void)!tsig_verify_next(&mine, &open, data, size, 0, 1559731985);
		(void)!tsig_verify_next(&mine, &open, data, size, at, 1559731985);
	}
	tsig_unsigned_free(&open);
	tsig_keys_free(keys);
	return 0;
}
