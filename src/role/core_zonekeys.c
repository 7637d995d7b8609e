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
	if (old && !same_ksks(take_message->keys, old->keys) && core->keys)
		core__public_ask(core);
	if (old)
		zone__from_zone__free_unpacked(old, NULL);
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
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(order->action, rows[i].text) == 0)
			o.action = rows[i].action;
	o.ksk = strcmp(order->kind, "ksk") == 0;
	m.op_case = ZONE__TO_ZONE__OP_KEY_ORDER;
	m.key_order = &o;
	if (!core->zone.link || link_send(core->zone.link, &m.base) != RC_OK)
		log_write(core->log, LOG_ERROR, "key order lost kind=%s action=%s", order->kind,
			order->action);
	else
		link_flush(core->zone.link);
}
