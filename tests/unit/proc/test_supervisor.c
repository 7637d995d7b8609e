/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor over idle roles that are this same program: each is killed and comes back, with
 * links to its peers, the same listening socket and nothing else open. The test only ever waits
 * for lines that a child writes. */
#include "../unit.h"

#include "base/str.h"
#include "control.pb-c.h"
#include "proc/control.h"
#include "proc/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the children: report every event as a line on standard output ---- */

static void say(const char *name, const char *event, const char *peer)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "%s %d %s %s\n", name, (int)getpid(), event, peer);

	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(5);
}

static void answer(Control__FromRole__OpCase op, uint64_t n)
{
	Control__Ready ready = CONTROL__READY__INIT;
	Control__Pong pong = CONTROL__PONG__INIT;
	Control__FromRole msg = CONTROL__FROM_ROLE__INIT;

	pong.n = n;
	msg.op_case = op;
	if (op == CONTROL__FROM_ROLE__OP_READY)
		msg.ready = &ready;
	else
		msg.pong = &pong;
	if (control_send(CONTROL_FD, &msg.base, -1) != RC_OK)
		_exit(6);
}

/* Both ends write their name into a new link and read the other's out of it. */
static void greet(const char *name, const char *peer, int fd)
{
	char got[SUPERVISOR_NAME_MAX] = "";
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (send(fd, name, strlen(name), MSG_NOSIGNAL) < 0 || poll(&p, 1, -1) != 1 ||
		read(fd, got, sizeof(got) - 1) <= 0) {
		say(name, "link-broken", peer); /* the peer died meanwhile: a newer link comes */
		close(fd);
		return;
	}
	say(name, strcmp(got, peer) == 0 ? "link" : "link-to-stranger", peer);
	/* Kept open until this process ends, as a role would. */
}

static void check_descriptors(const char *name, bool listens)
{
	int type = 0;
	socklen_t len = sizeof(type);
	int first = listens ? CONTROL_FD + 2 : CONTROL_FD + 1;

	for (int fd = first; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			say(name, "stray-descriptor", "");
	if (listens && (getsockopt(4, SOL_SOCKET, SO_ACCEPTCONN, &type, &len) != 0 || type != 1))
		say(name, "no-listener", "");
	if (prctl(PR_GET_PDEATHSIG, &type) != 0 || type != SIGKILL)
		say(name, "no-deathsig", "");
}

static int child_main(const char *name, const char *listeners)
{
	check_descriptors(name, listeners != NULL);
	if (strcmp(name, "broken") == 0)
		return 3;
	if (strcmp(name, "mute") != 0)
		answer(CONTROL__FROM_ROLE__OP_READY, 0);
	say(name, "ready", listeners ? listeners : "-");
	for (;;) {
		struct pollfd p = { .fd = CONTROL_FD, .events = POLLIN };
		uint8_t bytes[CONTROL_MAX];
		size_t len;
		int fd;
		if (poll(&p, 1, -1) != 1 || control_receive(CONTROL_FD, bytes, &len, &fd) != RC_OK)
			return 7;
		Control__ToRole *m = control__to_role__unpack(NULL, len, bytes);
		if (!m)
			return 8;
		bool stop =
			m->op_case == CONTROL__TO_ROLE__OP_STOP && strcmp(name, "stubborn") != 0;
		if (m->op_case == CONTROL__TO_ROLE__OP_LINK)
			greet(name, m->link->peer, fd);
		if (m->op_case == CONTROL__TO_ROLE__OP_PING && strcmp(name, "deaf") != 0)
			answer(CONTROL__FROM_ROLE__OP_PONG, m->ping->n);
		control__to_role__free_unpacked(m, NULL);
		if (stop) {
			say(name, "stop", "");
			return 0;
		}
	}
}

/* ---- the test's side ---- */

struct run {
	char dir[64];
	pid_t pid;
	FILE *lines;
	int64_t start_timeout_ms, stop_timeout_ms; /* 0: never in the test's time */
};

static void run_start(struct run *r, const struct supervisor_child *children, size_t count,
	const struct supervisor_link *links, size_t link_count)
{
	int out[2];

	snprintf(r->dir, sizeof(r->dir), "/tmp/attestry-sup-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(0, pipe2(out, 0));
	r->pid = fork();
	assert_true(r->pid >= 0);
	if (r->pid == 0) {
		struct log log = { .fd = getenv("TEST_LOG") ? STDERR_FILENO : -1, .role = "test" };
		struct supervisor_plan plan = { .children = children,
			.child_count = count,
			.links = links,
			.link_count = link_count,
			.config_file = "none",
			.run_folder = r->dir,
			.log = &log,
			.clock = clock_system(),
			.heartbeat_ms = 50,
			.heartbeat_timeout_ms = 500,
			.start_timeout_ms = r->start_timeout_ms ? r->start_timeout_ms : 60000,
			.restart_ms = 10,
			.restart_max_ms = 100,
			.stop_timeout_ms = r->stop_timeout_ms ? r->stop_timeout_ms : 60000 };
		struct diag d = { 0 };
		if (chdir(r->dir) != 0 || dup2(out[1], STDOUT_FILENO) < 0)
			_exit(4);
		close(out[0]);
		close(out[1]);
		_exit(supervisor_run(&plan, &d) == RC_OK ? 0 : 1);
	}
	close(out[1]);
	r->lines = fdopen(out[0], "r");
	assert_non_null(r->lines);
}

struct line {
	char name[32], event[32], peer[32];
	int pid;
};

static bool next_line(struct run *r, struct line *l)
{
	char text[128];

	*l = (struct line){ 0 };
	if (!fgets(text, sizeof(text), r->lines))
		return false;
	assert_true(sscanf(text, "%31s %d %31s %31s", l->name, &l->pid, l->event, l->peer) >= 3);
	assert_string_not_equal("stray-descriptor", l->event);
	assert_string_not_equal("no-listener", l->event);
	assert_string_not_equal("no-deathsig", l->event);
	assert_string_not_equal("link-to-stranger", l->event);
	return true;
}

static int run_end(struct run *r)
{
	char command[128];
	int status;

	assert_int_equal(r->pid, waitpid(r->pid, &status, 0));
	fclose(r->lines);
	snprintf(command, sizeof(command), "rm -rf %s", r->dir);
	assert_int_equal(0, system(command));
	return status;
}

static const struct supervisor_child trio[] = {
	{ .name = "keys", .stop_stage = 2 },
	{ .name = "core", .stop_stage = 1 },
	{ .name = "dns/0", .stop_stage = 0 },
};
static const struct supervisor_link trio_links[] = { { 1, 0 }, { 2, 1 } };

struct seen {
	int pid[3];
	int ready, links[3];
};

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(trio); i++)
		if (strcmp(trio[i].name, name) == 0)
			return i;
	fail_msg("unknown child %s", name);
	return 0;
}

/* Reads lines until `ready` more children are ready and `links` more link ends have spoken. */
static void wait_for(struct run *r, struct seen *s, int ready, int links)
{
	struct line l;

	while (ready > 0 || links > 0) {
		assert_true(next_line(r, &l));
		size_t i = index_of(l.name);
		if (strcmp(l.event, "ready") == 0) {
			s->pid[i] = l.pid;
			ready--;
		} else if (strcmp(l.event, "link") == 0) {
			s->links[i]++;
			links--;
		}
	}
}

static void test_every_child_comes_back_with_its_links(void **state)
{
	struct supervisor_child children[ARRAY_LEN(trio)];
	struct seen s = { 0 };
	struct run r = { 0 };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
	struct line l;

	(void)state;
	memcpy(children, trio, sizeof(trio));
	assert_true(listener >= 0 && listen(listener, 1) == 0);
	children[2].listeners[0] = (struct supervisor_listener){ "dns-tcp", listener };
	children[2].listener_count = 1;
	run_start(&r, children, ARRAY_LEN(children), trio_links, ARRAY_LEN(trio_links));
	wait_for(&r, &s, 3, 4);
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(trio); i++) {
			int before = s.pid[i];
			struct seen old = s;
			assert_int_equal(0, kill(before, SIGKILL));
			/* core has two peers, the others one; both ends of each speak. */
			wait_for(&r, &s, 1, i == 1 ? 4 : 2);
			assert_int_not_equal(before, s.pid[i]);
			for (size_t k = 0; k < ARRAY_LEN(trio); k++)
				assert_int_equal(k != i, old.pid[k] == s.pid[k]);
		}
	}
	/* Stages end one after the other. */
	assert_int_equal(0, kill(r.pid, SIGTERM));
	for (size_t i = 0; i < ARRAY_LEN(trio);) {
		assert_true(next_line(&r, &l));
		if (strcmp(l.event, "stop") == 0)
			assert_string_equal(trio[ARRAY_LEN(trio) - ++i].name, l.name);
	}
	assert_false(next_line(&r, &l));
	status = run_end(&r);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(listener);
}

static void test_all_killed_at_once_come_back(void **state)
{
	struct seen s = { 0 };
	struct line l;
	struct run r = { 0 };

	(void)state;
	run_start(&r, trio, ARRAY_LEN(trio), trio_links, ARRAY_LEN(trio_links));
	wait_for(&r, &s, 3, 4);
	for (size_t i = 0; i < ARRAY_LEN(trio); i++)
		assert_int_equal(0, kill(s.pid[i], SIGKILL));
	wait_for(&r, &s, 3, 0);
	assert_int_equal(0, kill(r.pid, SIGINT));
	while (next_line(&r, &l))
		;
	assert_int_equal(0, run_end(&r));
}

static void test_children_die_with_the_supervisor(void **state)
{
	struct seen s = { 0 };
	struct line l;
	struct run r = { 0 };
	int status;

	(void)state;
	run_start(&r, trio, ARRAY_LEN(trio), trio_links, ARRAY_LEN(trio_links));
	wait_for(&r, &s, 3, 4);
	assert_int_equal(0, kill(r.pid, SIGKILL));
	/* The pipe ends when its last writer has: none was told to stop. */
	while (next_line(&r, &l))
		assert_string_not_equal("stop", l.event);
	status = run_end(&r);
	assert_true(WIFSIGNALED(status));
}

static void test_the_deaf_are_replaced(void **state)
{
	static const struct supervisor_child children[] = { { .name = "deaf" } };
	struct line l;
	struct run r = { 0 };
	int first;

	(void)state;
	run_start(&r, children, 1, NULL, 0);
	assert_true(next_line(&r, &l));
	assert_string_equal("ready", l.event);
	first = l.pid;
	assert_true(next_line(&r, &l)); /* its successor; without the heartbeat this never comes */
	assert_int_not_equal(first, l.pid);
	assert_int_equal(0, kill(r.pid, SIGTERM));
	while (next_line(&r, &l))
		;
	(void)run_end(&r);
}

/* Its successor's line never comes unless the first is killed. */
static void test_the_mute_are_replaced(void **state)
{
	static const struct supervisor_child children[] = { { .name = "mute" } };
	struct run r = { .start_timeout_ms = 100 };
	struct line l;
	int first;

	(void)state;
	run_start(&r, children, 1, NULL, 0);
	assert_true(next_line(&r, &l));
	first = l.pid;
	assert_true(next_line(&r, &l));
	assert_int_not_equal(first, l.pid);
	assert_int_equal(0, kill(r.pid, SIGTERM));
	while (next_line(&r, &l))
		;
	(void)run_end(&r);
}

static void test_the_stubborn_are_killed(void **state)
{
	static const struct supervisor_child children[] = { { .name = "stubborn" },
		{ .name = "keys", .stop_stage = 1 } };
	struct run r = { .stop_timeout_ms = 100 };
	struct line l;

	(void)state;
	run_start(&r, children, 2, NULL, 0);
	assert_true(next_line(&r, &l));
	assert_true(next_line(&r, &l));
	assert_int_equal(0, kill(r.pid, SIGHUP));
	/* keys' turn comes only after it. */
	assert_true(next_line(&r, &l));
	assert_string_equal("keys", l.name);
	assert_string_equal("stop", l.event);
	assert_false(next_line(&r, &l));
	assert_int_equal(0, run_end(&r));
}

static void test_a_child_that_cannot_start_ends_all(void **state)
{
	static const struct supervisor_child children[] = { { .name = "keys" },
		{ .name = "broken" } };
	struct line l;
	struct run r = { 0 };
	int status;

	(void)state;
	run_start(&r, children, 2, NULL, 0);
	while (next_line(&r, &l))
		;
	status = run_end(&r);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void test_one_supervisor_per_folder(void **state)
{
	struct seen s = { 0 };
	struct line l;
	struct run r = { 0 };
	struct diag d = { 0 };

	(void)state;
	run_start(&r, trio, ARRAY_LEN(trio), trio_links, ARRAY_LEN(trio_links));
	wait_for(&r, &s, 3, 4);
	struct supervisor_plan second = { .children = trio,
		.child_count = ARRAY_LEN(trio),
		.config_file = "none",
		.run_folder = r.dir,
		.clock = clock_system(),
		.heartbeat_ms = 1000 };
	assert_rc(RC_EXISTS, supervisor_run(&second, &d));
	assert_non_null(strstr(d.text, "already runs"));
	assert_int_equal(0, kill(r.pid, SIGTERM));
	while (next_line(&r, &l))
		;
	assert_int_equal(0, run_end(&r));
}

static void test_run_file_names(void **state)
{
	char path[32];

	(void)state;
	assert_rc(RC_OK, supervisor_run_file("/a/b", "dns/2", "pid", path, sizeof(path)));
	assert_string_equal("/a/b/dns-2.pid", path);
	assert_rc(RC_TOO_LARGE, supervisor_run_file("/a/b", "dns/2", "pid", path, 10));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_child_comes_back_with_its_links),
		cmocka_unit_test(test_all_killed_at_once_come_back),
		cmocka_unit_test(test_children_die_with_the_supervisor),
		cmocka_unit_test(test_the_deaf_are_replaced),
		cmocka_unit_test(test_the_mute_are_replaced),
		cmocka_unit_test(test_the_stubborn_are_killed),
		cmocka_unit_test(test_a_child_that_cannot_start_ends_all),
		cmocka_unit_test(test_one_supervisor_per_folder),
		cmocka_unit_test(test_run_file_names),
	};

	/* attestryd --config FILE --role NAME [--listeners NAMES] */
	if (argc >= 5 && strcmp(argv[3], "--role") == 0)
		return child_main(argv[4], argc >= 7 ? argv[6] : NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
