/* SPDX-License-Identifier: Apache-2.0 */
/* What parties hear of a change that they did not make themselves: the object as it was and as it
 * now is, who made the change, why, and under which case (RFC 8590). A profile is its sponsor's and
 * its device's owner's concern, a device its operator's, its owner's and its profiles' sponsors'.
 */
#include "registry/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SLOTS 9

enum { STATE_NONE, STATE_BEFORE, STATE_AFTER };

static enum rc pack(struct registry_run *run, const Registry__PollObject *m, struct store_blob *out)
{
	size_t len = registry__poll_object__get_packed_size(m);
	uint8_t *bytes = arena_alloc(run->arena, len);

	if (!bytes)
		return RC_NOMEM;
	registry__poll_object__pack(m, bytes);
	*out = (struct store_blob){ bytes, len };
	return RC_OK;
}

static enum rc shoot_profile(
	struct registry_run *run, const struct store_profile_view *v, struct store_blob *out)
{
	Registry__PollObject m = REGISTRY__POLL_OBJECT__INIT;
	enum rc rc = reg__profile_message(run, v, NULL, &m.profile);

	return rc == RC_OK ? pack(run, &m, out) : rc;
}

static enum rc shoot_device(
	struct registry_run *run, const struct store_device *d, struct store_blob *out)
{
	Registry__PollObject m = REGISTRY__POLL_OBJECT__INIT;
	enum rc rc = reg__device_message(run, d, &m.device);

	return rc == RC_OK ? pack(run, &m, out) : rc;
}

enum rc reg__shoot_service(
	struct registry_run *run, Registry__Service *service, struct store_blob *out)
{
	Registry__PollObject m = REGISTRY__POLL_OBJECT__INIT;

	m.service = service;
	return service ? pack(run, &m, out) : RC_NOMEM;
}

static bool other(const struct registry_run *run, const char *party)
{
	return *party && !reg__is_caller(run, party);
}

enum rc reg__before_profile(
	struct registry_run *run, const struct store_profile_view *v, struct reg__tale *t)
{
	*t = (struct reg__tale){ 0 };
	if (run->planning || (!other(run, v->p.sponsor) && !other(run, v->owner)))
		return RC_OK;
	return shoot_profile(run, v, &t->before);
}

enum rc reg__before_device(
	struct registry_run *run, const struct store_device *d, struct reg__tale *t)
{
	*t = (struct reg__tale){ 0 };
	return run->planning ? RC_OK : shoot_device(run, d, &t->before);
}

/* ---- one party -------------------------------------------------------------------------- */

static const char *reason_of(const struct registry_run *run)
{
	const Registry__Request *q = run->request;

	if (!q)
		return "";
	if (q->op_case == REGISTRY__REQUEST__OP_PROFILE_DEACTIVATE &&
		*q->profile_deactivate->reason)
		return q->profile_deactivate->reason;
	return q->why;
}

static enum rc add(struct registry_run *run, const char *party, struct store_poll *m, int state,
	const struct store_blob *object)
{
	struct registry_news *n = reg__news(run, party);

	if (!n)
		return RC_NOMEM;
	n->poll = true;
	m->state = state;
	m->object = *object;
	return store_poll_add(run->reg->store, party, m);
}

static enum rc tell_va(struct registry_run *run, const char *party, const char *event,
	const char *name, const struct reg__tale *t, const char *text)
{
	struct store_poll m = { .date = run->now,
		.event = event,
		.name = name,
		.text = text,
		.who = run->caller ? run->caller->id : "registry",
		.trid = run->request ? run->request->sv_trid : "",
		.reason = reason_of(run),
		.case_id = run->request ? run->request->case_id : "" };
	enum rc rc = RC_OK;

	if (t->before.len)
		rc = add(run, party, &m, STATE_BEFORE, &t->before);
	/* What the party may not see any more ends with the state before. */
	if (rc == RC_OK && (t->after.len || !t->before.len))
		rc = add(run, party, &m, STATE_AFTER, &t->after);
	return rc;
}

enum rc reg__tell(struct registry_run *run, const char *party, const char *event, const char *name,
	const struct reg__tale *t, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	if (!other(run, party))
		return RC_OK;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return tell_va(run, party, event, name, t, text);
}

/* ---- all whom an object concerns -------------------------------------------------------- */

enum rc reg__tell_profile(struct registry_run *run, const struct store_profile_view *v,
	const char *event, struct reg__tale *t, const char *fmt, ...)
{
	bool sponsor = other(run, v->p.sponsor);
	bool owner = other(run, v->owner) && strcmp(v->owner, v->p.sponsor) != 0;
	const char *name;
	char text[300];
	va_list ap;
	enum rc rc;

	if (!sponsor && !owner)
		return RC_OK;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	name = reg__profile_name(run, v);
	rc = shoot_profile(run, v, &t->after);
	if (rc == RC_OK && sponsor && !t->sponsor_knows)
		rc = tell_va(run, v->p.sponsor, event, name, t, text);
	if (rc == RC_OK && owner)
		rc = tell_va(run, v->owner, event, name, t, text);
	return rc;
}

static bool told(char (*list)[STORE_ID_MAX], size_t n, const char *party)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], party) == 0)
			return true;
	return false;
}

enum rc reg__tell_device(struct registry_run *run, const struct store_device *d, const char *event,
	struct reg__tale *t, const char *fmt, ...)
{
	char who[SLOTS + 2][STORE_ID_MAX] = { "" };
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	int64_t ids[SLOTS];
	char text[300];
	size_t n = 0, count = 0;
	va_list ap;
	enum rc rc = v ? store_device_profiles(run->reg->store, d->id, SLOTS, ids, &n) : RC_NOMEM;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (rc == RC_OK)
		rc = shoot_device(run, d, &t->after);
	snprintf(who[count++], STORE_ID_MAX, "%s", d->mno);
	if (*d->owner && !told(who, count, d->owner))
		snprintf(who[count++], STORE_ID_MAX, "%s", d->owner);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = store_profile_by_id(run->reg->store, ids[i], v);
		if (rc == RC_OK && !told(who, count, v->p.sponsor))
			snprintf(who[count++], STORE_ID_MAX, "%s", v->p.sponsor);
	}
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		if (other(run, who[i]))
			rc = tell_va(run, who[i], event, d->iccid, t, text);
	return rc;
}
