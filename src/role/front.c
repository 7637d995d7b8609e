/* SPDX-License-Identifier: Apache-2.0 */

/* The roles that face parties: TLS and a protocol on one side, typed requests
 * to core on the other. Each holds its listener's key and the sessions, nothing
 * else: every rule and every right is core's, which knows this listener's class
 * from the link and the client from its key's hash. Here: class api, HTTP and JSON. */

#include "base/secret.h"
#include "http/api.h"
#include "http/server.h"
#include "http/wipe.h"
#include "role/front_bulk.h"
#include "role/front_core.h"
#include "role/front_enrol.h"
#include "role/front_internal.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { DRAIN_MS = 1500 };

/* What a CSR or a CMP message is at most held back with; each door refuses by its own limit. */
#define ENROL_BODY_MAX (64u << 10)

struct front {
	struct role *role;
	SSL_CTX *ctx;
	struct http_server *server;
	struct front_core *core;
	struct front_bulks *bulks;
	struct front_enrol *enrol;
};

/* ---- answers ---- */

static void reply_fault(struct http_conn *conn, unsigned status, unsigned code, const char *field,
	const char *why, const char *allow)
{
	size_t len = 0;
	char *json = api_fault_write(code, why, field, &len);

	http_reply(conn, status, json, len, allow);
	wipe_free(json);
}

static void reply_unavailable(struct http_conn *conn, const char *why)
{
	reply_fault(conn, 503, REGISTRY__CODE__CODE_FAILED, NULL, why, NULL);
}

static void on_reply(
	void *user, void *client, const void *extra, const Registry__Reply *reply, const char *why)
{
	struct front *f = user;
	struct http_conn *conn = client;
	const struct api_route *route = extra;
	unsigned status = 500;
	char *json = NULL;
	size_t len = 0;

	if (extra == front_bulk_mark) {
		front_bulk_reply(client, reply, why);
		return;
	}
	if (front_enrol_reply(f->enrol, conn, reply, why))
		return;
	if (!reply)
		reply_unavailable(conn, why);
	else if (api_write(route, reply, &status, &json, &len) == RC_OK)
		http_reply(conn, status, json, len, NULL);
	else
		reply_fault(conn, 500, REGISTRY__CODE__CODE_FAILED, NULL,
			"the answer cannot be written as JSON", NULL);
	wipe_free(json);
}

/* ---- requests ---- */

static size_t body_max(void *user, const struct http_head *head)
{
	struct front *f = user;
	struct api_fault unused;
	const struct api_route *route = api_find(head->method, head->path, &unused);
	size_t max = (size_t)f->role->config->https.body_max;

	if (front_enrol_is(head->path))
		return ENROL_BODY_MAX;

	size_t bound = route && (route->traits & API_BIG) ? API_BODY_BIG_MAX : API_BODY_MAX;

	return max < bound ? max : bound;
}

static const char no_party[] = "a device's certificate renews itself and nothing else";

static void on_request(void *user, struct http_conn *conn, const struct http_request *http)
{
	struct front *f = user;
	const struct http_head *head = http->head;
	struct api_seal sealer = { .seal = front_core_seal, .user = f->core };
	struct api_input in = {
		.method = head->method,
		.path = head->path,
		.query = head->has_query ? head->query : NULL,
		.content_type = head->content_type[0] ? head->content_type : NULL,
		.idempotency_key = head->has_idempotency_key ? head->idempotency_key : NULL,
		.case_id = head->case_id,
		.why = head->why,
		.body = http->body,
		.body_len = http->body_len,
		.spki_sha256 = http->spki_sha256,
		.peer = http->peer,
	};
	Registry__Request *request = NULL;
	struct api_fault fault = { 0 };
	const struct api_route *route = api_find(in.method, in.path, &fault);
	const char *why = NULL;

	if (front_enrol_is(in.path)) {
		front_enrol_request(f->enrol, conn, http);
		return;
	}
	if (front_enrol_device(f->enrol, http)) {
		front_enrol_refused(f->enrol, http, in.path, no_party);
		reply_fault(conn, 403, REGISTRY__CODE__CODE_AUTHORIZATION, NULL, no_party, NULL);
		return;
	}
	if (route && (route->traits & API_BULK)) {
		if (front_bulk_start(f->bulks, conn, http, &fault) != RC_OK)
			reply_fault(conn, fault.status, fault.code, fault.what.field,
				fault.what.why, NULL);
		return;
	}
	if (!route || api_read(route, &in, &sealer, &request, &fault) != RC_OK) {
		reply_fault(conn, fault.status, fault.code, fault.what.field, fault.what.why,
			fault.allow[0] ? fault.allow : NULL);
		return;
	}
	if (!front_core_ask(f->core, request, conn, route, api_wait_s(request) * 1000u, &why))
		reply_unavailable(conn, why);
	reflect_free(&request->base);
}

static void on_gone(void *user, struct http_conn *conn)
{
	struct front *f = user;

	front_core_forget(f->core, conn);
	front_bulk_gone(f->bulks, conn);
	front_enrol_gone(f->enrol, conn);
}

static void on_refused(void *user, const struct http_request *http, const char *why)
{
	struct front *f = user;

	if (front_enrol_is(http->head->path))
		front_enrol_refused(f->enrol, http, http->head->path, why);
}

/* ---- life ---- */

static void on_drained(evutil_socket_t fd, short what, void *user)
{
	struct front *f = user;

	(void)fd;
	(void)what;
	role_leave(f->role);
}

/* Answers that are under way still leave. */
static void on_stop(struct role *role, void *user)
{
	const struct timeval until = { .tv_sec = DRAIN_MS / 1000,
		.tv_usec = DRAIN_MS % 1000 * 1000 };
	struct front *f = user;

	http_server_drain(f->server);
	if (front_core_idle(f->core) ||
		event_base_once(role->base, -1, EV_TIMEOUT, on_drained, f, &until) < 0)
		role_leave(role);
}

static enum rc start(struct front *f, struct diag *d)
{
	struct role *role = f->role;
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct http_handler handler = { .body_max = body_max,
		.on_request = on_request,
		.on_gone = on_gone,
		.on_refused = on_refused,
		.user = f };
	struct front_core_events events = { .on_reply = on_reply, .user = f };
	int fd = role_listener(role, "https");
	enum rc rc;

	if (fd < 0)
		return diag_set(d, RC_UNSUPPORTED, "https.listen is not set");
	limits.clients = (size_t)role->config->https.clients;
	limits.idle_ms = (uint32_t)role->config->https.idle_ms;
	rc = tls_server_ctx(&f->ctx, role->config->https.cert, role->config->https.key,
		role->config->https.client_ca, d);
	if (rc == RC_OK)
		rc = front_enrol_new(&f->enrol, role, f->ctx, d);
	if (rc == RC_OK)
		rc = front_core_new(&f->core, role, &events);
	if (rc == RC_OK)
		rc = front_bulks_new(&f->bulks, f->core);
	if (rc != RC_OK)
		return rc;
	front_enrol_core(f->enrol, f->core);
	role_on_stop(role, on_stop, f);
	/* Its hash seed comes from /dev/urandom, out of reach afterwards; the substitute is the
	 * time. */
	json_object_seed(0);
	rc = role_confine(role, d);
	if (rc == RC_OK)
		rc = front_core_start(f->core);
	if (rc != RC_OK)
		return rc;
	return http_server_new(&f->server, role->base, fd, f->ctx, &limits, &handler, role->log);
}

static void on_metrics(struct role_metrics *m, void *user)
{
	const struct front *f = user;
	const struct http_counts *c = http_server_counts(f->server);

	role_metric(m, "connections_total", (double)c->accepted);
	role_metric(m, "connections_refused_total", (double)c->refused);
	role_metric(m, "handshakes_failed_total", (double)c->handshakes_failed);
	role_metric(m, "http_requests_total", (double)c->requests);
	role_metric(m, "bad_requests_total", (double)c->bad_requests);
	role_metric(m, "connections", (double)c->clients);
}

static enum rc run_api(struct role *role)
{
	struct front *f = calloc(1, sizeof(*f));
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;

	if (!f)
		return rc;
	wipe_jansson();
	f->role = role;
	rc = start(f, &d);
	if (rc == RC_OK)
		role_on_metrics(role, on_metrics, f);
	if (rc == RC_OK)
		rc = role_ready(role);
	if (rc == RC_OK)
		rc = role_loop(role);
	else
		log_write(
			role->log, LOG_ERROR, "cannot serve why=\"%s\" rc=%s", d.text, rc_text(rc));
	http_server_free(f->server);
	front_bulks_free(f->bulks);
	front_core_free(f->core);
	front_enrol_free(f->enrol);
	SSL_CTX_free(f->ctx);
	free(f);
	return rc;
}

enum rc role_front_run(struct role *role)
{
	(void)signal(SIGPIPE, SIG_IGN); /* a client that goes is an error code, not a signal */
	return strcmp(role->class, "epp") == 0 ? role__front_epp_run(role) : run_api(role);
}
