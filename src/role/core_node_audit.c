/* SPDX-License-Identifier: Apache-2.0 */
/* Each node signs the end of its audit chain now and then, and every other node writes that into
 * its own: then no node's past can be rewritten without all of them. */
#include "base/str.h"
#include "role/core_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL_MAX 320

struct row {
	const char *operation, *object, *detail;
};

static enum rc write_row(struct registry_run *run, void *user)
{
	const struct row *r = user;
	struct store_audit row = { .time = run->reg->clock->unix_s(run->reg->clock),
		.party = "",
		.operation = r->operation,
		.object = r->object,
		.detail = r->detail };

	return store_audit_add(run->reg->store, &row);
}

static void put_row(
	struct core *core, const char *operation, const char *object, const char *detail)
{
	struct row r = { operation, object, detail };

	if (core__system(core, write_row, &r) != RC_OK)
		log_write(core->log, LOG_WARNING, "audit chain's end is not written");
}

struct saying {
	uint64_t seq;
	uint8_t hash[STORE_SHA256];
};

static void on_signed(
	struct core *core, const Keys__Reply *reply, struct arena *arena ATT_UNUSED, void *user)
{
	struct saying *s = user;
	char hash[2 * STORE_SHA256 + 1], sig[129], detail[DETAIL_MAX];

	core->node.audit_asked = false;
	if (reply && reply->result_case == KEYS__REPLY__RESULT_SIGNED_HEAD &&
		reply->signed_head->signature.len == 64) {
		hex_write(s->hash, sizeof(s->hash), hash);
		hex_write(reply->signed_head->signature.data, 64, sig);
		snprintf(detail, sizeof(detail), "row=%" PRIu64 " hash=%s signature=%s", s->seq,
			hash, sig);
		put_row(core, "audit.head", core->node.name, detail);
		core->node.said_ms = core__now_ms(core);
	}
	free(s);
}

static void say_head(struct core *core)
{
	struct core_node *n = &core->node;
	Keys__Request request = KEYS__REQUEST__INIT;
	Keys__SignHead head = KEYS__SIGN_HEAD__INIT;
	struct saying *s = calloc(1, sizeof(*s));

	if (!s || store_node_audit(core->store, n->name, &s->seq, s->hash) != RC_OK) {
		free(s);
		return;
	}
	head.seq = s->seq;
	head.hash = (ProtobufCBinaryData){ sizeof(s->hash), s->hash };
	request.op_case = KEYS__REQUEST__OP_SIGN_HEAD;
	request.sign_head = &head;
	n->audit_asked = core__call_keys(core, &request, on_signed, s);
	if (!n->audit_asked)
		free(s);
}

/* What the others have said and is not in our chain yet; remembered by its print only: after a
 * restart it is written once more. */
static void anchor_others(struct core *core)
{
	struct core_node *n = &core->node;
	struct arena a = arena_init(1u << 20);
	struct store_node *nodes = NULL;
	size_t count = 0;

	if (store_node_list(core->store, &a, &nodes, &count) != RC_OK)
		count = 0;
	for (size_t i = 0; i < count && i < ARRAY_LEN(n->anchored); i++) {
		const char *detail = "";
		uint64_t print = 1469598103934665603u;

		if (strcmp(nodes[i].name, n->name) == 0 ||
			store_node_said(core->store, nodes[i].name, &a, &detail) != RC_OK)
			continue;
		for (const char *p = nodes[i].name; *p; p++)
			print = (print ^ (uint8_t)*p) * 1099511628211u;
		for (const char *p = detail; *p; p++)
			print = (print ^ (uint8_t)*p) * 1099511628211u;
		if (print == n->anchored[i])
			continue;
		n->anchored[i] = print;
		put_row(core, "audit.anchor", nodes[i].name, detail);
	}
	arena_fini(&a);
}

void core__node_metrics(struct core *core, core_metric_fn *put, void *to)
{
	const struct core_node *n = &core->node;
	bool abreast = core->zone.serial == n->head.serial || n->head.n <= n->place;
	const struct {
		const char *name;
		double value;
	} rows[] = {
		{ "node_signs", n->sign_sent },
		{ "node_lease_token", (double)n->head.token },
		{ "node_heard_seconds", (double)(core__now_ms(core) - n->beat_ms) / 1000 },
		{ "node_behind_deltas", abreast ? 0 : (double)(n->head.n - n->place) },
		{ "node_removed", n->removed },
		{ "node_keys_behind", (double)n->head.keys_version - (double)n->keys_version },
		{ "node_unsealed_nodes", n->sign_sent ? n->head.keyless : 0 },
		{ "node_deltas_total", (double)n->deltas },
		{ "node_leases_taken_total", (double)n->taken },
		{ "node_fenced_total", (double)n->fenced },
		{ "node_beats_failed_total", (double)n->beats_failed },
	};

	for (size_t i = 0; n->on && i < ARRAY_LEN(rows); i++)
		put(to, rows[i].name, "", rows[i].value);
}

void core__node_audit(struct core *core)
{
	struct core_node *n = &core->node;
	uint64_t now = core__now_ms(core);
	uint64_t every = (uint64_t)core->options.anchor_ms;

	if (n->audit_asked || !core->keys)
		return;
	if (!n->said_ms)
		n->said_ms = now; /* not at every start */
	if (now - n->said_ms >= every) {
		anchor_others(core);
		say_head(core);
	}
}
