/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For cmd/attestryd: how a role process runs, and how its confinement is tried. */

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "role/config.h"

struct role_start {
	const struct config *config; /* borrowed, as all here */
	const struct log *log;
	const struct clock *clock;
	const char *name;      /* --role */
	const char *listeners; /* --listeners, or NULL */
	int control_fd;	       /* -1: none, for the self-test */
};

/* Runs the role to its end. RC_NOT_FOUND: no role of that name. */
enum rc role_main(const struct role_start *start, struct diag *d) ATT_MUST_CHECK;

/* `--selftest-confinement`: confines this process as the role's and tries what it must not do, one
 * line per attempt on standard output: `open refused` (`allowed` is a hole), and for what its duty
 * needs `accept works` (or `fails`). RC_OK: all as the table says. */
enum rc role_selftest(const struct role_start *start, struct diag *d) ATT_MUST_CHECK;
