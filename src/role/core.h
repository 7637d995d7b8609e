/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The core role's engine, apart from the supervisor: given a database and links it serves. A
 * test gives it links to fakes. */

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "base/rng.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct core_resolver {
	const char *name;
	uint8_t addr[16];
	size_t addr_len; /* 4 or 16; 0: no resolver is told */
	const char *addr_text;
	uint16_t port;
	const uint8_t (*pins)[32];
	size_t pin_count;
};

/* Borrowed for the life of the core. */
struct core_options {
	const char *database; /* file, or URL of PostgreSQL */
	const char *zone;
	const struct clock *clock;
	const struct rng *rng;
	const struct log *log;
	int64_t cert_days;
	const char *const *attest_require; /* as struct registry_settings */
	size_t attest_require_count;
	const char *const *ranges;
	size_t range_count;
	int64_t signer_hold_s;
	bool payload_full;
	int64_t batch_max;
	int64_t answer_wait_ms;
	int64_t auth_ttl_s;
	int64_t job_ttl_s;
	int64_t job_retry_s;
	int64_t idempotency_ttl_s;
	int64_t transfer_wait_s;
	int64_t feed_s;
	int64_t tlsa_every_s; /* 0: services' TLSA are not looked at */
	int64_t publish_wait; /* secondaries */
	int64_t overlap_s;
	int64_t hold_s; /* a renewed certificate goes to the card this much later: the zone's TTL */
	const char *node; /* its name among several; "" or NULL: there is only this one */
	int64_t lease_ms;
	int64_t anchor_ms;
	struct core_resolver resolver;
	const uint8_t *operator_spki; /* 32 bytes; NULL: make no first party */
};

struct core;

/* What is counted and what waits: one call of `put` each. `of`: which secondary, or "". */
typedef void core_metric_fn(void *to, const char *name, const char *of, double value);
void core_metrics(struct core *core, core_metric_fn *put, void *to);

/* Opens the database and makes the first party. */
enum rc core_open(struct event_base *base, const struct core_options *options, struct core **out,
	struct diag *d) ATT_MUST_CHECK;
/* Threads and timers: after confinement. */
enum rc core_start(struct core *core, struct diag *d) ATT_MUST_CHECK;
void core_close(struct core *core);

/* A new end of a link to `peer` ("keys", "zone", "front-api", "front-epp", "front-public", "out");
 * replaces the last one. Takes the descriptor. */
enum rc core_link(struct core *core, const char *peer, int take_fd) ATT_MUST_CHECK;
