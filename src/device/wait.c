/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t dev__now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

enum rc dev__wait(int fd, short events, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = dev__now_ms();
		struct pollfd p = { .fd = fd, .events = events };
		if (now >= deadline_ms)
			return RC_TIMEOUT;
		uint64_t left = deadline_ms - now;
		int n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			return RC_IO;
		if (n > 0 && (p.revents & events))
			return RC_OK;
		if (n > 0)
			return RC_CLOSED; /* HUP, ERR or NVAL and nothing to read */
	}
}

enum rc dev__write_all(int fd, const void *bytes, size_t len, uint64_t deadline_ms)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		enum rc rc = dev__wait(fd, POLLOUT, deadline_ms);
		if (rc != RC_OK)
			return rc;
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == ENOTSOCK)
			n = write(fd, at, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return RC_CLOSED;
		at += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

void dev__link_close(struct dev_link *l)
{
	if (l->fd >= 0 && l->ops->close)
		l->ops->close(l);
	else if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->in_len = 0;
	l->dirty = false;
}
