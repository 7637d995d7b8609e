/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "payload/wifi.h"

#include <stdlib.h>
#include <string.h>

/* A card that agrees on the same secret with everybody. */
static enum rc agree(void *user, const uint8_t peer[65], uint8_t x[32], struct diag *d)
{
	(void)user;
	(void)d;
	if (peer[0] != 4)
		abort(); /* a point that is no point got this far */
	memset(x, 7, 32);
	return RC_OK;
}

/* Sealed Wi-Fi (COSE_Encrypt) from anybody, and its plaintext: what is taken fits its bounds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct payload_ecdh ecdh = { .agree = agree };
	const struct payload_binding to = { .slot = 1, .sequence = 1 };
	struct payload_wifi w = { 0 };
	struct diag d = { "" };

	if (payload_wifi_parse(data, size, &w) == RC_OK &&
		(w.ssid_len == 0 || w.ssid_len > PAYLOAD_SSID_MAX ||
			w.passphrase_len > PAYLOAD_PASSPHRASE_MAX))
		abort();
	payload_wifi_wipe(&w);
	if (payload_wifi_open(data, size, &to, &ecdh, &w, &d) == RC_OK)
		payload_wifi_wipe(&w);
	return 0;
}
