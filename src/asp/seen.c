/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 8

/* Certificates whose chain was found good: the same bytes under the same anchors stay good until
 * one of the chain expires. Only such are kept, so nobody without a CA's signature can push others
 * out of their place. */
struct asp_seen {
	pthread_mutex_t lock;
	size_t n;
	struct slot {
		int64_t since_s; /* wall clock: a clock set back asks again */
		int64_t until_s; /* 0: free */
		struct asp_cert cert;
	} slots[];
};

enum rc asp__seen_new(size_t n, struct asp_seen **out)
{
	struct asp_seen *s = NULL;

	if (n == 0 || n > SIZE_MAX / sizeof(struct slot) / 2)
		return RC_RANGE;
	s = calloc(1, sizeof(*s) + n * sizeof(struct slot));
	if (!s || pthread_mutex_init(&s->lock, NULL) != 0) {
		free(s);
		return RC_NOMEM;
	}
	s->n = n;
	*out = s;
	return RC_OK;
}

void asp__seen_free(struct asp_seen *seen)
{
	if (!seen)
		return;
	pthread_mutex_destroy(&seen->lock);
	free(seen);
}

/* Its own slot, else the one of the few it may take that is free or would be free first. */
static struct slot *slot_of(struct asp_seen *s, const uint8_t sha256[32])
{
	struct slot *best = NULL;
	uint64_t h;

	memcpy(&h, sha256, sizeof(h));
	for (size_t i = 0; i < WAYS; i++) {
		struct slot *one = &s->slots[(h % s->n + i) % s->n];

		if (memcmp(one->cert.sha256, sha256, 32) == 0)
			return one;
		if (!best || one->until_s < best->until_s)
			best = one;
	}
	return best;
}

bool asp__seen_get(
	struct asp_seen *seen, const uint8_t sha256[32], int64_t now_s, struct asp_cert *out)
{
	struct slot *slot;
	bool found;

	pthread_mutex_lock(&seen->lock);
	slot = slot_of(seen, sha256);
	found = slot->until_s > now_s && slot->since_s <= now_s &&
		memcmp(slot->cert.sha256, sha256, 32) == 0;
	if (found)
		*out = slot->cert;
	pthread_mutex_unlock(&seen->lock);
	return found;
}

void asp__seen_put(
	struct asp_seen *seen, const struct asp_cert *cert, int64_t now_s, int64_t until_s)
{
	struct slot *slot;

	pthread_mutex_lock(&seen->lock);
	slot = slot_of(seen, cert->sha256);
	slot->cert = *cert;
	slot->since_s = now_s;
	slot->until_s = until_s;
	pthread_mutex_unlock(&seen->lock);
}
