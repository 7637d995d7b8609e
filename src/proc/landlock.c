/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's <linux/landlock.h> stops at ABI 2: the kernel's interface is written out here
 * (Documentation/userspace-api/landlock.rst), by the ABI that brought each part. */
#define LL_SYS_CREATE	444
#define LL_SYS_ADD_RULE 445
#define LL_SYS_RESTRICT 446

#define LL_CREATE_VERSION    1u
#define LL_RULE_PATH_BENEATH 1

#define LL_FS_EXECUTE	  (1ull << 0)
#define LL_FS_WRITE_FILE  (1ull << 1)
#define LL_FS_READ_FILE	  (1ull << 2)
#define LL_FS_READ_DIR	  (1ull << 3)
#define LL_FS_REMOVE_DIR  (1ull << 4)
#define LL_FS_REMOVE_FILE (1ull << 5)
#define LL_FS_MAKE_DIR	  (1ull << 7)
#define LL_FS_MAKE_REG	  (1ull << 8)
#define LL_FS_ABI1	  ((1ull << 13) - 1)
#define LL_FS_REFER	  (1ull << 13) /* ABI 2 */
#define LL_FS_TRUNCATE	  (1ull << 14) /* ABI 3 */
#define LL_FS_IOCTL_DEV	  (1ull << 15) /* ABI 5 */

#define LL_NET_BIND_TCP	   (1ull << 0) /* ABI 4 */
#define LL_NET_CONNECT_TCP (1ull << 1)

#define LL_SCOPE_ABSTRACT_UNIX (1ull << 0) /* ABI 6 */
#define LL_SCOPE_SIGNAL	       (1ull << 1)

/* Rights that make sense on a file rather than on a folder. */
#define LL_FS_OF_FILES (LL_FS_EXECUTE | LL_FS_WRITE_FILE | LL_FS_READ_FILE | LL_FS_TRUNCATE)

#define MAY_READ (LL_FS_READ_FILE | LL_FS_READ_DIR)
#define MAY_WRITE                                                                              \
	(MAY_READ | LL_FS_WRITE_FILE | LL_FS_REMOVE_FILE | LL_FS_REMOVE_DIR | LL_FS_MAKE_DIR | \
		LL_FS_MAKE_REG | LL_FS_TRUNCATE)

struct ll_ruleset {
	uint64_t fs;
	uint64_t net;	/* ABI 4 */
	uint64_t scope; /* ABI 6 */
};

/* Packed in the kernel's interface too: 12 bytes. */
struct ll_path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} ATT_PACKED;

int confine_landlock_abi(void)
{
	long abi = syscall(LL_SYS_CREATE, NULL, 0, LL_CREATE_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

/* What this kernel knows; everything known is denied unless a rule gives it. */
static struct ll_ruleset ruleset_of(int abi, unsigned may, size_t *size)
{
	struct ll_ruleset r = { .fs = LL_FS_ABI1 };

	if (abi >= 2)
		r.fs |= LL_FS_REFER;
	if (abi >= 3)
		r.fs |= LL_FS_TRUNCATE;
	if (abi >= 5)
		r.fs |= LL_FS_IOCTL_DEV;
	if (abi >= 4)
		r.net = LL_NET_BIND_TCP | (may & CONFINE_CONNECT ? 0 : LL_NET_CONNECT_TCP);
	if (abi >= 6)
		r.scope = LL_SCOPE_ABSTRACT_UNIX | LL_SCOPE_SIGNAL;
	*size = abi >= 6 ? sizeof(r) : abi >= 4 ? 16 : 8;
	return r;
}

static enum rc add_path(
	int ruleset, const struct ll_ruleset *r, const struct confine_path *path, struct diag *d)
{
	struct ll_path_beneath rule = { .allowed = path->write ? MAY_WRITE : MAY_READ };
	enum rc rc = RC_OK;
	struct stat st;

	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return diag_errno(d, RC_NOT_FOUND, "%s", path->path);
	if (fstat(rule.parent_fd, &st) != 0)
		rc = diag_errno(d, RC_IO, "%s", path->path);
	else if (!S_ISDIR(st.st_mode))
		rule.allowed &= LL_FS_OF_FILES;
	rule.allowed &= r->fs;
	if (rc == RC_OK && syscall(LL_SYS_ADD_RULE, ruleset, LL_RULE_PATH_BENEATH, &rule, 0) != 0)
		rc = diag_errno(d, RC_INTERNAL, "landlock: %s", path->path);
	close(rule.parent_fd);
	return rc;
}

enum rc confine__landlock(const struct confine *confine, const struct log *log, struct diag *d)
{
	int abi = confine_landlock_abi(), ruleset;
	struct ll_ruleset r;
	enum rc rc = RC_OK;
	size_t size;

	if (abi == 0 && confine->landlock_required)
		return diag_set(d, RC_UNSUPPORTED,
			"this kernel has no Landlock (set landlock = warn to do without)");
	if (abi == 0) {
		log_write(log, LOG_WARNING, "landlock missing paths=unrestricted");
		return RC_OK;
	}
	r = ruleset_of(abi, confine->may, &size);
	ruleset = (int)syscall(LL_SYS_CREATE, &r, size, 0);
	if (ruleset < 0)
		return diag_errno(d, RC_INTERNAL, "landlock_create_ruleset");
	for (size_t i = 0; i < confine->path_count && rc == RC_OK; i++)
		rc = add_path(ruleset, &r, &confine->paths[i], d);
	if (rc == RC_OK && CONFINE_SANITIZED)
		rc = add_path(ruleset, &r, &(struct confine_path){ "/proc", false }, d);
	if (rc == RC_OK && syscall(LL_SYS_RESTRICT, ruleset, 0) != 0)
		rc = diag_errno(d, RC_INTERNAL, "landlock_restrict_self");
	close(ruleset);
	return rc;
}
