/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/internal.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8

struct entry {
	char name[IDENT_OWNER_TEXT]; /* "": free */
	struct asp_answer answer;
};

struct asp_cache {
	uint64_t seed; /* so that nobody can choose names that meet in one set */
	size_t sets;
	struct entry entries[]; /* sets * WAYS */
};

enum rc asp__cache_new(size_t entries, struct asp_cache **out)
{
	size_t sets = (entries + WAYS - 1) / WAYS;
	struct asp_cache *c = NULL;

	if (entries == 0 || sets > SIZE_MAX / WAYS / sizeof(struct entry) / 2)
		return RC_RANGE;
	c = calloc(1, sizeof(*c) + sets * WAYS * sizeof(struct entry));
	if (!c)
		return RC_NOMEM;
	c->sets = sets;
	if (RAND_bytes((uint8_t *)&c->seed, sizeof(c->seed)) != 1) {
		free(c);
		return RC_CRYPTO;
	}
	*out = c;
	return RC_OK;
}

void asp__cache_free(struct asp_cache *cache)
{
	free(cache);
}

static struct entry *set_of(struct asp_cache *c, const char *name)
{
	uint64_t h = c->seed ^ 0xcbf29ce484222325u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	h ^= h >> 32;
	return c->entries + h % c->sets * WAYS;
}

bool asp__cache_get(
	struct asp_cache *cache, const char *name, uint64_t now_ms, struct asp_answer *out)
{
	struct entry *e = set_of(cache, name);

	for (size_t i = 0; i < WAYS; i++, e++) {
		if (strcmp(e->name, name) != 0)
			continue;
		if (e->answer.until_ms <= now_ms) {
			e->name[0] = '\0';
			return false;
		}
		*out = e->answer;
		return true;
	}
	return false;
}

/* The name's own entry, a free or stale one, or the one that would be stale first. */
void asp__cache_put(
	struct asp_cache *cache, const char *name, uint64_t now_ms, const struct asp_answer *answer)
{
	struct entry *e = set_of(cache, name), *best = e;
	size_t len = strlen(name);

	if (len >= sizeof(e->name))
		return;
	for (size_t i = 0; i < WAYS; i++) {
		if (strcmp(e[i].name, name) == 0) {
			best = &e[i];
			break;
		}
		if (e[i].name[0] == '\0' || e[i].answer.until_ms <= now_ms)
			e[i].answer.until_ms = 0;
		if (e[i].answer.until_ms < best->answer.until_ms)
			best = &e[i];
	}
	memcpy(best->name, name, len + 1);
	best->answer = *answer;
}
