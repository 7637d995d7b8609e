/* SPDX-License-Identifier: Apache-2.0 */
/* The zone's keys: shown to operators, and orders to replace one. Role zone does it in its time. */
#include "registry/internal.h"

#include <string.h>

/* Core fills it in from what zone said last. */
enum rc reg__zone_keys(struct registry_run *run)
{
	Registry__ZoneKeysData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__zone_keys_data__init(out);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_ZONE_KEYS;
	run->reply.zone_keys = out;
	return RC_OK;
}

/* Core hands it to zone once the audit's row is durable. */
enum rc reg__zone_key_order(struct registry_run *run)
{
	static const char *const actions[] = { "roll", "standby", "emergency", "confirm" };
	static const char *const algorithms[] = { "ed25519", "ecdsap256sha256" };
	const Registry__ZoneKeyOrder *m = run->request->zone_key_order;
	bool known = false;

	if (strcmp(m->kind, "algorithm") == 0) {
		for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
			known = known || strcmp(m->action, algorithms[i]) == 0;
		if (!known)
			return reg__no(run, CODE(VALUE_SYNTAX), "action",
				"not one of ed25519, ecdsap256sha256");
		run->reply.code = CODE(OK);
		return reg__audit(run, m->kind, "zone key: algorithm %s", m->action);
	}
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		known = known || strcmp(m->action, actions[i]) == 0;
	if (!known)
		return reg__no(run, CODE(VALUE_SYNTAX), "action",
			"not one of roll, standby, emergency, confirm");
	if (strcmp(m->kind, "ksk") != 0 && strcmp(m->kind, "zsk") != 0)
		return reg__no(run, CODE(VALUE_SYNTAX), "kind", "not ksk, zsk or algorithm");
	if (strcmp(m->action, "confirm") == 0 && strcmp(m->kind, "ksk") != 0)
		return reg__no(run, CODE(RANGE), "kind", "the parent knows KSKs only");
	run->reply.code = CODE(OK);
	return reg__audit(run, m->kind, "zone key: %s", m->action);
}
