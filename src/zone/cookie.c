/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/cookie.h"

#include "base/secret.h"
#include "zone/rec.h"

#include <netinet/in.h>
#include <string.h>

#define AGE_MAX_S   3600
#define AHEAD_MAX_S 300
#define VERSION	    1
#define COUNTED_LEN 8u /* version, reserved, time */
#define INPUT_MAX   (COOKIE_CLIENT_LEN + COUNTED_LEN + 16u)

static uint64_t rotl(uint64_t x, unsigned b)
{
	return x << b | x >> (64 - b);
}

static uint64_t le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 8; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static void rounds(uint64_t v[4], unsigned n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[0] = rotl(v[0], 32);
		v[2] += v[3];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[2] = rotl(v[2], 32);
	}
}

void cookie_siphash(const uint8_t key[16], const uint8_t *in, size_t len, uint8_t out[8])
{
	uint64_t k0 = le64(key), k1 = le64(key + 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
		k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
	uint8_t last[8] = { 0 };
	size_t at = 0;

	for (; at + 8 <= len; at += 8) {
		uint64_t m = le64(in + at);

		v[3] ^= m;
		rounds(v, 2);
		v[0] ^= m;
	}
	if (at < len)
		memcpy(last, in + at, len - at);
	last[7] = (uint8_t)len;
	v[3] ^= le64(last);
	rounds(v, 2);
	v[0] ^= le64(last);
	v[2] ^= 0xff;
	rounds(v, 4);
	v[0] ^= v[1] ^ v[2] ^ v[3];
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(v[0] >> (8 * i));
}

static size_t put_address(const struct sockaddr *from, uint8_t *out)
{
	const struct sockaddr_in *a4 = (const void *)from;
	const struct sockaddr_in6 *a6 = (const void *)from;

	if (from && from->sa_family == AF_INET) {
		memcpy(out, &a4->sin_addr, 4);
		return 4;
	}
	if (from && from->sa_family == AF_INET6) {
		memcpy(out, &a6->sin6_addr, 16);
		return 16;
	}
	return 0;
}

/* The hash of RFC 9018 section 4.4; `counted` is version, reserved and time. */
static void hash(const uint8_t *secret, const uint8_t *client, const uint8_t *counted,
	const struct sockaddr *from, uint8_t out[8])
{
	uint8_t in[INPUT_MAX];
	size_t n = COOKIE_CLIENT_LEN + COUNTED_LEN;

	memcpy(in, client, COOKIE_CLIENT_LEN);
	memcpy(in + COOKIE_CLIENT_LEN, counted, COUNTED_LEN);
	n += put_address(from, in + n);
	cookie_siphash(secret, in, n, out);
}

void cookie_make(const uint8_t secret[COOKIE_SECRET_LEN], const uint8_t client[COOKIE_CLIENT_LEN],
	const struct sockaddr *from, uint32_t now, uint8_t out[COOKIE_LEN])
{
	uint8_t *counted = out + COOKIE_CLIENT_LEN;

	memmove(out, client, COOKIE_CLIENT_LEN);
	memset(counted, 0, COUNTED_LEN);
	counted[0] = VERSION;
	rec_put32(counted + 4, now);
	hash(secret, out, counted, from, counted + COUNTED_LEN);
}

bool cookie_good(const uint8_t secret[COOKIE_SECRET_LEN], const uint8_t *cookie, size_t len,
	const struct sockaddr *from, uint32_t now)
{
	const uint8_t *counted = cookie + COOKIE_CLIENT_LEN;
	uint8_t want[8];
	int32_t age;

	if (len != COOKIE_LEN || counted[0] != VERSION)
		return false;
	age = (int32_t)(now - rec_get32(counted + 4));
	if (age > AGE_MAX_S || age < -AHEAD_MAX_S)
		return false;
	hash(secret, cookie, counted, from, want);
	return mem_equal_ct(want, counted + COUNTED_LEN, 8);
}
