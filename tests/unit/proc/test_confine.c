/* SPDX-License-Identifier: Apache-2.0 */
/* Each right alone, and none: in a child, what was given works and what was not fails. */
#include "../unit.h"

#include "proc/confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

struct place {
	char dir[64];
	char file[96];
	int listener;
	struct sockaddr_in addr;
};

enum deed {
	OPEN_GIVEN = 1 << 0, /* the file in the given folder */
	CREATE_GIVEN = 1 << 1,
	RENAME_GIVEN = 1 << 2,
	OPEN_OTHER = 1 << 3,
	MAKE_SOCKET = 1 << 4,
	CONNECT = 1 << 5,
	BIND = 1 << 6,
	ACCEPT = 1 << 7,
	THREAD = 1 << 8,
	FORK = 1 << 9,
	EXEC = 1 << 10,
	MAP_EXEC = 1 << 11,
	WORK = 1 << 12 /* memory, pipes, time: always possible */
};

static bool close_if(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static unsigned try_files(const struct place *at)
{
	char made[128], moved[128];
	unsigned done = 0;

	snprintf(made, sizeof(made), "%s/made", at->dir);
	snprintf(moved, sizeof(moved), "%s/moved", at->dir);
	if (close_if(open(at->file, O_RDONLY | O_CLOEXEC)))
		done |= OPEN_GIVEN;
	if (close_if(open(made, O_RDWR | O_CREAT | O_CLOEXEC, 0600)))
		done |= CREATE_GIVEN;
	if (rename(made, moved) == 0 && unlink(moved) == 0)
		done |= RENAME_GIVEN;
	if (close_if(open("/etc/passwd", O_RDONLY | O_CLOEXEC)))
		done |= OPEN_OTHER;
	return done;
}

static unsigned try_sockets(const struct place *at)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned done = fd >= 0 ? MAKE_SOCKET : 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 1) == 0)
		done |= BIND;
	(void)close_if(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&at->addr, sizeof(at->addr)) == 0)
		done |= CONNECT;
	(void)close_if(fd);
	if (close_if(accept4(at->listener, NULL, NULL, SOCK_CLOEXEC)) || errno == EAGAIN)
		done |= ACCEPT;
	return done;
}

static void *thread_main(void *user)
{
	return user;
}

static unsigned try_processes(void)
{
	unsigned done = 0;
	pthread_t t;
	pid_t pid;

	if (pthread_create(&t, NULL, thread_main, NULL) == 0) {
		done |= THREAD;
		pthread_join(t, NULL);
	}
	pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		done |= FORK;
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED)
		done |= MAP_EXEC;
	return done;
}

static unsigned try_work(void)
{
	void *p = malloc(8u << 20);
	struct timespec ts;
	int pipes[2];
	unsigned done = 0;

	if (p && clock_gettime(CLOCK_REALTIME, &ts) == 0 && pipe2(pipes, O_CLOEXEC) == 0 &&
		write(pipes[1], "x", 1) == 1 && read(pipes[0], p, 1) == 1)
		done = WORK;
	free(p);
	return done;
}

/* Confines a child and returns what it could do; UINT32_MAX when confinement itself failed. */
static unsigned deeds(const struct place *at, const struct confine *confine)
{
	unsigned done = UINT32_MAX;
	int report[2];
	pid_t pid;

	assert_int_equal(0, pipe2(report, O_CLOEXEC));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *const argv[] = { (char *)(uintptr_t) "false", NULL };
		struct diag d = { 0 };
		if (confine_apply(confine, NULL, &d) != RC_OK) {
			fprintf(stderr, "confinement: %s\n", d.text);
			_exit(2);
		}
		done = try_files(at) | try_sockets(at) | try_processes() | try_work();
		if (write(report[1], &done, sizeof(done)) != (ssize_t)sizeof(done))
			_exit(3);
		execv("/bin/false", argv);
		_exit(0); /* exec was refused */
	}
	close(report[1]);
	int status;
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(sizeof(done), read(report[0], &done, sizeof(done)));
	close(report[0]);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		done |= EXEC;
	return done;
}

static int setup(void **state)
{
	struct place *at = calloc(1, sizeof(*at));
	socklen_t len = sizeof(at->addr);
	int fd;

	if (!at)
		return -1;
	snprintf(at->dir, sizeof(at->dir), "/tmp/attestry-confine-XXXXXX");
	if (!mkdtemp(at->dir))
		return -1;
	snprintf(at->file, sizeof(at->file), "%s/file", at->dir);
	fd = open(at->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (!close_if(fd))
		return -1;
	at->addr = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	at->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (at->listener < 0 || bind(at->listener, (struct sockaddr *)&at->addr, len) != 0 ||
		listen(at->listener, 8) != 0 ||
		getsockname(at->listener, (struct sockaddr *)&at->addr, &len) != 0)
		return -1;
	*state = at;
	return 0;
}

static int teardown(void **state)
{
	struct place *at = *state;

	close(at->listener);
	unlink(at->file);
	rmdir(at->dir);
	free(at);
	return 0;
}

static void test_each_right_gives_just_that(void **state)
{
	const struct place *at = *state;
	static const struct {
		unsigned may;
		bool path, write;
		unsigned done;
	} rows[] = {
		{ 0, false, false, WORK },
		{ 0, true, true, WORK },
		{ CONFINE_READ_FILES, true, false, WORK | OPEN_GIVEN },
		{ CONFINE_READ_FILES, true, true, WORK | OPEN_GIVEN },
		{ CONFINE_READ_FILES, false, false, WORK },
		{ CONFINE_WRITE_FILES, true, false, WORK | OPEN_GIVEN },
		{ CONFINE_WRITE_FILES, true, true,
			WORK | OPEN_GIVEN | CREATE_GIVEN | RENAME_GIVEN },
		{ CONFINE_THREADS, false, false, WORK | THREAD },
		{ CONFINE_ACCEPT, false, false, WORK | ACCEPT },
		{ CONFINE_DATAGRAMS, false, false, WORK },
		{ CONFINE_CONNECT, false, false, WORK | MAKE_SOCKET | CONNECT },
	};
	/* A sanitizer's own needs blur what a filter says of these; Landlock's part stays exact. */
	const unsigned blurred =
		SANITIZED ? THREAD | FORK | MAP_EXEC | OPEN_GIVEN | CREATE_GIVEN : 0;

	assert_true(confine_landlock_abi() >= 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct confine c = { .may = rows[i].may, .landlock_required = true };
		if (rows[i].path)
			c.paths[c.path_count++] = (struct confine_path){ at->dir, rows[i].write };
		unsigned done = deeds(at, &c);
		if ((done & ~blurred) != (rows[i].done & ~blurred))
			print_error("row %zu: did %#x, expected %#x\n", i, done, rows[i].done);
		assert_int_equal(rows[i].done & ~blurred, done & ~blurred);
	}
}

/* In a child: confined, then `deed`; its wait status. */
static int status_of(void (*deed)(void))
{
	struct confine c = { .may = 0 };
	struct diag d;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (confine_apply(&c, NULL, &d) != RC_OK)
			_exit(2);
		deed();
		_exit(0);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	return status;
}

static void unshare_all(void)
{
	(void)!unshare(CLONE_NEWUSER);
}

static void trace_parent(void)
{
	(void)!ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static void kill_oneself(void)
{
	raise(SIGUSR1);
}

static void test_hostile_calls_kill(void **state)
{
	int status;

	(void)state;
	status = status_of(unshare_all);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	if (!SANITIZED) {
		status = status_of(trace_parent);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	}
	/* A kill point must work. */
	status = status_of(kill_oneself);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

static void check_hidden(void)
{
	struct rlimit limit;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) > 0)
		_exit(10); /* prctl itself must be out of reach */
	if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0)
		_exit(11);
	limit.rlim_cur = limit.rlim_max = 0;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		_exit(12);
}

static void test_no_core_and_no_way_back(void **state)
{
	(void)state;
	if (SANITIZED)
		skip();
	assert_int_equal(0, status_of(check_hidden));
}

static void test_a_missing_path_is_named(void **state)
{
	struct confine c = { .paths = { { "/nonexistent/attestry", true } }, .path_count = 1 };
	struct diag d = { 0 };
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		enum rc rc = confine_apply(&c, NULL, &d);
		_exit(rc == RC_NOT_FOUND && strstr(d.text, "/nonexistent/attestry") ? 0 : 1);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(0, status);
}

static void *wait_forever(void *user)
{
	(void)user;
	pause();
	return NULL;
}

static void test_not_after_the_first_thread(void **state)
{
	struct confine c = { .may = CONFINE_THREADS };
	struct diag d = { 0 };
	int status;
	pid_t pid;

	(void)state;
	if (SANITIZED)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t t;
		if (pthread_create(&t, NULL, wait_forever, NULL) != 0)
			_exit(1);
		_exit(confine_apply(&c, NULL, &d) == RC_STATE ? 0 : 2);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_int_equal(0, status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_right_gives_just_that),
		cmocka_unit_test(test_hostile_calls_kill),
		cmocka_unit_test(test_no_core_and_no_way_back),
		cmocka_unit_test(test_a_missing_path_is_named),
		cmocka_unit_test(test_not_after_the_first_thread),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
