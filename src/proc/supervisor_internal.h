/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between supervisor.c (who lives when) and spawn.c (how a child comes to be). */

#include "proc/supervisor.h"

/* Starts child `i` of the plan; its control socket, the supervisor's end, goes to *control. */
enum rc supervisor__spawn(const struct supervisor_plan *plan, size_t i, pid_t *pid, int *control,
	struct diag *d) ATT_MUST_CHECK;
