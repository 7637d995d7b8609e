/* SPDX-License-Identifier: Apache-2.0 */

/* The role that faces parties: TLS, HTTP and JSON on one side, typed requests
 * to core on the other. It holds the listener's key and the sessions, nothing
 * else: every rule and every right is core's, which knows this listener's class
 * from the link and the client from its key's hash. */

#include "base/secret.h"
#include "ca/seal.h"
#include "http/api.h"
#include "http/server.h"
#include "http/wipe.h"
#include "proc/frame.h"
#include "role/role.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	PENDING_MAX = 4096, /* requests that wait for core */
	ANSWER_MS = 10000,  /* core's time for one, beside the wait it was asked for */
	SWEEP_MS = 1000,
	SEAL_ID = 1, /* the request for the sealing key; clients' ids are higher */
	DRAIN_MS = 1500,
	SPARE_FDS = 64
};

/* A request that is with core. Its id on the link is generation << 16 | index + 2, so that an
 * answer from before a restart of core never meets another request. */
struct pending {
	struct http_conn *conn; /* NULL: the client has gone, or the place is free */
	const struct api_route *route;
	uint64_t id; /* 0: free */
	uint64_t deadline_ms;
};

struct front {
	struct role *role;
	SSL_CTX *ctx;
	struct http_server *server;
	struct link *core;
	struct event *sweep;
	struct pending pending[PENDING_MAX];
	uint16_t free[PENDING_MAX]; /* stack of free places */
	size_t free_count;
	uint64_t generation;
	bool has_seal_point;
	uint8_t seal_point[CA_POINT_LEN];
	uint64_t lost;	  /* answers of core for clients that had gone */
	uint64_t expired; /* requests that core did not answer in time */
};

/* ---- answers that do not come from core ---- */

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

/* ---- requests that are with core ---- */

static struct pending *pending_take(struct front *f)
{
	struct pending *p;

	if (!f->free_count)
		return NULL;
	uint16_t index = f->free[--f->free_count];
	p = &f->pending[index];
	p->id = ++f->generation << 16 | (uint64_t)(index + 2u);
	return p;
}

static void pending_give(struct front *f, struct pending *p)
{
	f->free[f->free_count++] = (uint16_t)(p - f->pending);
	*p = (struct pending){ 0 };
}

static struct pending *pending_find(struct front *f, uint64_t id)
{
	uint64_t index = (id & 0xffff) - 2;

	return index < PENDING_MAX && f->pending[index].id == id ? &f->pending[index] : NULL;
}

/* Core died or was replaced: what it had may or may not have happened. The client repeats with
 * the same Idempotency-Key and learns which. */
static void fail_all(struct front *f)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct http_conn *conn = f->pending[i].conn;

		if (!f->pending[i].id)
			continue;
		pending_give(f, &f->pending[i]);
		if (conn)
			reply_unavailable(conn, "the registry is restarting; repeat the request");
	}
}

/* ---- the link to core ---- */

static void take_seal_point(struct front *f, const Registry__Reply *reply)
{
	if (reply->result_case != REGISTRY__REPLY__RESULT_SEAL_KEY ||
		reply->seal_key->point.len != sizeof(f->seal_point)) {
		log_write(f->role->log, LOG_INFO, "no sealing key yet code=%d", (int)reply->code);
		return;
	}
	memcpy(f->seal_point, reply->seal_key->point.data, sizeof(f->seal_point));
	f->has_seal_point = true;
}

static void ask_seal_point(struct front *f)
{
	Registry__Request request = REGISTRY__REQUEST__INIT;
	Registry__SealKey op = REGISTRY__SEAL_KEY__INIT;

	request.id = SEAL_ID;
	request.op_case = REGISTRY__REQUEST__OP_SEAL_KEY;
	request.seal_key = &op;
	f->has_seal_point = false;
	if (link_send(f->core, &request.base) != RC_OK)
		log_write(f->role->log, LOG_WARNING, "cannot ask core for the sealing key");
}

static void answer(struct front *f, const Registry__Reply *reply)
{
	struct pending *p = pending_find(f, reply->id);
	struct http_conn *conn = p ? p->conn : NULL;
	unsigned status = 500;
	char *json = NULL;
	size_t len = 0;

	if (!p || !conn)
		f->lost++;
	if (!p)
		return;
	enum rc rc = conn ? api_write(p->route, reply, &status, &json, &len) : RC_OK;
	pending_give(f, p);
	if (!conn)
		return;
	if (rc == RC_OK)
		http_reply(conn, status, json, len, NULL);
	else
		reply_fault(conn, 500, REGISTRY__CODE__CODE_FAILED, NULL,
			"the answer cannot be written as JSON", NULL);
	wipe_free(json);
}

static void on_core_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct front *f = user;
	Registry__Reply *reply = registry__reply__unpack(&wipe_allocator, len, bytes);

	if (!reply) {
		log_write(f->role->log, LOG_ERROR, "core sent what is no reply len=%zu", len);
		link_free(link);
		f->core = NULL;
		fail_all(f);
		return;
	}
	if (reply->id == SEAL_ID)
		take_seal_point(f, reply);
	else
		answer(f, reply);
	registry__reply__free_unpacked(reply, &wipe_allocator);
}

static void on_core_closed(struct link *link, enum rc why, void *user)
{
	struct front *f = user;

	log_write(f->role->log, LOG_WARNING, "link to core ended why=\"%s\"", rc_text(why));
	link_free(link);
	f->core = NULL;
	fail_all(f);
}

static void on_core_link(struct role *role, const char *peer, int take_fd, void *user)
{
	struct front *f = user;
	struct link_opts opts = {
		.on_message = on_core_message, .on_closed = on_core_closed, .user = f
	};

	(void)peer;
	link_free(f->core);
	f->core = NULL;
	fail_all(f);
	if (link_new(role->base, take_fd, &opts, &f->core) != RC_OK) {
		log_write(role->log, LOG_ERROR, "no link to core");
		f->core = NULL;
		return;
	}
	ask_seal_point(f);
}

/* ---- the HTTP side ---- */

static enum rc seal(
	void *user, const uint8_t *plain, size_t len, uint8_t *out, size_t cap, size_t *out_len)
{
	struct front *f = user;

	if (!f->has_seal_point && f->core)
		ask_seal_point(f);
	if (!f->has_seal_point)
		return RC_UNAVAILABLE;
	if (len + CA_SEAL_OVERHEAD > cap)
		return RC_TOO_LARGE;
	return ca_seal(f->seal_point, plain, len, out, out_len, NULL);
}

static size_t body_max(void *user, const struct http_head *head)
{
	struct front *f = user;
	struct api_fault unused;
	const struct api_route *route = api_find(head->method, head->path, &unused);
	size_t max = (size_t)f->role->config->https.body_max;

	size_t bound = route && (route->traits & API_BIG) ? API_BODY_BIG_MAX : API_BODY_MAX;

	return max < bound ? max : bound;
}

static void forward(struct front *f, struct http_conn *conn, const struct api_route *route,
	Registry__Request *request)
{
	struct pending *p;
	enum rc rc;

	if (!f->core) {
		reply_unavailable(conn, "the registry's core is not there; repeat the request");
		return;
	}
	p = pending_take(f);
	if (!p) {
		reply_unavailable(conn, "too many requests are waiting; repeat the request");
		return;
	}
	p->conn = conn;
	p->route = route;
	p->deadline_ms = f->role->clock->monotonic_ms(f->role->clock) + ANSWER_MS +
			 api_wait_s(request) * 1000u;
	request->id = p->id;
	rc = link_send(f->core, &request->base);
	if (rc != RC_OK) {
		pending_give(f, p);
		reply_unavailable(conn, "the registry is too busy; repeat the request");
	}
}

static void on_request(void *user, struct http_conn *conn, const struct http_request *http)
{
	struct front *f = user;
	const struct http_head *head = http->head;
	struct api_seal sealer = { .seal = seal, .user = f };
	struct api_input in = {
		.method = head->method,
		.path = head->path,
		.query = head->has_query ? head->query : NULL,
		.content_type = head->content_type[0] ? head->content_type : NULL,
		.idempotency_key = head->has_idempotency_key ? head->idempotency_key : NULL,
		.body = http->body,
		.body_len = http->body_len,
		.spki_sha256 = http->spki_sha256,
		.peer = http->peer,
	};
	Registry__Request *request = NULL;
	struct api_fault fault = { 0 };
	const struct api_route *route = api_find(in.method, in.path, &fault);

	if (!route || api_read(route, &in, &sealer, &request, &fault) != RC_OK) {
		reply_fault(conn, fault.status, fault.code, fault.what.field, fault.what.why,
			fault.allow[0] ? fault.allow : NULL);
		return;
	}
	forward(f, conn, route, request);
	reflect_free(&request->base);
}

/* Core may still answer: the place stays taken until then, so that the id is not used again. */
static void on_gone(void *user, struct http_conn *conn)
{
	struct front *f = user;

	for (size_t i = 0; i < PENDING_MAX; i++)
		if (f->pending[i].conn == conn)
			f->pending[i].conn = NULL;
}

static void on_sweep(evutil_socket_t fd, short what, void *user)
{
	struct front *f = user;
	uint64_t now = f->role->clock->monotonic_ms(f->role->clock);

	(void)fd;
	(void)what;
	/* At a common start core is there before keys is. */
	if (f->core && !f->has_seal_point)
		ask_seal_point(f);
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &f->pending[i];
		struct http_conn *conn = p->conn;

		if (!p->id || p->deadline_ms > now)
			continue;
		pending_give(f, p);
		f->expired++;
		if (conn)
			reply_unavailable(conn, "the registry did not answer in time; repeat the "
						"request with the same Idempotency-Key");
	}
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
	if (f->free_count == PENDING_MAX ||
		event_base_once(role->base, -1, EV_TIMEOUT, on_drained, f, &until) < 0)
		role_leave(role);
}

/* A descriptor for each client, as far as the machine allows; beyond that accept waits. */
static void allow_clients(const struct role *role)
{
	rlim_t want = (rlim_t)role->config->https.clients + SPARE_FDS;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= want)
		return;
	l.rlim_cur = want < l.rlim_max ? want : l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur < want)
		log_write(role->log, LOG_WARNING, "fewer descriptors than https.clients have=%llu",
			(unsigned long long)l.rlim_cur);
}

static enum rc start(struct front *f, struct diag *d)
{
	struct role *role = f->role;
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	struct http_handler handler = {
		.body_max = body_max, .on_request = on_request, .on_gone = on_gone, .user = f
	};
	const struct timeval every = { .tv_sec = SWEEP_MS / 1000 };
	int fd = role_listener(role, "https");
	enum rc rc;

	if (fd < 0)
		return diag_set(d, RC_UNSUPPORTED, "https.listen is not set");
	allow_clients(role);
	limits.clients = (size_t)role->config->https.clients;
	limits.idle_ms = (uint32_t)role->config->https.idle_ms;
	rc = tls_server_ctx(&f->ctx, role->config->https.cert, role->config->https.key,
		role->config->https.client_ca, d);
	if (rc != RC_OK)
		return rc;
	rc = role_on_link(role, "core", on_core_link, f);
	if (rc != RC_OK)
		return rc;
	role_on_stop(role, on_stop, f);
	/* Its hash seed comes from /dev/urandom, out of reach afterwards; the substitute is the
	 * time. */
	json_object_seed(0);
	rc = role_confine(role, d);
	if (rc != RC_OK)
		return rc;
	f->sweep = event_new(role->base, -1, EV_PERSIST, on_sweep, f);
	if (!f->sweep || event_add(f->sweep, &every) < 0)
		return RC_NOMEM;
	return http_server_new(&f->server, role->base, fd, f->ctx, &limits, &handler, role->log);
}

enum rc role_front_run(struct role *role)
{
	struct front *f = calloc(1, sizeof(*f));
	struct diag d = { 0 };
	enum rc rc = RC_NOMEM;

	if (!f)
		return rc;
	wipe_jansson();
	(void)signal(SIGPIPE, SIG_IGN); /* a client that goes is an error code, not a signal */
	f->role = role;
	for (size_t i = 0; i < PENDING_MAX; i++)
		f->free[f->free_count++] = (uint16_t)(PENDING_MAX - 1 - i);
	rc = start(f, &d);
	if (rc == RC_OK)
		rc = role_ready(role);
	if (rc == RC_OK)
		rc = role_loop(role);
	else
		log_write(
			role->log, LOG_ERROR, "cannot serve why=\"%s\" rc=%s", d.text, rc_text(rc));
	if (f->sweep)
		event_free(f->sweep);
	http_server_free(f->server);
	link_free(f->core);
	SSL_CTX_free(f->ctx);
	free(f);
	return rc;
}
