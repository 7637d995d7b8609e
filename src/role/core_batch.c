/* SPDX-License-Identifier: Apache-2.0 */
/* From the queue to the answer: plan, keys, one transaction, zone. */
#include "proc/killpoint.h"
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- forming ---------------------------------------------------------------------------- */

void core__form_soon(struct core *core)
{
	static const struct timeval now = { 0, 0 };

	if (core->queue && !event_pending(core->form, EV_TIMEOUT, NULL))
		event_add(core->form, &now);
}

void core__enqueue(struct core *core, struct core_item *item)
{
	item->next = NULL;
	*core->queue_end = item;
	core->queue_end = &item->next;
	core->queue_count++;
	core__form_soon(core);
}

static struct core_batch *batch_new(void)
{
	struct core_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->refs = 1; /* the batch itself, while it is under way */
	b->arena = arena_init(CORE_ARENA_MAX);
	b->items_end = &b->items;
	return b;
}

static void batch_release(struct core_batch *b)
{
	if (--b->refs == 0) {
		arena_fini(&b->arena);
		free(b);
	}
}

static void batch_add(struct core_batch *b, struct core_item *item)
{
	if (item->batch != b) {
		if (item->batch)
			batch_release(item->batch);
		item->batch = b;
		b->refs++;
	}
	item->next = NULL;
	*b->items_end = item;
	b->items_end = &item->next;
	b->count++;
	if (item->ordered)
		b->orders++;
}

/* A fresh run over the same request, for planning and again for execution. */
static void restart_run(struct core_item *item, bool planning)
{
	struct registry_run *run = &item->run;

	registry_run_init(run, &item->core->registry, &item->arena, item->front->class,
		item->has_caller ? &item->caller : NULL, run->request);
	run->planning = planning;
	run->ordered = item->ordered;
	run->made = item->made;
}

/* What must be made before the transaction? False: the item went to be prepared. */
static bool plan(struct core *core, struct core_item *item)
{
	const struct registry_op *op = registry_op(item->run.request);

	item->ordered = NULL;
	item->made.cert = NULL;
	if (!op->plans || item->made.party || item->made.login_checked)
		return true;
	restart_run(item, true);
	/* A refusal, or a failure, is found again when it is executed. */
	if (registry_execute(&item->run) != RC_OK)
		return true;
	item->ordered = item->run.cert_order;
	if (!item->run.party_order && !item->run.login_order)
		return true;
	core__prepare(core, item);
	return false;
}

static void execute(struct core *core, struct core_batch *b);

static void on_issued(struct core *core, const Keys__Reply *reply, struct arena *arena, void *user)
{
	struct core_batch *b = user;
	const Keys__IssuedDevice *issued = NULL;
	size_t i = 0;

	core->at_keys--;
	if (reply && reply->result_case == KEYS__REPLY__RESULT_ISSUED_DEVICE &&
		reply->issued_device->n_results == b->orders)
		issued = reply->issued_device;
	else
		log_write(core->log, LOG_WARNING, "keys made no certificates why=\"%s\"",
			reply ? reply->why : "no answer");
	b->arena = *arena;
	*arena = arena_init(0);
	for (struct core_item *item = b->items; item; item = item->next) {
		if (item->ordered)
			item->made.cert = issued ? issued->results[i++] : NULL;
	}
	execute(core, b);
	core__form_soon(core);
}

static bool order(struct core *core, struct core_batch *b)
{
	Keys__Request request = KEYS__REQUEST__INIT;
	Keys__IssueDevice issue = KEYS__ISSUE_DEVICE__INIT;
	Keys__CertOrder **orders = calloc(b->orders, sizeof(*orders));
	bool sent;

	if (!orders)
		return false;
	for (struct core_item *item = b->items; item; item = item->next) {
		if (item->ordered)
			orders[issue.n_orders++] = (Keys__CertOrder *)(uintptr_t)item->ordered;
	}
	issue.orders = orders;
	request.op_case = KEYS__REQUEST__OP_ISSUE_DEVICE;
	request.issue_device = &issue;
	sent = core__call_keys(core, &request, on_issued, b);
	if (sent)
		core->at_keys++;
	free(orders);
	return sent;
}

/* The next batch fills while some are on their way; but not for a zone that does not move: then
 * requests are committed and answered as pending. */
static bool held_by_zone(const struct core *core)
{
	return core->zone.up && core->zone.batches >= CORE_AT_ZONE_MAX &&
	       core__now_ms(core) - core->zone.moved_ms < (uint64_t)core->options.answer_wait_ms;
}

/* A transaction costs more than most of what is in it. While others are under way a few requests
 * wait a moment for company; one that is alone never does. */
static bool paced(const struct core *core)
{
	bool others = core->at_keys || core->serving || core->zone.batches;

	return others && core->queue_count < CORE_PACE_ENOUGH &&
	       core__now_ms(core) - core->committed_ms < CORE_PACE_MS;
}

void core__form(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	static const struct timeval pace = { 0, CORE_PACE_MS * 1000 };
	struct core *core = user;
	struct core_batch *b;
	size_t bytes = 0;
	bool reading;

	if (!core->queue || core->at_keys >= CORE_AT_KEYS_MAX || held_by_zone(core))
		return;
	if (paced(core)) {
		event_add(core->form, &pace);
		return;
	}
	b = batch_new();
	if (!b) {
		log_write(core->log, LOG_ERROR, "out of memory");
		return;
	}
	/* One read transaction for all plans: one lock instead of one per question. */
	reading = store_read_begin(core->store) == RC_OK;
	while (core->queue && b->count < (size_t)core->options.batch_max &&
		bytes < CORE_BATCH_BYTES) {
		struct core_item *item = core->queue;

		core->queue = item->next;
		core->queue_count--;
		if (!core->queue)
			core->queue_end = &core->queue;
		bytes += item->bytes;
		if (plan(core, item))
			batch_add(b, item);
	}
	if (reading)
		store_read_end(core->store);
	/* Without keys the orders stay unmade, and those requests are refused before commit. */
	if (!b->orders || !order(core, b))
		execute(core, b);
	core__form_soon(core);
}

/* ---- executing -------------------------------------------------------------------------- */

static void fail_storage(struct core *core, struct core_item *item)
{
	item->run.changes = NULL;
	item->run.news = NULL;
	item->run.uses_zone = false;
	item->run.install = false;
	registry_refuse(
		&item->run, REGISTRY__CODE__CODE_FAILED, "", "the registry's storage failed");
	log_write(core->log, LOG_ERROR, "storage failed why=\"%s\"", store_why(core->store));
}

/* One request in its savepoint. False: it must be planned again. */
static bool execute_one(struct core *core, struct core_item *item)
{
	struct registry_run *run = &item->run;
	bool kept;
	enum rc rc;

	restart_run(item, false);
	if (item->ordered && !item->made.cert) {
		registry_refuse(run, REGISTRY__CODE__CODE_FAILED, "",
			"no certificate can be made at the moment");
		return true;
	}
	rc = store_savepoint(core->store);
	if (rc == RC_OK)
		rc = registry_execute(run);
	kept = rc == RC_OK && !run->again &&
	       (run->reply.code < REGISTRY__CODE__CODE_UNKNOWN_COMMAND || run->keep);
	if (rc == RC_OK && kept)
		rc = store_savepoint_release(core->store);
	else if (store_savepoint_rollback(core->store) != RC_OK && rc == RC_OK)
		rc = RC_IO;
	if (rc == RC_OK && !kept && !run->again)
		rc = registry_refusal(run);
	if (rc != RC_OK)
		fail_storage(core, item);
	if (!kept) {
		run->changes = NULL;
		run->news = NULL;
		run->uses_zone = false;
		run->install = false;
	}
	return rc != RC_OK || !run->again;
}

static void again(struct core *core, struct core_item *item)
{
	if (++item->rounds > CORE_AGAIN_MAX) {
		restart_run(item, false);
		registry_refuse(&item->run, REGISTRY__CODE__CODE_FAILED, "",
			"the object changes too often; try again");
		core__answer(item);
		return;
	}
	core__enqueue(core, item);
}

/* Gathers the changes of all items, in the order of their numbers. */
static Zone__Change **changes_of(struct core_batch *b, size_t *n)
{
	Zone__Change **out;
	size_t count = 0;

	for (struct core_item *item = b->items; item; item = item->next) {
		for (struct registry_change *c = item->run.changes; c; c = c->next)
			count++;
	}
	out = arena_array(&b->arena, count, sizeof(*out));
	*n = 0;
	for (struct core_item *item = b->items; item && out; item = item->next) {
		for (struct registry_change *c = item->run.changes; c; c = c->next) {
			out[*n] = registry_change_message(&c->c, &b->arena);
			if (!out[(*n)++])
				return NULL;
		}
	}
	return out;
}

/* Committed: the zone hears of it, then those who waited for such news, then the clients. */
static void spread(struct core *core, struct core_batch *b, uint64_t before)
{
	Zone__Change **changes;
	bool install = false;
	size_t n;

	core->count.batches++;
	if (store_change_last(core->store) != before) {
		changes = changes_of(b, &n);
		core__zone_commit(core, before, changes, n);
	}
	for (struct core_item *item = b->items; item; item = item->next) {
		install |= item->run.install;
		if (item->made.party)
			memset(core->party_cache, 0, sizeof(core->party_cache));
		core__news(core, item->run.news);
	}
	if (install)
		core__install_kick(core);
	store_checkpointer_note(core->checkpointer, core->store);
}

static void arm_overdue(struct core *core)
{
	uint64_t now = core__now_ms(core);
	struct timeval tv = { 0, 0 };
	uint64_t left;

	if (!core->serving)
		return;
	left = core->serving->deadline_ms > now ? core->serving->deadline_ms - now : 0;
	tv.tv_sec = (time_t)(left / 1000);
	tv.tv_usec = (suseconds_t)(left % 1000 * 1000);
	event_add(core->overdue, &tv);
}

static void wait_for_zone(struct core *core, struct core_item *item)
{
	bool first = core->serving == NULL;

	item->deadline_ms = core__now_ms(core) + (uint64_t)core->options.answer_wait_ms;
	item->next = NULL;
	*core->serving_end = item;
	core->serving_end = &item->next;
	if (first)
		arm_overdue(core);
}

static void answer_all(struct core *core, struct core_item *items)
{
	while (items) {
		struct core_item *item = items;

		items = item->next;
		if (item->run.uses_zone && item->run.change_seq > core->zone.served)
			wait_for_zone(core, item);
		else
			core__answer(item);
	}
}

static void run_all(struct core *core, struct core_batch *b)
{
	struct core_item *items = b->items;

	b->items = NULL;
	b->items_end = &b->items;
	b->count = 0;
	while (items) {
		struct core_item *item = items;

		items = item->next;
		if (execute_one(core, item))
			batch_add(b, item);
		else
			again(core, item);
	}
}

/* *before is what had been counted when the transaction began, by other nodes too. */
static enum rc try_once(struct core *core, struct core_batch *b, uint64_t *before)
{
	enum rc rc = store_begin(core->store);

	*before = store_change_last(core->store);
	if (rc == RC_OK) {
		run_all(core, b);
		kill_point("core-before-commit");
		rc = store_commit(core->store);
		kill_point("core-after-commit");
	}
	return rc;
}

static void execute(struct core *core, struct core_batch *b)
{
	uint64_t before;
	enum rc rc = RC_BUSY;

	for (int i = 0; i < CORE_TRIES_MAX; i++) {
		rc = try_once(core, b, &before);
		if (rc == RC_OK || !store_may_retry(core->store))
			break;
		log_write(core->log, LOG_WARNING, "batch is tried again why=\"%s\"",
			store_why(core->store));
	}
	core->committed_ms = core__now_ms(core);
	if (rc == RC_OK) {
		spread(core, b, before);
	} else {
		for (struct core_item *item = b->items; item; item = item->next)
			fail_storage(core, item);
	}
	answer_all(core, b->items);
	batch_release(b);
}

/* ---- the zone's part -------------------------------------------------------------------- */

void core__served(struct core *core)
{
	bool point = false;

	while (core->serving && core->serving->run.change_seq <= core->zone.served) {
		struct core_item *item = core->serving;

		if (!point)
			kill_point("core-after-zone-ack");
		point = true;
		core->serving = item->next;
		if (!core->serving)
			core->serving_end = &core->serving;
		core__answer(item);
	}
	event_del(core->overdue);
	arm_overdue(core);
	core__form_soon(core);
	core__waiters_served(core);
}

struct overdue {
	struct core_item *items;
};

static enum rc remember_pending(struct registry_run *run, void *user)
{
	struct overdue *o = user;
	enum rc rc = RC_OK;

	for (struct core_item *item = o->items; item && rc == RC_OK; item = item->next)
		rc = registry_pending(run, &item->run);
	return rc;
}

/* The zone is late: what is committed is answered as pending, and the rest comes by poll. That it
 * will come is on disk before the answer leaves. */
void core__overdue(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;
	uint64_t now = core__now_ms(core);
	struct core_item **end = &core->serving;
	struct overdue o = { .items = core->serving };

	while (*end && (*end)->deadline_ms <= now)
		end = &(*end)->next;
	if (end == &core->serving) {
		arm_overdue(core);
		return;
	}
	core->serving = *end;
	if (!core->serving)
		core->serving_end = &core->serving;
	*end = NULL;
	if (core__system(core, remember_pending, &o) != RC_OK)
		log_write(core->log, LOG_ERROR, "pending answers are not remembered");
	core->zone.has_waits = true;
	while (o.items) {
		struct core_item *item = o.items;

		o.items = item->next;
		if (item->run.reply.code == REGISTRY__CODE__CODE_OK) {
			item->run.reply.code = REGISTRY__CODE__CODE_PENDING;
			item->run.reply.reason =
				(char *)"done and kept; being published, the result comes by poll";
		}
		core__answer(item);
	}
	arm_overdue(core);
}

/* ---- the registry's own work -------------------------------------------------------------- */

static enum rc commit_system(struct core *core, struct registry_run *run, core_system_fn *fn,
	void *user, uint64_t *before)
{
	enum rc rc = store_begin(core->store);

	if (rc != RC_OK)
		return rc;
	*before = store_change_last(core->store);
	rc = fn(run, user);
	if (rc == RC_OK)
		return store_commit(core->store);
	store_rollback(core->store);
	return rc;
}

enum rc core__system(struct core *core, core_system_fn *fn, void *user)
{
	uint64_t before = 0;
	struct arena arena = arena_init(CORE_ARENA_MAX);
	struct registry_run run;
	Zone__Change **list;
	size_t n = 0;
	enum rc rc;

	for (int i = 0;; i++) {
		registry_run_init(&run, &core->registry, &arena, REGISTRY_OUT, NULL, NULL);
		rc = commit_system(core, &run, fn, user, &before);
		if (rc == RC_OK || i + 1 == CORE_TRIES_MAX || !store_may_retry(core->store))
			break;
	}
	if (rc == RC_OK && run.changes) {
		for (struct registry_change *c = run.changes; c; c = c->next)
			n++;
		list = arena_array(&arena, n, sizeof(*list));
		n = 0;
		for (struct registry_change *c = run.changes; c && list; c = c->next)
			list[n++] = registry_change_message(&c->c, &arena);
		if (arena.failed)
			list = NULL;
		core__zone_commit(core, before, list, n);
	}
	if (rc == RC_OK) {
		core__news(core, run.news);
		if (run.install)
			core__install_kick(core);
		store_checkpointer_note(core->checkpointer, core->store);
	} else {
		log_write(core->log, LOG_ERROR, "own transaction failed why=\"%s\" rc=%s",
			store_why(core->store), rc_text(rc));
	}
	arena_fini(&arena);
	return rc;
}
