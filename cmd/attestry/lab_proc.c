/* SPDX-License-Identifier: Apache-2.0 */
#include "lab_proc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_READ_MAX (16U << 20)

extern char **environ;

/* The environment of the caller plus the mark; free() the array and its last entry. */
static char **marked_environ(const char *lab_dir)
{
	size_t n = 0;
	char *mark = NULL;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env || asprintf(&mark, LAB_ENV "=%s", lab_dir) < 0) {
		free(env);
		return NULL;
	}
	memcpy(env, environ, n * sizeof(*env));
	env[n] = mark;
	return env;
}

static void free_environ(char **env)
{
	size_t n = 0;

	if (!env)
		return;
	while (env[n + 1])
		n++;
	free(env[n]);
	free(env);
}

enum rc lab_spawn(
	const char *lab_dir, const char *log_path, char *const argv[], pid_t *pid, struct diag *d)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	char **env = marked_environ(lab_dir);
	int err;

	if (!env)
		return RC_NOMEM;
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
	posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(
		&fa, 1, log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0640);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	err = posix_spawnp(pid, argv[0], &fa, &attr, argv, env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	free_environ(env);
	if (err) {
		errno = err;
		return diag_errno(d, RC_IO, "cannot start %s", argv[0]);
	}
	return RC_OK;
}

bool lab_alive(const char *lab_dir, pid_t pid)
{
	char path[64], want[PATH_MAX + 64];
	uint8_t *env = NULL;
	size_t len = 0, cap = 1U << 16;
	bool found = false;
	int fd;

	if (pid <= 0 || str_format(path, sizeof(path), "/proc/%d/environ", (int)pid) != RC_OK ||
		str_format(want, sizeof(want), LAB_ENV "=%s", lab_dir) != RC_OK)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	env = malloc(cap + 1);
	if (fd >= 0 && env) {
		ssize_t n;
		while (len < cap && (n = read(fd, env + len, cap - len)) > 0)
			len += (size_t)n;
		env[len] = '\0';
		for (size_t at = 0; at < len && !found; at += strlen((char *)env + at) + 1)
			found = strcmp((char *)env + at, want) == 0;
	}
	if (fd >= 0)
		close(fd);
	free(env);
	return found;
}

static bool gone(pid_t pid)
{
	/* Our own child is reaped here; a stranger's is only looked for. */
	if (waitpid(pid, NULL, WNOHANG) == pid)
		return true;
	return kill(pid, 0) != 0 && errno == ESRCH;
}

void lab_end(const char *lab_dir, pid_t pid, int number, int grace_ms)
{
	struct pollfd p = { .events = POLLIN };
	bool ours = lab_alive(lab_dir, pid);

	if (!ours)
		return;
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0)
		return;
	/* Between the look and the signal the descriptor holds the identity. */
	if (syscall(SYS_pidfd_send_signal, p.fd, number, NULL, 0) == 0 &&
		poll(&p, 1, grace_ms) == 0) {
		(void)syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0);
		(void)poll(&p, 1, grace_ms);
	}
	close(p.fd);
	(void)gone(pid);
}

static bool file_has(const char *path, const char *text, char *last, size_t last_cap)
{
	uint8_t *bytes = NULL;
	size_t len;
	bool found;

	if (file_read(path, LOG_READ_MAX, &bytes, &len, NULL) != RC_OK)
		return false;
	for (size_t i = 0; i < len; i++)
		if (bytes[i] == '\0')
			bytes[i] = ' ';
	found = strstr((char *)bytes, text) != NULL;
	while (len > 0 && bytes[len - 1] == '\n')
		bytes[--len] = '\0';
	char *nl = strrchr((char *)bytes, '\n');
	(void)snprintf(last, last_cap, "%s", nl ? nl + 1 : (char *)bytes);
	free(bytes);
	return found;
}

/* Waits for the next change below the folder of `path`, or the end of the process. */
static void wait_change(int notify, int pidfd, int timeout_ms)
{
	struct pollfd p[2] = { { .fd = notify, .events = POLLIN },
		{ .fd = pidfd, .events = POLLIN } };
	char drain[4096];

	if (poll(p, pidfd >= 0 ? 2 : 1, timeout_ms) > 0 && (p[0].revents & POLLIN))
		while (read(notify, drain, sizeof(drain)) > 0)
			;
}

static int watch_folder_of(const char *path)
{
	char folder[PATH_MAX];
	char *slash;
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0 || str_copy(folder, sizeof(folder), path) != RC_OK)
		return fd;
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	(void)inotify_add_watch(fd, folder, IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_CLOSE_WRITE);
	return fd;
}

/* text NULL: existence is enough. */
static enum rc wait_path(
	const char *path, const char *text, pid_t pid, int timeout_ms, struct diag *d)
{
	const struct clock *clock = clock_system();
	uint64_t end = clock->monotonic_ms(clock) + (uint64_t)timeout_ms;
	char last[200] = "";
	int notify = watch_folder_of(path);
	int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	enum rc rc;

	for (;;) {
		uint64_t now = clock->monotonic_ms(clock);
		bool dead = pid > 0 && gone(pid);

		if (text ? file_has(path, text, last, sizeof(last)) : access(path, F_OK) == 0) {
			rc = RC_OK;
			break;
		}
		if (dead) {
			rc = diag_set(d, RC_CLOSED, "process %d ended early: %s", (int)pid, last);
			break;
		}
		if (now >= end) {
			rc = diag_set(d, RC_TIMEOUT, "no \"%s\" in %s; last line: %s",
				text ? text : "file", path, last);
			break;
		}
		/* The bound heals a watch that could not be set. */
		wait_change(notify, pidfd, end - now < 500 ? (int)(end - now) : 500);
	}
	if (notify >= 0)
		close(notify);
	if (pidfd >= 0)
		close(pidfd);
	return rc;
}

enum rc lab_wait_line(const char *path, const char *text, pid_t pid, int timeout_ms, struct diag *d)
{
	return wait_path(path, text, pid, timeout_ms, d);
}

enum rc lab_wait_file(const char *path, pid_t pid, int timeout_ms, struct diag *d)
{
	return wait_path(path, NULL, pid, timeout_ms, d);
}
