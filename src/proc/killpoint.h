/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Places where a test may kill a process: `kill_point("core-after-commit")`.
 * Compiled in only with the meson option `killpoints`; active only when
 * ATTESTRY_KILLPOINT_FILE names a file that holds just that name. The process
 * empties the file and sends itself SIGKILL, or SIGSTOP when "stop " stands before
 * the name. The file is written in place by
 * the test, never renamed: a confined role keeps it open from its start. */

#include "base/clock.h"
#include "base/rc.h"

/* Where the open file stands: a number that no role reaches by opening files. */
#define KILL_POINT_FD 1000
/* The same for a file whose text is by how many seconds the wall clock is off:
 * ATTESTRY_CLOCK_FILE. */
#define TEST_CLOCK_FD 1001

#ifdef ATT_KILLPOINTS
void kill_point(const char *name);
/* Opens the named file at KILL_POINT_FD unless it is there already or none is named. */
enum rc kill_point_open(void) ATT_MUST_CHECK;
/* The system's, off by what that file says. */
const struct clock *test_clock(void);
#else
static inline void kill_point(const char *name)
{
	(void)name;
}
static inline enum rc kill_point_open(void)
{
	return RC_OK;
}
static inline const struct clock *test_clock(void)
{
	return clock_system();
}
#endif
