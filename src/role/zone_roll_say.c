/* SPDX-License-Identifier: Apache-2.0 */
/* What core is told of the zone's keys: it keeps the last of these for those who ask. */
#include "base/str.h"
#include "role/zone_internal.h"

static const char *const states[] = { "none", "published", "ready", "active", "retiring", "retired",
	"removed" };

#define DS_TEXT (32 + 2 * DS_LEN)

static void fill(Zone__KeyInfo *out, struct zone_life *k, char text[DS_TEXT])
{
	char hex[2 * DS_LEN + 1];

	zone__key_info__init(out);
	out->ksk = k->ksk;
	out->tag = k->tag;
	out->state = (char *)(uintptr_t)states[k->state < ARRAY_LEN(states) ? k->state : 0];
	out->hold = k->hold;
	out->n_times = ZONE_KEY_TIMES;
	out->times = k->times;
	out->algorithm = k->alg;
	out->where = k->offline ? "off-line" : k->token ? "token" : "file";
	if (!k->ksk)
		return;
	hex_write(k->ds + 4, DS_LEN - 4, hex);
	if (str_format(text, DS_TEXT, "%u %u %u %s", k->tag, k->ds[2], k->ds[3], hex) == RC_OK)
		out->ds = text;
}

void zone__say_keys(struct zone_role *z)
{
	struct zone_roll *r = &z->roll;
	Zone__KeyStatus s = ZONE__KEY_STATUS__INIT;
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;
	Zone__KeyInfo keys[WORK_KEYS_MAX], *list[WORK_KEYS_MAX];
	char text[WORK_KEYS_MAX][DS_TEXT];
	char *orders[ZONE_ORDERS_MAX];

	r->said_passes = z->sweep.passes;
	if (!z->core || r->keys == 0)
		return;
	for (unsigned i = 0; i < r->keys; i++) {
		fill(&keys[i], &r->key[i], text[i]);
		list[i] = &keys[i];
	}
	s.n_keys = r->keys;
	s.keys = list;
	s.zsk_waits = (char *)(uintptr_t)(r->waits[0] ? r->waits[0] : "");
	s.ksk_waits = (char *)(uintptr_t)(r->waits[1] ? r->waits[1] : "");
	s.names = z->sweep.names;
	s.late = z->sweep.last.late;
	s.foreign = z->sweep.last.foreign;
	s.clock_jumped = r->said_jumped = !zone__clock_is_certain(z);
	s.algorithm_phase = r->alg.phase_text;
	s.algorithm_waits = (char *)(uintptr_t)(r->alg.waits ? r->alg.waits : "");
	s.algorithm_to = r->alg.to;
	s.presigned_end = r->presigned.end;
	s.presigned_alarm = r->presigned.alarm;
	s.n_orders = zone__orders_text(z, orders);
	s.orders = orders;
	s.order_id = zone__orders_durable(z);
	/* What keys refused is what is waited for. */
	if (r->refused_ms && r->alg.phase)
		s.algorithm_waits = r->refused.text;
	else if (r->refused_ms && r->asked_ksk)
		s.ksk_waits = r->refused.text;
	else if (r->refused_ms)
		s.zsk_waits = r->refused.text;
	m.op_case = ZONE__FROM_ZONE__OP_KEYS;
	m.keys = &s;
	zone__send_core(z, &m);
}
