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

static void on_note(void *user, Registry__Request *request)
{
	struct front_epp *f = user;
	const char *why;

	/* Core may be down: then the log has it that it was, and nothing else was done. */
	if (!front_core_ask(f->core, request, NULL, NULL, 0, &why))
		log_write(f->role->log, LOG_WARNING, "refusal not kept why=\"%s\"", why);
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
			.rates = { [EPP_RATE_QUERY] = (unsigned)c->epp.query_rate,
				[EPP_RATE_TRANSFORM] = (unsigned)c->epp.transform_rate,
				[EPP_RATE_CHECK] = (unsigned)c->epp.check_rate,
				[EPP_RATE_INFO] = (unsigned)c->epp.info_rate,
				[EPP_RATE_POLL] = (unsigned)c->epp.poll_rate,
				[EPP_RATE_CREATE] = (unsigned)c->epp.create_rate,
				[EPP_RATE_UPDATE] = (unsigned)c->epp.update_rate,
				[EPP_RATE_DELETE] = (unsigned)c->epp.delete_rate,
				[EPP_RATE_RENEW] = (unsigned)c->epp.renew_rate,
				[EPP_RATE_TRANSFER] = (unsigned)c->epp.transfer_rate,
				[EPP_RATE_LOGIN] = (unsigned)c->epp.login_rate,
				[EPP_RATE_REFUSED] = (unsigned)c->epp.refused_rate } },
		.handler = { .ask = on_ask,
			.note = on_note,
			.gone = on_gone,
			.seal = seal,
			.user = f },
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

static void on_metrics(struct role_metrics *m, void *user)
{
	static const char *const limited[EPP_RATE_REFUSED] = {
		[EPP_RATE_CHECK] = "limited_check_total",
		[EPP_RATE_INFO] = "limited_info_total",
		[EPP_RATE_POLL] = "limited_poll_total",
		[EPP_RATE_CREATE] = "limited_create_total",
		[EPP_RATE_UPDATE] = "limited_update_total",
		[EPP_RATE_DELETE] = "limited_delete_total",
		[EPP_RATE_RENEW] = "limited_renew_total",
		[EPP_RATE_TRANSFER] = "limited_transfer_total",
		[EPP_RATE_LOGIN] = "limited_login_total",
	};
	const struct front_epp *f = user;
	const struct epp_counts *n = epp_server_counts(f->server);

	role_metric(m, "connections_total", (double)n->accepted);
	role_metric(m, "connections_refused_total", (double)n->refused);
	role_metric(m, "handshakes_failed_total", (double)n->handshakes_failed);
	role_metric(m, "connections", (double)n->clients);
	role_metric(m, "logins_total", (double)n->logins);
	role_metric(m, "logins_failed_total", (double)n->logins_failed);
	role_metric(m, "commands_total", (double)n->commands);
	role_metric(m, "command_errors_total", (double)n->errors);
	role_metric(m, "bad_frames_total", (double)n->bad_frames);
	role_metric(m, "timeouts_total", (double)n->timeouts);
	role_metric(m, "limited_total", (double)n->limited);
	for (int i = 0; i < EPP_RATE_REFUSED; i++)
		role_metric(m, limited[i], (double)n->limited_by[i]);
	role_metric(m, "refusals_unkept_total", (double)n->unkept);
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
	if (rc == RC_OK) {
		role_on_metrics(role, on_metrics, f);
		rc = role_ready(role);
	}
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
