/* SPDX-License-Identifier: Apache-2.0 */
#include "zone/peers.h"

#include "base/conf.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static enum rc read_option(struct peer_secondary *p, const char *word, const struct tsig_keys *keys,
	bool keys_needed, struct diag *d)
{
	if (strcmp(word, "tls") == 0) {
		p->tls = true;
	} else if (strcmp(word, "quiet") == 0) {
		p->quiet = true;
	} else if (strncmp(word, "key=", 4) == 0) {
		p->key = tsig_key_find(keys, word + 4);
		if (!p->key && keys_needed)
			return diag_set(
				d, RC_NOT_FOUND, "key %s is not in the keys' file", word + 4);
	} else {
		return diag_set(d, RC_MALFORMED, "\"%s\" is not key=NAME, tls or quiet", word);
	}
	return RC_OK;
}

static enum rc read_one(struct peers *all, const char *line, const struct tsig_keys *keys,
	bool keys_needed, struct diag *d)
{
	struct peer_secondary p = { 0 };
	char *copy = strdup(line);
	char *save = NULL;
	const char *name = copy ? strtok_r(copy, " \t", &save) : NULL;
	const char *addr = name ? strtok_r(NULL, " \t", &save) : NULL;
	struct conf_addr a = { .len = 0 };
	enum rc rc = copy ? RC_OK : RC_NOMEM;

	if (rc == RC_OK && (!addr || conf_addr_read(addr, &a) != RC_OK || a.len == 0))
		rc = diag_set(d, RC_MALFORMED, "not NAME ADDRESS:PORT");
	if (rc == RC_OK && str_copy(p.name, sizeof(p.name), name) != RC_OK)
		rc = diag_set(d, RC_TOO_LARGE, "name is too long");
	for (unsigned i = 0; rc == RC_OK && i < all->count; i++)
		if (strcmp(all->secondary[i].name, p.name) == 0)
			rc = diag_set(d, RC_EXISTS, "there are two of this name");
	if (rc == RC_OK && all->count == PEERS_SECONDARY_MAX)
		rc = diag_set(d, RC_TOO_LARGE, "more than %u", PEERS_SECONDARY_MAX);
	p.addr = a.sa;
	p.addr_len = a.len;
	for (const char *w; rc == RC_OK && (w = strtok_r(NULL, " \t", &save)) != NULL;)
		rc = read_option(&p, w, keys, keys_needed, d);
	if (rc == RC_OK)
		all->secondary[all->count++] = p;
	else if (copy)
		diag_prefix(d, line);
	free(copy);
	return rc;
}

enum rc peers_read(const char *const *lines, size_t count, const struct tsig_keys *keys,
	bool keys_needed, struct peers *out, struct diag *d)
{
	enum rc rc = RC_OK;

	out->count = 0;
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = read_one(out, lines[i], keys, keys_needed, d);
	return rc;
}

/* Without the port; an IPv4 address may come mapped into IPv6. */
static bool same_host(const struct sockaddr *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;

	if (a->sa_family == AF_INET && b->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	if (a->sa_family == AF_INET6 && b->ss_family == AF_INET6)
		return memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
	if (a->sa_family == AF_INET6 && b->ss_family == AF_INET)
		return IN6_IS_ADDR_V4MAPPED(&a6->sin6_addr) &&
		       memcmp(a6->sin6_addr.s6_addr + 12, &b4->sin_addr, 4) == 0;
	return false;
}

bool peers_may_transfer(
	const struct peers *p, const struct sockaddr *from, const struct tsig_key *key, bool tls13)
{
	for (unsigned i = 0; p && from && i < p->count; i++) {
		const struct peer_secondary *s = &p->secondary[i];

		if (same_host(from, &s->addr) && s->key == key && (tls13 || !s->tls))
			return true;
	}
	return false;
}
