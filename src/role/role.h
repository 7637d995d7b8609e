/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every role of attestryd is given, and how it says what it does: links
 * to other roles, listening sockets, confinement, readiness. A role's body is
 * `enum rc role_<kind>_run(struct role *)` in src/role/<kind>.c:
 *
 *	open keys, databases, files            (still with the role's uid, unconfined)
 *	role_on_link(role, "core", ...)        for each peer
 *	role_confine(role, &diag)              before the first untrusted byte
 *	role_ready(role)                       serving (may come later, from a callback)
 *	role_loop(role)                        until the supervisor says stop
 *	close what was opened
 */

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "role/config.h"

#include <event2/event.h>
#include <stdbool.h>

#define ROLE_NAME_MAX 32

enum role_kind { ROLE_KEYS, ROLE_CORE, ROLE_ZONE, ROLE_DNS, ROLE_FRONT, ROLE_OUT, ROLE_KINDS };

struct role__control; /* private to role.c */

struct role {
	struct event_base *base;
	const struct config *config; /* immutable */
	const struct log *log;
	const struct clock *clock;
	enum role_kind kind;
	char name[ROLE_NAME_MAX]; /* "keys", "dns/2", "front-api" */
	unsigned index;		  /* dns: 0..workers-1; else 0 */
	const char *class;	  /* front: "api" or "epp"; else "" */
	struct role__control *control;
};

/* A new end of a link to `peer` ("keys", "core", "zone", "dns/0", "front-api", "out"), to be given
 * to link_new. A second one of the same peer replaces the first: the peer was restarted, and
 * requests that waited on the old link are lost. The class of a front's requests is in this name
 * and nowhere else. */
typedef void role_link_fn(struct role *role, const char *peer, int take_fd, void *user);

/* Calls `fn` for each link whose peer's name begins with `peer_prefix`. Register before
 * role_loop. A link that nobody registered for is closed. RC_TOO_LARGE: too many prefixes. */
enum rc role_on_link(
	struct role *role, const char *peer_prefix, role_link_fn *fn, void *user) ATT_MUST_CHECK;

/* Calls `fn` when the supervisor says stop, instead of leaving the loop at once; the role then
 * calls role_leave when it is done (the supervisor waits supervisor.stop_timeout). */
void role_on_stop(struct role *role, void (*fn)(struct role *role, void *user), void *user);
void role_leave(struct role *role);

/* A listening socket that the supervisor bound and keeps over restarts, so that the address stays
 * and no port needs privilege: "dns-udp", "dns-tcp", "dot" (dns: one of each per worker, bound with
 * SO_REUSEPORT), "https" (front-api), "epp" (front-epp). Bound, non-blocking, streams already
 * listening; owned by the role object. -1: not configured. */
int role_listener(const struct role *role, const char *name);

/* Confines this process as its kind demands: role/confinement.c holds the table. */
enum rc role_confine(struct role *role, struct diag *d) ATT_MUST_CHECK;

/* Tells the supervisor that this role serves. */
enum rc role_ready(struct role *role) ATT_MUST_CHECK;

/* Adds one number to what is told about this role; names as proc/metrics.h. */
struct role_metrics;
void role_metric(struct role_metrics *m, const char *name, double value);
/* The same of one among several, which stays the caller's until the call-back ends. */
void role_metric_of(struct role_metrics *m, const char *name, const char *of, double value);
/* Calls `fn` when the supervisor asks, once a heartbeat. */
typedef void role_metrics_fn(struct role_metrics *m, void *user);
void role_on_metrics(struct role *role, role_metrics_fn *fn, void *user);

/* Runs the event loop until stop. RC_CLOSED: the supervisor is gone. */
enum rc role_loop(struct role *role) ATT_MUST_CHECK;

enum rc role_keys_run(struct role *role) ATT_MUST_CHECK;
enum rc role_core_run(struct role *role) ATT_MUST_CHECK;
enum rc role_zone_run(struct role *role) ATT_MUST_CHECK;
enum rc role_dns_run(struct role *role) ATT_MUST_CHECK;
enum rc role_front_run(struct role *role) ATT_MUST_CHECK;
enum rc role_out_run(struct role *role) ATT_MUST_CHECK;
