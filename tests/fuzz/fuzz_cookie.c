/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies of any bytes: ours are good, at our time and for our client; no other is. */
#include "fuzz.h"

#include "zone/cookie.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#define NOW 1559731985u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[COOKIE_SECRET_LEN] = { 1, 2, 3 };
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc6336464) };
	const struct sockaddr *sa = (const struct sockaddr *)&from;
	uint8_t ours[COOKIE_LEN];

	if (size >= COOKIE_CLIENT_LEN) {
		cookie_make(secret, data, sa, NOW, ours);
		assert(cookie_good(secret, ours, sizeof(ours), sa, NOW + 60));
		ours[size % COOKIE_LEN] ^= 0x10;
		assert(!cookie_good(secret, ours, sizeof(ours), sa, NOW + 60));
	}
	if (cookie_good(secret, data, size, sa, NOW)) {
		uint32_t then;

		/* Then it is what we would have made. */
		assert(size == COOKIE_LEN);
		memcpy(&then, data + COOKIE_CLIENT_LEN + 4, sizeof(then));
		cookie_make(secret, data, sa, ntohl(then), ours);
		assert(memcmp(ours, data, COOKIE_LEN) == 0);
	}
	return 0;
}
