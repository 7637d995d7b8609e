/* SPDX-License-Identifier: Apache-2.0 */
#include "role/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#define BACKLOG	   1024
#define PORT_TRIES 16 /* a port the kernel chose for TCP may be taken for UDP */

static int make_socket(const struct conf_addr *addr, int type, bool shared)
{
	int one = 1, fd = socket(addr->sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	/* Streams: bind although connections of an earlier run linger. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
		goto bad;
	if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0)
		goto bad;
	if (addr->sa.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0)
		goto bad;
	if (bind(fd, (const struct sockaddr *)&addr->sa, addr->len) != 0)
		goto bad;
	if (type == SOCK_STREAM && listen(fd, BACKLOG) != 0)
		goto bad;
	return fd;
bad : {
	int why = errno;
	close(fd);
	errno = why;
}
	return -1;
}

/* With SO_REUSEPORT a second registry of the same user would bind in silence and take half of the
 * questions: a socket without it fails where anyone listens. */
static int probe(struct conf_addr *addr, int type)
{
	int fd = make_socket(addr, type, false), err = 0;

	if (fd < 0)
		return -1;
	if (type == SOCK_STREAM) {
		addr->len = sizeof(addr->sa);
		err = getsockname(fd, (struct sockaddr *)&addr->sa, &addr->len);
	}
	close(fd);
	return err;
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; fds && i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static int open_all(struct conf_addr *addr, int *tcp, int *udp, size_t count)
{
	if (probe(addr, SOCK_STREAM) != 0 || (udp && probe(addr, SOCK_DGRAM) != 0))
		return -1;
	for (size_t i = 0; i < count; i++) {
		tcp[i] = make_socket(addr, SOCK_STREAM, count > 1);
		if (tcp[i] < 0)
			return -1;
		if (!udp)
			continue;
		udp[i] = make_socket(addr, SOCK_DGRAM, count > 1);
		if (udp[i] < 0)
			return -1;
	}
	return 0;
}

static bool is_any_port(const struct conf_addr *addr)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&addr->sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr->sa;

	return (addr->sa.ss_family == AF_INET6 ? in6->sin6_port : in->sin_port) == 0;
}

enum rc listen_open(struct conf_addr *addr, int *tcp, int *udp, size_t count, struct diag *d)
{
	int tries = is_any_port(addr) ? PORT_TRIES : 1, why = 0;
	char text[CONF_ADDR_TEXT];

	for (size_t i = 0; i < count; i++) {
		tcp[i] = -1;
		if (udp)
			udp[i] = -1;
	}
	for (; tries > 0; tries--) {
		struct conf_addr chosen = *addr;
		if (open_all(&chosen, tcp, udp, count) == 0) {
			*addr = chosen;
			return RC_OK;
		}
		why = errno;
		close_all(tcp, count);
		close_all(udp, count);
		if (why != EADDRINUSE)
			break;
	}
	conf_addr_write(addr, text);
	errno = why;
	return diag_errno(d, why == EADDRINUSE ? RC_CONFLICT : RC_IO, "%s", text);
}
