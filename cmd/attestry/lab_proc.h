/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Background processes of a lab: started with their output in a log file,
 * found again by process id, ended by process id. A process belongs to a lab
 * when its environment says so, so a recycled id is never signalled. */

#include "base/diag.h"

#include <stdbool.h>
#include <sys/types.h>

#define LAB_ENV "ATTESTRY_LAB_OWNER"

/* Starts argv[0] (a path, or a name looked up in PATH) in a session of its own; output goes to
 * `log_path`, which is created or truncated. `lab_dir` marks it. */
enum rc lab_spawn(const char *lab_dir, const char *log_path, char *const argv[], pid_t *pid,
	struct diag *d) ATT_MUST_CHECK;

/* Waits until the file has a line that contains `text`. RC_TIMEOUT; RC_CLOSED when `pid` ended
 * first (the diag then carries the log's last line). Waits on file events, never polls blindly. */
enum rc lab_wait_line(const char *path, const char *text, pid_t pid, int timeout_ms,
	struct diag *d) ATT_MUST_CHECK;

/* Waits until the path exists; as above. */
enum rc lab_wait_file(const char *path, pid_t pid, int timeout_ms, struct diag *d) ATT_MUST_CHECK;

/* True while the process runs and belongs to this lab. */
bool lab_alive(const char *lab_dir, pid_t pid);

/* The signal, then SIGKILL after `grace_ms`; returns once it is gone. */
void lab_end(const char *lab_dir, pid_t pid, int number, int grace_ms);
