/* SPDX-License-Identifier: Apache-2.0 */
#include "card/front.h"

#include "base/str.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

enum rc front__listen(const char *path, int *fd, struct diag *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int s;

	if (str_copy(addr.sun_path, sizeof(addr.sun_path), path) != RC_OK)
		return diag_set(d, RC_TOO_LARGE, "%s: longer than a socket's name may be", path);
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return diag_set(d, RC_EXISTS, "%s: exists and is no socket", path);
		if (unlink(path) != 0)
			return diag_errno(d, RC_IO, "%s", path);
	}
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0)
		return diag_errno(d, RC_IO, "%s", path);
	/* The file's rights come from the umask of before bind: main sets 077. */
	if (bind(s, (const struct sockaddr *)&addr, sizeof(addr)) != 0 || chmod(path, 0600) != 0 ||
		listen(s, BACKLOG) != 0) {
		enum rc rc = diag_errno(d, RC_IO, "%s", path);

		close(s);
		return rc;
	}
	*fd = s;
	return RC_OK;
}
