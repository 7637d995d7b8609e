/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/supervisor_internal.h"
#include "base/str.h"
#include "proc/control.h"
#include "proc/killpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_SPAWN 71 /* EX_OSERR: the child could not become what it should */
#define FDS_PASSED (SUPERVISOR_FDS_MAX + 1)
#define NAMES_MAX  160
#define ABOVE_FDS  64 /* descriptors are put aside here while they change places */

/* Everything the child needs, made before the fork: after it, only system calls. */
struct spawn {
	const struct supervisor_child *child;
	pid_t parent;
	int fds[FDS_PASSED]; /* control, then listeners: become 3, 4 ... */
	size_t fd_count;
	char names[NAMES_MAX];
	const char *program;
	char *argv[8];
};

static enum rc listener_names(const struct supervisor_child *child, char out[NAMES_MAX])
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < child->listener_count; i++) {
		enum rc rc = str_format(
			out + len, NAMES_MAX - len, "%s%s", i ? "," : "", child->listeners[i].name);
		if (rc != RC_OK)
			return rc;
		len += strlen(out + len);
	}
	return RC_OK;
}

/* Moves the descriptors to 3, 4 ... by way of numbers above all targets, so that none is closed
 * before it was moved. */
static int place_fds(const struct spawn *s)
{
	int aside[FDS_PASSED];

	for (size_t i = 0; i < s->fd_count; i++) {
		aside[i] = fcntl(s->fds[i], F_DUPFD, ABOVE_FDS);
		if (aside[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < s->fd_count; i++)
		if (dup2(aside[i], CONTROL_FD + (int)i) < 0)
			return -1;
	return 0;
}

static int close_rest(const struct spawn *s)
{
	unsigned first = CONTROL_FD + (unsigned)s->fd_count;

#ifdef ATT_KILLPOINTS
	if (close_range(first, KILL_POINT_FD - 1, 0) != 0)
		return -1;
	first = KILL_POINT_FD + 1;
#endif
	return close_range(first, ~0u, 0);
}

enum rc supervisor_become(uid_t uid, gid_t gid, gid_t group, struct diag *d)
{
	if (uid == 0)
		return RC_OK;
	if (setgroups(group ? 1 : 0, &group) != 0 || setresgid(gid, gid, gid) != 0 ||
		setresuid(uid, uid, uid) != 0)
		return diag_errno(d, RC_DENIED, "user %u", (unsigned)uid);
	return RC_OK;
}

static void reset_signals(void)
{
	struct sigaction by_default = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &by_default, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child, until exec. */
ATT_NORETURN static void child_main(const struct spawn *s)
{
	static const char why[] = "attestryd: a process could not be started\n";
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	reset_signals();
	/* Out of the terminal's group: ^C is for the supervisor, which stops in order. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || setpgid(0, 0) != 0)
		goto out;
	if (place_fds(s) != 0 || close_rest(s) != 0)
		goto out;
	umask(027);
	if (supervisor_become(s->child->uid, s->child->gid, s->child->group, NULL) != RC_OK)
		goto out;
	/* After the change of user, which clears it. The parent may have died before. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != s->parent)
		goto out;
	execv(s->program, s->argv);
out : {
	ssize_t ignored = write(STDERR_FILENO, why, sizeof(why) - 1);
	(void)ignored;
}
	_exit(EXIT_SPAWN);
}

enum rc supervisor__spawn(
	const struct supervisor_plan *plan, size_t i, pid_t *pid, int *control, struct diag *d)
{
	const struct supervisor_child *child = &plan->children[i];
	struct spawn s = { .child = child, .parent = getpid() };
	int pair[2] = { -1, -1 };
	enum rc rc = listener_names(child, s.names);

	if (rc == RC_OK)
		rc = control_pair(pair);
	if (rc != RC_OK)
		return diag_errno(d, rc, "%s: control socket", child->name);
	s.program = plan->program ? plan->program : "/proc/self/exe";
	s.fds[s.fd_count++] = pair[1];
	for (size_t k = 0; k < child->listener_count; k++)
		s.fds[s.fd_count++] = child->listeners[k].fd;
	/* exec takes char *const[] and does not write to it. */
	const char *argv[] = { "attestryd", "--config", plan->config_file, "--role", child->name,
		s.names[0] ? "--listeners" : NULL, s.names[0] ? s.names : NULL, NULL };
	memcpy(s.argv, argv, sizeof(argv));
	*pid = fork();
	if (*pid == 0)
		child_main(&s);
	close(pair[1]);
	if (*pid < 0) {
		close(pair[0]);
		return diag_errno(d, RC_UNAVAILABLE, "%s: fork", child->name);
	}
	*control = pair[0];
	return RC_OK;
}
