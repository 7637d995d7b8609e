/* SPDX-License-Identifier: Apache-2.0 */
/* Every role, confined as it runs, in a child: what it could do against the table of design
 * section 3, written out here a second time. */
#include "../unit.h"

#include "role/role_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *role, *duty; /* everything not named is refused */
} rows[] = {
	{ "keys", "own-read own-write thread" },
	{ "core", "own-read own-write thread" },
	{ "zone", "own-read own-write" },
	{ "dns/1", "own-read accept" },
	{ "front-api", "own-read accept" },
	{ "out", "connect-tcp thread" },
};

static const char *const attempts[] = { "open", "create", "own-read", "own-write", "connect-tcp",
	"connect-unix", "listen", "accept", "socket-netlink", "exec", "thread", "fork", "map-exec",
	"kill-other" };
#define EXACT 4 /* the last of them need a build without sanitizers */

static void touch(const char *dir, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (strchr(name, '.')) {
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	} else {
		assert_int_equal(0, mkdir(path, 0700));
	}
}

static int make_registry(void **state)
{
	static const char *const names[] = { "keys", "ca", "db", "zone", "tls", "run",
		"ca/party.pem", "tls/https.pem", "tls/https.key", "tls/dot.pem", "tls/dot.key" };
	static const char text[] = "[registry]\nzone = a.example\n";
	char *dir = strdup("/tmp/attestry-role-XXXXXX"), path[64];

	if (!dir || !mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		touch(dir, names[i]);
	snprintf(path, sizeof(path), "%s/attestry.conf", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		return -1;
	close(fd);
	*state = dir;
	return 0;
}

static int remove_registry(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
	free(*state);
	return system(command);
}

/* In a child, its standard output into `text`. */
static int selftest(const char *dir, const char *role, char *text, size_t cap)
{
	int out[2], status;
	size_t len = 0;
	pid_t pid;

	assert_int_equal(0, pipe2(out, O_CLOEXEC));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct config config;
		struct diag d = { 0 };
		char path[64];
		snprintf(path, sizeof(path), "%s/attestry.conf", dir);
		if (dup2(out[1], STDOUT_FILENO) < 0 || config_read(path, &config, &d) != RC_OK)
			_exit(2);
		struct role_start start = {
			.config = &config, .clock = clock_system(), .name = role, .control_fd = -1
		};
		_exit(role_selftest(&start, &d) == RC_OK ? 0 : 1);
	}
	close(out[1]);
	for (ssize_t n = 1; n > 0 && len < cap - 1; len += (size_t)n) {
		n = read(out[0], text + len, cap - 1 - len);
		assert_true(n >= 0);
	}
	text[len] = '\0';
	close(out[0]);
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static void test_each_role_can_do_its_duty_and_no_more(void **state)
{
	size_t count = ARRAY_LEN(attempts) - (confine_is_exact() ? 0 : EXACT);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[2048], line[64];
		assert_int_equal(0, selftest(*state, rows[i].role, text, sizeof(text)));
		for (size_t k = 0; k < count; k++) {
			snprintf(line, sizeof(line), "%s %s\n", attempts[k],
				has_word(rows[i].duty, attempts[k]) ? "works" : "refused");
			if (!strstr(text, line))
				fail_msg("%s: no \"%s\" in:\n%s", rows[i].role, line, text);
		}
		assert_non_null(strstr(text, "Seccomp 2\n"));
		assert_non_null(strstr(text, "NoNewPrivs 1\n"));
		assert_non_null(strstr(text, "CapEff 0000000000000000\n"));
	}
}

static void test_unknown_roles_are_refused(void **state)
{
	static const char *const names[] = { "", "key", "keyss", "dns", "dns/", "dns/x", "dns/-1",
		"front", "front-", "front-apis", "keys/1", "core-api",
		"dns/00000000000000000000000000000000000000001" };
	char path[64];
	struct config config;
	struct diag d = { 0 };

	snprintf(path, sizeof(path), "%s/attestry.conf", (char *)*state);
	assert_rc(RC_OK, config_read(path, &config, &d));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct role_start start = { .config = &config,
			.clock = clock_system(),
			.name = names[i],
			.control_fd = -1 };
		struct role role;
		assert_rc(RC_NOT_FOUND, role__open(&role, &start, &d));
	}
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_role_can_do_its_duty_and_no_more),
		cmocka_unit_test(test_unknown_roles_are_refused),
	};

	return cmocka_run_group_tests(tests, make_registry, remove_registry);
}
