/* SPDX-License-Identifier: Apache-2.0 */
/* The front of class epp: sessions of parties' software on one side, core on the other. */
#include "base/rng.h"
#include "epp/server.h"
#include "http/wipe.h"
#include "role/front_core.h"
#include "role/front_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { DRAIN_MS = 1500 };

struct front_epp {
	struct role *role;
	SSL_CTX *ctx;
	struct epp_server *server;
	struct front_core *core;
};

static bool on_ask(void *user, struct epp_session *session, Registry__Request *request)
{
	struct front_epp *f = user;
	const char *why;

	return front_core_ask(f->core, request, session, NULL, 0, &why);
}

static void on_gone(void *user, struct epp_session *session)
{
	struct front_epp *f = user;

	front_core_forget(f->core, session);
}

static void on_reply(
	void *user, void *client, const void *extra, const Registry__Reply *reply, const char *why)
{
	(void)user;
	(void)extra;
	(void)why;
	epp_reply(client, reply);
}

static enum rc seal(
	void *user, const uint8_t *plain, size_t len, uint8_t *out, size_t cap, size_t *out_len)
{
	struct front_epp *f = user;

	return front_core_seal(f->core, plain, len, out, cap, out_len);
}

/* ---- life ---- */

static void on_drained(evutil_socket_t fd, short what, void *user)
{
	struct front_epp *f = user;

	(void)fd;
	(void)what;
	role_leave(f->role);
}

/* Answers that are under way still leave. */
static void on_stop(struct role *role, void *user)
{
	const struct timeval until = { .tv_sec = DRAIN_MS / 1000,
		.tv_usec = DRAIN_MS % 1000 * 1000 };
	struct front_epp *f = user;

	epp_server_drain(f->server);
	if (front_core_idle(f->core) ||
		event_base_once(role->base, -1, EV_TIMEOUT, on_drained, f, &until) < 0)
		role_leave(role);
}

static struct epp_options options_of(struct front_epp *f, int fd)
{
	const struct config *c = f->role->config;

	return (struct epp_options){ .base = f->role->base,
		.listen_fd = fd,
		.ctx = f->ctx,
		.limits = { .clients = (size_t)c->epp.clients,
			.clients_per_key = (size_t)c->epp.sessions,
			.frame_max = (size_t)c->epp.frame_max,
			.logins = (unsigned)c->epp.login_tries,
			.hello_ms = (uint32_t)c->epp.login_ms,
			.login_ms = (uint32_t)c->epp.login_ms,
			.frame_ms = (uint32_t)c->epp.frame_ms,
			.idle_ms = (uint32_t)c->epp.idle_ms,
			.session_ms = (uint32_t)c->epp.session_ms,
			.send_ms = (uint32_t)c->epp.frame_ms,
			.query_rate = (unsigned)c->epp.query_rate,
			.transform_rate = (unsigned)c->epp.transform_rate },
		.handler = { .ask = on_ask, .gone = on_gone, .seal = seal, .user = f },
		.clock = f->role->clock,
		.rng = rng_system(),
		.log = f->role->log,
		.server_id = c->epp.server_id[0] ? c->epp.server_id : c->registry.zone };
}

static enum rc start(struct front_epp *f, struct diag *d)
{
	struct role *role = f->role;
	const struct config *c = role->config;
	struct front_core_events events = { .on_reply = on_reply, .user = f };
	struct epp_options options;
	int fd = role_listener(role, "epp");
	enum rc rc;

	if (fd < 0)
		return diag_set(d, RC_UNSUPPORTED, "epp.listen is not set");
	rc = tls_server_ctx(&f->ctx, c->epp.cert, c->epp.key, c->https.client_ca, d);
	if (rc == RC_OK)
		rc = front_core_new(&f->core, role, &events);
	if (rc != RC_OK)
		return rc;
	role_on_stop(role, on_stop, f);
	rc = role_confine(role, d);
	if (rc == RC_OK)
		rc = front_core_start(f->core);
	if (rc != RC_OK)
		return rc;
	options = options_of(f, fd);
	return epp_server_new(&f->server, &options);
}

static void log_counts(const struct front_epp *f)
{
	const struct epp_counts *n = epp_server_counts(f->server);

	log_write(f->role->log, LOG_INFO,
		"served accepted=%llu refused=%llu handshakes_failed=%llu logins=%llu "
		"logins_failed=%llu commands=%llu errors=%llu limited=%llu timeouts=%llu",
		(unsigned long long)n->accepted, (unsigned long long)n->refused,
		(unsigned long long)n->handshakes_failed, (unsigned long long)n->logins,
		(unsigned long long)n->logins_failed, (unsigned long long)n->commands,
		(unsigned long long)n->errors, (unsigned long long)n->limited,
		(unsigned long long)n->timeouts);
}

enum rc role__front_epp_run(struct role *role)
{
	struct front_epp *f = calloc(1, sizeof(*f));
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;

	if (!f)
		return rc;
	f->role = role;
	rc = start(f, &d);
	if (rc == RC_OK)
		rc = role_ready(role);
	if (rc == RC_OK)
		rc = role_loop(role);
	else
		log_write(
			role->log, LOG_ERROR, "cannot serve why=\"%s\" rc=%s", d.text, rc_text(rc));
	if (f->server)
		log_counts(f);
	epp_server_free(f->server);
	front_core_free(f->core);
	SSL_CTX_free(f->ctx);
	free(f);
	return rc;
}
