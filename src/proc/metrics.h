/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What each role counts, as a file in the Prometheus text format (version 0.0.4): for
 * node_exporter's textfile collector, for `attestry top`, for people. Numbers only: no name of a
 * party or a device. */

#include "base/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define METRIC_NAME_MAX	  48
#define METRIC_OF_MAX	  32
#define METRICS_PER_ROLE  128 /* three of each of 32 secondaries */
#define METRICS_ROLES_MAX 80

struct metric {
	char name[METRIC_NAME_MAX]; /* without prefix; ends in _total when it only grows */
	double value;
	char of[METRIC_OF_MAX]; /* which one (a secondary's name), as label "name"; or "" */
};

struct metrics_role {
	const char *role;
	pid_t pid; /* 0: not running */
	bool ready;
	unsigned restarts;
	const struct metric *metrics; /* of its last answer */
	size_t count;
};

/* Letters, digits and underscores: what a file may carry from a role that may be broken. */
bool metrics_name_ok(const char *name);
bool metrics_of_ok(const char *of);

/* The whole text (free). Each name stands once with its type and all roles that have it. */
enum rc metrics_write(
	const struct metrics_role *roles, size_t n, char **out, size_t *len) ATT_MUST_CHECK;

/* Puts the text into the run folder as metrics.prom: the old or the new, not synced. */
enum rc metrics_save(
	const char *run_folder, const struct metrics_role *roles, size_t n) ATT_MUST_CHECK;
/* When nobody writes it any more. */
void metrics_remove(const char *run_folder);
