/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the run folder: who is ready, and that one supervisor runs. */
#include "proc/supervisor_internal.h"
#include "base/file.h"
#include "base/str.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum rc supervisor_run_file(
	const char *run_folder, const char *name, const char *suffix, char *out, size_t cap)
{
	enum rc rc = str_format(out, cap, "%s/%s.%s", run_folder, name, suffix);

	if (rc == RC_OK)
		for (char *p = out + strlen(run_folder) + 1; *p; p++)
			if (*p == '/')
				*p = '-';
	return rc;
}

void supervisor__write_pid(const struct supervisor_plan *plan, const char *name, pid_t pid)
{
	char path[4096], text[16];
	struct diag why = { 0 };
	enum rc rc = supervisor_run_file(plan->run_folder, name, "pid", path, sizeof(path));

	if (rc == RC_OK)
		rc = str_format(text, sizeof(text), "%d\n", (int)pid);
	if (rc == RC_OK)
		rc = file_write_atomic(path, text, strlen(text), 0644, &why);
	if (rc != RC_OK)
		log_write(plan->log, LOG_WARNING, "pid file name=%s why=%s", name, why.text);
}

void supervisor__remove_pid(const struct supervisor_plan *plan, const char *name)
{
	char path[4096];

	if (supervisor_run_file(plan->run_folder, name, "pid", path, sizeof(path)) == RC_OK)
		(void)unlink(path);
}

enum rc supervisor__lock(const struct supervisor_plan *plan, int *lock_fd, struct diag *d)
{
	char path[4096];
	enum rc rc = supervisor_run_file(plan->run_folder, "attestryd", "lock", path, sizeof(path));

	if (rc != RC_OK)
		return diag_set(d, rc, "run_folder: path is too long");
	*lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*lock_fd < 0)
		return diag_errno(d, RC_IO, "%s", path);
	if (flock(*lock_fd, LOCK_EX | LOCK_NB) != 0)
		return diag_set(d, RC_EXISTS, "attestryd already runs here (%s is locked)", path);
	return RC_OK;
}
