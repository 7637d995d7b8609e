/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* While another process holds the modem. */
#define LOCK_STEP_MS 5
/* A modem answers a bare AT at once; several tries, because it may be finishing an old command. */
#define SYNC_TRIES 3

static enum rc tty_open(struct dev_link *l, struct diag *d)
{
	struct termios t;
	int fd = open(l->path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return diag_errno(d, RC_UNAVAILABLE, "modem %s", l->path);
	if (!isatty(fd)) {
		close(fd);
		return diag_set(d, RC_UNAVAILABLE, "modem %s: not a terminal", l->path);
	}
	if (tcgetattr(fd, &t) == 0) {
		cfmakeraw(&t);
		cfsetispeed(&t, B115200);
		cfsetospeed(&t, B115200);
		t.c_cflag |= CLOCAL | CREAD;
		(void)tcsetattr(fd, TCSANOW, &t);
	}
	l->fd = fd;
	l->dirty = true; /* a process before us may have left in the middle of an exchange */
	return RC_OK;
}

static enum rc tty_lock(struct dev_link *l, uint64_t deadline_ms, struct diag *d)
{
	const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000 };

	while (flock(l->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return diag_errno(d, RC_CLOSED, "modem %s: lock", l->path);
		if (dev__now_ms() >= deadline_ms)
			return diag_set(
				d, RC_TIMEOUT, "modem %s: held by another process", l->path);
		(void)nanosleep(&step, NULL);
	}
	return RC_OK;
}

static void tty_unlock(struct dev_link *l)
{
	if (l->fd >= 0)
		(void)flock(l->fd, LOCK_UN);
}

/* One line without its end; a line longer than the buffer is passed over. */
static enum rc read_line(struct dev_link *l, char line[DEV_LINE_MAX], size_t *len, size_t *noise,
	uint64_t deadline_ms)
{
	bool skipping = false;

	for (;;) {
		for (size_t i = 0; i < l->in_len; i++) {
			if (l->in[i] != '\n' && l->in[i] != '\r')
				continue;
			memcpy(line, l->in, i);
			l->in_len -= i + 1;
			memmove(l->in, l->in + i + 1, l->in_len);
			*len = skipping ? 0 : i;
			return RC_OK;
		}
		if (l->in_len == sizeof(l->in)) {
			l->in_len = 0;
			skipping = true;
		}
		enum rc rc = dev__wait(l->fd, POLLIN, deadline_ms);
		if (rc != RC_OK)
			return rc;
		ssize_t n = read(l->fd, l->in + l->in_len, sizeof(l->in) - l->in_len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return RC_CLOSED;
		l->in_len += (size_t)n;
		*noise += (size_t)n;
		if (*noise > DEV_NOISE_MAX)
			return RC_MALFORMED;
	}
}

static enum rc say(struct dev_link *l, enum rc rc, const char *what, struct diag *d)
{
	l->dirty = true;
	if (rc == RC_CLOSED)
		dev__link_close(l);
	return diag_set(d, rc, "modem %s: %s: %s", l->path, what,
		rc == RC_CLOSED	     ? "gone"
		: rc == RC_MALFORMED ? "the answer makes no sense"
				     : rc_text(rc));
}

/* Reads lines until the final result code; `on_line` sees the others. */
static enum rc until_final(struct dev_link *l, uint64_t deadline_ms,
	enum rc (*on_line)(void *arg, const char *line, size_t len), void *arg)
{
	char line[DEV_LINE_MAX];
	uint8_t unused[DEV_REPLY_MAX];
	size_t len, n, noise = 0;

	for (;;) {
		enum rc rc = read_line(l, line, &len, &noise, deadline_ms);
		if (rc != RC_OK)
			return rc;
		enum dev_line kind = dev__line_parse(line, len, unused, &n);
		if (kind == DEV_LINE_ERROR)
			return RC_DENIED;
		if (kind == DEV_LINE_OK) {
			rc = on_line(arg, NULL, 0);
			if (rc != RC_BUSY) /* BUSY: not ours yet, an old command's */
				return rc;
			continue;
		}
		rc = len > 0 ? on_line(arg, line, len) : RC_OK;
		if (rc != RC_OK)
			return rc;
	}
}

static enum rc send_line(struct dev_link *l, const char *command, uint64_t deadline_ms)
{
	(void)tcflush(l->fd, TCIFLUSH);
	l->in_len = 0;
	return dev__write_all(l->fd, command, strlen(command), deadline_ms);
}

static enum rc ignore_line(void *arg, const char *line, size_t len)
{
	(void)arg;
	(void)line;
	(void)len;
	return RC_OK;
}

/* Throws away what an interrupted exchange left behind: once a bare AT is answered and the line is
 * silent, the next answer is ours. */
static enum rc sync_modem(struct dev_link *l, uint64_t deadline_ms, struct diag *d)
{
	enum rc rc = RC_TIMEOUT;

	for (int i = 0; i < SYNC_TRIES && dev__now_ms() < deadline_ms; i++) {
		uint64_t now = dev__now_ms(), part = now + (deadline_ms - now) / 2 + 1;
		rc = send_line(l, "AT\r\n", part);
		if (rc == RC_OK)
			rc = until_final(l, part, ignore_line, NULL);
		if (rc == RC_OK || rc == RC_CLOSED)
			break;
	}
	if (rc != RC_OK)
		return say(l, rc == RC_DENIED ? RC_TIMEOUT : rc, "AT", d);
	l->dirty = false;
	return RC_OK;
}

struct csim {
	uint8_t *reply;
	size_t *reply_len;
	bool got;
};

static enum rc csim_line(void *arg, const char *line, size_t len)
{
	struct csim *s = arg;

	if (!line)
		return s->got ? RC_OK : RC_BUSY;
	switch (dev__line_parse(line, len, s->reply, s->reply_len)) {
	case DEV_LINE_BAD_CSIM: return RC_MALFORMED;
	case DEV_LINE_CSIM:
		if (s->got) /* two answers to one command */
			return RC_MALFORMED;
		s->got = true;
		return RC_OK;
	case DEV_LINE_NOISE:
	case DEV_LINE_OK:
	case DEV_LINE_ERROR: break;
	}
	return RC_OK;
}

static enum rc tty_exchange(struct dev_link *l, const uint8_t *apdu, size_t len,
	uint8_t reply[DEV_REPLY_MAX], size_t *reply_len, uint64_t deadline_ms, struct diag *d)
{
	char hex[2 * DEV_APDU_MAX + 1], command[2 * DEV_APDU_MAX + 32];
	struct csim s = { .reply = reply, .reply_len = reply_len };
	enum rc rc = RC_OK;

	if (l->dirty)
		rc = sync_modem(l, deadline_ms, d);
	if (rc != RC_OK)
		return rc;
	hex_write(apdu, len, hex);
	rc = str_format(command, sizeof(command), "AT+CSIM=%zu,\"%s\"\r\n", 2 * len, hex);
	if (rc != RC_OK)
		return rc;
	rc = send_line(l, command, deadline_ms);
	if (rc == RC_OK)
		rc = until_final(l, deadline_ms, csim_line, &s);
	if (rc == RC_DENIED)
		return diag_set(d, RC_UNAVAILABLE, "modem %s: AT+CSIM: ERROR (no SIM?)", l->path);
	return rc == RC_OK ? RC_OK : say(l, rc, "AT+CSIM", d);
}

struct ccid {
	char *out;
	bool got;
};

static enum rc ccid_line(void *arg, const char *line, size_t len)
{
	struct ccid *c = arg;

	if (!line)
		return c->got ? RC_OK : RC_NOT_FOUND;
	c->got = c->got || dev__line_iccid(line, len, c->out);
	return RC_OK;
}

static enum rc tty_iccid(
	struct dev_link *l, char out[IOTSAFE_ICCID_TEXT], uint64_t deadline_ms, struct diag *d)
{
	static const char *const commands[] = { "AT+CCID\r\n", "AT+ICCID\r\n", "AT+QCCID\r\n" };
	enum rc rc = RC_OK;

	if (l->dirty)
		rc = sync_modem(l, deadline_ms, d);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(commands); i++) {
		struct ccid c = { .out = out };
		rc = send_line(l, commands[i], deadline_ms);
		if (rc == RC_OK)
			rc = until_final(l, deadline_ms, ccid_line, &c);
		if (rc == RC_OK)
			return RC_OK;
		if (rc == RC_DENIED || rc == RC_NOT_FOUND)
			rc = RC_OK; /* this modem has another word for it */
		else
			return say(l, rc, "AT+CCID", d);
	}
	return rc == RC_OK ? diag_set(d, RC_NOT_FOUND, "modem %s: does not tell the ICCID", l->path)
			   : rc;
}

const struct dev_link_ops dev__tty = {
	.open = tty_open,
	.exchange = tty_exchange,
	.lock = tty_lock,
	.unlock = tty_unlock,
	.iccid = tty_iccid,
};
