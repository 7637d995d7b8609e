/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Unbound as the trusted resolver of devices and providers: DNS over TLS only, validating, and
 * never with an answer from the past. One table says what is written and what is checked. */

#include "base/diag.h"

#include <stddef.h>

#define RESOLVER_STUBS_MAX 16u
#define RESOLVER_ALLOW_MAX 16u

/* All borrowed. */
struct resolver_conf {
	const char *dir; /* absolute: key, certificate, sockets */
	const char *addr;
	int port;
	const char *user;    /* to run as; "": whoever starts it */
	const char *anchors; /* file of DS records */
	const char *allow[RESOLVER_ALLOW_MAX];
	size_t allow_count;
	struct resolver_stub {
		const char *zone, *addr; /* addr as Unbound writes it: "192.0.2.1@53" */
	} stub[RESOLVER_STUBS_MAX];
	size_t stub_count; /* those of one zone stand together */
};

/* DIR/unbound.conf. */
enum rc resolver_conf_write(const struct resolver_conf *c, struct diag *d) ATT_MUST_CHECK;

/* DIR/resolver.json: how devices reach it, for the looks at it. */
enum rc resolver_facts_write(const char *dir, const char *zone, const char *name, const char *addr,
	int port, struct diag *d) ATT_MUST_CHECK;

/* What must be as it is written; ended by a row without name. */
struct resolver_setting {
	const char *name, *value, *why;
};
extern const struct resolver_setting resolver_settings[];
