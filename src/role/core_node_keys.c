/* SPDX-License-Identifier: Apache-2.0 */
/* The zone's keys among several nodes: `keys` of the node that signs seals them to every node, and
 * they are in the database before anything is stored that was made with them. */
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

#define FNV_START 1469598103934665603u
#define FNV_PRIME 1099511628211u

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * FNV_PRIME;
}

static uint64_t mix_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = mix(h, (uint8_t)*text);
	return h;
}

/* Tags, states and phases: what makes another set of files. */
static uint64_t print_of(const Zone__KeyStatus *s)
{
	uint64_t h = mix_text(FNV_START, s->algorithm_phase);

	for (size_t i = 0; i < s->n_keys; i++) {
		const Zone__KeyInfo *k = s->keys[i];

		h = mix(mix(mix(h, k->tag), k->ksk ? 1 : 0), k->hold ? 1 : 0);
		h = mix_text(h, k->state);
	}
	return h;
}

void core__node_keys_said(struct core *core, const Zone__KeyStatus *s)
{
	struct core_node *n = &core->node;
	uint64_t print = print_of(s);

	if (print == n->keys_print)
		return;
	n->keys_print = print;
	if (!n->sign_sent)
		return;
	n->keys_dirty = true;
	core__node_seal(core);
}

/* ---- sealing ----------------------------------------------------------------------------------
 */

struct sealing {
	struct arena arena;
	struct store_node *nodes;
	size_t count;
	uint64_t version, print;
};

static enum rc store_sealed(struct core *core, const struct sealing *s, Keys__SealedZoneKeys *m)
{
	struct core_node *n = &core->node;
	enum rc rc = m->n_bodies == s->count ? store_begin(core->store) : RC_MALFORMED;

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < s->count; i++) {
		struct store_blob body = { m->bodies[i].data, m->bodies[i].len };

		if (body.len)
			rc = store_node_keys_put(core->store, s->nodes[i].name, s->version, body);
	}
	if (rc == RC_OK)
		rc = store_node_keys_done(core->store, n->name, n->token, s->version);
	if (rc == RC_OK)
		return store_commit(core->store);
	store_rollback(core->store);
	return rc;
}

static void on_sealed(
	struct core *core, const Keys__Reply *reply, struct arena *arena ATT_UNUSED, void *user)
{
	struct core_node *n = &core->node;
	struct sealing *s = user;
	enum rc rc = RC_UNAVAILABLE;

	n->keys_asked = false;
	if (reply && reply->result_case == KEYS__REPLY__RESULT_SEALED_ZONE_KEYS)
		rc = store_sealed(core, s, reply->sealed_zone_keys);
	if (rc == RC_OK) {
		n->keys_version = n->head.keys_version = s->version;
		n->head.keyless = 0;
		n->keys_dirty = s->print != n->keys_print;
		log_write(core->log, LOG_INFO, "zone_keys sealed version=%llu nodes=%zu",
			(unsigned long long)s->version, s->count);
	} else {
		log_write(core->log, LOG_WARNING, "zone_keys are not sealed why=\"%s\"",
			reply && *reply->why ? reply->why : rc_text(rc));
	}
	arena_fini(&s->arena);
	free(s);
	if (n->keys_dirty && rc == RC_OK)
		core__node_seal(core); /* they have moved on meanwhile */
	if (rc == RC_OK)
		core__node_keep(core);
}

static bool ask_seal(struct core *core, struct sealing *s)
{
	Keys__Request request = KEYS__REQUEST__INIT;
	Keys__SealZoneKeys seal = KEYS__SEAL_ZONE_KEYS__INIT;
	Keys__NodeInfo *info = arena_array(&s->arena, s->count, sizeof(*info));
	Keys__NodeInfo **list = arena_array(&s->arena, s->count, sizeof(*list));

	if (!info || !list)
		return false;
	for (size_t i = 0; i < s->count; i++) {
		struct store_node *n = &s->nodes[i];

		keys__node_info__init(&info[i]);
		info[i].name = n->name;
		info[i].point = (ProtobufCBinaryData){ STORE_POINT_LEN, n->point };
		info[i].proof =
			(ProtobufCBinaryData){ n->proof.len, (uint8_t *)(uintptr_t)n->proof.bytes };
		list[i] = &info[i];
	}
	seal.version = s->version;
	seal.n_nodes = s->count;
	seal.nodes = list;
	request.op_case = KEYS__REQUEST__OP_SEAL_ZONE_KEYS;
	request.seal_zone_keys = &seal;
	return core__call_keys(core, &request, on_sealed, s);
}

void core__node_seal(struct core *core)
{
	struct core_node *n = &core->node;
	struct sealing *s;

	if (n->keys_asked || !core->keys || !n->token)
		return;
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	s->arena = arena_init(CORE_ARENA_MAX);
	s->version =
		(n->head.keys_version > n->keys_version ? n->head.keys_version : n->keys_version) +
		1;
	s->print = n->keys_print;
	if (store_node_list(core->store, &s->arena, &s->nodes, &s->count) == RC_OK &&
		ask_seal(core, s)) {
		n->keys_asked = true;
		return;
	}
	arena_fini(&s->arena);
	free(s);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void on_opened(struct core *core, const Keys__Reply *reply, struct arena *arena ATT_UNUSED,
	void *user ATT_UNUSED)
{
	struct core_node *n = &core->node;
	Zone__KeysMoved nothing = ZONE__KEYS_MOVED__INIT;
	Zone__ToZone moved = ZONE__TO_ZONE__INIT;

	n->keys_asked = false;
	if (!reply || reply->result_case != KEYS__REPLY__RESULT_PUBLIC) {
		log_write(core->log, LOG_ERROR, "zone_keys are not taken why=\"%s\"",
			reply ? reply->why : "no answer");
		return;
	}
	n->keys_version = reply->public_->keys_version;
	core__public_ask(core);
	moved.op_case = ZONE__TO_ZONE__OP_KEYS_MOVED;
	moved.keys_moved = &nothing;
	if (core->zone.link && link_send(core->zone.link, &moved.base) == RC_OK)
		link_flush(core->zone.link);
	core__node_step(core);
}

bool core__node_keys_ready(struct core *core)
{
	struct core_node *n = &core->node;
	Keys__Request request = KEYS__REQUEST__INIT;
	Keys__OpenZoneKeys open = KEYS__OPEN_ZONE_KEYS__INIT;
	struct arena a = arena_init(1u << 20);
	struct store_blob body = { 0 };
	uint64_t version = 0;

	if (n->keys_version >= n->head.keys_version)
		return true;
	if (!n->keys_asked && core->keys &&
		store_node_keys_get(core->store, n->name, &a, &version, &body) == RC_OK &&
		version > n->keys_version) {
		open.body = (ProtobufCBinaryData){ body.len, (uint8_t *)(uintptr_t)body.bytes };
		request.op_case = KEYS__REQUEST__OP_OPEN_ZONE_KEYS;
		request.open_zone_keys = &open;
		n->keys_asked = core__call_keys(core, &request, on_opened, NULL);
	}
	arena_fini(&a);
	return false;
}
