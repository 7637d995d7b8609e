/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "role/listen.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKERS 3

static int port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	assert_int_equal(0, getsockname(fd, (struct sockaddr *)&sa, &len));
	return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void test_workers_share_one_address(void **state)
{
	struct conf_addr addr, again;
	int tcp[WORKERS], udp[WORKERS], other[1];
	struct diag d = { 0 };
	int port;

	(void)state;
	assert_rc(RC_OK, conf_addr_read("127.0.0.1:0", &addr));
	assert_rc(RC_OK, listen_open(&addr, tcp, udp, WORKERS, &d));
	port = ntohs(((struct sockaddr_in *)&addr.sa)->sin_port);
	assert_int_not_equal(0, port);
	for (size_t i = 0; i < WORKERS; i++) {
		assert_int_equal(port, port_of(tcp[i]));
		assert_int_equal(port, port_of(udp[i]));
	}
	/* SO_REUSEPORT must not let a second registry in. */
	again = addr;
	assert_rc(RC_CONFLICT, listen_open(&again, other, NULL, 1, &d));
	assert_int_equal(-1, other[0]);
	assert_non_null(strstr(d.text, "127.0.0.1:"));
	close_all(tcp, WORKERS);
	assert_rc(RC_CONFLICT, listen_open(&again, tcp, other, 1, &d)); /* UDP alone counts too */
	close_all(udp, WORKERS);
	assert_rc(RC_OK, listen_open(&again, other, NULL, 1, &d));
	close_all(other, 1);
}

static void test_an_address_of_another_machine(void **state)
{
	struct conf_addr addr;
	struct diag d = { 0 };
	int tcp[1], udp[1];

	(void)state;
	assert_rc(RC_OK, conf_addr_read("192.0.2.1:0", &addr));
	assert_rc(RC_IO, listen_open(&addr, tcp, udp, 1, &d));
	assert_int_equal(-1, tcp[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_share_one_address),
		cmocka_unit_test(test_an_address_of_another_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
