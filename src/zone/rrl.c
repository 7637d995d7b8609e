/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/rrl.h"

#include "zone/cookie.h"
#include "zone/name.h"
#include "zone/rec.h"

#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* Two networks that fall on one place share its credit only when 32 more bits agree; else the later
 * one takes the place over: memory is bounded and an attacker gains nothing but fresh credit. */
#define PLACES	  (1u << 16)
#define PREFIX_V4 3u
#define PREFIX_V6 7u
/* Credit is in thousandths of an answer. */
#define ONE 1000u

struct place {
	uint32_t tag;
	uint32_t credit;
	uint64_t last_ms;
	uint32_t over;
};

struct rrl {
	uint32_t rate, slip;
	uint8_t key[16]; /* nobody may choose what collides */
	struct place place[PLACES];
};

enum rc rrl_new(uint32_t rate, uint32_t slip, struct rrl **out)
{
	struct rrl *r = calloc(1, sizeof(*r));

	if (!r)
		return RC_NOMEM;
	r->rate = rate;
	r->slip = slip;
	if (RAND_bytes(r->key, sizeof(r->key)) != 1) {
		free(r);
		return RC_CRYPTO;
	}
	*out = r;
	return RC_OK;
}

void rrl_free(struct rrl *r)
{
	free(r);
}

static struct place *find(struct rrl *r, const struct sockaddr *to, enum rrl_kind kind,
	const uint8_t *name, size_t name_len, uint32_t *tag)
{
	const struct sockaddr_in *a4 = (const void *)to;
	const struct sockaddr_in6 *a6 = (const void *)to;
	uint8_t in[2 + 8 + ZONE_NAME_MAX] = { (uint8_t)kind, (uint8_t)to->sa_family };
	uint8_t hash[8];
	size_t n = 10;

	if (to->sa_family == AF_INET)
		memcpy(in + 2, &a4->sin_addr, PREFIX_V4);
	else if (to->sa_family == AF_INET6)
		memcpy(in + 2, &a6->sin6_addr, PREFIX_V6);
	if (kind == RRL_DATA)
		for (size_t i = 0; i < name_len; i++)
			in[n++] = zone_lower(name[i]);
	cookie_siphash(r->key, in, n, hash);
	*tag = rec_get32(hash + 4);
	return &r->place[rec_get32(hash) % PLACES];
}

enum rrl_verdict rrl_count(struct rrl *r, const struct sockaddr *to, enum rrl_kind kind,
	const uint8_t *name, size_t name_len, uint64_t now_ms)
{
	uint32_t tag;
	struct place *p = find(r, to, kind, name, name_len, &tag);
	uint64_t full = (uint64_t)r->rate * ONE;
	uint64_t credit;

	if (p->tag != tag || p->last_ms == 0) {
		*p = (struct place){ .tag = tag, .credit = (uint32_t)full };
	} else {
		credit = p->credit + (now_ms - p->last_ms) * r->rate;
		p->credit = (uint32_t)(credit > full ? full : credit);
	}
	p->last_ms = now_ms;
	if (p->credit >= ONE) {
		p->credit -= ONE;
		return RRL_SEND;
	}
	return r->slip && p->over++ % r->slip == 0 ? RRL_TRUNCATE : RRL_DROP;
}
