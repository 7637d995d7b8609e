/* SPDX-License-Identifier: Apache-2.0 */
#include "role/role.h"
#include "role/role_internal.h"
#include "base/str.h"
#include "control.pb-c.h"
#include "proc/control.h"
#include "proc/killpoint.h"
#include "proc/metrics.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX     8
#define LISTENERS_MAX 4
#define MESSAGES_MAX  16 /* per turn of the loop */

struct peer {
	const char *prefix;
	role_link_fn *fn;
	void *user;
};

struct listener {
	char name[ROLE_NAME_MAX];
	int fd;
};

struct role__control {
	int fd;
	struct event *ev;
	struct peer peers[PEERS_MAX];
	size_t peer_count;
	struct listener listeners[LISTENERS_MAX];
	size_t listener_count;
	void (*on_stop)(struct role *role, void *user);
	void *stop_user;
	role_metrics_fn *on_metrics;
	void *metrics_user;
	bool stopping;
	enum rc rc; /* why the loop ended */
};

enum rc role_on_link(struct role *role, const char *peer_prefix, role_link_fn *fn, void *user)
{
	struct role__control *c = role->control;

	if (c->peer_count == PEERS_MAX)
		return RC_TOO_LARGE;
	c->peers[c->peer_count++] = (struct peer){ peer_prefix, fn, user };
	return RC_OK;
}

void role_on_stop(struct role *role, void (*fn)(struct role *role, void *user), void *user)
{
	role->control->on_stop = fn;
	role->control->stop_user = user;
}

struct role_metrics {
	Control__Metric rows[METRICS_PER_ROLE];
	Control__Metric *list[METRICS_PER_ROLE];
	size_t count;
};

void role_metric(struct role_metrics *m, const char *name, double value)
{
	role_metric_of(m, name, "", value);
}

void role_metric_of(struct role_metrics *m, const char *name, const char *of, double value)
{
	Control__Metric *row = &m->rows[m->count];

	if (m->count == METRICS_PER_ROLE)
		return;
	control__metric__init(row);
	row->name = (char *)(uintptr_t)name;
	row->of = (char *)(uintptr_t)of;
	row->value = value;
	m->list[m->count++] = row;
}

void role_on_metrics(struct role *role, role_metrics_fn *fn, void *user)
{
	role->control->on_metrics = fn;
	role->control->metrics_user = user;
}

void role_leave(struct role *role)
{
	event_base_loopbreak(role->base);
}

int role_listener(const struct role *role, const char *name)
{
	const struct role__control *c = role->control;

	for (size_t i = 0; i < c->listener_count; i++)
		if (strcmp(c->listeners[i].name, name) == 0)
			return c->listeners[i].fd;
	return -1;
}

static enum rc send_op(struct role *role, Control__FromRole__OpCase op, void *message)
{
	Control__FromRole msg = CONTROL__FROM_ROLE__INIT;

	msg.op_case = op;
	if (op == CONTROL__FROM_ROLE__OP_READY)
		msg.ready = message;
	else
		msg.pong = message;
	return control_send(role->control->fd, &msg.base, -1);
}

enum rc role_ready(struct role *role)
{
	Control__Ready ready = CONTROL__READY__INIT;

	return send_op(role, CONTROL__FROM_ROLE__OP_READY, &ready);
}

static void take_link(struct role *role, const char *name, int fd)
{
	const struct role__control *c = role->control;

	for (size_t i = 0; i < c->peer_count; i++) {
		if (strncmp(name, c->peers[i].prefix, strlen(c->peers[i].prefix)) != 0)
			continue;
		c->peers[i].fn(role, name, fd, c->peers[i].user);
		return;
	}
	log_write(role->log, LOG_WARNING, "link unwanted peer=%s", name);
	close(fd);
}

static void take_stop(struct role *role)
{
	struct role__control *c = role->control;

	if (c->stopping)
		return;
	c->stopping = true;
	if (c->on_stop)
		c->on_stop(role, c->stop_user);
	else
		role_leave(role);
}

/* `fd` is ours to give or close. */
static enum rc take_message(struct role *role, const Control__ToRole *m, int fd)
{
	Control__Pong pong = CONTROL__PONG__INIT;
	struct role_metrics metrics = { .count = 0 };

	if (m->op_case == CONTROL__TO_ROLE__OP_LINK && fd >= 0) {
		take_link(role, m->link->peer, fd);
		return RC_OK;
	}
	if (fd >= 0) {
		close(fd);
		return RC_MALFORMED;
	}
	if (m->op_case == CONTROL__TO_ROLE__OP_STOP) {
		take_stop(role);
		return RC_OK;
	}
	if (m->op_case != CONTROL__TO_ROLE__OP_PING)
		return RC_MALFORMED;
	pong.n = m->ping->n;
	if (role->control->on_metrics)
		role->control->on_metrics(&metrics, role->control->metrics_user);
	pong.metrics = metrics.list;
	pong.n_metrics = metrics.count;
	/* Busy: the supervisor has enough of our answers waiting. */
	enum rc rc = send_op(role, CONTROL__FROM_ROLE__OP_PONG, &pong);
	return rc == RC_BUSY ? RC_OK : rc;
}

static enum rc read_one(struct role *role)
{
	uint8_t bytes[CONTROL_MAX];
	Control__ToRole *m;
	size_t len;
	enum rc rc;
	int fd;

	rc = control_receive(role->control->fd, bytes, &len, &fd);
	if (rc != RC_OK)
		return rc;
	m = control__to_role__unpack(NULL, len, bytes);
	if (m) {
		rc = take_message(role, m, fd);
		control__to_role__free_unpacked(m, NULL);
		return rc;
	}
	if (fd >= 0)
		close(fd);
	return RC_MALFORMED;
}

static void on_control(evutil_socket_t fd, short what, void *user)
{
	struct role *role = user;
	enum rc rc = RC_OK;

	(void)fd;
	(void)what;
	for (int i = 0; i < MESSAGES_MAX && rc == RC_OK; i++)
		rc = read_one(role);
	if (rc == RC_OK || rc == RC_BUSY)
		return;
	event_del(role->control->ev);
	role->control->rc = rc;
	if (rc != RC_CLOSED)
		log_write(role->log, LOG_ERROR, "control rc=%s", rc_text(rc));
	role_leave(role);
}

enum rc role_loop(struct role *role)
{
	if (event_base_dispatch(role->base) < 0)
		return RC_INTERNAL;
	return role->control->rc;
}

/* ---- making a role ---- */

/* "dns-udp,dns-tcp": the descriptors after the control socket, in order. */
static enum rc name_listeners(struct role__control *c, const char *names, struct diag *d)
{
	while (names && *names) {
		struct listener *l = &c->listeners[c->listener_count];
		size_t len = strcspn(names, ",");
		if (c->listener_count == LISTENERS_MAX || len == 0 || len >= sizeof(l->name))
			return diag_set(d, RC_MALFORMED, "--listeners: not a list of names");
		memcpy(l->name, names, len);
		l->name[len] = '\0';
		l->fd = CONTROL_FD + 1 + (int)c->listener_count++;
		names += len + (names[len] == ',');
	}
	return RC_OK;
}

/* "dns/2" is worker 2, "front-api" class api; the rest stand alone. */
static enum rc parse_name(struct role *role, const char *name, struct diag *d)
{
	static const char *const kinds[ROLE_KINDS] = { "keys", "core", "zone", "dns", "front",
		"out" };
	size_t len = strcspn(name, "/-");
	uint64_t index = 0;

	role->class = "";
	if (str_copy(role->name, sizeof(role->name), name) != RC_OK)
		goto unknown;
	for (role->kind = 0; role->kind < ROLE_KINDS; role->kind++)
		if (strlen(kinds[role->kind]) == len && memcmp(kinds[role->kind], name, len) == 0)
			break;
	if (role->kind == ROLE_DNS && name[len] == '/') {
		if (u64_read(name + len + 1, 0, UINT16_MAX, &index) != RC_OK)
			goto unknown;
		role->index = (unsigned)index;
	} else if (role->kind == ROLE_FRONT &&
		   (strcmp(name + len, "-api") == 0 || strcmp(name + len, "-epp") == 0)) {
		role->class = role->name + len + 1;
	} else if (role->kind == ROLE_DNS || role->kind == ROLE_FRONT || name[len] ||
		   role->kind == ROLE_KINDS) {
		goto unknown;
	}
	return RC_OK;
unknown:
	return diag_set(d, RC_NOT_FOUND, "no role \"%s\"", name);
}

/* Everything a library reads at its first use, read before the paths are out of reach. */
static void warm_up(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_CIPHERS |
				    OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		NULL);
	tzset();
}

enum rc role__open(struct role *role, const struct role_start *start, struct diag *d)
{
	struct role__control *c = calloc(1, sizeof(*c));
	enum rc rc = RC_NOMEM;

	*role = (struct role){
		.config = start->config, .log = start->log, .clock = start->clock, .control = c
	};
	if (!c)
		return rc;
	c->fd = -1;
	rc = parse_name(role, start->name, d);
	if (rc == RC_OK)
		rc = name_listeners(c, start->listeners, d);
	if (rc != RC_OK)
		goto out;
	rc = RC_NOMEM;
	role->base = event_base_new();
	if (!role->base)
		goto out;
	rc = kill_point_open();
	if (rc != RC_OK || start->control_fd < 0)
		goto out;
	c->fd = start->control_fd;
	c->ev = event_new(role->base, c->fd, EV_READ | EV_PERSIST, on_control, role);
	rc = c->ev && event_add(c->ev, NULL) == 0 ? RC_OK : RC_NOMEM;
out:
	if (rc != RC_OK)
		role__close(role);
	return rc;
}

void role__close(struct role *role)
{
	struct role__control *c = role->control;

	if (c && c->ev)
		event_free(c->ev);
	if (role->base)
		event_base_free(role->base);
	free(c);
	*role = (struct role){ 0 };
}

enum rc role_main(const struct role_start *start, struct diag *d)
{
	static enum rc (*const bodies[ROLE_KINDS])(struct role *) = { [ROLE_KEYS] = role_keys_run,
		[ROLE_CORE] = role_core_run,
		[ROLE_ZONE] = role_zone_run,
		[ROLE_DNS] = role_dns_run,
		[ROLE_FRONT] = role_front_run,
		[ROLE_OUT] = role_out_run };
	struct role role;
	enum rc rc;

	signal(SIGPIPE, SIG_IGN);
	warm_up();
	rc = role__open(&role, start, d);
	if (rc != RC_OK)
		return rc;
	rc = bodies[role.kind](&role);
	role__close(&role);
	return rc;
}
