/* SPDX-License-Identifier: Apache-2.0 */
/* The core's life: open, start, links, the tick, close. */
#include "ca/cert.h"
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

#define DAY_S	    86400
#define PARTY_DAYS  730 /* keys bounds it at 825 */
#define SWEEP_MS    5000
#define SWEEP_CHUNK 200
#define PRUNE_CHUNK 5000

uint64_t core__now_ms(const struct core *core)
{
	return core->options.clock->monotonic_ms(core->options.clock);
}

static enum rc check_asp_cert(const uint8_t *der, size_t len, struct diag *d)
{
	struct ca_cert cert;

	return ca_cert_parse(der, len, &cert, d);
}

/* ---- the tick ---------------------------------------------------------------------------- */

struct sweep {
	bool more;
};

static enum rc sweep(struct registry_run *run, void *user)
{
	struct sweep *s = user;

	return registry_sweep(run, SWEEP_CHUNK, &s->more);
}

static enum rc prune(struct registry_run *run, void *user)
{
	return store_change_prune(run->reg->store, *(const uint64_t *)user, PRUNE_CHUNK);
}

static void housekeeping(struct core *core)
{
	struct sweep s = { false };
	uint64_t applied = core->zone.applied;
	uint64_t below = applied > CORE_KEEP_CHANGES ? applied - CORE_KEEP_CHANGES : 0;
	uint64_t first = 0;

	if (core__system(core, sweep, &s) != RC_OK)
		return;
	/* More to do: again with the next tick, requests go between. */
	core->last_sweep_ms = s.more ? 0 : core__now_ms(core);
	if (store_change_first(core->store, &first) == RC_OK && first < below &&
		core__system(core, prune, &below) != RC_OK)
		log_write(core->log, LOG_ERROR, "changes are not pruned");
	/* What became due while keys was away, or before a restart. */
	core__install_kick(core);
}

static void on_tick(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;
	uint64_t now = core__now_ms(core);

	core__calls_expire(core, now);
	core__waiters_tick(core, now);
	if (now - core->tlsa_ms >= 1000) {
		core->tlsa_ms = now;
		core__tlsa_tick(core);
	}
	if (now - core->last_sweep_ms >= SWEEP_MS)
		housekeeping(core);
	core__form_soon(core);
}

/* ---- life -------------------------------------------------------------------------------- */

static void set_up(struct core *core, struct event_base *base, const struct core_options *o)
{
	/* keys refuses longer lives; certificates begin a little in the past. */
	int64_t cert_days = o->cert_days < CA_LEAF_DAYS_MAX ? o->cert_days : CA_LEAF_DAYS_MAX - 1;

	core->options = *o;
	core->base = base;
	core->log = o->log;
	core->queue_end = &core->queue;
	core->serving_end = &core->serving;
	core->public_arena = arena_init(CORE_ARENA_MAX);
	core->zone.has_waits = true; /* of the last life, perhaps */
	core->registry = (struct registry){
		.clock = o->clock,
		.rng = o->rng,
		.log = o->log,
		.settings = { .zone = o->zone,
			.cert_s = cert_days * DAY_S,
			.party_s = PARTY_DAYS * DAY_S,
			.auth_ttl_s = o->auth_ttl_s,
			.job_ttl_s = o->job_ttl_s,
			.idem_ttl_s = o->idempotency_ttl_s,
			.transfer_wait_s = o->transfer_wait_s,
			.feed_s = o->feed_s,
			.overlap_s = o->overlap_s,
			.hold_s = o->hold_s,
			.attest_require = o->attest_require,
			.attest_require_count = o->attest_require_count,
			.ranges = o->ranges,
			.range_count = o->range_count,
			.signer_hold_s = o->signer_hold_s,
			.payload_full = o->payload_full },
		.asp_cert_check = check_asp_cert,
	};
}

/* The database belongs to one zone for ever. */
static enum rc check_zone(struct core *core, struct diag *d)
{
	const char *zone = core->options.zone;
	struct store_blob value = { (const uint8_t *)zone, strlen(zone) };
	struct arena a = arena_init(4096);
	struct store_blob kept;
	enum rc rc = store_setting_get(core->store, "zone", &a, &kept);

	if (rc == RC_NOT_FOUND)
		rc = store_setting_put(core->store, "zone", value);
	else if (rc == RC_OK && (kept.len != value.len || memcmp(kept.bytes, zone, kept.len) != 0))
		rc = diag_set(d, RC_CONFLICT, "the database is of another zone: %.*s",
			(int)kept.len, (const char *)kept.bytes);
	arena_fini(&a);
	return rc;
}

static enum rc bootstrap(struct registry_run *run, void *user)
{
	return registry_bootstrap(run, user);
}

enum rc core_open(struct event_base *base, const struct core_options *options, struct core **out,
	struct diag *d)
{
	struct core *core = calloc(1, sizeof(*core));
	enum rc rc;

	if (!core)
		return RC_NOMEM;
	set_up(core, base, options);
	rc = store_open(options->database, true, &core->store, d);
	core->shared = store_is_url(options->database);
	core->registry.store = core->store;
	if (rc == RC_OK)
		rc = core__node_open(core, d);
	if (rc == RC_OK)
		rc = check_zone(core, d);
	core->form = event_new(base, -1, 0, core__form, core);
	core->overdue = event_new(base, -1, 0, core__overdue, core);
	core->zone.pump = event_new(base, -1, 0, core__zone_pump, core);
	core->install = event_new(base, -1, 0, core__install, core);
	core->tick = event_new(base, -1, EV_PERSIST, on_tick, core);
	if (rc == RC_OK && (!core->form || !core->overdue || !core->zone.pump || !core->install ||
				   !core->tick))
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = core__hasher_open(core, d);
	if (rc == RC_OK && options->operator_spki)
		rc = core__system(core, bootstrap, (void *)(uintptr_t)options->operator_spki);
	if (rc != RC_OK) {
		core_close(core);
		return rc;
	}
	*out = core;
	return RC_OK;
}

enum rc core_start(struct core *core, struct diag *d)
{
	struct timeval tv = { 0, CORE_TICK_MS * 1000 };
	enum rc rc = store_checkpointer_start(core->options.database, &core->checkpointer, d);

	if (rc == RC_OK)
		rc = core__hasher_start(core, d);
	if (rc == RC_OK)
		rc = core__node_start(core, d);
	if (rc == RC_OK && event_add(core->tick, &tv) != 0)
		rc = RC_NOMEM;
	return rc;
}

enum rc core_link(struct core *core, const char *peer, int take_fd)
{
	if (strcmp(peer, "keys") == 0)
		return core__keys_link(core, take_fd);
	if (strcmp(peer, "zone") == 0)
		return core__zone_link(core, take_fd);
	if (strcmp(peer, "out") == 0)
		return core__out_link(core, take_fd);
	return core__front_link(core, peer, take_fd);
}

static void free_items(struct core_item *item)
{
	while (item) {
		struct core_item *next = item->next;

		core__item_free(item);
		item = next;
	}
}

static void free_event(struct event *e)
{
	if (e)
		event_free(e);
}

void core_close(struct core *core)
{
	if (!core)
		return;
	core__out_close(core);
	core__hasher_close(core);
	for (size_t i = 0; i < core->front_count; i++) {
		link_free(core->fronts[i].link);
		core->fronts[i].link = NULL;
	}
	/* What is with keys comes back as failed, and is answered to nobody. */
	link_free(core->keys);
	core->keys = NULL;
	if (core->store)
		core__calls_expire(core, UINT64_MAX);
	core__zone_close(core);
	core__node_close(core);
	free_items(core->queue);
	free_items(core->serving);
	free_items(core->waiters);
	core__jobs_free(core);
	core__installs_free(core);
	store_checkpointer_stop(core->checkpointer);
	free_event(core->form);
	free_event(core->overdue);
	free_event(core->zone.pump);
	free_event(core->install);
	free_event(core->tick);
	arena_fini(&core->public_arena);
	store_close(core->store);
	free(core);
}
