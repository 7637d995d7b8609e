/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ident.h"
#include "registry/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A withdrawal of a certificate that has ended must still be believed. */
#define WITHDRAWN_LIFE_S (90 * 86400)

static enum rc fill_pins(struct registry_run *run, const char *service, Keys__SignPayload *m)
{
	struct store_pin *pins = NULL;
	size_t n = 0;
	enum rc rc = store_service_pins(run->reg->store, service, run->arena, &pins, &n);

	m->pins = arena_array(run->arena, n, sizeof(*m->pins));
	for (size_t i = 0; rc == RC_OK && m->pins && i < n; i++) {
		Keys__Pin *p = arena_alloc(run->arena, sizeof(*p));

		if (!p)
			return RC_NOMEM;
		keys__pin__init(p);
		p->usage = pins[i].usage;
		p->selector = pins[i].selector;
		p->matching = pins[i].matching;
		p->data = (ProtobufCBinaryData){ pins[i].data.len,
			(uint8_t *)(uintptr_t)pins[i].data.bytes };
		m->pins[m->n_pins++] = p;
	}
	return rc;
}

static ProtobufCBinaryData borrow(struct store_blob b)
{
	return (ProtobufCBinaryData){ b.len, (uint8_t *)(uintptr_t)b.bytes };
}

/* What only a live payload says: where the service is and whom to trust on the way. */
static enum rc fill_live(struct registry_run *run, const struct store_profile_view *v,
	const struct store_service *s, Keys__SignPayload *m)
{
	const struct registry_trust *t = run->reg->trust;
	struct store_key k;
	enum rc rc = store_key_get(run->reg->store, v->p.key, run->arena, &k);

	if (rc != RC_OK)
		return rc;
	m->resolvers = t->resolvers;
	m->n_resolvers = t->resolver_count;
	m->service = arena_str(run->arena, s->handle);
	m->fqdn = arena_str(run->arena, s->fqdn);
	m->port = s->port;
	m->url = arena_str(run->arena, s->url);
	if (s->wifi_sealed.len && k.b_point.len) {
		m->wifi_sealed = borrow(s->wifi_sealed);
		m->b_point = borrow(k.b_point);
	}
	if (s->has_td) {
		m->td_url = arena_str(run->arena, s->td_url);
		m->td_sha256.data = arena_dup(run->arena, s->td_sha256, STORE_SHA256);
		m->td_sha256.len = STORE_SHA256;
	}
	m->cert_sha256.data = arena_dup(run->arena, v->cert.sha256, STORE_SHA256);
	m->cert_sha256.len = STORE_SHA256;
	return fill_pins(run, v->p.service, m);
}

static enum rc fill(struct registry_run *run, const struct store_profile_view *v,
	const struct store_service *s, Keys__SignPayload *m)
{
	uint8_t *ef = arena_alloc(run->arena, IDENT_ICCID_LEN);
	uint8_t *eid = arena_alloc(run->arena, IDENT_EID_LEN);

	if (!ef || !eid)
		return RC_NOMEM;
	m->kind = (Keys__CertKind)v->p.kind;
	m->sequence = v->p.sequence + 1;
	m->issued = run->now;
	m->expires = v->cert.not_after;
	m->slot = v->p.slot;
	m->withdrawn = v->p.state != STATE(ACTIVATED);
	m->zone = (char *)(uintptr_t)run->reg->settings.zone;
	if (m->withdrawn && m->expires <= run->now)
		m->expires = run->now + WITHDRAWN_LIFE_S;
	if (ident_iccid_read(v->iccid, ef) != RC_OK)
		return RC_INTERNAL;
	m->iccid = (ProtobufCBinaryData){ IDENT_ICCID_LEN, ef };
	if (*v->eid) {
		if (ident_eid_read(v->eid, eid) != RC_OK)
			return RC_INTERNAL;
		m->eid = (ProtobufCBinaryData){ IDENT_EID_LEN, eid };
	}
	m->anchors = run->reg->trust->anchors;
	m->n_anchors = run->reg->trust->anchor_count;
	return m->withdrawn ? RC_OK : fill_live(run, v, s, m);
}

static Keys__SignKit *kit_order(struct registry_run *run, const struct store_service *s)
{
	Keys__SignKit *k = arena_alloc(run->arena, sizeof(*k));

	if (!k)
		return NULL;
	keys__sign_kit__init(k);
	k->url = arena_str(run->arena, *s->url ? s->url : s->fqdn);
	k->port = s->port;
	k->asp_cert = borrow(s->asp_cert);
	return k;
}

enum rc registry_install_prepare(struct registry_run *run, int64_t profile,
	struct registry_install *basis, Keys__SignPayload **payload, Keys__SignKit **kit)
{
	struct store_profile_view v;
	struct store_service s;
	Keys__SignPayload *m = arena_alloc(run->arena, sizeof(*m));
	struct registry_trust_plan *plan = arena_alloc(run->arena, sizeof(*plan));
	enum rc rc = m && plan ? store_profile_by_id(run->reg->store, profile, &v) : RC_NOMEM;

	if (rc != RC_OK)
		return rc;
	if (!run->reg->trust)
		return RC_UNAVAILABLE;
	if (!v.p.install_due || !v.p.cert)
		return RC_STATE;
	rc = reg__overlap_hold(run, &v);
	if (rc != RC_OK)
		return rc;
	rc = store_service_get(run->reg->store, v.p.service, run->arena, &s);
	if (rc != RC_OK)
		return rc;
	keys__sign_payload__init(m);
	rc = fill(run, &v, &s, m);
	if (rc == RC_OK)
		rc = reg__trust_plan(run, &v, plan);
	if (rc != RC_OK)
		return rc;
	reg__trust_order(run, plan, m);
	*basis = (struct registry_install){ .profile = profile,
		.sequence = v.p.sequence,
		.cert = v.p.cert,
		.state = v.p.state,
		.due = v.p.install_due,
		.plan = plan,
		.with_cert = !m->withdrawn && v.p.card_cert != v.p.cert };
	memcpy(basis->service, v.p.service, sizeof(basis->service));
	*kit = NULL;
	if (!m->withdrawn && v.p.kind == REGISTRY__CERT_KIND__KIND_DEVKIT && s.asp_cert.len) {
		*kit = kit_order(run, &s);
		basis->asp_cert = s.asp_cert.bytes;
		basis->asp_cert_len = s.asp_cert.len;
	}
	*payload = m;
	return run->arena->failed ? RC_NOMEM : rc;
}

/* ---- the job ---------------------------------------------------------------------------- */

static ProtobufCBinaryData hash_of(const struct registry_trust_plan *plan, const uint8_t *hash)
{
	return plan->known ? (ProtobufCBinaryData){ STORE_SHA256, (uint8_t *)(uintptr_t)hash }
			   : (ProtobufCBinaryData){ 0 };
}

/* What goes to the card beside certificate and payload: whom it trusts, and a kit's files. */
static enum rc pack_extra(struct registry_run *run, uint32_t slot,
	const struct registry_install *basis, const Keys__SignedKit *kit, struct store_blob *out)
{
	static const Keys__SignedKit none = KEYS__SIGNED_KIT__INIT;
	const struct registry_trust_plan *plan = basis->plan;
	const Keys__SignedKit *k = kit ? kit : &none;
	const struct reg__file files[] = {
		plan->files[0],
		plan->files[1],
		plan->files[2],
		{ 0x03, { basis->asp_cert, kit ? basis->asp_cert_len : 0 } },
		{ 0x08, { k->file08.data, k->file08.len } },
		{ 0x09, { k->file09.data, k->file09.len } },
		{ 0x0A, { k->file0a.data, k->file0a.len } },
	};
	Registry__JobFile rows[ARRAY_LEN(files)];
	Registry__JobFile *list[ARRAY_LEN(files)];
	Registry__JobExtra m = REGISTRY__JOB_EXTRA__INIT;
	uint8_t *bytes;

	m.files = list;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		Registry__JobFile *f = &rows[m.n_files];

		if (!files[i].data.len)
			continue;
		registry__job_file__init(f);
		f->id = arena_printf(
			run->arena, "%02X", slot == 1 ? files[i].n : slot << 4 | files[i].n);
		f->data = borrow(files[i].data);
		if (!f->id)
			return RC_NOMEM;
		list[m.n_files++] = f;
	}
	if (!m.n_files && !plan->known)
		return RC_OK;
	m.root = hash_of(plan, plan->after.root);
	m.issuing = hash_of(plan, plan->after.issuing);
	m.signer = hash_of(plan, plan->after.signer);
	m.spki = hash_of(plan, plan->after.spki);
	if (plan->announces)
		m.announced = hash_of(plan, plan->after.announced);
	out->len = registry__job_extra__get_packed_size(&m);
	bytes = arena_alloc(run->arena, out->len);
	if (!bytes)
		return RC_NOMEM;
	registry__job_extra__pack(&m, bytes);
	out->bytes = bytes;
	return RC_OK;
}

static bool same(const struct store_profile_view *v, const struct registry_install *basis)
{
	return v->p.sequence == basis->sequence && v->p.cert == basis->cert &&
	       v->p.state == basis->state && v->p.install_due == basis->due &&
	       strcmp(v->p.service, basis->service) == 0;
}

enum rc registry_install_open(struct registry_run *run, const struct registry_install *basis,
	const Keys__SignedPayload *payload, const Keys__SignedKit *kit)
{
	struct store_job job = { .kind = JOB(INSTALL),
		.cert = basis->cert,
		.sequence = basis->sequence + 1,
		.with_cert = basis->with_cert,
		.payload = { payload->cose.data, payload->cose.len } };
	struct store_profile_view v;
	enum rc rc = store_profile_by_id(run->reg->store, basis->profile, &v);

	/* It changed while keys signed: what is due now will be signed in its turn. */
	if (rc != RC_OK || !same(&v, basis))
		return rc;
	job.attempt = v.p.attempts + 1;
	rc = pack_extra(run, v.p.slot, basis, kit, &job.kit);
	if (rc == RC_OK && v.p.pending_job)
		rc = reg__jobs_cancel(run, &v, 1u << JOB(INSTALL), "a newer payload");
	if (rc == RC_OK)
		rc = reg__job_insert(run, &v, &job);
	v.p.sequence++;
	v.p.install_due = 0;
	return rc == RC_OK ? store_profile_save(run->reg->store, &v.p) : rc;
}

enum rc registry_install_give_up(
	struct registry_run *run, const struct registry_install *basis, const char *why)
{
	struct store_profile_view v;
	enum rc rc = store_profile_by_id(run->reg->store, basis->profile, &v);

	if (rc != RC_OK || !same(&v, basis))
		return rc;
	log_write(run->reg->log, LOG_ERROR, "payload refused profile=%u.%s why=\"%s\"", v.p.slot,
		v.iccid, why);
	v.p.install_due = 0;
	rc = store_profile_save(run->reg->store, &v.p);
	if (rc == RC_OK)
		rc = reg__poll(run, v.p.sponsor, "job.failed", reg__profile_name(run, &v),
			"the payload could not be made: %.200s", why);
	return rc;
}
