/* SPDX-License-Identifier: Apache-2.0 */
/* core <-> zone: what the zone shall contain. */
#include "role/zone_internal.h"

#include <string.h>

#define SETS_OF_CHANGE 2 /* CERT, TLSA */
#define ATTACH_MS      2 /* how often is looked whether all dns serve us */

void zone__send_core(struct zone_role *z, Zone__FromZone *m)
{
	if (z->core && link_send(z->core, &m->base) != RC_OK)
		log_write(z->role->log, LOG_WARNING, "core is not reading");
	if (z->core)
		link_flush(z->core);
}

void zone__say_hello(struct zone_role *z)
{
	Zone__Hello hello = ZONE__HELLO__INIT;
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;

	if (z->have && !zone__dns_attached(z)) {
		zone__soon(z, ATTACH_MS);
		return;
	}
	z->tell_due = false;
	hello.have = z->have;
	hello.applied_seq = z->have ? z->applied_seq : 0;
	hello.serial = z->serial;
	hello.zone = z->role->config->registry.zone;
	m.op_case = ZONE__FROM_ZONE__OP_HELLO;
	m.hello = &hello;
	z->taken_seq = z->applied_seq;
	z->hello_due = false;
	zone__send_core(z, &m);
	zone__say_keys(z);
}

void zone__say_applied(struct zone_role *z, uint64_t seq)
{
	Zone__Applied applied = ZONE__APPLIED__INIT;
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;

	z->tell_due = !zone__dns_attached(z);
	if (z->tell_due) {
		zone__soon(z, ATTACH_MS);
		return;
	}
	applied.seq = seq;
	applied.serial = z->serial;
	z->told_serial = z->serial;
	m.op_case = ZONE__FROM_ZONE__OP_APPLIED;
	m.applied = &applied;
	zone__send_core(z, &m);
}

void zone__say_failed(struct zone_role *z, const char *why)
{
	Zone__Failed failed = ZONE__FAILED__INIT;
	Zone__FromZone m = ZONE__FROM_ZONE__INIT;

	failed.seq = z->batch_seq;
	failed.why = (char *)(uintptr_t)why;
	m.op_case = ZONE__FROM_ZONE__OP_FAILED;
	m.failed = &failed;
	zone__send_core(z, &m);
}

/* ---- one change */

struct sets {
	struct work_set set[SETS_OF_CHANGE];
	const uint8_t *rdata[SETS_OF_CHANGE][REC_RDATA_MAX];
	uint16_t len[SETS_OF_CHANGE][REC_RDATA_MAX];
	unsigned count;
};

static enum rc add_set(struct sets *s, uint16_t type, size_t n, const ProtobufCBinaryData *rdata)
{
	unsigned at = s->count++;

	if (n > REC_RDATA_MAX)
		return RC_TOO_LARGE;
	for (size_t i = 0; i < n; i++) {
		if (rdata[i].len < 4 || rdata[i].len > UINT16_MAX / 4)
			return RC_MALFORMED;
		s->rdata[at][i] = rdata[i].data;
		s->len[at][i] = (uint16_t)rdata[i].len;
	}
	s->set[at] = (struct work_set){ type, (uint16_t)n, s->rdata[at], s->len[at] };
	return RC_OK;
}

static enum rc sets_of(const Zone__Change *c, bool apex, struct sets *out)
{
	enum rc rc = RC_OK;

	out->count = 0;
	if (apex || c->n_cert)
		rc = add_set(out, RR_CERT, c->n_cert, c->cert);
	if (rc == RC_OK)
		rc = add_set(out, RR_TLSA, c->n_tlsa, c->tlsa);
	return rc;
}

static enum rc key_of(const struct zone_role *z, const char *text, struct zone_key *out)
{
	struct zone_name rel;
	struct zone_name whole;
	enum rc rc = zone_name_from_text(text, &rel);

	if (rc == RC_OK)
		rc = zone_name_join(&rel, &z->policy.origin, &whole);
	if (rc == RC_OK)
		zone_key_write(rel.wire, rel.len - 1u, out);
	return rc;
}

static bool is_device(const Zone__Change *c)
{
	return c->cert_sha256.len == RR_HASH_LEN && c->spki_sha256.len == RR_HASH_LEN;
}

/* To the batch, or to the rebuild when that is what core is sending. */
static enum rc take_change(struct zone_role *z, const Zone__Change *c, bool rebuild)
{
	struct zone_key key;
	struct sets s;
	enum rc rc = key_of(z, c->name, &key);
	bool apex = rc == RC_OK && key.len == 1;

	if (rc != RC_OK)
		return rc;
	if (c->withdrawn && !apex)
		return rebuild ? RC_OK : batch_withdraw(z->next, &key);
	if (is_device(c))
		return rebuild ? rebuild_device(z->rebuild, &key, c->cert_sha256.data,
					 c->spki_sha256.data, c->not_after)
			       : batch_device(z->next, &key, c->cert_sha256.data,
					 c->spki_sha256.data, c->not_after);
	rc = sets_of(c, apex, &s);
	if (rc != RC_OK)
		return rc;
	return rebuild ? rebuild_sets(z->rebuild, &key, s.set, s.count)
		       : batch_sets(z->next, &key, s.set, s.count);
}

static enum rc take_changes(
	struct zone_role *z, size_t n, Zone__Change **list, bool rebuild, struct diag *d)
{
	for (size_t i = 0; i < n; i++) {
		enum rc rc = take_change(z, list[i], rebuild);

		if (rc != RC_OK)
			return diag_set(d, rc, "change %llu of %s: %s",
				(unsigned long long)list[i]->seq, list[i]->name, rc_text(rc));
	}
	return RC_OK;
}

/* ---- messages */

static enum rc on_apply(struct zone_role *z, const Zone__Apply *a, struct diag *d)
{
	enum rc rc = RC_OK;

	/* Not ready for it, or changes are missing in between: core hears where we are. */
	if (!zone__may_sign(z) || !z->have || a->from_seq > z->taken_seq || z->rebuild) {
		z->hello_due = true;
		return RC_OK;
	}
	if (!z->next)
		rc = batch_new(z->db, &z->policy, z->role->clock->unix_s(z->role->clock), &z->next);
	if (rc == RC_OK)
		rc = take_changes(z, a->n_changes, a->changes, false, d);
	if (rc != RC_OK)
		return rc;
	if (a->to_seq > z->next_seq)
		z->next_seq = a->to_seq;
	if (a->to_seq > z->taken_seq)
		z->taken_seq = a->to_seq;
	return RC_OK;
}

static enum rc on_snapshot(struct zone_role *z, const Zone__Snapshot *s, struct diag *d)
{
	enum rc rc = RC_OK;

	if (s->begin) {
		zone__drop_work(z);
		rc = rebuild_new(
			z->db, &z->policy, z->role->clock->unix_s(z->role->clock), &z->rebuild, d);
		if (rc == RC_OK)
			rc = z->node.on ? rebuild_serial_from(z->rebuild, s->min_serial, d)
					: rebuild_serial_min(z->rebuild, s->min_serial, d);
	}
	if (rc != RC_OK)
		return rc;
	if (!z->rebuild || z->rebuild_full) {
		z->hello_due = true;
		return RC_OK;
	}
	rc = take_changes(z, s->n_changes, s->changes, true, d);
	if (rc == RC_OK)
		rc = rebuild_flush(z->rebuild, d);
	/* Each commit is seen by all before the next: a dns that comes now would search for long.
	 */
	if (rc == RC_OK)
		rc = snap_writer_publish(z->snaps);
	if (s->end) {
		z->rebuild_full = true;
		z->rebuild_seq = s->to_seq;
		z->taken_seq = s->to_seq;
	}
	return rc;
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct zone_role *z = user;
	Zone__ToZone *m = zone__to_zone__unpack(NULL, len, bytes);
	struct diag d = { 0 };
	enum rc rc = RC_MALFORMED;

	(void)link;
	if (m && z->have_policy) {
		if (m->op_case == ZONE__TO_ZONE__OP_APPLY)
			rc = on_apply(z, m->apply, &d);
		else if (m->op_case == ZONE__TO_ZONE__OP_SNAPSHOT)
			rc = on_snapshot(z, m->snapshot, &d);
		else if (m->op_case == ZONE__TO_ZONE__OP_KEY_ORDER) {
			zone__roll_order(z, m->key_order);
			rc = RC_OK;
		} else {
			rc = zone__node_message(z, m, &d);
		}
	}
	if (m)
		zone__to_zone__free_unpacked(m, NULL);
	if (rc != RC_OK) {
		const char *why = d.text[0] ? d.text : rc_text(rc);

		log_write(z->role->log, LOG_ERROR, "core_message refused why=%s", why);
		if (rc == RC_IO)
			zone__wrote(z, false);
		zone__drop_work(z);
		z->hello_due = true;
		zone__say_failed(z, why);
		/* Not at once: what could not be taken will hardly be better the next moment. */
		zone__soon(z, 1000);
		return;
	}
	zone__go_on(z);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct zone_role *z = user;

	log_write(z->role->log, LOG_WARNING, "link_closed peer=core why=%s", rc_text(why));
	z->core = NULL;
	link_free(link);
	/* What waited for its word, and the right to sign, go with it. */
	if (z->node.on) {
		z->node.signs = z->node.will_sign = false;
		zone__drop_work(z);
	}
	/* What it had not finished sending, it sends again. */
	batch_free(z->next);
	z->next = NULL;
	z->next_seq = 0;
	if (z->rebuild && !z->rebuild_full)
		zone__drop_work(z);
}

void zone__core_link(struct zone_role *z, int take_fd)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = z };

	if (z->core) {
		struct link *old = z->core;

		on_closed(old, RC_CLOSED, z);
	}
	if (link_new(z->role->base, take_fd, &opts, &z->core) != RC_OK)
		return;
	z->hello_due = true;
	zone__go_on(z);
}
