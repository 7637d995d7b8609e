/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "proc/killpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs past two kill points in a child; its wait status. */
static int child_status(const char *path)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (path)
			setenv("ATTESTRY_KILLPOINT_FILE", path, 1);
		if (kill_point_open() != RC_OK)
			_exit(9);
		kill_point("first");
		kill_point("second");
		_exit(0);
	}
	assert_int_equal(pid, waitpid(pid, &status, 0));
	return status;
}

static void test_kills_once_at_the_named_point(void **state)
{
	static const struct {
		const char *text;
		bool killed;
	} rows[] = { { "second\n", true }, { "first", true }, { "firs", false },
		{ "first second", false }, { "", false } };
	char path[] = "/tmp/attestry-killpoint-XXXXXX";
	int fd = mkstemp(path);
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		assert_int_equal(0, ftruncate(fd, 0));
		assert_int_equal(len, pwrite(fd, rows[i].text, len, 0));
		int status = child_status(path);
		assert_int_equal(rows[i].killed, WIFSIGNALED(status));
		if (!rows[i].killed)
			continue;
		assert_int_equal(SIGKILL, WTERMSIG(status));
		assert_int_equal(0, fstat(fd, &st));
		assert_int_equal(0, st.st_size);
		/* The next one lives. */
		assert_int_equal(0, child_status(path));
	}
	assert_int_equal(0, child_status(NULL));
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills_once_at_the_named_point),
	};

	unsetenv("ATTESTRY_KILLPOINT_FILE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
