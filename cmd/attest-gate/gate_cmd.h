/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside attest-gate: its settings and its server. */

#include "attest.h"
#include "base/diag.h"
#include "base/log.h"

#include <event2/event.h>
#include <jansson.h>

#define GATE_RESOLVERS_MAX 4
#define GATE_PINS_MAX	   4

struct gate_config {
	json_t *json; /* owns every text */
	const char *socket;
	unsigned socket_mode;
	struct attest_options attest;
	struct attest_feed_options feed; /* url NULL: none */
	struct attest_resolver resolvers[GATE_RESOLVERS_MAX];
	const char *pins[GATE_RESOLVERS_MAX][GATE_PINS_MAX];
};

/* config.c: an unknown or unusable member is an error. */
enum rc gate_config_read(const char *path, struct gate_config *out, struct diag *d) ATT_MUST_CHECK;
void gate_config_free(struct gate_config *config);

/* server.c */
struct gate;
enum rc gate_new(struct event_base *base, const struct gate_config *config, const struct log *log,
	struct gate **out, struct diag *d) ATT_MUST_CHECK;
void gate_free(struct gate *gate);
