/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "proc/control.h"
#include "control.pb-c.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void send_ping(int fd, uint64_t n, int pass)
{
	Control__Ping ping = CONTROL__PING__INIT;
	Control__ToRole msg = CONTROL__TO_ROLE__INIT;

	ping.n = n;
	msg.op_case = CONTROL__TO_ROLE__OP_PING;
	msg.ping = &ping;
	assert_rc(RC_OK, control_send(fd, &msg.base, pass));
}

static void test_a_descriptor_stays_with_its_message(void **state)
{
	uint8_t bytes[CONTROL_MAX];
	int pair[2], pipes[2], got;
	size_t len;
	char c = 0;

	(void)state;
	assert_rc(RC_OK, control_pair(pair));
	assert_int_equal(0, pipe2(pipes, O_CLOEXEC));
	send_ping(pair[0], 1, -1);
	send_ping(pair[0], 2, pipes[1]);
	send_ping(pair[0], 3, -1);
	close(pipes[1]);
	for (uint64_t n = 1; n <= 3; n++) {
		assert_rc(RC_OK, control_receive(pair[1], bytes, &len, &got));
		Control__ToRole *m = control__to_role__unpack(NULL, len, bytes);
		assert_non_null(m);
		assert_int_equal(n, m->ping->n);
		control__to_role__free_unpacked(m, NULL);
		assert_int_equal(n == 2, got >= 0);
		if (got >= 0) {
			assert_int_equal(FD_CLOEXEC, fcntl(got, F_GETFD));
			assert_int_equal(1, write(got, "x", 1));
			close(got);
		}
	}
	assert_int_equal(1, read(pipes[0], &c, 1));
	assert_rc(RC_BUSY, control_receive(pair[1], bytes, &len, &got));
	close(pair[0]);
	assert_rc(RC_CLOSED, control_receive(pair[1], bytes, &len, &got));
	close(pair[1]);
	close(pipes[0]);
}

/* Two descriptors, or a message too long, are refused and nothing stays open. */
static void test_odd_packets_are_refused(void **state)
{
	uint8_t bytes[CONTROL_MAX], large[CONTROL_MAX + 1] = { 0 };
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(2 * sizeof(int))];
	} ancillary = { 0 };
	struct iovec iov = { .iov_base = large, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ancillary,
		.msg_controllen = sizeof(ancillary.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], pipes[2], got;
	size_t len;
	char end;

	(void)state;
	assert_rc(RC_OK, control_pair(pair));
	assert_int_equal(0, pipe2(pipes, O_CLOEXEC));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(c), &pipes[1], sizeof(int));
	memcpy(CMSG_DATA(c) + sizeof(int), &pipes[1], sizeof(int));
	assert_int_equal(1, sendmsg(pair[0], &msg, 0));
	close(pipes[1]);
	assert_rc(RC_MALFORMED, control_receive(pair[1], bytes, &len, &got));
	assert_int_equal(0, read(pipes[0], &end, 1)); /* no writer is left */
	assert_int_equal(sizeof(large), send(pair[0], large, sizeof(large), 0));
	assert_rc(RC_MALFORMED, control_receive(pair[1], bytes, &len, &got));
	close(pair[0]);
	close(pair[1]);
	close(pipes[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_descriptor_stays_with_its_message),
		cmocka_unit_test(test_odd_packets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
