/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8

/* One name's answer, in as few bytes as it needs: millions of devices may be remembered. */
struct record {
	uint64_t until_ms;
	uint32_t ttl_s;
	uint16_t type;
	uint8_t status;
	uint8_t n_digests;
	uint8_t n_records;
	uint8_t name_len;
	uint8_t why_len;
	uint8_t rest[]; /* name, digests, why */
};

struct asp_cache {
	uint64_t seed; /* so that nobody can choose names that meet in one set */
	size_t sets;
	size_t n;
	size_t bytes;
	struct record *slots[]; /* sets * WAYS */
};

enum rc asp__cache_new(size_t entries, struct asp_cache **out)
{
	size_t sets = (entries + WAYS - 1) / WAYS;
	struct asp_cache *c = NULL;

	if (entries == 0 || sets > SIZE_MAX / WAYS / sizeof(struct record *) / 2)
		return RC_RANGE;
	c = calloc(1, sizeof(*c) + sets * WAYS * sizeof(struct record *));
	if (!c)
		return RC_NOMEM;
	c->sets = sets;
	c->bytes = sizeof(*c) + sets * WAYS * sizeof(struct record *);
	if (RAND_bytes((uint8_t *)&c->seed, sizeof(c->seed)) != 1) {
		free(c);
		return RC_CRYPTO;
	}
	*out = c;
	return RC_OK;
}

static size_t size_of(const struct record *r)
{
	return sizeof(*r) + r->name_len + r->n_digests * 32U + r->why_len;
}

static void drop(struct asp_cache *c, struct record **slot)
{
	if (!*slot)
		return;
	c->bytes -= size_of(*slot);
	c->n--;
	free(*slot);
	*slot = NULL;
}

void asp__cache_free(struct asp_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->sets * WAYS; i++)
		free(cache->slots[i]);
	free(cache);
}

static struct record **set_of(struct asp_cache *c, const char *name, uint16_t type)
{
	uint64_t h = c->seed ^ 0xcbf29ce484222325u ^ type; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	h ^= h >> 32;
	return c->slots + h % c->sets * WAYS;
}

static bool is(const struct record *r, const char *name, size_t len, uint16_t type)
{
	return r && r->type == type && r->name_len == len && memcmp(r->rest, name, len) == 0;
}

static struct record **find(struct asp_cache *c, const char *name, uint16_t type)
{
	struct record **slot = set_of(c, name, type);
	size_t len = strlen(name);

	for (size_t i = 0; i < WAYS; i++)
		if (is(slot[i], name, len, type))
			return &slot[i];
	return NULL;
}

bool asp__cache_get(struct asp_cache *cache, const char *name, uint16_t type, uint64_t now_ms,
	struct asp_answer *out)
{
	struct record **slot = find(cache, name, type);
	const struct record *r = slot ? *slot : NULL;
	const uint8_t *at;

	if (!r)
		return false;
	if (r->until_ms <= now_ms) {
		drop(cache, slot);
		return false;
	}
	at = r->rest + r->name_len;
	memset(out, 0, sizeof(*out));
	out->status = (enum dane_status)r->status;
	out->ttl_s = r->ttl_s;
	out->until_ms = r->until_ms;
	out->n_records = r->n_records;
	out->n_digests = r->n_digests;
	memcpy(out->digests, at, r->n_digests * sizeof(out->digests[0]));
	memcpy(out->why, at + r->n_digests * sizeof(out->digests[0]), r->why_len);
	return true;
}

static struct record *pack(
	const char *name, size_t len, uint16_t type, const struct asp_answer *answer)
{
	size_t why_len = strnlen(answer->why, sizeof(answer->why) - 1);
	size_t digests = answer->n_digests * sizeof(answer->digests[0]);
	struct record *r = malloc(sizeof(*r) + len + digests + why_len);

	if (!r)
		return NULL;
	*r = (struct record){ .until_ms = answer->until_ms,
		.ttl_s = answer->ttl_s,
		.type = type,
		.status = (uint8_t)answer->status,
		.n_digests = answer->n_digests,
		.n_records = answer->n_records,
		.name_len = (uint8_t)len,
		.why_len = (uint8_t)why_len };
	memcpy(r->rest, name, len);
	memcpy(r->rest + len, answer->digests, digests);
	memcpy(r->rest + len + digests, answer->why, why_len);
	return r;
}

/* The name's own entry, a free or stale one, or the one that would be stale first. */
void asp__cache_put(struct asp_cache *cache, const char *name, uint16_t type, uint64_t now_ms,
	const struct asp_answer *answer)
{
	struct record **slot = set_of(cache, name, type), **best = slot, *r;
	size_t len = strlen(name);
	uint64_t least = UINT64_MAX;

	r = len < ASP_NAME_TEXT ? pack(name, len, type, answer) : NULL;
	for (size_t i = 0; i < WAYS; i++) {
		uint64_t until = slot[i] && slot[i]->until_ms > now_ms ? slot[i]->until_ms : 0;

		if (is(slot[i], name, len, type)) {
			best = &slot[i];
			break;
		}
		if (until < least) {
			least = until;
			best = &slot[i];
		}
	}
	if (!r && !is(*best, name, len, type))
		return;
	drop(cache, best); /* an older answer must not outlive one that found no memory */
	*best = r;
	if (r) {
		cache->bytes += size_of(r);
		cache->n++;
	}
}

void asp__cache_forget(struct asp_cache *cache, const char *name, uint16_t type)
{
	struct record **slot = find(cache, name, type);

	if (slot)
		drop(cache, slot);
}

void asp__cache_clear(struct asp_cache *cache)
{
	for (size_t i = 0; i < cache->sets * WAYS; i++)
		drop(cache, &cache->slots[i]);
}

void asp__cache_size(const struct asp_cache *cache, uint64_t *n, uint64_t *bytes)
{
	*n = cache->n;
	*bytes = cache->bytes;
}
