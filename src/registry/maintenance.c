/* SPDX-License-Identifier: Apache-2.0 */
/* Maintenance that the operator announces, and every party hears of (RFC 9167). */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define PAGE	 200
#define LIST_MAX 200

static bool check_create(struct registry_run *run, const Registry__Maintenance *m)
{
	if (!reg__text_ok(m->system, 1, STORE_NAME_MAX - 1)) {
		reg__no(run, *m->system ? CODE(VALUE_SYNTAX) : CODE(MISSING), "system",
			"what it is done to, in 1 to 128 bytes");
		return false;
	}
	if (strcmp(m->impact, "none") != 0 && strcmp(m->impact, "partial") != 0 &&
		strcmp(m->impact, "full") != 0) {
		reg__no(run, CODE(RANGE), "impact", "none, partial or full");
		return false;
	}
	if (m->start >= m->end || m->end <= run->now) {
		reg__no(run, CODE(RANGE), "end", "after its start, and not yet past");
		return false;
	}
	if (!reg__text_ok(m->description, 0, STORE_URL_MAX - 1)) {
		reg__no(run, CODE(VALUE_SYNTAX), "description", "text of at most 512 bytes");
		return false;
	}
	return true;
}

static enum rc tell_all(struct registry_run *run, const struct store_maintenance *m,
	const char *event, const char *what)
{
	char after[STORE_ID_MAX] = "";
	size_t n = PAGE;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n == PAGE) {
		struct store_party *list = NULL;

		rc = store_party_list(run->reg->store, after, PAGE, run->arena, &list, &n);
		for (size_t i = 0; rc == RC_OK && i < n; i++) {
			snprintf(after, sizeof(after), "%s", list[i].id);
			if (!reg__is_caller(run, list[i].id))
				rc = reg__poll(run, list[i].id, event, m->id,
					"maintenance of %s %s", m->target, what);
		}
	}
	return rc;
}

static Registry__Maintenance *message(struct registry_run *run, const struct store_maintenance *m)
{
	Registry__Maintenance *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return NULL;
	registry__maintenance__init(out);
	out->id = arena_str(run->arena, m->id);
	out->system = arena_str(run->arena, m->target);
	out->impact = arena_str(run->arena, m->impact);
	out->start = m->begins;
	out->end = m->ends;
	out->emergency = m->emergency;
	out->description = arena_str(run->arena, m->description);
	out->created = m->created;
	out->updated = m->updated;
	return out;
}

static enum rc answer(struct registry_run *run, const struct store_maintenance *list, size_t n)
{
	Registry__MaintenanceData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__maintenance_data__init(out);
	out->items = arena_array(run->arena, n, sizeof(*out->items));
	for (size_t i = 0; out->items && i < n; i++)
		out->items[out->n_items++] = message(run, &list[i]);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_MAINTENANCE;
	run->reply.maintenance = out;
	return RC_OK;
}

static void fill(struct store_maintenance *m, const Registry__Maintenance *in)
{
	snprintf(m->target, sizeof(m->target), "%s", in->system);
	snprintf(m->impact, sizeof(m->impact), "%s", in->impact);
	snprintf(m->description, sizeof(m->description), "%s", in->description);
	m->begins = in->start;
	m->ends = in->end;
	m->emergency = in->emergency;
}

enum rc reg__maintenance_create(struct registry_run *run)
{
	const Registry__Maintenance *in = run->request->maintenance_create->maintenance;
	struct store_maintenance m = { .created = run->now };
	int64_t number = run->now;
	enum rc rc;

	if (!in)
		return reg__no(run, CODE(MISSING), "maintenance", "what is announced?");
	if (!check_create(run, in))
		return RC_OK;
	fill(&m, in);
	do {
		struct store_maintenance other;

		snprintf(m.id, sizeof(m.id), "MNT-%lld", (long long)number++);
		rc = store_maintenance_get(run->reg->store, m.id, &other);
	} while (rc == RC_OK);
	if (rc == RC_NOT_FOUND)
		rc = store_maintenance_add(run->reg->store, &m);
	if (rc == RC_OK)
		rc = tell_all(run, &m, "maintenance.create", "is announced");
	if (rc == RC_OK)
		rc = reg__audit(run, m.id, "system=%s impact=%s", m.target, m.impact);
	return rc == RC_OK ? answer(run, &m, 1) : rc;
}

static enum rc find(struct registry_run *run, const char *id, struct store_maintenance *m)
{
	enum rc rc = store_maintenance_get(run->reg->store, id, m);

	if (rc == RC_NOT_FOUND || (rc == RC_OK && m->deleted))
		return reg__no(run, CODE(NOT_FOUND), "id", "no such maintenance");
	return rc;
}

/* What is not said stays as it is. */
enum rc reg__maintenance_update(struct registry_run *run)
{
	const Registry__Maintenance *in = run->request->maintenance_update->maintenance;
	Registry__Maintenance whole;
	struct store_maintenance m;
	enum rc rc;

	if (!in)
		return reg__no(run, CODE(MISSING), "maintenance", "nothing to change");
	rc = find(run, in->id, &m);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	whole = *in;
	if (!*whole.system)
		whole.system = m.target;
	if (!*whole.impact)
		whole.impact = m.impact;
	if (!*whole.description)
		whole.description = m.description;
	if (!whole.start)
		whole.start = m.begins;
	if (!whole.end)
		whole.end = m.ends;
	whole.emergency = whole.emergency || m.emergency;
	if (!check_create(run, &whole))
		return RC_OK;
	fill(&m, &whole);
	m.updated = run->now;
	rc = store_maintenance_save(run->reg->store, &m);
	if (rc == RC_OK)
		rc = tell_all(run, &m, "maintenance.update", "is changed");
	if (rc == RC_OK)
		rc = reg__audit(run, m.id, "system=%s impact=%s", m.target, m.impact);
	return rc == RC_OK ? answer(run, &m, 1) : rc;
}

/* Kept for the messages that tell of it. */
enum rc reg__maintenance_delete(struct registry_run *run)
{
	struct store_maintenance m;
	enum rc rc = find(run, run->request->maintenance_delete->id, &m);

	if (rc != RC_OK || reg__refused(run))
		return rc;
	m.updated = run->now;
	m.deleted = true;
	rc = store_maintenance_save(run->reg->store, &m);
	if (rc == RC_OK)
		rc = tell_all(run, &m, "maintenance.delete", "is called off");
	if (rc == RC_OK)
		rc = reg__audit(run, m.id, "called off");
	return rc == RC_OK ? answer(run, &m, 1) : rc;
}

/* One, or all that have not ended. */
enum rc reg__maintenance_info(struct registry_run *run)
{
	const char *id = run->request->maintenance_info->id;
	struct store_maintenance one, *list = &one;
	size_t n = 1;
	enum rc rc;

	if (*id) {
		rc = store_maintenance_get(run->reg->store, id, &one);
		if (rc == RC_NOT_FOUND ||
			(rc == RC_OK && one.deleted && !run->request->maintenance_info->told))
			return reg__no(run, CODE(NOT_FOUND), "id", "no such maintenance");
	} else {
		rc = store_maintenance_list(
			run->reg->store, run->now, LIST_MAX, run->arena, &list, &n);
	}
	return rc == RC_OK ? answer(run, list, n) : rc;
}
