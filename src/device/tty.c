/* SPDX-License-Identifier: Apache-2.0 */
#include "device/device__.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* While another process holds the modem. */
#define LOCK_STEP_MS 5
/* A modem answers a bare AT at once; several tries, because it may be finishing an old command. */
#define SYNC_TRIES 3
/* After a reset: until the modem has taken notice, and for one question whether it is back. */
#define RESET_SETTLE_MS 500
#define RESET_ANSWER_MS 2000
#define RESET_STEP_MS	50

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
		enum iotsafe_line kind = iotsafe_core_at_line(line, len, unused, &n);
		if (kind == IOTSAFE_LINE_ERROR)
			return RC_DENIED;
		if (kind == IOTSAFE_LINE_OK) {
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
	switch (iotsafe_core_at_line(line, len, s->reply, s->reply_len)) {
	case IOTSAFE_LINE_BAD_CSIM: return RC_MALFORMED;
	case IOTSAFE_LINE_CSIM:
		if (s->got) /* two answers to one command */
			return RC_MALFORMED;
		s->got = true;
		return RC_OK;
	case IOTSAFE_LINE_NOISE:
	case IOTSAFE_LINE_OK:
	case IOTSAFE_LINE_ERROR: break;
	}
	return RC_OK;
}

static enum rc tty_exchange(struct dev_link *l, const uint8_t *apdu, size_t len,
	uint8_t reply[DEV_REPLY_MAX], size_t *reply_len, uint64_t deadline_ms, struct diag *d)
{
	char command[2 * DEV_APDU_MAX + 32];
	struct csim s = { .reply = reply, .reply_len = reply_len };
	enum rc rc = RC_OK;

	if (l->dirty)
		rc = sync_modem(l, deadline_ms, d);
	if (rc != RC_OK)
		return rc;
	if (iotsafe_core_at_write(apdu, len, command, sizeof(command)) == 0)
		return RC_RANGE;
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

/* Runs the program that pulses the modem's reset line or switches its power. */
static enum rc run_program(
	const char *program, const char *path, uint64_t deadline_ms, struct diag *d)
{
	const struct timespec step = { .tv_nsec = RESET_STEP_MS * 1000000 };
	char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)path, NULL };
	int status = 0;
	pid_t pid, done;

	if (posix_spawn(&pid, program, NULL, NULL, argv, environ) != 0)
		return diag_set(d, RC_UNAVAILABLE, "modem %s: %.100s cannot be run", path, program);
	while ((done = waitpid(pid, &status, WNOHANG)) == 0 && dev__now_ms() < deadline_ms)
		(void)nanosleep(&step, NULL);
	if (done == 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		return diag_set(d, RC_TIMEOUT, "modem %s: %.100s does not end", path, program);
	}
	/* Somebody else may have waited for it; then nobody knows. */
	if (done == pid && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		return diag_set(d, RC_UNAVAILABLE, "modem %s: %.100s has failed", path, program);
	return RC_OK;
}

/* Whether modem and card answer: the master file can be selected. */
static bool card_answers(struct dev_link *l, uint64_t deadline_ms)
{
	static const uint8_t select_mf[] = { 0x00, 0xa4, 0x00, 0x0c, 0x02, 0x3f, 0x00 };
	uint64_t part = dev__now_ms() + RESET_ANSWER_MS;
	uint8_t reply[DEV_REPLY_MAX];
	size_t len = 0;

	if (part > deadline_ms)
		part = deadline_ms;
	if (l->fd < 0 && (tty_open(l, NULL) != RC_OK || tty_lock(l, part, NULL) != RC_OK))
		return false; /* a modem on USB vanishes for a while */
	l->dirty = true;
	return tty_exchange(l, select_mf, sizeof(select_mf), reply, &len, part, NULL) == RC_OK;
}

/* A modem whose card interface hangs starts again by AT+CFUN=1,1 (3GPP TS 27.007 section 8.2); one
 * that answers nothing needs its line or its power pulsed. */
static enum rc tty_reset(
	struct dev_link *l, const char *program, uint64_t deadline_ms, struct diag *d)
{
	const struct timespec step = { .tv_nsec = RESET_STEP_MS * 1000000 },
			      settle = { .tv_sec = RESET_SETTLE_MS / 1000,
				      .tv_nsec = RESET_SETTLE_MS % 1000 * 1000000 };
	enum rc rc = RC_OK;

	if (program) {
		rc = run_program(program, l->path, deadline_ms, d);
	} else if (l->fd >= 0) {
		uint64_t part = dev__now_ms() + RESET_ANSWER_MS;
		/* Some end the command that hangs first, some answer only after the restart. */
		(void)!send_line(l, "\r\nAT+CFUN=1,1\r\n", part);
		(void)!until_final(l, part, ignore_line, NULL);
	}
	if (rc != RC_OK)
		return rc;
	(void)nanosleep(&settle, NULL);
	while (!card_answers(l, deadline_ms)) {
		if (dev__now_ms() >= deadline_ms)
			return diag_set(d, RC_TIMEOUT,
				"modem %s: it was reset, and its card still does not answer",
				l->path);
		(void)nanosleep(&step, NULL);
	}
	return RC_OK;
}

const struct dev_link_ops dev__tty = {
	.open = tty_open,
	.exchange = tty_exchange,
	.lock = tty_lock,
	.unlock = tty_unlock,
	.reset = tty_reset,
	.iccid = tty_iccid,
};
