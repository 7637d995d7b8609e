/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum rc reg__audit(struct registry_run *run, const char *object, const char *fmt, ...)
{
	const struct registry_op *op = run->request ? registry_op(run->request) : NULL;
	struct store_audit row = { .time = run->now,
		.party = run->caller					 ? run->caller->id
			 : run->request && run->request->cert_sha256.len ? "device"
									 : "registry",
		.operation = op ? op->name : "registry",
		.object = object };
	char detail[640];
	va_list ap;
	int len = 0;

	if (run->request && *run->request->peer)
		len = snprintf(detail, sizeof(detail), "peer=%.64s ", run->request->peer);
	va_start(ap, fmt);
	vsnprintf(detail + len, 400 - (size_t)len, fmt, ap);
	va_end(ap);
	row.detail = detail;
	len = (int)strlen(detail);
	if (run->request && (*run->request->case_id || *run->request->why))
		snprintf(detail + len, sizeof(detail) - (size_t)len, " case=%s why=%s",
			run->request->case_id, run->request->why);
	return store_audit_add(run->reg->store, &row);
}

struct registry_news *reg__news(struct registry_run *run, const char *party)
{
	struct registry_news *n = arena_alloc(run->arena, sizeof(*n));

	if (!n)
		return NULL;
	snprintf(n->party, sizeof(n->party), "%s", party);
	n->next = run->news;
	run->news = n;
	return n;
}

enum rc reg__poll(struct registry_run *run, const char *party, const char *event, const char *name,
	const char *fmt, ...)
{
	struct store_poll m = { .date = run->now,
		.event = event,
		.name = name,
		.who = run->caller ? run->caller->id : "registry",
		.trid = run->request ? run->request->sv_trid : "",
		.ended_cl_trid = run->ended_cl_trid,
		.ended_sv_trid = run->ended_sv_trid };
	struct registry_news *n = reg__news(run, party);
	char text[300];
	va_list ap;

	if (!n)
		return RC_NOMEM;
	n->poll = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	m.text = text;
	run->ended_cl_trid = NULL;
	run->ended_sv_trid = NULL;
	return store_poll_add(run->reg->store, party, &m);
}

enum rc reg__ended(struct registry_run *run, int64_t profile)
{
	enum rc rc = store_pending_take(
		run->reg->store, profile, run->arena, &run->ended_cl_trid, &run->ended_sv_trid);

	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc reg__news_job(struct registry_run *run, const char *mno, int64_t job)
{
	struct registry_news *n = reg__news(run, mno);

	if (!n)
		return RC_NOMEM;
	n->job = job;
	return RC_OK;
}

enum rc reg__change(struct registry_run *run, struct store_change *c)
{
	struct registry_change *kept = arena_alloc(run->arena, sizeof(*kept));
	enum rc rc;

	if (!kept)
		return RC_NOMEM;
	rc = store_change_add(run->reg->store, c);
	if (rc != RC_OK)
		return rc;
	kept->c = *c;
	*run->changes_end = kept;
	run->changes_end = &kept->next;
	run->change_seq = c->seq;
	run->uses_zone = true;
	return RC_OK;
}

static void name_of(struct store_change *c, const struct store_profile_view *v)
{
	snprintf(c->name, sizeof(c->name), "%u.%s", v->p.slot, v->iccid);
}

enum rc reg__publish(struct registry_run *run, const struct store_profile_view *v, bool instead)
{
	struct store_change c = { .has_cert = true, .not_after = v->cert.not_after };
	struct store_cert old;
	int64_t ends;
	enum rc rc = store_overlap_get(run->reg->store, v->p.id, &old, &ends);

	name_of(&c, v);
	if (rc == RC_OK) {
		c.has_cert = false;
		instead = false; /* the old one stands for a while yet */
		rc = reg__overlap_records(
			run->arena, v->cert.sha256, old.sha256, v->cert.spki, &c.records);
	}
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	memcpy(c.cert_sha256, v->cert.sha256, sizeof(c.cert_sha256));
	memcpy(c.spki_sha256, v->cert.spki, sizeof(c.spki_sha256));
	rc = reg__change(run, &c);
	return rc == RC_OK ? reg__feed_published(run, v, instead) : rc;
}

enum rc reg__withdraw(struct registry_run *run, const struct store_profile_view *v)
{
	struct store_change c = { .withdrawn = true };
	enum rc rc = store_overlap_drop(run->reg->store, v->p.id);

	name_of(&c, v);
	if (rc == RC_OK)
		rc = reg__change(run, &c);
	return rc == RC_OK ? reg__feed_withdrawn(run, v) : rc;
}

Zone__Change *registry_change_message(const struct store_change *c, struct arena *arena)
{
	Zone__Change *m = arena_alloc(arena, sizeof(*m));

	if (!m)
		return NULL;
	zone__change__init(m);
	m->seq = c->seq;
	m->name = arena_str(arena, c->name);
	m->withdrawn = c->withdrawn;
	m->not_after = c->not_after;
	if (c->has_cert && c->has_previous) {
		struct store_change both = *c;

		both.has_cert = false;
		both.has_previous = false;
		if (reg__overlap_records(arena, c->cert_sha256, c->previous, c->spki_sha256,
			    &both.records) != RC_OK)
			return NULL;
		return registry_change_message(&both, arena);
	}
	if (c->has_cert) {
		m->cert_sha256.data = arena_dup(arena, c->cert_sha256, STORE_SHA256);
		m->spki_sha256.data = arena_dup(arena, c->spki_sha256, STORE_SHA256);
		m->cert_sha256.len = STORE_SHA256;
		m->spki_sha256.len = STORE_SHA256;
	}
	if (c->records.len) {
		/* Kept as a packed Zone.Change that holds the record lists only. */
		Zone__Change *kept = zone__change__unpack(NULL, c->records.len, c->records.bytes);

		if (!kept)
			return NULL;
		m->n_tlsa = kept->n_tlsa;
		m->n_cert = kept->n_cert;
		m->tlsa = arena_array(arena, kept->n_tlsa, sizeof(*m->tlsa));
		m->cert = arena_array(arena, kept->n_cert, sizeof(*m->cert));
		for (size_t i = 0; m->tlsa && i < kept->n_tlsa; i++) {
			m->tlsa[i].len = kept->tlsa[i].len;
			m->tlsa[i].data = arena_dup(arena, kept->tlsa[i].data, kept->tlsa[i].len);
		}
		for (size_t i = 0; m->cert && i < kept->n_cert; i++) {
			m->cert[i].len = kept->cert[i].len;
			m->cert[i].data = arena_dup(arena, kept->cert[i].data, kept->cert[i].len);
		}
		zone__change__free_unpacked(kept, NULL);
	}
	return arena->failed ? NULL : m;
}
