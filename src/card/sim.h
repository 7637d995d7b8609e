/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The simulator: the cards and front ends that a configuration names, in one process.
 *
 *	{ "state": DIR, "seal_key": PATH|"keyring:NAME", "sms": PATH, "euicc": PATH,
 *	  "preset": NAME, "quirks": {NAME: VALUE},
 *	  "sims": [ { "iccid": TEXT, "eid": TEXT, "kic": HEX, "kid": HEX, "kvn": 1..15,
 *	              "modem": PATH, "model": "attestry"|"bg96"|"cinterion",
 *	              "echo": BOOL, "urc_every": N, "socket": PATH, "vpcd": "HOST:PORT",
 *	              "imsi": DIGITS,
 *	              "preset": NAME, "quirks": {NAME: VALUE}, "aids": [HEX], "ids": {"84 01": HEX,
 *...}, "containers": { "A0": KIND, ... }, "files": { "06": PATH, ..., "F1": PATH of a PEM private
 *key } } ] }
 *
 * In place of a card's own members a sim may have "profiles": [ {...} ], the eSIM profiles of one
 *eUICC, the first of which is enabled at first.
 *
 * The configuration holds keys: it must not be accessible to others. `containers` and `files` are
 * for a card that has no state yet. */

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"

#include <event2/event.h>

struct sim;

struct sim_opts {
	const char *config_path;
	const char *seal_key; /* overrides the configuration's; may be NULL */
	const struct clock *clock;
	const struct log *log;
};

enum rc sim_new(struct event_base *base, const struct sim_opts *opts, struct sim **out,
	struct diag *d) ATT_MUST_CHECK;
void sim_free(struct sim *sim);
size_t sim_cards(const struct sim *sim);
