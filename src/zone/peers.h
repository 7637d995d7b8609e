/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The secondary name servers: who may have the zone, and whom to tell that it
 * changed. One line each: NAME ADDRESS:PORT [key=KEY] [tls] [quiet]. */

#include "base/diag.h"
#include "zone/tsig.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define PEERS_SECONDARY_MAX 32u
#define PEERS_NAME_MAX	    32u

struct peer_secondary {
	char name[PEERS_NAME_MAX];    /* in logs and figures */
	struct sockaddr_storage addr; /* NOTIFY and SOA questions go here; transfers come from its
					 address, any port */
	socklen_t addr_len;
	const struct tsig_key *key; /* NULL: none is asked for; borrowed */
	bool tls;		    /* transfers only over TLS 1.3 (RFC 9103) */
	bool quiet;		    /* is not told and not watched */
};

struct peers {
	unsigned count;
	struct peer_secondary secondary[PEERS_SECONDARY_MAX];
};

/* Reads the lines; keys are looked up in `keys` (NULL: there are none). RC_MALFORMED, RC_NOT_FOUND
 * (a key), RC_EXISTS (a name twice). `keys_needed` false: key names are not looked up. */
enum rc peers_read(const char *const *lines, size_t count, const struct tsig_keys *keys,
	bool keys_needed, struct peers *out, struct diag *d) ATT_MUST_CHECK;

/* Whether a transfer may go there: an address of a secondary and, where it has one, its key. */
bool peers_may_transfer(
	const struct peers *p, const struct sockaddr *from, const struct tsig_key *key, bool tls13);
