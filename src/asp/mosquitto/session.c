/* SPDX-License-Identifier: Apache-2.0 */
#include "asp/mosquitto/plugin.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 8192 /* power of two; 100,000 clients make chains of twelve */

enum rc sessions_init(struct sessions *s)
{
	memset(s, 0, sizeof(*s));
	s->table = calloc(BUCKETS, sizeof(struct session *));
	s->buckets = BUCKETS;
	return s->table ? RC_OK : RC_NOMEM;
}

static void session_free(struct session *one)
{
	free(one->client_id);
	free(one);
}

void sessions_fini(struct sessions *s)
{
	for (size_t i = 0; s->table && i < s->buckets; i++) {
		struct session *next;

		for (struct session *one = s->table[i]; one; one = next) {
			next = one->next;
			session_free(one);
		}
	}
	free(s->table);
	memset(s, 0, sizeof(*s));
}

static struct session **bucket(struct sessions *s, const struct mosquitto *client)
{
	uint64_t h = (uint64_t)(uintptr_t)client * 0x9e3779b97f4a7c15u;

	return &s->table[(h >> 40) & (s->buckets - 1)];
}

struct session *sessions_get(struct sessions *s, const struct mosquitto *client)
{
	struct session *one = *bucket(s, client);

	while (one && one->client != client)
		one = one->next;
	return one;
}

void sessions_drop(struct sessions *s, const struct mosquitto *client)
{
	struct session **at = bucket(s, client);

	while (*at && (*at)->client != client)
		at = &(*at)->next;
	if (*at) {
		struct session *gone = *at;

		*at = gone->next;
		session_free(gone);
		s->n--;
	}
}

struct session *sessions_put(struct sessions *s, const struct mosquitto *client,
	const char *client_id, const uint8_t *der, size_t der_len)
{
	struct session **at = bucket(s, client), *one = NULL;

	sessions_drop(s, client);
	one = calloc(1, sizeof(*one) + der_len);
	if (!one)
		return NULL;
	one->client = client;
	one->client_id = strdup(client_id ? client_id : "");
	if (!one->client_id) {
		free(one);
		return NULL;
	}
	one->reason = ATTEST_CANNOT_TELL;
	one->der_len = der_len;
	if (der_len > 0)
		memcpy(one->der, der, der_len);
	one->next = *at;
	*at = one;
	s->n++;
	return one;
}
