/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/killpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE       "ATTESTRY_KILLPOINT_FILE"
#define CLOCK	       "ATTESTRY_CLOCK_FILE"
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

static enum rc open_at(const char *variable, int number)
{
	const char *path = getenv(variable);
	int fd;

	if (!path || fcntl(number, F_GETFD) >= 0)
		return RC_OK;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? RC_NOT_FOUND : RC_IO;
	/* Not close-on-exec: the supervisor opens it, with its own rights, for the roles. */
	if (dup2(fd, number) < 0) {
		close(fd);
		return RC_IO;
	}
	close(fd);
	return RC_OK;
}

enum rc kill_point_open(void)
{
	enum rc rc = open_at(VARIABLE, KILL_POINT_FD);

	return rc == RC_OK ? open_at(CLOCK, TEST_CLOCK_FD) : rc;
}

static int64_t off_unix_s(const struct clock *self)
{
	char text[NAME_MAX_BYTES];
	long long off = 0;
	ssize_t n = pread(TEST_CLOCK_FD, text, sizeof(text) - 1, 0);

	(void)self;
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%lld", &off) != 1)
		off = 0;
	return clock_system()->unix_s(clock_system()) + off;
}

static uint64_t true_monotonic_ms(const struct clock *self)
{
	(void)self;
	return clock_system()->monotonic_ms(clock_system());
}

const struct clock *test_clock(void)
{
	static const struct clock off = { off_unix_s, true_monotonic_ms, 0 };

	return getenv(CLOCK) ? &off : clock_system();
}
