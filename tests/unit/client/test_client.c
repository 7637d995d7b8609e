/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"
#include "../unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void key_path(char *out, mode_t mode)
{
	strncpy(out, "/tmp/test_client.XXXXXX", 32);
	int fd = mkstemp(out);

	assert_true(fd >= 0);
	assert_int_equal(0, fchmod(fd, mode));
	close(fd);
}

static void test_refuses_what_cannot_work(void **state)
{
	struct client *c = NULL;
	struct diag d = { 0 };
	char key[32];

	(void)state;
	key_path(key, 0644);
	assert_rc(RC_MALFORMED, client_new(&c, "http://localhost", "a", "b", key, &d));
	assert_rc(RC_MALFORMED, client_new(&c, NULL, "a", "b", key, &d));
	assert_rc(RC_DENIED, client_new(&c, "https://localhost", "a", "b", key, &d));
	assert_non_null(strstr(d.text, "chmod 600"));
	unlink(key);
	assert_rc(RC_NOT_FOUND, client_new(&c, "https://localhost", "a", "b", key, &d));
	assert_null(c);
}

static void test_nobody_there_is_unavailable(void **state)
{
	static const volatile sig_atomic_t stopped = 1;
	struct client *c = NULL;
	struct diag d = { 0 };
	json_t *answer = NULL;
	char key[32];
	int status;

	(void)state;
	key_path(key, 0600);
	/* Port 1 has no listener; the CA file is read only once somebody answers. */
	assert_rc(RC_OK, client_new(&c, "https://127.0.0.1:1/", key, key, key, &d));
	assert_rc(RC_UNAVAILABLE, client_call(c, "GET", "/v1/ca", NULL, &answer, &status, &d));
	assert_null(answer);
	client_set_stop(c, &stopped);
	assert_rc(RC_CLOSED, client_call(c, "GET", "/v1/ca", NULL, &answer, &status, &d));
	client_free(c);
	unlink(key);
}

static void test_refusals_in_words(void **state)
{
	struct diag d;
	json_t *a = json_pack(
		"{s:i,s:s,s:s}", "code", 2303, "reason", "no such device", "field", "iccid");

	(void)state;
	client_refusal(a, 404, &d);
	assert_string_equal("2303 no such device (iccid)", d.text);
	client_refusal(NULL, 404, &d);
	assert_string_equal("404 refused without a reason", d.text);
	json_decref(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses_what_cannot_work),
		cmocka_unit_test(test_nobody_there_is_unavailable),
		cmocka_unit_test(test_refusals_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
