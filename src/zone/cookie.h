/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* DNS cookies (RFC 7873) in the interoperable form of RFC 9018: a client that
 * shows one was reachable at its address, so it is not a spoofed one. */

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/socket.h>

#define COOKIE_CLIENT_LEN 8u
#define COOKIE_SERVER_LEN 16u
#define COOKIE_LEN	  (COOKIE_CLIENT_LEN + COOKIE_SERVER_LEN)
#define COOKIE_SECRET_LEN 16u

/* Client and server cookie for a client that sent `client`. */
void cookie_make(const uint8_t secret[COOKIE_SECRET_LEN], const uint8_t client[COOKIE_CLIENT_LEN],
	const struct sockaddr *from, uint32_t now, uint8_t out[COOKIE_LEN]);
/* True when it is ours, for this address, and not too old (RFC 9018 section 4.3). */
bool cookie_good(const uint8_t secret[COOKIE_SECRET_LEN], const uint8_t *cookie, size_t len,
	const struct sockaddr *from, uint32_t now);

/* SipHash-2-4 of 64 bits, octets as they stand in memory (RFC 9018 section 4.4). */
void cookie_siphash(const uint8_t key[16], const uint8_t *in, size_t len, uint8_t out[8]);
