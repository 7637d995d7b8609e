/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/confine.h"
#include "proc/confine_internal.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Landlock and the filter bind the thread that asks and those it makes later. */
static bool has_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t count = 0;

	if (!dir)
		return false; /* no /proc: nothing to see, the roles are single-threaded here */
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		count += e->d_name[0] != '.';
	closedir(dir);
	return count > 1;
}

static enum rc drop_capabilities(struct diag *d)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* The bounding set first: it takes CAP_SETPCAP. A plain user has not that, and nothing that
	 * could grow into the set either, without new privileges. */
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EPERM)
			break;
		return diag_errno(d, RC_INTERNAL, "capability bounding set");
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
		return diag_errno(d, RC_INTERNAL, "ambient capabilities");
	if (syscall(SYS_capset, &head, none) != 0)
		return diag_errno(d, RC_INTERNAL, "capset");
	return RC_OK;
}

static enum rc hide(struct diag *d)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return diag_errno(d, RC_INTERNAL, "RLIMIT_CORE");
	/* A sanitizer's leak check traces its own process. */
	if (!CONFINE_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return diag_errno(d, RC_INTERNAL, "PR_SET_DUMPABLE");
	return RC_OK;
}

enum rc confine_apply(const struct confine *confine, const struct log *log, struct diag *d)
{
	enum rc rc;

	if (!CONFINE_SANITIZED && has_threads())
		return diag_set(d, RC_STATE, "confinement must come before the first thread");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return diag_errno(d, RC_INTERNAL, "PR_SET_NO_NEW_PRIVS");
	rc = hide(d);
	if (rc == RC_OK)
		rc = confine__landlock(confine, log, d);
	if (rc == RC_OK)
		rc = drop_capabilities(d);
	if (rc == RC_OK)
		rc = confine__seccomp(confine, d);
	return rc;
}

bool confine_is_exact(void)
{
	return !CONFINE_SANITIZED;
}
