/* SPDX-License-Identifier: Apache-2.0 */
#include "role/front_core.h"

#include "ca/seal.h"
#include "http/wipe.h"
#include "proc/frame.h"

#include <stdlib.h>
#include <string.h>

enum {
	PENDING_MAX = 4096, /* requests that wait for core */
	ANSWER_MS = 10000,  /* core's time for one, beside the wait it was asked for */
	SWEEP_MS = 1000,
	SEAL_AGAIN_MS = 50, /* keys comes after core: clients are there already */
	SEAL_ID = 1	    /* the request for the sealing key; clients' ids are higher */
};

/* A request that is with core. Its id on the link is generation << 16 | index + 2, so that an
 * answer from before a restart of core never meets another request. */
struct pending {
	void *client; /* NULL: it has gone, or the place is free */
	const void *extra;
	uint64_t id; /* 0: free */
	bool waits;  /* a long poll */
	uint64_t deadline_ms;
};

struct front_core {
	struct role *role;
	struct front_core_events events;
	struct link *link;
	struct event *sweep, *seal_again;
	struct pending pending[PENDING_MAX];
	uint16_t free[PENDING_MAX]; /* stack of free places */
	size_t free_count;
	uint64_t generation;
	bool has_seal_point;
	uint8_t seal_point[CA_POINT_LEN];
	uint64_t lost;	  /* answers of core for clients that had gone */
	uint64_t expired; /* requests that core did not answer in time */
};

/* ---- requests that are with core ---- */

static struct pending *pending_take(struct front_core *f)
{
	struct pending *p;

	if (!f->free_count)
		return NULL;
	uint16_t index = f->free[--f->free_count];
	p = &f->pending[index];
	p->id = ++f->generation << 16 | (uint64_t)(index + 2u);
	return p;
}

static struct pending pending_give(struct front_core *f, struct pending *p)
{
	struct pending was = *p;

	f->free[f->free_count++] = (uint16_t)(p - f->pending);
	*p = (struct pending){ 0 };
	return was;
}

static struct pending *pending_find(struct front_core *f, uint64_t id)
{
	uint64_t index = (id & 0xffff) - 2;

	return index < PENDING_MAX && f->pending[index].id == id ? &f->pending[index] : NULL;
}

static void tell(struct front_core *f, const struct pending *was, const Registry__Reply *reply,
	const char *why)
{
	if (was->client)
		f->events.on_reply(f->events.user, was->client, was->extra, reply, why);
}

/* Core died or was replaced: what it had may or may not have happened. The client repeats with
 * the same Idempotency-Key, or looks, and learns which. */
static void fail_all(struct front_core *f)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending was;

		if (!f->pending[i].id)
			continue;
		was = pending_give(f, &f->pending[i]);
		tell(f, &was, NULL, "the registry is restarting; repeat the request");
	}
}

/* ---- the link ---- */

static void take_seal_point(struct front_core *f, const Registry__Reply *reply)
{
	const struct timeval soon = { .tv_usec = SEAL_AGAIN_MS * 1000 };

	if (reply->result_case != REGISTRY__REPLY__RESULT_SEAL_KEY ||
		reply->seal_key->point.len != sizeof(f->seal_point)) {
		log_write(f->role->log, LOG_WARNING, "no sealing key code=%d", (int)reply->code);
		if (f->seal_again)
			(void)event_add(f->seal_again, &soon);
		return;
	}
	memcpy(f->seal_point, reply->seal_key->point.data, sizeof(f->seal_point));
	f->has_seal_point = true;
}

static void ask_seal_point(struct front_core *f)
{
	Registry__Request request = REGISTRY__REQUEST__INIT;
	Registry__SealKey op = REGISTRY__SEAL_KEY__INIT;

	request.id = SEAL_ID;
	request.op_case = REGISTRY__REQUEST__OP_SEAL_KEY;
	request.seal_key = &op;
	f->has_seal_point = false;
	if (link_send(f->link, &request.base) != RC_OK)
		log_write(f->role->log, LOG_WARNING, "cannot ask core for the sealing key");
}

static void on_seal_again(evutil_socket_t fd, short what, void *user)
{
	struct front_core *f = user;

	(void)fd;
	(void)what;
	if (!f->has_seal_point && f->link)
		ask_seal_point(f);
}

/* Without answer. A message that is lost costs a time-out at core, no more. */
static void say_gone(struct front_core *f, uint64_t id, const Registry__JobListData *jobs)
{
	Registry__Request request = REGISTRY__REQUEST__INIT;
	Registry__ClientGone op = REGISTRY__CLIENT_GONE__INIT;
	size_t n = jobs ? jobs->n_jobs : 0;
	char **ids = n ? calloc(n, sizeof(*ids)) : NULL;

	for (size_t i = 0; ids && i < n; i++)
		ids[i] = jobs->jobs[i]->id;
	op.request = id;
	op.jobs = ids;
	op.n_jobs = ids ? n : 0;
	request.op_case = REGISTRY__REQUEST__OP_CLIENT_GONE;
	request.client_gone = &op;
	if (f->link && link_send(f->link, &request.base) != RC_OK)
		log_write(f->role->log, LOG_WARNING, "core is not told that a client has gone");
	free(ids);
}

static void answer(struct front_core *f, const Registry__Reply *reply)
{
	struct pending *p = pending_find(f, reply->id);
	struct pending was;

	if (!p || !p->client) {
		f->lost++;
		if (reply->result_case == REGISTRY__REPLY__RESULT_JOB_LIST &&
			reply->job_list->n_jobs)
			say_gone(f, 0, reply->job_list);
	}
	if (!p)
		return;
	was = pending_give(f, p);
	tell(f, &was, reply, "");
}

static void on_core_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct front_core *f = user;
	Registry__Reply *reply = registry__reply__unpack(&wipe_allocator, len, bytes);

	if (!reply) {
		log_write(f->role->log, LOG_ERROR, "core sent what is no reply len=%zu", len);
		link_free(link);
		f->link = NULL;
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
	struct front_core *f = user;

	log_write(f->role->log, LOG_WARNING, "link to core ended why=\"%s\"", rc_text(why));
	link_free(link);
	f->link = NULL;
	fail_all(f);
}

static void on_core_link(struct role *role, const char *peer, int take_fd, void *user)
{
	struct front_core *f = user;
	struct link_opts opts = {
		.on_message = on_core_message, .on_closed = on_core_closed, .user = f
	};

	(void)peer;
	link_free(f->link);
	f->link = NULL;
	fail_all(f);
	if (link_new(role->base, take_fd, &opts, &f->link) != RC_OK) {
		log_write(role->log, LOG_ERROR, "no link to core");
		f->link = NULL;
		return;
	}
	ask_seal_point(f);
}

static void on_sweep(evutil_socket_t fd, short what, void *user)
{
	struct front_core *f = user;
	uint64_t now = f->role->clock->monotonic_ms(f->role->clock);

	(void)fd;
	(void)what;
	/* keys may have come after core. */
	if (!f->has_seal_point && f->link)
		ask_seal_point(f);
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending was;

		if (!f->pending[i].id || f->pending[i].deadline_ms > now)
			continue;
		was = pending_give(f, &f->pending[i]);
		f->expired++;
		tell(f, &was, NULL,
			"the registry did not answer in time; repeat the "
			"request with the same Idempotency-Key");
	}
}

/* ---- for the fronts ---- */

bool front_core_ask(struct front_core *f, Registry__Request *request, void *client,
	const void *extra, uint64_t wait_ms, const char **why)
{
	struct pending *p;

	*why = "the registry's core is not there; repeat the request";
	if (!f->link)
		return false;
	*why = "too many requests are waiting; repeat the request";
	p = pending_take(f);
	if (!p)
		return false;
	p->client = client;
	p->extra = extra;
	p->waits = wait_ms != 0;
	p->deadline_ms = f->role->clock->monotonic_ms(f->role->clock) + ANSWER_MS + wait_ms;
	request->id = p->id;
	*why = "the registry is too busy; repeat the request";
	if (link_send(f->link, &request->base) == RC_OK)
		return true;
	(void)pending_give(f, p);
	return false;
}

/* Core may still answer: the place stays taken until then, so that the id is not used again. A long
 * poll is ended there: what it was waiting for must not be handed to nobody. */
void front_core_forget(struct front_core *f, const void *client)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &f->pending[i];

		if (!p->id || p->client != client)
			continue;
		p->client = NULL;
		if (p->waits)
			say_gone(f, p->id, NULL);
	}
}

bool front_core_idle(const struct front_core *f)
{
	return f->free_count == PENDING_MAX;
}

enum rc front_core_seal(
	void *fc, const uint8_t *plain, size_t len, uint8_t *out, size_t cap, size_t *out_len)
{
	struct front_core *f = fc;

	if (!f->has_seal_point && f->link)
		ask_seal_point(f);
	if (!f->has_seal_point)
		return RC_UNAVAILABLE;
	if (len + CA_SEAL_OVERHEAD > cap)
		return RC_TOO_LARGE;
	return ca_seal(f->seal_point, plain, len, out, out_len, NULL);
}

enum rc front_core_new(
	struct front_core **out, struct role *role, const struct front_core_events *events)
{
	struct front_core *f = calloc(1, sizeof(*f));
	enum rc rc;

	if (!f)
		return RC_NOMEM;
	f->role = role;
	f->events = *events;
	for (size_t i = 0; i < PENDING_MAX; i++)
		f->free[f->free_count++] = (uint16_t)(PENDING_MAX - 1 - i);
	rc = role_on_link(role, "core", on_core_link, f);
	if (rc != RC_OK) {
		free(f);
		return rc;
	}
	*out = f;
	return RC_OK;
}

enum rc front_core_start(struct front_core *f)
{
	const struct timeval every = { .tv_sec = SWEEP_MS / 1000 };

	f->sweep = event_new(f->role->base, -1, EV_PERSIST, on_sweep, f);
	f->seal_again = event_new(f->role->base, -1, 0, on_seal_again, f);
	return f->sweep && f->seal_again && event_add(f->sweep, &every) == 0 ? RC_OK : RC_NOMEM;
}

void front_core_free(struct front_core *f)
{
	if (!f)
		return;
	if (f->sweep)
		event_free(f->sweep);
	if (f->seal_again)
		event_free(f->seal_again);
	link_free(f->link);
	free(f);
}
