/* SPDX-License-Identifier: Apache-2.0 */
#include "card/at.h"
#include "card/front.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define QUEUE_HIGH 8192 /* unread bytes above which no more commands are taken */
#define STALE_S	   1	/* after this long without a reader they are lost, as on a wire */
#define READ_MAX   256	/* at most six commands at once */

struct front_modem {
	int master;
	int slave; /* held open, so that a client's close is not a hang-up */
	char *path;
	struct card_session *session;
	struct at_modem at;
	struct evbuffer *queue;
	struct event *readable;
	struct event *writable;
};

static void on_output(void *user, const char *text, size_t len)
{
	struct front_modem *m = user;

	evbuffer_add(m->queue, text, len);
}

/* Writes what the terminal takes; while much is left, commands wait in the terminal. */
static void flush(struct front_modem *m)
{
	static const struct timeval stale = { .tv_sec = STALE_S };

	while (evbuffer_get_length(m->queue) > 0)
		if (evbuffer_write(m->queue, m->master) <= 0)
			break;
	if (evbuffer_get_length(m->queue) > 0)
		event_add(m->writable, &stale);
	if (evbuffer_get_length(m->queue) > QUEUE_HIGH)
		event_del(m->readable);
	else
		event_add(m->readable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *user)
{
	struct front_modem *m = user;

	(void)fd;
	if (what & EV_TIMEOUT) {
		evbuffer_drain(m->queue, evbuffer_get_length(m->queue));
		tcflush(m->slave, TCIFLUSH);
	}
	flush(m);
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
	struct front_modem *m = user;
	uint8_t bytes[READ_MAX];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)what;
	if (n > 0) {
		at_input(&m->at, bytes, (size_t)n);
		flush(m);
	}
}

static enum rc open_pty(struct front_modem *m, char *name, size_t cap)
{
	struct termios t;

	m->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (m->master < 0 || grantpt(m->master) != 0 || unlockpt(m->master) != 0 ||
		ptsname_r(m->master, name, cap) != 0)
		return RC_IO;
	m->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (m->slave < 0 || tcgetattr(m->slave, &t) != 0)
		return RC_IO;
	cfmakeraw(&t);
	if (tcsetattr(m->slave, TCSANOW, &t) != 0 || chmod(name, 0600) != 0)
		return RC_IO;
	return RC_OK;
}

/* Points `path` at the terminal in one step; only ever replaces another link. */
static enum rc place_link(const char *path, const char *target, struct diag *d)
{
	char temp[PATH_MAX];
	struct stat st;
	int n = snprintf(temp, sizeof(temp), "%s.new", path);

	if (n < 0 || (size_t)n >= sizeof(temp))
		return diag_set(d, RC_TOO_LARGE, "%s: path too long", path);
	if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode))
		return diag_set(d, RC_EXISTS, "%s: exists and is no symbolic link", path);
	if (unlink(temp) != 0 && errno != ENOENT)
		return diag_errno(d, RC_IO, "%s", temp);
	if (symlink(target, temp) != 0 || rename(temp, path) != 0)
		return diag_errno(d, RC_IO, "%s", path);
	return RC_OK;
}

enum rc front_modem_new(struct event_base *base, struct euicc *euicc, const char *path,
	const struct at_manners *manners, const struct log *log, struct front_modem **out,
	struct diag *d)
{
	struct front_modem *m = calloc(1, sizeof(*m));
	char name[PATH_MAX];
	enum rc rc = RC_NOMEM;

	if (!m)
		return RC_NOMEM;
	m->master = m->slave = -1;
	m->queue = evbuffer_new();
	if (!m->queue)
		goto out;
	rc = open_pty(m, name, sizeof(name));
	if (rc != RC_OK) {
		rc = diag_errno(d, rc, "%s: no pseudo-terminal", path);
		goto out;
	}
	rc = euicc_session_new(euicc, &m->session);
	if (rc == RC_OK)
		rc = at_init(&m->at, m->session, manners, on_output, m);
	if (rc == RC_NOT_FOUND)
		rc = diag_set(d, rc, "model: attestry, bg96 or cinterion");
	if (rc != RC_OK)
		goto out;
	m->readable = event_new(base, m->master, EV_READ | EV_PERSIST, on_readable, m);
	m->writable = event_new(base, m->master, EV_WRITE, on_writable, m);
	rc = RC_NOMEM;
	if (!m->readable || !m->writable || event_add(m->readable, NULL) != 0)
		goto out;
	rc = place_link(path, name, d);
	if (rc != RC_OK)
		goto out;
	m->path = strdup(path);
	log_write(log, LOG_INFO, "modem link=%s terminal=%s", path, name);
	*out = m;
	return RC_OK;
out:
	front_modem_free(m);
	return rc;
}

void front_modem_free(struct front_modem *modem)
{
	if (!modem)
		return;
	if (modem->path)
		unlink(modem->path);
	if (modem->readable)
		event_free(modem->readable);
	if (modem->writable)
		event_free(modem->writable);
	if (modem->queue)
		evbuffer_free(modem->queue);
	card_session_free(modem->session);
	if (modem->slave >= 0)
		close(modem->slave);
	if (modem->master >= 0)
		close(modem->master);
	free(modem->path);
	free(modem);
}
