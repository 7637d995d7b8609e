/* SPDX-License-Identifier: Apache-2.0 */
#include "mno/internal.h"

#include "base/str.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What happens to eSIM profiles, told to the registry: an event of the eUICC manager's becomes one
 * POST /v1/devices/{iccid}/event, and is acknowledged when the registry has answered. A thread of
 * its own with a blocking socket: events are rare, and must not wait for SMS or be lost with them.
 */

#define FRAME_MAX      4096
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 10000

struct mno_euicc {
	char *path;
	const struct log *log;
	const volatile sig_atomic_t *stop;
	struct client *client;
	pthread_t thread;
	bool running;
	int quit_fd;  /* eventfd */
	int fd;	      /* the manager's; -1 */
	json_t *done; /* EID -> the last sequence that is settled */
};

/* Sleeps, unless it is time to go. */
static bool rest(const struct mno_euicc *e, int ms)
{
	struct pollfd p = { .fd = e->quit_fd, .events = POLLIN };

	return poll(&p, 1, ms) == 0;
}

static bool wait_readable(const struct mno_euicc *e)
{
	struct pollfd p[2] = { { .fd = e->fd, .events = POLLIN },
		{ .fd = e->quit_fd, .events = POLLIN } };

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return false;
	return !p[1].revents;
}

static bool read_exact(const struct mno_euicc *e, uint8_t *out, size_t len)
{
	while (len > 0) {
		if (!wait_readable(e))
			return false;
		ssize_t n = recv(e->fd, out, len, 0);
		if (n <= 0)
			return false;
		out += n;
		len -= (size_t)n;
	}
	return true;
}

/* The next message; NULL when the connection ends or speaks nonsense. */
static json_t *receive(const struct mno_euicc *e)
{
	uint8_t head[2], body[FRAME_MAX];
	json_t *json;
	size_t n;

	if (!read_exact(e, head, sizeof(head)))
		return NULL;
	n = (size_t)head[0] << 8 | head[1];
	if (n == 0 || n > sizeof(body) || !read_exact(e, body, n))
		return NULL;
	json = json_loadb((const char *)body, n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(json)) {
		log_write(e->log, LOG_WARNING, "euicc-nonsense path=%s", e->path);
		json_decref(json);
		json = NULL;
	}
	return json;
}

/* Takes the reference. */
static bool give_order(const struct mno_euicc *e, json_t *take_order)
{
	uint8_t bytes[2 + FRAME_MAX];
	size_t n =
		take_order ? json_dumpb(take_order, (char *)bytes + 2, FRAME_MAX, JSON_COMPACT) : 0;

	json_decref(take_order);
	if (n == 0 || n > FRAME_MAX)
		return false;
	bytes[0] = (uint8_t)(n >> 8);
	bytes[1] = (uint8_t)n;
	return send(e->fd, bytes, n + 2, MSG_NOSIGNAL) == (ssize_t)(n + 2);
}

static bool connect_to(struct mno_euicc *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, e->path, strlen(e->path) + 1);
	e->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (e->fd >= 0 && connect(e->fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return true;
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	return false;
}

/* A network that is lent for a while counts as enabled, one that came back too. */
static const char *registry_word(const char *event)
{
	static const char *const map[][2] = { { "enabled", "enabled" }, { "temporary", "enabled" },
		{ "returned", "enabled" }, { "disabled", "disabled" }, { "deleted", "deleted" } };

	for (size_t i = 0; event && i < ARRAY_LEN(map); i++)
		if (strcmp(map[i][0], event) == 0)
			return map[i][1];
	return NULL;
}

/* RC_OK: the registry has answered, yes or no. */
static enum rc post(const struct mno_euicc *e, const char *eid, const char *iccid, const char *word,
	json_int_t sequence, struct diag *d)
{
	char path[64], key[64];
	json_t *body = json_pack("{s:s}", "event", word), *answer = NULL;
	int status = 0;
	enum rc rc = str_format(path, sizeof(path), "/v1/devices/%s/event", iccid);

	if (rc == RC_OK)
		rc = str_format(key, sizeof(key), "%s-%lld", eid, (long long)sequence);
	if (rc == RC_OK)
		rc = body ? client_call_once(
				    e->client, "POST", path, key, body, &answer, &status, d)
			  : RC_NOMEM;
	if (rc == RC_OK && status >= 500)
		rc = diag_set(d, RC_UNAVAILABLE, "HTTP %d", status);
	if (rc == RC_OK && status >= 400) {
		client_refusal(answer, status, d);
		log_write(e->log, LOG_WARNING,
			"esim-event-refused iccid=%s event=%s sequence=%lld why=\"%s\"", iccid,
			word, (long long)sequence, d->text);
	} else if (rc == RC_OK) {
		log_write(e->log, LOG_INFO, "esim-event iccid=%s event=%s sequence=%lld", iccid,
			word, (long long)sequence);
	}
	json_decref(answer);
	json_decref(body);
	return rc;
}

/* One event, until the registry has heard of it; then it is acknowledged. False: the connection is
 * to be given up. */
static bool settle(struct mno_euicc *e, const json_t *event)
{
	const char *eid = json_string_value(json_object_get(event, "eid"));
	const char *iccid = json_string_value(json_object_get(event, "iccid"));
	const char *word = registry_word(json_string_value(json_object_get(event, "event")));
	json_int_t sequence = json_integer_value(json_object_get(event, "sequence"));
	uint8_t ef[IDENT_ICCID_LEN], id[IDENT_EID_LEN];
	int backoff_ms = BACKOFF_MIN_MS;
	char text[IDENT_ICCID_TEXT];

	if (!eid || ident_eid_read(eid, id) != RC_OK || !iccid ||
		ident_iccid_read(iccid, ef) != RC_OK || ident_iccid_write(ef, text) != RC_OK ||
		!word || sequence < 1) {
		log_write(e->log, LOG_WARNING, "euicc-nonsense path=%s", e->path);
		return false;
	}
	/* It may come twice: as it happened, and in the list; the registry hears it once. */
	bool heard = sequence <= json_integer_value(json_object_get(e->done, eid));
	while (!heard) {
		struct diag d = { 0 };
		if (post(e, eid, text, word, sequence, &d) == RC_OK)
			break;
		log_write(
			e->log, LOG_WARNING, "esim-event-waits iccid=%s why=\"%s\"", text, d.text);
		if (!rest(e, backoff_ms))
			return false;
		backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
	}
	if (!heard && json_object_set_new(e->done, eid, json_integer(sequence)) != 0)
		return false;
	return give_order(e, json_pack("{s:s, s:s, s:I}", "order", "acknowledge", "eid", eid,
				     "sequence", sequence));
}

/* Everything that is told on one connection. */
static void follow(struct mno_euicc *e)
{
	json_t *message;
	bool ok = give_order(e, json_pack("{s:s}", "order", "events"));

	while (ok && (message = receive(e))) {
		const char *result = json_string_value(json_object_get(message, "result"));
		if (!result)
			ok = settle(e, message);
		else if (strcmp(result, "ok") != 0)
			log_write(e->log, LOG_WARNING, "euicc-order-refused why=\"%s\"", result);
		json_decref(message);
	}
}

static void *run(void *user)
{
	struct mno_euicc *e = user;
	int backoff_ms = BACKOFF_MIN_MS;

	while (!(e->stop && *e->stop)) {
		if (connect_to(e)) {
			log_write(e->log, LOG_INFO, "euicc-link-up path=%s", e->path);
			backoff_ms = BACKOFF_MIN_MS;
			follow(e);
			close(e->fd);
			e->fd = -1;
		}
		if (!rest(e, backoff_ms))
			break;
		backoff_ms = backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2;
	}
	return NULL;
}

enum rc mno__euicc_new(const struct mno_config *config, const volatile sig_atomic_t *stop,
	const struct log *log, struct mno_euicc **out, struct diag *d)
{
	struct mno_euicc *e = calloc(1, sizeof(*e));
	enum rc rc = RC_NOMEM;

	if (!e)
		return RC_NOMEM;
	e->fd = -1;
	e->log = log;
	e->stop = stop;
	e->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->path = strdup(config->euicc);
	e->done = json_object();
	if (e->path && strlen(e->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		rc = diag_set(d, RC_RANGE, "euicc: path too long");
	else if (e->quit_fd >= 0 && e->path && e->done)
		rc = client_new(&e->client, config->url, config->ca, config->cert, config->key, d);
	if (rc == RC_OK) {
		client_set_stop(e->client, stop);
		e->running = pthread_create(&e->thread, NULL, run, e) == 0;
		rc = e->running ? RC_OK : diag_set(d, RC_NOMEM, "no threads");
	}
	if (rc != RC_OK)
		mno__euicc_free(e);
	else
		*out = e;
	return rc;
}

void mno__euicc_free(struct mno_euicc *e)
{
	uint64_t one = 1;

	if (!e)
		return;
	if (e->running) {
		(void)!write(e->quit_fd, &one, sizeof(one));
		pthread_join(e->thread, NULL);
	}
	if (e->fd >= 0)
		close(e->fd);
	if (e->quit_fd >= 0)
		close(e->quit_fd);
	client_free(e->client);
	json_decref(e->done);
	free(e->path);
	free(e);
}
