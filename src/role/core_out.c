/* SPDX-License-Identifier: Apache-2.0 */
/* What core has to do with the secondaries: out is told the zone's serial and says which serial
 * each of them serves. An answer may wait for some of them (publish_wait). And no serial is used
 * twice, even when the zone's folder is lost: a mark above all that were used is in the database.
 */
#include "role/core_internal.h"

#include "base/put.h"
#include "out.pb-c.h"

#include <string.h>

/* The mark is this far ahead when it is written, and written anew at half: far more serials than
 * are used until the write is through, far less than what RFC 1982 lets a secondary follow. */
#define SERIAL_AHEAD (1u << 20)

static const char mark_name[] = "zone.serial_mark";

/* ---- serials */

static uint32_t read_mark(struct core *core)
{
	struct arena a = arena_init(CORE_ARENA_MAX);
	struct store_blob v = { 0 };
	struct cur c;
	uint32_t mark = 0;

	if (store_setting_get(core->store, mark_name, &a, &v) == RC_OK) {
		c = cur_init(v.bytes, v.len);
		mark = cur_u32(&c);
		if (!cur_done(&c))
			mark = 0;
	}
	arena_fini(&a);
	return mark;
}

static enum rc write_mark(struct registry_run *run, void *user)
{
	const uint32_t *mark = user;
	uint8_t room[4];
	struct put p = put_init(room, sizeof(room));

	put_u32(&p, *mark);
	return store_setting_put(
		run->reg->store, mark_name, (struct store_blob){ room, sizeof(room) });
}

uint32_t core__serial_mark(struct core *core)
{
	if (!core->out.mark)
		core->out.mark = read_mark(core);
	return core->out.mark;
}

static void move_mark(struct core *core, uint32_t serial)
{
	uint32_t mark = serial + SERIAL_AHEAD;

	if (core__serial_mark(core) &&
		(int32_t)(core->out.mark - serial) > (int32_t)(SERIAL_AHEAD / 2))
		return;
	if (core__system(core, write_mark, &mark) == RC_OK)
		core->out.mark = mark;
	else
		log_write(core->log, LOG_ERROR, "serial mark is not written");
}

/* ---- who has what */

/* The newest serial that `publish_wait` secondaries have; false: too few are known. */
static bool confirmed(const struct core *core, uint32_t *serial)
{
	size_t n = (size_t)core->options.publish_wait;
	bool found = false;

	for (size_t i = 0; i < core->out.count; i++) {
		const struct core_secondary *s = &core->out.secondary[i];
		size_t have = 0;

		for (size_t k = 0; s->seen && k < core->out.count; k++)
			have += core->out.secondary[k].seen &&
				(int32_t)(core->out.secondary[k].serial - s->serial) >= 0;
		if (s->seen && have >= n && (!found || (int32_t)(s->serial - *serial) > 0)) {
			*serial = s->serial;
			found = true;
		}
	}
	return found;
}

static void advance(struct core *core)
{
	uint32_t serial = 0;
	size_t done = 0;

	if (core->options.publish_wait == 0) {
		core->zone.served = core->zone.applied;
		core->out.point_count = 0;
		return;
	}
	if (!confirmed(core, &serial))
		return;
	while (done < core->out.point_count &&
		(int32_t)(serial - core->out.point[done].serial) >= 0)
		core->zone.served = core->out.point[done++].seq;
	core->out.point_count -= done;
	memmove(core->out.point, core->out.point + done,
		core->out.point_count * sizeof(core->out.point[0]));
}

static void tell_out(struct core *core)
{
	Out__Serial serial = OUT__SERIAL__INIT;
	Out__ToOut m = OUT__TO_OUT__INIT;

	serial.serial = core->zone.serial;
	m.op_case = OUT__TO_OUT__OP_SERIAL;
	m.serial = &serial;
	if (core->out.link && core->zone.serial && link_send(core->out.link, &m.base) != RC_OK)
		log_write(core->log, LOG_WARNING, "out is not reading");
}

void core__zone_at(struct core *core)
{
	size_t n = core->out.point_count;

	/* It has nothing, or what the database does not know: it is rebuilt, and nothing that
	 * comes is served before. */
	if (core->zone.applied == 0) {
		core->zone.served = 0;
		core->out.point_count = 0;
		return;
	}
	/* When there are very many the last two become one: that only waits for more. */
	if (n == ARRAY_LEN(core->out.point))
		n--;
	core->out.point[n].seq = core->zone.applied;
	core->out.point[n].serial = core->zone.serial;
	core->out.point_count = n + 1;
	if (core->zone.served > core->zone.applied)
		core->zone.served = core->zone.applied;
	advance(core);
	move_mark(core, core->zone.serial);
	tell_out(core);
}

static bool is_current(const struct core *core, const struct core_secondary *s)
{
	return core->zone.up && core->zone.serial && s->seen &&
	       (int32_t)(core->zone.serial - s->serial) <= 0;
}

void core__health_secondaries(const struct core *core, Registry__HealthData *h, struct arena *arena)
{
	Registry__SecondaryData **list = arena_array(arena, core->out.count, sizeof(*list));

	for (size_t i = 0; list && i < core->out.count; i++) {
		const struct core_secondary *s = &core->out.secondary[i];
		Registry__SecondaryData *d = arena_alloc(arena, sizeof(*d));

		if (!d)
			return;
		registry__secondary_data__init(d);
		d->name = arena_str(arena, s->name);
		d->seen = s->seen;
		d->serial = s->serial;
		d->lag_ms = s->lag_ms;
		d->silent_s = s->silent_s;
		d->current = is_current(core, s);
		list[i] = d;
		h->secondaries = list;
		h->n_secondaries = i + 1;
	}
}

void core__metrics_secondaries(const struct core *core, core_metric_fn *put, void *to)
{
	for (size_t i = 0; i < core->out.count; i++) {
		const struct core_secondary *s = &core->out.secondary[i];

		put(to, "secondary_current", s->name, is_current(core, s));
		put(to, "secondary_lag_seconds", s->name, s->lag_ms / 1000.0);
		put(to, "secondary_silent_seconds", s->name, (double)s->silent_s);
	}
}

static void on_secondary(struct core *core, const Out__Secondary *m)
{
	struct core_secondary *s = NULL;

	for (size_t i = 0; i < core->out.count && !s; i++)
		if (strcmp(core->out.secondary[i].name, m->name) == 0)
			s = &core->out.secondary[i];
	if (!s && core->out.count < ARRAY_LEN(core->out.secondary)) {
		s = &core->out.secondary[core->out.count++];
		strncpy(s->name, m->name, sizeof(s->name) - 1);
	}
	if (!s)
		return;
	s->seen = m->seen;
	s->serial = m->serial;
	s->lag_ms = m->lag_ms;
	s->silent_s = m->silent_s;
	advance(core);
	core__zone_served(core);
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct core *core = user;
	Out__FromOut *m = out__from_out__unpack(NULL, len, bytes);

	(void)link;
	if (m && m->op_case == OUT__FROM_OUT__OP_SECONDARY)
		on_secondary(core, m->secondary);
	else if (m && m->op_case == OUT__FROM_OUT__OP_FOUND_TLSA)
		core__tlsa_found(core, m->found_tlsa);
	else
		log_write(core->log, LOG_ERROR, "malformed message peer=out");
	if (m)
		out__from_out__free_unpacked(m, NULL);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct core *core = user;

	(void)why;
	link_free(link);
	core->out.link = NULL;
	core->out.count = 0;
}

enum rc core__out_link(struct core *core, int take_fd)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = core };
	enum rc rc;

	core__out_close(core);
	rc = link_new(core->base, take_fd, &opts, &core->out.link);
	if (rc == RC_OK)
		tell_out(core);
	return rc;
}

void core__out_close(struct core *core)
{
	link_free(core->out.link);
	core->out.link = NULL;
	core->out.count = 0;
}
