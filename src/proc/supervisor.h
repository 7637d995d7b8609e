/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Starts the processes of a plan by running this program again, joins them by
 * links, starts again those that die, stops them in order. Knows nothing of
 * what they do and reads nothing from outside: its only input is its children's
 * Ready and Pong. When it dies, they die. */

#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SUPERVISOR_NAME_MAX  32
#define SUPERVISOR_FDS_MAX   4
#define SUPERVISOR_ROLES_MAX 80

/* A listening socket, bound by the caller, kept here over the child's restarts. */
struct supervisor_listener {
	const char *name; /* borrowed */
	int fd;		  /* borrowed */
};

struct supervisor_child {
	char name[SUPERVISOR_NAME_MAX]; /* "dns/2" */
	uid_t uid;			/* 0: the starter's */
	gid_t gid;
	gid_t group; /* one supplementary group, or 0 */
	struct supervisor_listener listeners[SUPERVISOR_FDS_MAX];
	size_t listener_count;
	unsigned stop_stage; /* stages stop one after the other, 0 first */
};

/* Two children that talk, by index in the plan. */
struct supervisor_link {
	size_t a, b;
};

struct supervisor_plan {
	const struct supervisor_child *children;
	size_t child_count;
	const struct supervisor_link *links;
	size_t link_count;
	const char *program; /* NULL: this one, /proc/self/exe */
	const char *config_file;
	const char *run_folder; /* NAME.pid while NAME is ready, attestryd.pid once all are */
	const struct log *log;
	const struct clock *clock;
	int64_t heartbeat_ms, heartbeat_timeout_ms, start_timeout_ms;
	int64_t restart_ms, restart_max_ms, stop_timeout_ms;
};

/* Runs until SIGTERM, SIGINT or SIGHUP. A child gets `--config FILE --role NAME [--listeners A,B]`,
 * its control socket at CONTROL_FD, its listening sockets from there on. A child that ends by
 * itself before it was ever ready ends all: RC_UNAVAILABLE. RC_EXISTS: another supervisor has this
 * run folder. */
enum rc supervisor_run(const struct supervisor_plan *plan, struct diag *d) ATT_MUST_CHECK;

/* The name of a run file: run_folder/name.suffix, with '/' of a name as '-'. */
enum rc supervisor_run_file(const char *run_folder, const char *name, const char *suffix, char *out,
	size_t cap) ATT_MUST_CHECK;

/* Becomes `uid` with `gid` and at most one more group, for good; nothing when uid is 0. */
enum rc supervisor_become(uid_t uid, gid_t gid, gid_t group, struct diag *d) ATT_MUST_CHECK;
