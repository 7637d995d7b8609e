/* SPDX-License-Identifier: Apache-2.0 */
/* Has out look at the TLSA of services in their own zones, now and then and after a change. */
#include "role/core_internal.h"

#include "out.pb-c.h"

#include <stdio.h>
#include <string.h>

#define AT_ONCE	   16
#define PATIENCE_S 120 /* for an answer of out, before it is asked again */

static bool send_one(struct core *core, struct arena *a, const char *handle)
{
	Out__ToOut m = OUT__TO_OUT__INIT;
	Out__AskTlsa ask = OUT__ASK_TLSA__INIT;
	struct store_service v;
	struct store_pin *pins;
	size_t n = 0;

	if (store_service_get(core->store, handle, NULL, &v) != RC_OK ||
		store_service_pins(core->store, handle, a, &pins, &n) != RC_OK)
		return false;
	ask.pins = arena_array(a, n, sizeof(*ask.pins));
	for (size_t i = 0; ask.pins && i < n; i++) {
		Out__Pin *p = arena_alloc(a, sizeof(*p));

		if (!p)
			return false;
		out__pin__init(p);
		p->usage = pins[i].usage;
		p->selector = pins[i].selector;
		p->matching = pins[i].matching;
		p->data = (ProtobufCBinaryData){ pins[i].data.len,
			(uint8_t *)(uintptr_t)pins[i].data.bytes };
		ask.pins[ask.n_pins++] = p;
	}
	ask.service = v.handle;
	ask.fqdn = v.fqdn;
	ask.port = v.port;
	m.op_case = OUT__TO_OUT__OP_ASK_TLSA;
	m.ask_tlsa = &ask;
	return link_send(core->out.link, &m.base) == RC_OK;
}

void core__tlsa_tick(struct core *core)
{
	struct arena a = arena_init(CORE_ARENA_MAX);
	int64_t now = core->registry.clock->unix_s(core->registry.clock);
	char **handles = NULL;
	size_t n = 0;

	if (core->options.tlsa_every_s <= 0 || !core->out.link ||
		(core->tlsa_asked && now - core->tlsa_since < PATIENCE_S))
		return;
	core->tlsa_asked = 0;
	if (store_tlsa_due(core->store, now - core->options.tlsa_every_s, AT_ONCE, &a, &handles,
		    &n) != RC_OK)
		n = 0;
	for (size_t i = 0; i < n; i++)
		core->tlsa_asked += send_one(core, &a, handles[i]);
	core->tlsa_since = now;
	arena_fini(&a);
}

struct result {
	const char *service;
	struct store_tlsa_found found;
};

static enum rc keep(struct registry_run *run, void *user)
{
	const struct result *r = user;

	return registry_tlsa_found(run, r->service, &r->found);
}

void core__tlsa_found(struct core *core, const Out__FoundTlsa *m)
{
	struct result r = { .service = m->service };

	if (core->tlsa_asked > 0)
		core->tlsa_asked--;
	if (m->state >= STORE_TLSA_STATES)
		return;
	r.found.state = (enum store_tlsa)m->state;
	r.found.checked = core->registry.clock->unix_s(core->registry.clock);
	snprintf(r.found.why, sizeof(r.found.why), "%s", m->why);
	if (core__system(core, keep, &r) != RC_OK)
		log_write(core->log, LOG_ERROR, "tlsa service=%s is not kept", m->service);
}

void core__tlsa_metrics(struct core *core, core_metric_fn *put, void *to)
{
	static const char *const names[STORE_TLSA_STATES] = { "services_tlsa_unchecked",
		"services_tlsa_ok", "services_tlsa_missing", "services_tlsa_mismatch",
		"services_tlsa_insecure", "services_tlsa_bogus", "services_tlsa_unreachable" };
	uint64_t n[STORE_TLSA_STATES];

	if (core->options.tlsa_every_s <= 0 || store_tlsa_count(core->store, n) != RC_OK)
		return;
	for (int i = 0; i < STORE_TLSA_STATES; i++)
		put(to, names[i], "", (double)n[i]);
}
