/* SPDX-License-Identifier: Apache-2.0 */
/* The zone role follows the database: changes by sequence as they are committed, what it has missed
 * when it comes back, everything when it has nothing. */
#include "proc/killpoint.h"
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct timeval soon = { 0, 0 };
static const struct timeval later = { 0, 2000 };

static enum rc send_apply(
	struct core *core, uint64_t from, uint64_t to, Zone__Change **changes, size_t n)
{
	Zone__Apply apply = ZONE__APPLY__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;
	enum rc rc;

	apply.from_seq = from;
	apply.to_seq = to;
	apply.changes = changes;
	apply.n_changes = n;
	m.op_case = ZONE__TO_ZONE__OP_APPLY;
	m.apply = &apply;
	rc = link_send(core->zone.link, &m.base);
	if (rc != RC_OK)
		return rc;
	if (core->zone.batches == 0)
		core->zone.moved_ms = core__now_ms(core);
	if (to > from && core->zone.batches < ARRAY_LEN(core->zone.acks))
		core->zone.acks[core->zone.batches++] = to;
	return RC_OK;
}

static bool following(const struct core *core)
{
	return core->zone.up && !core->zone.snapshot && (!core->node.on || core->node.sign_sent);
}

void core__zone_commit(struct core *core, uint64_t from, Zone__Change **changes, size_t n)
{
	uint64_t to = store_change_last(core->store);

	if (!following(core))
		return;
	/* Straight from memory when it has all that came before. */
	if (changes && core->zone.sent == from && link_queued(core->zone.link) < CORE_ZONE_QUEUE &&
		send_apply(core, from, to, changes, n) == RC_OK) {
		core->zone.sent = to;
		link_flush(core->zone.link);
		return;
	}
	event_add(core->zone.pump, &soon);
}

/* One chunk of what it has not been sent; false when there is no more, or no room. */
static bool send_chunk(struct core *core, bool withdrawn_only)
{
	uint64_t last = store_change_last(core->store);
	struct arena a = arena_init(CORE_ARENA_MAX);
	struct store_change *list = NULL;
	Zone__Change **out;
	uint64_t to = last;
	bool more = false;
	size_t n = 0;
	enum rc rc = store_change_list(
		core->store, core->zone.sent, last, withdrawn_only, CORE_ZONE_CHUNK, &a, &list, &n);

	out = arena_array(&a, n, sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		out[i] = registry_change_message(&list[i], &a);
	if (rc == RC_OK && a.failed)
		rc = RC_NOMEM;
	if (withdrawn_only)
		to = core->zone.sent; /* early, not instead */
	else if (n == CORE_ZONE_CHUNK)
		to = list[n - 1].seq;
	if (rc == RC_OK)
		rc = send_apply(core, core->zone.sent, to, out, n);
	if (rc == RC_OK) {
		more = n == CORE_ZONE_CHUNK && !withdrawn_only;
		core->zone.sent = to;
	} else {
		log_write(core->log, LOG_ERROR, "changes for the zone why=%s", rc_text(rc));
	}
	arena_fini(&a);
	return more;
}

/* ---- snapshot ----------------------------------------------------------------------------- */

static enum rc send_snapshot(struct core *core, bool begin, bool end, struct store_change *list,
	size_t n, struct arena *a)
{
	Zone__Snapshot s = ZONE__SNAPSHOT__INIT;
	Zone__ToZone m = ZONE__TO_ZONE__INIT;

	s.begin = begin;
	s.end = end;
	s.to_seq = core->zone.snapshot_seq;
	if (begin)
		s.min_serial = core->node.on && core->node.head.serial
				       ? core->node.head.reserved + 1
				       : core__serial_mark(core);
	s.changes = arena_array(a, n, sizeof(*s.changes));
	for (size_t i = 0; s.changes && i < n; i++)
		s.changes[s.n_changes++] = registry_change_message(&list[i], a);
	m.op_case = ZONE__TO_ZONE__OP_SNAPSHOT;
	m.snapshot = &s;
	return a->failed ? RC_NOMEM : link_send(core->zone.link, &m.base);
}

static void snapshot_stop(struct core *core)
{
	if (core->zone.reader) {
		store_read_end(core->zone.reader);
		store_close(core->zone.reader);
		core->zone.reader = NULL;
	}
	core->zone.snapshot = false;
}

/* The whole content as of one committed state, read beside the writer. */
static enum rc snapshot_start(struct core *core)
{
	struct registry reg = core->registry;
	struct arena a = arena_init(CORE_ARENA_MAX);
	struct store_change *list = NULL;
	struct diag d = { "" };
	size_t n = 0;
	enum rc rc;

	snapshot_stop(core);
	rc = store_open(core->options.database, false, &core->zone.reader, &d);
	if (rc == RC_OK)
		rc = store_read_begin(core->zone.reader);
	if (rc == RC_OK) {
		core->zone.snapshot = true;
		core->zone.snapshot_seq = store_change_last(core->zone.reader);
		core->zone.page = 0;
		reg.store = core->zone.reader;
		rc = registry_zone_fixed(&reg, &a, &list, &n);
	}
	if (rc == RC_OK)
		rc = send_snapshot(core, true, false, list, n, &a);
	log_write(core->log, rc == RC_OK ? LOG_INFO : LOG_ERROR, "zone snapshot seq=%llu rc=%s %s",
		(unsigned long long)core->zone.snapshot_seq, rc_text(rc), d.text);
	arena_fini(&a);
	return rc;
}

static enum rc snapshot_page(struct core *core)
{
	struct arena a = arena_init(CORE_ARENA_MAX);
	struct store_change *list = NULL;
	size_t n = 0;
	enum rc rc = store_zone_page(core->zone.reader, core->zone.page, CORE_ZONE_CHUNK, &a, &list,
		&n, &core->zone.page);
	bool end = n < CORE_ZONE_CHUNK;

	if (rc == RC_OK)
		rc = send_snapshot(core, false, end, list, n, &a);
	if (rc == RC_OK && end) {
		core->zone.sent = core->zone.snapshot_seq;
		snapshot_stop(core);
	}
	arena_fini(&a);
	return rc;
}

/* ---- the pump ----------------------------------------------------------------------------- */

void core__zone_pump(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;

	if (!core->zone.up || (core->node.on && !core->node.sign_sent))
		return;
	if (link_queued(core->zone.link) >= CORE_ZONE_QUEUE ||
		core->zone.batches >= ARRAY_LEN(core->zone.acks) - 1) {
		event_add(core->zone.pump, &later);
		return;
	}
	if (core->zone.snapshot) {
		if (snapshot_page(core) != RC_OK) {
			log_write(core->log, LOG_ERROR, "snapshot failed why=\"%s\"",
				store_why(core->store));
			snapshot_stop(core);
			core->zone.up = false;
			return;
		}
		event_add(core->zone.pump, &soon);
		return;
	}
	if (core->zone.sent < store_change_last(core->store) && send_chunk(core, false))
		event_add(core->zone.pump, &soon);
}

static void on_hello(struct core *core, const Zone__Hello *h)
{
	uint64_t last = store_change_last(core->store);
	uint64_t first = last + 1;
	bool gap;

	if (*h->zone && strcmp(h->zone, core->options.zone) != 0) {
		log_write(core->log, LOG_ERROR, "the zone role serves another zone");
		return;
	}
	snapshot_stop(core);
	core->zone.up = true;
	core->zone.batches = 0;
	core->zone.applied = h->have ? h->applied_seq : 0;
	core->zone.sent = core->zone.applied;
	core->zone.serial = h->serial;
	if (store_change_first(core->store, &first) != RC_OK)
		log_write(core->log, LOG_ERROR, "first change is unknown");
	gap = h->applied_seq > last || (h->applied_seq < last && first > h->applied_seq + 1);
	log_write(core->log, LOG_INFO, "zone hello have=%d applied=%llu last=%llu", h->have,
		(unsigned long long)h->applied_seq, (unsigned long long)last);
	if (gap)
		core->zone.applied = 0;
	core__zone_at(core);
	if (core->node.on && !core->node.sign_sent) {
		core__node_hello(core, h->have);
		core__served(core);
		return;
	}
	core->node.have = h->have;
	if (!h->have || gap || core->node.rebuild) {
		if (snapshot_start(core) != RC_OK)
			snapshot_stop(core);
	} else if (last - core->zone.sent > CORE_ZONE_CHUNK) {
		/* A long absence: what must not be served any more goes ahead of the rest. */
		send_chunk(core, true);
	}
	event_add(core->zone.pump, &soon);
	core__keys_order_again(core);
	core__served(core);
}

static enum rc tell(struct registry_run *run, void *user)
{
	struct core *core = user;

	return registry_published(run, core->zone.served, 200, &core->zone.has_waits);
}

void core__zone_served(struct core *core)
{
	core__served(core);
	if (core->zone.has_waits && core__system(core, tell, core) != RC_OK)
		log_write(core->log, LOG_ERROR, "published answers are not told");
}

static void on_applied(struct core *core, const Zone__Applied *m)
{
	size_t done = 0;

	if (m->seq < core->zone.applied)
		return;
	core->zone.applied = m->seq;
	core->zone.serial = m->serial;
	core->zone.moved_ms = core__now_ms(core);
	while (done < core->zone.batches && core->zone.acks[done] <= m->seq)
		done++;
	core->zone.batches -= done;
	memmove(core->zone.acks, core->zone.acks + done,
		core->zone.batches * sizeof(core->zone.acks[0]));
	core__zone_at(core);
	core__zone_served(core);
	if (core->node.on)
		core__node_applied(core);
	if (following(core) && core->zone.sent < store_change_last(core->store))
		event_add(core->zone.pump, &soon);
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct core *core = user;
	Zone__FromZone *m = zone__from_zone__unpack(NULL, len, bytes);

	(void)link;
	if (!m) {
		log_write(core->log, LOG_ERROR, "malformed message peer=zone");
		return;
	}
	switch (m->op_case) {
	case ZONE__FROM_ZONE__OP_HELLO: on_hello(core, m->hello); break;
	case ZONE__FROM_ZONE__OP_APPLIED: on_applied(core, m->applied); break;
	case ZONE__FROM_ZONE__OP_FAILED:
		/* It says hello again when it can go on. */
		log_write(core->log, LOG_ERROR, "zone failed seq=%llu why=\"%s\"",
			(unsigned long long)m->failed->seq, m->failed->why);
		core->zone.up = false;
		snapshot_stop(core);
		break;
	case ZONE__FROM_ZONE__OP_KEYS: core__keys_said(core, m); return;
	case ZONE__FROM_ZONE__OP_DELTA:
	case ZONE__FROM_ZONE__OP_RESERVE:
	case ZONE__FROM_ZONE__OP_IMAGE:
		if (core->node.on && core__node_message(core, m))
			return;
		break;
	case ZONE__FROM_ZONE__OP__NOT_SET:
	case _ZONE__FROM_ZONE__OP__CASE_IS_INT_SIZE:
	default: break;
	}
	zone__from_zone__free_unpacked(m, NULL);
}

static void drop(struct core *core)
{
	snapshot_stop(core);
	core__node_zone_gone(core);
	core->zone.up = false;
	core->zone.batches = 0;
	link_free(core->zone.link);
	core->zone.link = NULL;
	core__form_soon(core);
}

static void on_closed(struct link *link ATT_UNUSED, enum rc why, void *user)
{
	struct core *core = user;

	log_write(core->log, LOG_WARNING, "link_closed peer=zone why=%s", rc_text(why));
	drop(core);
}

enum rc core__zone_link(struct core *core, int take_fd)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = core };

	if (core->zone.link)
		drop(core);
	return link_new(core->base, take_fd, &opts, &core->zone.link);
}

void core__zone_close(struct core *core)
{
	if (core->zone.link)
		drop(core);
	if (core->zone.keys)
		zone__from_zone__free_unpacked(core->zone.keys, NULL);
	core->zone.keys = NULL;
}
