/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for more descriptors than are allowed, so that all that came can be closed. */
#define FDS_MAX 8

enum rc control_pair(int out[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out) == 0
		       ? RC_OK
		       : RC_IO;
}

enum rc control_send(int fd, const ProtobufCMessage *message, int pass_fd)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} ancillary = { 0 };
	uint8_t bytes[CONTROL_MAX];
	struct iovec iov = { .iov_base = bytes };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (protobuf_c_message_get_packed_size(message) > sizeof(bytes))
		return RC_TOO_LARGE;
	iov.iov_len = protobuf_c_message_pack(message, bytes);
	if (pass_fd >= 0) {
		msg.msg_control = &ancillary;
		msg.msg_controllen = sizeof(ancillary.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return RC_OK;
	if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
		return RC_BUSY;
	return errno == EPIPE || errno == ECONNRESET ? RC_CLOSED : RC_IO;
}

/* The descriptors of a received message: into `fds`, their number returned. */
static size_t take_fds(struct msghdr *msg, int fds[FDS_MAX])
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && count < FDS_MAX; i++)
			memcpy(&fds[count++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return count;
}

enum rc control_receive(int fd, uint8_t bytes[CONTROL_MAX], size_t *len, int *pass_fd)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} ancillary = { 0 };
	struct iovec iov = { .iov_base = bytes, .iov_len = CONTROL_MAX };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ancillary,
		.msg_controllen = sizeof(ancillary.bytes) };
	int fds[FDS_MAX];
	size_t fd_count;
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return RC_BUSY;
	if (n < 0)
		return errno == ECONNRESET ? RC_CLOSED : RC_IO;
	fd_count = take_fds(&msg, fds);
	if (n > 0 && fd_count <= 1 && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		*len = (size_t)n;
		*pass_fd = fd_count == 1 ? fds[0] : -1;
		return RC_OK;
	}
	for (size_t i = 0; i < fd_count; i++)
		close(fds[i]);
	return n == 0 ? RC_CLOSED : RC_MALFORMED;
}
