/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The simulator: the cards and front ends that a configuration names, in one process.
 *
 *	{ "state": DIR, "sms": PATH, "preset": "devkit"|"strict", "quirks": {NAME: BOOL},
 *	  "sims": [ { "iccid": TEXT, "eid": TEXT, "kic": HEX, "kid": HEX, "kvn": 1..15,
 *	              "modem": PATH, "socket": PATH, "imsi": DIGITS,
 *	              "preset": TEXT, "quirks": {NAME: BOOL}, "aids": [HEX],
 *	              "files": { "06": PATH, ..., "F1": PATH of a PEM private key } } ] }
 *
 * The configuration holds keys: it must not be accessible to others. `files` are written only into
 * a card that has no state yet. */

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"

#include <event2/event.h>

struct sim;

enum rc sim_new(struct event_base *base, const char *config_path, const struct clock *clock,
	const struct log *log, struct sim **out, struct diag *d) ATT_MUST_CHECK;
void sim_free(struct sim *sim);
size_t sim_cards(const struct sim *sim);
