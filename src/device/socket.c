/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A card behind a unix socket: u16 length and APDU out, u16 length and response back. Each
 * connection has logical channels of its own, so nobody has to be kept out. */

static enum rc socket_open(struct dev_link *l, struct diag *d)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(l->path);
	int fd;

	if (n >= sizeof(a.sun_path))
		return diag_set(d, RC_RANGE, "card %s: path too long", l->path);
	memcpy(a.sun_path, l->path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return diag_errno(d, RC_UNAVAILABLE, "card %s", l->path);
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		enum rc rc = diag_errno(d, RC_UNAVAILABLE, "card %s", l->path);
		close(fd);
		return rc;
	}
	l->fd = fd;
	return RC_OK;
}

static enum rc read_exact(int fd, uint8_t *out, size_t len, uint64_t deadline_ms)
{
	while (len > 0) {
		enum rc rc = dev__wait(fd, POLLIN, deadline_ms);
		if (rc != RC_OK)
			return rc;
		ssize_t n = recv(fd, out, len, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return RC_CLOSED;
		out += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

static enum rc socket_exchange(struct dev_link *l, const uint8_t *apdu, size_t len,
	uint8_t reply[DEV_REPLY_MAX], size_t *reply_len, uint64_t deadline_ms, struct diag *d)
{
	uint8_t head[2], frame[2 + DEV_APDU_MAX];
	size_t n = 0;
	enum rc rc;

	frame[0] = (uint8_t)(len >> 8);
	frame[1] = (uint8_t)len;
	memcpy(frame + 2, apdu, len);
	rc = dev__write_all(l->fd, frame, 2 + len, deadline_ms);
	if (rc == RC_OK)
		rc = read_exact(l->fd, head, sizeof(head), deadline_ms);
	if (rc == RC_OK) {
		n = (size_t)head[0] << 8 | head[1];
		rc = n < 2 || n > DEV_REPLY_MAX ? RC_MALFORMED : RC_OK;
	}
	if (rc == RC_OK)
		rc = read_exact(l->fd, reply, n, deadline_ms);
	if (rc != RC_OK) {
		/* Frames cannot be found again after a cut: start anew. */
		dev__link_close(l);
		return diag_set(
			d, rc, "card %s: %s", l->path, rc == RC_CLOSED ? "gone" : rc_text(rc));
	}
	*reply_len = n;
	return RC_OK;
}

static enum rc socket_lock(struct dev_link *l, uint64_t deadline_ms, struct diag *d)
{
	(void)l;
	(void)deadline_ms;
	(void)d;
	return RC_OK;
}

static void socket_unlock(struct dev_link *l)
{
	(void)l;
}

const struct dev_link_ops dev__socket = {
	.open = socket_open,
	.exchange = socket_exchange,
	.lock = socket_lock,
	.unlock = socket_unlock,
};
