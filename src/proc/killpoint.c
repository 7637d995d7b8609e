/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/killpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE       "ATTESTRY_KILLPOINT_FILE"
#define NAME_MAX_BYTES 64
#define STOP	       "stop "

void kill_point(const char *name)
{
	char held[NAME_MAX_BYTES];
	ssize_t n;
	bool stop;

	if (!getenv(VARIABLE))
		return;
	n = pread(KILL_POINT_FD, held, sizeof(held) - 1, 0);
	if (n <= 0)
		return;
	held[n] = '\0';
	held[strcspn(held, "\r\n")] = '\0';
	stop = strncmp(held, STOP, strlen(STOP)) == 0;
	if (strcmp(stop ? held + strlen(STOP) : held, name) != 0)
		return;
	/* Once: the process that takes this one's place must live. */
	if (ftruncate(KILL_POINT_FD, 0) == 0)
		raise(stop ? SIGSTOP : SIGKILL);
}

enum rc kill_point_open(void)
{
	const char *path = getenv(VARIABLE);
	int fd;

	if (!path || fcntl(KILL_POINT_FD, F_GETFD) >= 0)
		return RC_OK;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? RC_NOT_FOUND : RC_IO;
	/* Not close-on-exec: the supervisor opens it, with its own rights, for the roles. */
	if (dup2(fd, KILL_POINT_FD) < 0) {
		close(fd);
		return RC_IO;
	}
	close(fd);
	return RC_OK;
}
