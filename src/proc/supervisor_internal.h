/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between supervisor.c (who lives when), spawn.c (how a child comes to be) and runfiles.c
 * (what others can see of it). */

#include "proc/supervisor.h"

/* Starts child `i` of the plan; its control socket, the supervisor's end, goes to *control. */
enum rc supervisor__spawn(const struct supervisor_plan *plan, size_t i, pid_t *pid, int *control,
	struct diag *d) ATT_MUST_CHECK;

/* A pid file that cannot be written is logged: the registry serves without it. */
void supervisor__write_pid(const struct supervisor_plan *plan, const char *name, pid_t pid);
void supervisor__remove_pid(const struct supervisor_plan *plan, const char *name);

/* Held until *lock_fd is closed. RC_EXISTS: another holds it. */
enum rc supervisor__lock(
	const struct supervisor_plan *plan, int *lock_fd, struct diag *d) ATT_MUST_CHECK;
