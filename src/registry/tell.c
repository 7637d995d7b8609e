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

enum rc reg__shoot_transfer(
	struct registry_run *run, Registry__Transfer *transfer, struct store_blob *out)
{
	Registry__PollObject m = REGISTRY__POLL_OBJECT__INIT;

	m.transfer = transfer;
	return transfer ? pack(run, &m, out) : RC_NOMEM;
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

enum rc reg__tell_ended(struct registry_run *run, const char *const who[3], const char *name,
	Registry__Transfer *transfer)
{
	bool cancelled = transfer && strcmp(transfer->status, "serverCancelled") == 0;
	struct reg__tale t = { 0 };
	enum rc rc = reg__shoot_transfer(run, transfer, &t.after);

	for (int i = 0; i < 3 && rc == RC_OK; i++) {
		bool again = (i > 0 && strcmp(who[i], who[0]) == 0) ||
			     (i > 1 && strcmp(who[i], who[1]) == 0);

		if (*who[i] && !again && (cancelled || other(run, who[i])))
			rc = tell_va(run, who[i], "transfer.ended", name, &t,
				arena_printf(run->arena, "transfer to %s: %s", transfer->requester,
					transfer->status));
	}
	return rc;
}

/* ---- what providers hear of one another --------------------------------------------------- */

static void *take(void *user, size_t len)
{
	return arena_alloc(user, len);
}

static void give_back(void *user ATT_UNUSED, void *p ATT_UNUSED)
{
}

static size_t keep(char **names, size_t count, uint32_t slots)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (slots & 1u << (names[i][0] - '0'))
			names[n++] = names[i];
	return n;
}

/* A device as one of its sponsors may see it: with the profiles in `slots` (1 << slot) and its own
 * consent alone. */
static enum rc narrow(struct registry_run *run, const char *party, uint32_t slots,
	const struct store_blob *in, struct store_blob *out)
{
	ProtobufCAllocator alloc = { take, give_back, run->arena };
	Registry__PollObject *m;
	Registry__Device *d;
	size_t consents = 0;

	*out = (struct store_blob){ 0 };
	if (!in->len)
		return RC_OK;
	m = registry__poll_object__unpack(&alloc, in->len, in->bytes);
	d = m ? m->device : NULL;
	if (!d)
		return RC_INTERNAL;
	d->n_profiles = keep(d->profiles, d->n_profiles, slots);
	d->n_wipe_pending = keep(d->wipe_pending, d->n_wipe_pending, slots);
	for (size_t i = 0; i < d->n_consents; i++)
		if (strcmp(d->consents[i], party) == 0)
			d->consents[consents++] = d->consents[i];
	d->n_consents = consents;
	return pack(run, m, out);
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

/* Whom a device concerns: its operator, its owner, its sponsors. */
struct audience {
	struct {
		char id[STORE_ID_MAX];
		bool all;	/* sees all of it */
		uint32_t slots; /* 1 << slot: its profiles */
	} who[SLOTS + 2];
	size_t n;
};

static size_t listener(struct audience *a, const char *party)
{
	size_t i = 0;

	while (i < a->n && strcmp(a->who[i].id, party) != 0)
		i++;
	if (i == a->n) {
		snprintf(a->who[i].id, sizeof(a->who[i].id), "%s", party);
		a->n++;
	}
	return i;
}

static enum rc gather(struct registry_run *run, const struct store_device *d, struct audience *a)
{
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	int64_t ids[SLOTS];
	size_t n = 0;
	enum rc rc = v ? store_device_profiles(run->reg->store, d->id, SLOTS, ids, &n) : RC_NOMEM;

	a->who[listener(a, d->mno)].all = true;
	if (*d->owner)
		a->who[listener(a, d->owner)].all = true;
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = store_profile_by_id(run->reg->store, ids[i], v);
		if (rc == RC_OK)
			a->who[listener(a, v->p.sponsor)].slots |= 1u << v->p.slot;
	}
	return rc;
}

enum rc reg__tell_device(struct registry_run *run, const struct store_device *d, const char *event,
	struct reg__tale *t, const char *fmt, ...)
{
	struct audience a = { 0 };
	char text[300];
	va_list ap;
	enum rc rc = gather(run, d, &a);

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (rc == RC_OK)
		rc = shoot_device(run, d, &t->after);
	for (size_t i = 0; i < a.n && rc == RC_OK; i++) {
		struct reg__tale own = *t;

		if (!other(run, a.who[i].id))
			continue;
		if (!a.who[i].all) {
			rc = narrow(run, a.who[i].id, a.who[i].slots, &t->before, &own.before);
			if (rc == RC_OK)
				rc = narrow(
					run, a.who[i].id, a.who[i].slots, &t->after, &own.after);
		}
		if (rc == RC_OK)
			rc = tell_va(run, a.who[i].id, event, d->iccid, &own, text);
	}
	return rc;
}
