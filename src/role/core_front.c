/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in, answers out: the links to the fronts. */
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

void core__item_free(struct core_item *item)
{
	if (!item)
		return;
	if (item->batch && --item->batch->refs == 0) {
		arena_fini(&item->batch->arena);
		free(item->batch);
	}
	if (item->front->under_way)
		item->front->under_way--;
	arena_fini(&item->made_arena);
	arena_fini(&item->arena);
	free(item);
}

static void fill_health(struct core *core, Registry__HealthData *h, struct arena *arena)
{
	h->committed_seq = store_change_last(core->store);
	h->served_seq = core->zone.served;
	h->serial = core->zone.serial;
	h->keys = core->keys != NULL;
	h->zone = core->zone.up;
	h->requests = core->count.requests;
	h->refused = core->count.refused;
	h->batches = core->count.batches;
	core__health_secondaries(core, h, arena);
}

static double length(const struct core_item *list)
{
	size_t n = 0;

	for (; list; list = list->next)
		n++;
	return (double)n;
}

void core_metrics(struct core *core, core_metric_fn *put, void *to)
{
	uint64_t last = store_change_last(core->store);
	const struct {
		const char *name;
		double value;
	} rows[] = {
		{ "requests_total", (double)core->count.requests },
		{ "refused_total", (double)core->count.refused },
		{ "batches_total", (double)core->count.batches },
		{ "committed_seq", (double)last },
		{ "served_seq", (double)core->zone.applied },
		{ "zone_lag_changes", (double)(last - core->zone.applied) },
		{ "zone_serial", (double)core->zone.serial },
		{ "zone_connected", core->zone.up },
		{ "keys_connected", core->keys != NULL },
		{ "queue_requests", length(core->queue) },
		{ "unserved_requests", length(core->serving) },
		{ "long_polls", (double)core->waiter_count },
		{ "database_log_pages", store_wal_pages(core->store) },
		{ "database_connected", store_connected(core->store) },
		{ "database_lost_total", (double)store_lost(core->store) },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		put(to, rows[i].name, "", rows[i].value);
	core__tlsa_metrics(core, put, to);
	core__metrics_secondaries(core, put, to);
	core__node_metrics(core, put, to);
}

void core__answer(struct core_item *item)
{
	struct core *core = item->core;
	struct core_front *front = item->front;
	Registry__Reply *reply = &item->run.reply;

	if (reply->code >= REGISTRY__CODE__CODE_UNKNOWN_COMMAND)
		core->count.refused++;
	if (item->whole) {
		core__result_part(item);
		return;
	}
	if (reply->result_case == REGISTRY__REPLY__RESULT_HEALTH)
		fill_health(core, reply->health, &item->arena);
	if (reply->result_case == REGISTRY__REPLY__RESULT_ZONE_KEYS)
		core__keys_fill(core, item);
	if (item->run.request->op_case == REGISTRY__REQUEST__OP_ZONE_KEY_ORDER &&
		reply->code == REGISTRY__CODE__CODE_OK)
		core__keys_order(core, item->run.request->zone_key_order);
	/* Whoever asked may be gone: what was done stays done. */
	if (front->link && front->generation == item->generation &&
		link_send(front->link, &reply->base) != RC_OK)
		log_write(core->log, LOG_WARNING, "answer dropped front=%s", front->name);
	core__item_free(item);
}

/* Certificates of a party: looked up once, until a party changes. */
static bool find_caller(struct core *core, struct core_item *item)
{
	const ProtobufCBinaryData *spki = &item->run.request->spki_sha256;
	size_t at;

	/* A device authenticates no party, whatever its key is. */
	if (spki->len != STORE_SHA256 || item->run.request->cert_sha256.len)
		return false;
	at = (size_t)(spki->data[0] ^ spki->data[31]) % CORE_PARTY_CACHE;
	if (core->party_cache[at].used &&
		memcmp(core->party_cache[at].spki, spki->data, STORE_SHA256) == 0) {
		item->caller = core->party_cache[at].party;
		return true;
	}
	if (store_party_by_spki(core->store, spki->data, &item->caller) != RC_OK)
		return false;
	core->party_cache[at].used = true;
	memcpy(core->party_cache[at].spki, spki->data, STORE_SHA256);
	core->party_cache[at].party = item->caller;
	return true;
}

static void *take(void *user, size_t len)
{
	return arena_alloc(user, len);
}

static void give_back(void *user ATT_UNUSED, void *p ATT_UNUSED)
{
}

static void refuse(struct core_item *item, Registry__Code code, const char *why)
{
	registry_refuse(&item->run, code, "", "%s", why);
	core__answer(item);
}

static void route(struct core *core, struct core_item *item)
{
	const struct registry_op *op = registry_op(item->run.request);

	if (core->node.removed) {
		refuse(item, REGISTRY__CODE__CODE_FAILED, "this node was removed");
		return;
	}
	if (item->run.request->op_case == REGISTRY__REQUEST__OP_CLIENT_GONE) {
		core__client_gone(core, item);
	} else if (item->run.request->op_case == REGISTRY__REQUEST__OP_JOB_RESULTS) {
		core__results(core, item);
	} else if (!op || op->kind == REGISTRY_READ) {
		/* A failure has become a 2400 in the reply. */
		if (registry_execute(&item->run) != RC_OK)
			log_write(core->log, LOG_ERROR, "read failed why=\"%s\"",
				store_why(core->store));
		core__answer(item);
	} else if (item->run.request->op_case == REGISTRY__REQUEST__OP_ZONE_KEY_ORDER &&
		   !core->zone.up) {
		refuse(item, REGISTRY__CODE__CODE_FAILED, "the zone role is not there");
	} else if (item->run.request->op_case == REGISTRY__REQUEST__OP_ZONE_KEY_ORDER &&
		   core->node.on && !core->node.sign_sent) {
		registry_refuse(&item->run, REGISTRY__CODE__CODE_FAILED, "",
			"the zone's keys are with the node that signs: %s",
			*core->node.head.holder ? core->node.head.holder : "none yet");
		core__answer(item);
	} else if (item->front->under_way > CORE_QUEUE_MAX) {
		refuse(item, REGISTRY__CODE__CODE_LIMIT, "too many requests are under way");
	} else if (op->kind == REGISTRY_WAIT) {
		core__wait(core, item);
	} else {
		core__enqueue(core, item);
	}
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct core_front *front = user;
	struct core *core = front->core;
	struct core_item *item = calloc(1, sizeof(*item));
	ProtobufCAllocator alloc = { take, give_back, NULL };
	Registry__Request *request;

	if (!item) {
		log_write(core->log, LOG_ERROR, "out of memory");
		return;
	}
	item->arena = arena_init(CORE_ARENA_MAX);
	item->made_arena = arena_init(1u << 20);
	alloc.allocator_data = &item->arena;
	item->core = core;
	item->front = front;
	item->generation = front->generation;
	item->bytes = len;
	front->under_way++;
	request = registry__request__unpack(&alloc, len, bytes);
	if (!request) {
		/* A front that cannot frame a message is broken. */
		log_write(core->log, LOG_ERROR, "malformed request front=%s", front->name);
		core__item_free(item);
		front->link = NULL;
		core__waiters_drop(core, front);
		link_free(link);
		return;
	}
	core->count.requests++;
	registry_run_init(&item->run, &core->registry, &item->arena, front->class, NULL, request);
	item->has_caller = find_caller(core, item);
	item->run.caller = item->has_caller ? &item->caller : NULL;
	route(core, item);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct core_front *front = user;

	log_write(front->core->log, LOG_WARNING, "link_closed peer=%s why=%s", front->name,
		rc_text(why));
	front->link = NULL;
	core__waiters_drop(front->core, front);
	link_free(link);
}

static enum registry_class class_of(const char *peer)
{
	if (strcmp(peer, "front-api") == 0)
		return REGISTRY_API;
	if (strcmp(peer, "front-epp") == 0)
		return REGISTRY_EPP;
	return strcmp(peer, "out") == 0 ? REGISTRY_OUT : REGISTRY_PUBLIC;
}

enum rc core__front_link(struct core *core, const char *peer, int take_fd)
{
	struct link_opts opts = {
		.max_frame = CORE_REQUEST_MAX, .on_message = on_message, .on_closed = on_closed
	};
	struct core_front *front = NULL;

	for (size_t i = 0; i < core->front_count && !front; i++) {
		if (strcmp(core->fronts[i].name, peer) == 0)
			front = &core->fronts[i];
	}
	if (!front && core->front_count < CORE_FRONTS_MAX) {
		front = &core->fronts[core->front_count++];
		front->core = core;
		front->class = class_of(peer);
		strncpy(front->name, peer, sizeof(front->name) - 1);
	}
	if (!front) {
		evutil_closesocket(take_fd);
		return RC_TOO_LARGE;
	}
	if (front->link) {
		link_free(front->link);
		front->link = NULL;
		core__waiters_drop(core, front);
	}
	front->generation++;
	opts.user = front;
	return link_new(core->base, take_fd, &opts, &front->link);
}
