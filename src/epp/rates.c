/* SPDX-License-Identifier: Apache-2.0 */
/* How fast one client may ask: a bucket of one second's worth for each operation, and one for all
 * queries and one for all transforms. A client is a key: more sessions do not give it more. */
#include "epp/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
	CLIENTS_KEPT = 1024, /* keys whose allowance is remembered */
	MILLI = 1000
};

static void fill_all(struct epp_client *c, const struct epp_limits *l)
{
	for (int i = 0; i < EPP_RATES; i++)
		c->tokens[i] = (uint64_t)l->rates[i] * MILLI;
}

struct epp_client *epp__client_of(struct epp_server *server, const uint8_t spki[TLS_SPKI_LEN])
{
	struct epp_client *idle = NULL, *c;
	size_t n = 0;

	for (c = server->clients; c; c = c->next, n++) {
		if (memcmp(c->spki_sha256, spki, TLS_SPKI_LEN) == 0)
			return c;
		if (!c->sessions)
			idle = c;
	}
	if (n < CLIENTS_KEPT || !idle) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return NULL;
		c->next = server->clients;
		server->clients = c;
	} else {
		struct epp_client *next = idle->next;

		c = idle;
		*c = (struct epp_client){ .next = next };
	}
	memcpy(c->spki_sha256, spki, TLS_SPKI_LEN);
	c->filled_ms = server->o.clock->monotonic_ms(server->o.clock);
	fill_all(c, &server->o.limits);
	return c;
}

void epp__clients_free(struct epp_server *server)
{
	while (server->clients) {
		struct epp_client *next = server->clients->next;

		free(server->clients);
		server->clients = next;
	}
}

static void refill(struct epp_client *c, const struct epp_limits *l, uint64_t now)
{
	uint64_t passed = now - c->filled_ms;

	if (passed > MILLI)
		passed = MILLI;
	for (int i = 0; passed && i < EPP_RATES; i++) {
		uint64_t full = (uint64_t)l->rates[i] * MILLI;

		c->tokens[i] += passed * l->rates[i];
		if (c->tokens[i] > full)
			c->tokens[i] = full;
	}
	c->filled_ms = now;
}

bool epp__may(struct epp_session *s, enum epp_rate rate)
{
	struct epp_server *server = s->server;
	const struct epp_limits *l = &server->o.limits;
	const enum epp_rate both[] = { rate, rate <= EPP_RATE_POLL	 ? EPP_RATE_QUERY
					     : rate <= EPP_RATE_TRANSFER ? EPP_RATE_TRANSFORM
									 : rate };

	if (!s->client)
		return true; /* a session of a test */
	refill(s->client, l, server->o.clock->monotonic_ms(server->o.clock));
	for (int i = 0; i < 2; i++) {
		if (l->rates[both[i]] && s->client->tokens[both[i]] < MILLI) {
			server->counts.limited++;
			server->counts.limited_by[rate]++;
			return false;
		}
	}
	for (int i = 0; i < 2; i++)
		if (l->rates[both[i]] && (i == 0 || both[1] != rate))
			s->client->tokens[both[i]] -= MILLI;
	return true;
}
