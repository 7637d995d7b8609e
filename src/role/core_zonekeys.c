/* SPDX-License-Identifier: Apache-2.0 */
/* The zone's keys as zone said last, and operators' orders about them. */
#include "role/core_internal.h"

#include <string.h>

static bool has_ksk(const Zone__KeyStatus *s, uint32_t tag, const char *state)
{
	for (size_t i = 0; i < s->n_keys; i++)
		if (s->keys[i]->ksk && s->keys[i]->tag == tag &&
			strcmp(s->keys[i]->state, state) == 0)
			return true;
	return false;
}

static bool same_ksks(const Zone__KeyStatus *a, const Zone__KeyStatus *b)
{
	for (size_t i = 0; i < a->n_keys; i++)
		if (a->keys[i]->ksk && !has_ksk(b, a->keys[i]->tag, a->keys[i]->state))
			return false;
	return a->n_keys == b->n_keys;
}

/* Other KSKs are other trust anchors: payloads and /v1/ca take them from keys. */
void core__keys_said(struct core *core, Zone__FromZone *take_message)
{
	Zone__FromZone *old = core->zone.keys;

	core->zone.keys = take_message;
	if (take_message->keys->order_id == core->zone.order.id)
		core->zone.order_open = false;
	if (core->node.on)
		core__node_keys_said(core, take_message->keys);
	if (old && !same_ksks(take_message->keys, old->keys) && core->keys)
		core__public_ask(core);
	if (old)
		zone__from_zone__free_unpacked(old, NULL);
}

/* RFC 9364, the IANA registry's mnemonics; "" for 0. */
static const char *alg_text(unsigned number)
{
	return number == 13 ? "ecdsap256sha256" : number == 15 ? "ed25519" : "";
}

static Registry__ZoneKey *key_of(struct core_item *item, const Zone__KeyInfo *k)
{
	Registry__ZoneKey *out = arena_alloc(&item->arena, sizeof(*out));

	if (!out)
		return NULL;
	registry__zone_key__init(out);
	out->kind = (char *)(uintptr_t)(k->ksk ? "ksk" : "zsk");
	out->tag = k->tag;
	out->state = k->state;
	out->standby = k->hold;
	out->ds = k->ds;
	out->algorithm = (char *)(uintptr_t)alg_text(k->algorithm);
	out->where = k->where;
	if (k->n_times < 6)
		return out;
	out->created = k->times[0];
	out->published = k->times[1];
	out->ready = k->times[2];
	out->active = k->times[3];
	out->retiring = k->times[4];
	out->retired = k->times[5];
	return out;
}

/* Borrows from the message: the answer is packed before the next one comes. */
void core__keys_fill(struct core *core, struct core_item *item)
{
	Registry__ZoneKeysData *out = item->run.reply.zone_keys;
	const Zone__KeyStatus *s = core->zone.keys ? core->zone.keys->keys : NULL;

	if (!s)
		return;
	out->keys = arena_array(&item->arena, s->n_keys, sizeof(*out->keys));
	for (size_t i = 0; out->keys && i < s->n_keys; i++) {
		Registry__ZoneKey *k = key_of(item, s->keys[i]);
		if (k)
			out->keys[out->n_keys++] = k;
	}
	out->ksk_waits = s->ksk_waits;
	out->zsk_waits = s->zsk_waits;
	out->names = s->names;
	out->late = s->late;
	out->foreign = s->foreign;
	out->clock_jumped = s->clock_jumped;
	out->algorithm_phase = s->algorithm_phase;
	out->algorithm_to = (char *)(uintptr_t)alg_text(s->algorithm_to);
	out->algorithm_waits = s->algorithm_waits;
	out->presigned_end = s->presigned_end;
	out->presigned_alarm = s->presigned_alarm;
	out->orders = s->orders;
	out->n_orders = s->n_orders;
}

void core__keys_order(struct core *core, const Registry__ZoneKeyOrder *order)
{
	static const struct {
		const char *text;
		Zone__KeyOrder__Action action;
	} rows[] = {
		{ "roll", ZONE__KEY_ORDER__ACTION__ROLL },
		{ "standby", ZONE__KEY_ORDER__ACTION__STANDBY },
		{ "emergency", ZONE__KEY_ORDER__ACTION__EMERGENCY },
		{ "confirm", ZONE__KEY_ORDER__ACTION__CONFIRM },
	};
	Zone__KeyOrder o = ZONE__KEY_ORDER__INIT;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(order->action, rows[i].text) == 0)
			o.action = rows[i].action;
	if (strcmp(order->kind, "algorithm") == 0) {
		o.action = ZONE__KEY_ORDER__ACTION__ALGORITHM;
		o.algorithm = strcmp(order->action, "ed25519") == 0 ? 15 : 13;
	}
	o.ksk = strcmp(order->kind, "ksk") == 0;
	/* Never twice the same, over restarts of this process too. */
	o.id = (uint64_t)core->options.clock->unix_s(core->options.clock) << 20 |
	       (++core->zone.orders & 0xfffff);
	core->zone.order = o;
	core->zone.order_open = true;
	core__keys_order_again(core);
}

/* Until zone says that it is durable there. */
void core__keys_order_again(struct core *core)
{
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	if (!core->zone.order_open || !core->zone.link)
		return;
	m.op_case = ZONE__TO_ZONE__OP_KEY_ORDER;
	m.key_order = &core->zone.order;
	if (link_send(core->zone.link, &m.base) == RC_OK)
		link_flush(core->zone.link);
}
