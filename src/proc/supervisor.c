/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/supervisor.h"
#include "proc/supervisor_internal.h"
#include "proc/metrics.h"
#include "control.pb-c.h"
#include "proc/control.h"
#include "proc/killpoint.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINK_BUFFER  (1 << 20) /* socket buffer: a batch goes out in one write */
#define MESSAGES_MAX 16	       /* of one child, per turn of the loop */
#define STEADY_MS    1000      /* alive for this long after Ready: the wait starts anew */

struct supervisor;

struct child {
	struct supervisor *sup;
	const struct supervisor_child *plan;
	size_t index;
	pid_t pid;   /* 0: not running */
	int control; /* -1: not running */
	struct event *control_ev, *restart_ev;
	bool ready, ever_ready, told_to_stop;
	uint64_t started_ms, ready_ms;
	int64_t wait_ms;     /* before the next start */
	unsigned unanswered; /* heartbeats since the last Pong */
	unsigned restarts;
	struct metric metrics[METRICS_PER_ROLE];
	size_t metric_count;
};

struct supervisor {
	const struct supervisor_plan *plan;
	struct event_base *base;
	struct event *on_term, *on_int, *on_hup, *on_child, *heartbeat, *stop_timer;
	struct child children[SUPERVISOR_ROLES_MAX];
	int lock_fd;
	bool stopping, announced, metrics_failed;
	unsigned stage; /* of stopping */
	uint64_t ping;
	enum rc rc;
	struct diag *d;
};

static struct timeval timeval_of(int64_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

/* ---- links ---- */

static void give_link_end(struct child *to, const struct child *peer, int fd)
{
	Control__Link link = CONTROL__LINK__INIT;
	Control__ToRole msg = CONTROL__TO_ROLE__INIT;
	enum rc rc;

	link.peer = (char *)(uintptr_t)peer->plan->name;
	msg.op_case = CONTROL__TO_ROLE__OP_LINK;
	msg.link = &link;
	rc = control_send(to->control, &msg.base, fd);
	/* A child that does not take its links cannot work; its end brings it new ones. */
	if (rc != RC_OK && rc != RC_CLOSED) {
		log_write(to->sup->plan->log, LOG_ERROR, "link refused role=%s peer=%s rc=%s",
			to->plan->name, peer->plan->name, rc_text(rc));
		kill(to->pid, SIGKILL);
	}
}

static void join(struct child *a, struct child *b)
{
	int size = LINK_BUFFER, pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_write(a->sup->plan->log, LOG_ERROR, "link role=%s peer=%s why=%s",
			a->plan->name, b->plan->name, strerror(errno));
		return;
	}
	for (int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	give_link_end(a, b, pair[0]);
	give_link_end(b, a, pair[1]);
	close(pair[0]);
	close(pair[1]);
}

static void join_peers(struct child *child)
{
	struct supervisor *sup = child->sup;

	for (size_t i = 0; i < sup->plan->link_count; i++) {
		const struct supervisor_link *l = &sup->plan->links[i];
		size_t peer = l->a == child->index ? l->b : l->a;
		if (l->a != child->index && l->b != child->index)
			continue;
		if (sup->children[peer].pid > 0)
			join(child, &sup->children[peer]);
	}
}

/* ---- one child's life ---- */

static void on_control(evutil_socket_t fd, short what, void *user);

static void child_forget(struct child *child)
{
	if (child->control_ev)
		event_free(child->control_ev);
	child->control_ev = NULL;
	if (child->control >= 0)
		close(child->control);
	child->control = -1;
	child->pid = 0;
	child->ready = false;
}

static enum rc child_start(struct child *child)
{
	struct supervisor *sup = child->sup;
	struct diag why = { 0 };
	enum rc rc = supervisor__spawn(sup->plan, child->index, &child->pid, &child->control, &why);

	child->started_ms = sup->plan->clock->monotonic_ms(sup->plan->clock);
	child->unanswered = 0;
	if (rc != RC_OK) {
		child->pid = 0;
		log_write(sup->plan->log, LOG_ERROR, "start role=%s why=%s", child->plan->name,
			why.text);
		return rc;
	}
	child->control_ev =
		event_new(sup->base, child->control, EV_READ | EV_PERSIST, on_control, child);
	if (!child->control_ev || event_add(child->control_ev, NULL) != 0) {
		kill(child->pid, SIGKILL);
		return RC_NOMEM;
	}
	log_write(sup->plan->log, LOG_INFO, "started role=%s pid=%d restarts=%u", child->plan->name,
		(int)child->pid, child->restarts);
	join_peers(child);
	return RC_OK;
}

static void schedule_restart(struct child *child)
{
	struct timeval wait;

	if (child->wait_ms == 0)
		child->wait_ms = child->sup->plan->restart_ms;
	wait = timeval_of(child->wait_ms);
	child->wait_ms *= 2;
	if (child->wait_ms > child->sup->plan->restart_max_ms)
		child->wait_ms = child->sup->plan->restart_max_ms;
	(void)event_add(child->restart_ev, &wait);
}

static void on_restart(evutil_socket_t fd, short what, void *user)
{
	struct child *child = user;

	(void)fd;
	(void)what;
	if (child->sup->stopping || child->pid > 0)
		return;
	child->restarts++;
	if (child_start(child) != RC_OK && child->pid == 0)
		schedule_restart(child);
}

static void child_is_ready(struct child *child)
{
	struct supervisor *sup = child->sup;
	bool all = true;

	if (child->ready)
		return;
	child->ready = child->ever_ready = true;
	child->ready_ms = sup->plan->clock->monotonic_ms(sup->plan->clock);
	supervisor__write_pid(sup->plan, child->plan->name, child->pid);
	log_write(sup->plan->log, LOG_INFO, "ready role=%s pid=%d after_ms=%llu", child->plan->name,
		(int)child->pid, (unsigned long long)(child->ready_ms - child->started_ms));
	for (size_t i = 0; i < sup->plan->child_count; i++)
		all = all && sup->children[i].ready;
	if (all && !sup->announced && !sup->stopping) {
		sup->announced = true;
		supervisor__write_pid(sup->plan, "attestryd", getpid());
		log_write(sup->plan->log, LOG_INFO, "serving roles=%zu", sup->plan->child_count);
	}
}

static void take_pong(struct child *child, const Control__Pong *pong)
{
	child->unanswered = 0;
	child->metric_count = 0;
	for (size_t i = 0; i < pong->n_metrics && i < METRICS_PER_ROLE; i++) {
		struct metric *m = &child->metrics[child->metric_count];

		if (!metrics_name_ok(pong->metrics[i]->name) ||
			!metrics_of_ok(pong->metrics[i]->of))
			continue;
		snprintf(m->of, sizeof(m->of), "%s", pong->metrics[i]->of);
		snprintf(m->name, sizeof(m->name), "%s", pong->metrics[i]->name);
		m->value = pong->metrics[i]->value;
		child->metric_count++;
	}
}

static enum rc take_message(struct child *child, const uint8_t *bytes, size_t len)
{
	Control__FromRole *m = control__from_role__unpack(NULL, len, bytes);
	enum rc rc = RC_OK;

	if (!m)
		return RC_MALFORMED;
	if (m->op_case == CONTROL__FROM_ROLE__OP_READY)
		child_is_ready(child);
	else if (m->op_case == CONTROL__FROM_ROLE__OP_PONG)
		take_pong(child, m->pong);
	else
		rc = RC_MALFORMED;
	control__from_role__free_unpacked(m, NULL);
	return rc;
}

static void on_control(evutil_socket_t fd, short what, void *user)
{
	struct child *child = user;
	enum rc rc = RC_OK;

	(void)what;
	for (int i = 0; i < MESSAGES_MAX && rc == RC_OK; i++) {
		uint8_t bytes[CONTROL_MAX];
		size_t len;
		int passed;
		rc = control_receive(fd, bytes, &len, &passed);
		if (rc != RC_OK)
			break;
		if (passed >= 0)
			close(passed);
		rc = passed >= 0 ? RC_MALFORMED : take_message(child, bytes, len);
	}
	if (rc == RC_OK || rc == RC_BUSY)
		return;
	event_del(child->control_ev);
	/* Closed: it is ending, SIGCHLD follows. Anything else: it is not the program we started.
	 */
	if (rc != RC_CLOSED) {
		log_write(child->sup->plan->log, LOG_ERROR, "control role=%s rc=%s",
			child->plan->name, rc_text(rc));
		kill(child->pid, SIGKILL);
	}
}

/* ---- stopping ---- */

static void tell_stop(struct child *child)
{
	Control__Stop stop = CONTROL__STOP__INIT;
	Control__ToRole msg = CONTROL__TO_ROLE__INIT;

	msg.op_case = CONTROL__TO_ROLE__OP_STOP;
	msg.stop = &stop;
	child->told_to_stop = true;
	if (control_send(child->control, &msg.base, -1) != RC_OK)
		kill(child->pid, SIGKILL);
}

/* Tells the first stage that still has living children; when none has, leaves the loop. */
static void stop_next(struct supervisor *sup)
{
	struct timeval limit = timeval_of(sup->plan->stop_timeout_ms);
	unsigned stage = UINT32_MAX;

	for (size_t i = 0; i < sup->plan->child_count; i++)
		if (sup->children[i].pid > 0 && sup->plan->children[i].stop_stage < stage)
			stage = sup->plan->children[i].stop_stage;
	if (stage == UINT32_MAX) {
		event_base_loopbreak(sup->base);
		return;
	}
	if (stage == sup->stage)
		return;
	sup->stage = stage;
	for (size_t i = 0; i < sup->plan->child_count; i++)
		if (sup->children[i].pid > 0 && sup->plan->children[i].stop_stage == stage)
			tell_stop(&sup->children[i]);
	(void)event_add(sup->stop_timer, &limit);
}

static void begin_stop(struct supervisor *sup)
{
	if (sup->stopping)
		return;
	sup->stopping = true;
	sup->stage = UINT32_MAX;
	supervisor__remove_pid(sup->plan, "attestryd");
	for (size_t i = 0; i < sup->plan->child_count; i++)
		event_del(sup->children[i].restart_ev);
	stop_next(sup);
}

static void on_stop_timeout(evutil_socket_t fd, short what, void *user)
{
	struct supervisor *sup = user;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < sup->plan->child_count; i++) {
		struct child *child = &sup->children[i];
		if (child->pid <= 0 || !child->told_to_stop)
			continue;
		log_write(sup->plan->log, LOG_WARNING, "killed role=%s why=does not stop",
			child->plan->name);
		kill(child->pid, SIGKILL);
	}
}

static void on_signal(evutil_socket_t sig, short what, void *user)
{
	struct supervisor *sup = user;

	(void)what;
	log_write(sup->plan->log, LOG_INFO, "stopping signal=%d", (int)sig);
	begin_stop(sup);
}

/* ---- deaths ---- */

static void child_died(struct child *child, int status)
{
	struct supervisor *sup = child->sup;
	uint64_t now = sup->plan->clock->monotonic_ms(sup->plan->clock);
	bool asked = child->told_to_stop;

	log_write(sup->plan->log, asked ? LOG_INFO : LOG_WARNING, "ended role=%s pid=%d %s=%d",
		child->plan->name, (int)child->pid, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (child->ready && now - child->ready_ms >= STEADY_MS)
		child->wait_ms = 0;
	supervisor__remove_pid(sup->plan, child->plan->name);
	child_forget(child);
	if (sup->stopping) {
		stop_next(sup);
		return;
	}
	if (!child->ever_ready && WIFEXITED(status)) {
		/* It said why in the log: a wrong setting does not mend itself. */
		sup->rc = diag_set(
			sup->d, RC_UNAVAILABLE, "role %s could not start", child->plan->name);
		begin_stop(sup);
		return;
	}
	schedule_restart(child);
}

static void on_sigchld(evutil_socket_t sig, short what, void *user)
{
	struct supervisor *sup = user;
	int status;

	(void)sig;
	(void)what;
	for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0;
		pid = waitpid(-1, &status, WNOHANG))
		for (size_t i = 0; i < sup->plan->child_count; i++)
			if (sup->children[i].pid == pid)
				child_died(&sup->children[i], status);
}

/* ---- heartbeat ---- */

static void check_child(struct child *child, Control__ToRole *ping)
{
	const struct supervisor_plan *plan = child->sup->plan;
	const char *why = NULL;

	if (!child->ready) {
		uint64_t age = plan->clock->monotonic_ms(plan->clock) - child->started_ms;
		if (age > (uint64_t)plan->start_timeout_ms)
			why = "not ready in time";
	} else if (child->unanswered >= plan->heartbeat_timeout_ms / plan->heartbeat_ms) {
		/* Heartbeats are counted, not the time: a machine that was asleep sent none. */
		why = "no answer";
	}
	if (why) {
		log_write(plan->log, LOG_ERROR, "killed role=%s pid=%d why=%s", child->plan->name,
			(int)child->pid, why);
		kill(child->pid, SIGKILL);
		return;
	}
	if (child->ready) {
		child->unanswered++;
		(void)!control_send(child->control, &ping->base, -1);
	}
}

/* A full disk loses the file, not the registry: it is told once. */
static void save_metrics(struct supervisor *sup)
{
	struct metrics_role rows[SUPERVISOR_ROLES_MAX];
	enum rc rc;

	for (size_t i = 0; i < sup->plan->child_count; i++) {
		const struct child *c = &sup->children[i];

		rows[i] = (struct metrics_role){ c->plan->name, c->pid, c->ready, c->restarts,
			c->metrics, c->pid > 0 ? c->metric_count : 0 };
	}
	rc = metrics_save(sup->plan->run_folder, rows, sup->plan->child_count);
	if (rc != RC_OK && !sup->metrics_failed)
		log_write(sup->plan->log, LOG_WARNING, "metrics.prom why=%s", rc_text(rc));
	sup->metrics_failed = rc != RC_OK;
}

static void on_heartbeat(evutil_socket_t fd, short what, void *user)
{
	struct supervisor *sup = user;
	Control__Ping ping = CONTROL__PING__INIT;
	Control__ToRole msg = CONTROL__TO_ROLE__INIT;

	(void)fd;
	(void)what;
	ping.n = ++sup->ping;
	msg.op_case = CONTROL__TO_ROLE__OP_PING;
	msg.ping = &ping;
	for (size_t i = 0; i < sup->plan->child_count; i++)
		if (sup->children[i].pid > 0 && !sup->children[i].told_to_stop)
			check_child(&sup->children[i], &msg);
	save_metrics(sup);
}

/* ---- the whole ---- */

static enum rc open_events(struct supervisor *sup)
{
	struct timeval beat = timeval_of(sup->plan->heartbeat_ms);

	sup->base = event_base_new();
	if (!sup->base)
		return RC_NOMEM;
	sup->on_term = evsignal_new(sup->base, SIGTERM, on_signal, sup);
	sup->on_int = evsignal_new(sup->base, SIGINT, on_signal, sup);
	sup->on_hup = evsignal_new(sup->base, SIGHUP, on_signal, sup);
	sup->on_child = evsignal_new(sup->base, SIGCHLD, on_sigchld, sup);
	sup->heartbeat = event_new(sup->base, -1, EV_PERSIST, on_heartbeat, sup);
	sup->stop_timer = evtimer_new(sup->base, on_stop_timeout, sup);
	if (!sup->on_term || !sup->on_int || !sup->on_hup || !sup->on_child || !sup->heartbeat ||
		!sup->stop_timer || event_add(sup->on_term, NULL) != 0 ||
		event_add(sup->on_int, NULL) != 0 || event_add(sup->on_hup, NULL) != 0 ||
		event_add(sup->on_child, NULL) != 0 || event_add(sup->heartbeat, &beat) != 0)
		return RC_NOMEM;
	for (size_t i = 0; i < sup->plan->child_count; i++) {
		struct child *child = &sup->children[i];
		*child = (struct child){ .sup = sup,
			.plan = &sup->plan->children[i],
			.index = i,
			.control = -1,
			.restart_ev = evtimer_new(sup->base, on_restart, child) };
		if (!child->restart_ev)
			return RC_NOMEM;
	}
	return RC_OK;
}

static void free_event(struct event *ev)
{
	if (ev)
		event_free(ev);
}

static void close_events(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->plan->child_count; i++) {
		struct child *child = &sup->children[i];
		if (child->pid > 0) {
			/* Only after a failed start: the orderly way has waited for all. */
			kill(child->pid, SIGKILL);
			(void)waitpid(child->pid, NULL, 0);
			supervisor__remove_pid(sup->plan, child->plan->name);
		}
		if (child->sup)
			child_forget(child);
		free_event(child->restart_ev);
	}
	free_event(sup->on_term);
	free_event(sup->on_int);
	free_event(sup->on_hup);
	free_event(sup->on_child);
	free_event(sup->heartbeat);
	free_event(sup->stop_timer);
	if (sup->base)
		event_base_free(sup->base);
}

static enum rc start_all(struct supervisor *sup)
{
	metrics_remove(sup->plan->run_folder);
	supervisor__remove_pid(sup->plan, "attestryd");
	for (size_t i = 0; i < sup->plan->child_count; i++)
		supervisor__remove_pid(sup->plan, sup->plan->children[i].name);
	for (size_t i = 0; i < sup->plan->child_count; i++)
		if (child_start(&sup->children[i]) != RC_OK)
			return diag_set(sup->d, RC_UNAVAILABLE, "role %s could not start",
				sup->plan->children[i].name);
	return RC_OK;
}

enum rc supervisor_run(const struct supervisor_plan *plan, struct diag *d)
{
	struct supervisor *sup;
	enum rc rc;

	if (plan->child_count > SUPERVISOR_ROLES_MAX)
		return diag_set(d, RC_RANGE, "more than %d processes", SUPERVISOR_ROLES_MAX);
	sup = calloc(1, sizeof(*sup));
	if (!sup)
		return RC_NOMEM;
	sup->plan = plan;
	sup->lock_fd = -1;
	sup->d = d;
	/* The reader of our log may go before us. */
	signal(SIGPIPE, SIG_IGN);
	rc = kill_point_open();
	if (rc != RC_OK)
		diag_set(d, rc, "the file of ATTESTRY_KILLPOINT_FILE: %s", rc_text(rc));
	else
		rc = supervisor__lock(plan, &sup->lock_fd, d);
	if (rc == RC_OK)
		rc = open_events(sup);
	if (rc == RC_OK)
		rc = start_all(sup);
	if (rc == RC_OK && event_base_dispatch(sup->base) < 0)
		rc = RC_INTERNAL;
	if (rc == RC_OK)
		rc = sup->rc;
	close_events(sup);
	if (sup->lock_fd >= 0)
		close(sup->lock_fd);
	free(sup);
	return rc;
}
