/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Stream clients of a listening unix socket whose messages start with a u16 length: what the APDU
 * socket and the short message link share. For files of card/ only. */

#include "card/front.h"

#include "base/cur.h"

#include <stdint.h>

#define PEERS_MAX 64 /* connections of one listener; further ones are closed */

struct peer;
struct peers;

struct peers_opts {
	size_t message_max; /* of the u16 length; a longer one closes the connection */
	/* One message whole, without its length. RC_OK goes on, anything else closes. */
	enum rc (*on_message)(struct peer *peer, struct cur message, void *user);
	/* Optional: what a connection holds. */
	enum rc (*on_open)(void **state, void *user);
	void (*on_close)(void *state, void *user);
	void *user;
};

enum rc peers_new(struct event_base *base, const char *path, const struct peers_opts *opts,
	const struct log *log, struct peers **out, struct diag *d) ATT_MUST_CHECK;
void peers_free(struct peers *peers);

void *peer_state(struct peer *peer);
/* Queues bytes (with their length already in front). */
void peer_send(struct peer *peer, const void *bytes, size_t len);
/* The same to all; one that does not read misses it. */
void peers_tell(struct peers *peers, const void *bytes, size_t len);
