/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

static enum rc order(struct registry_run *run, const struct store_profile_view *v,
	const struct reg__csr *csr, Keys__CertOrder **out)
{
	Keys__CertOrder *o = arena_alloc(run->arena, sizeof(*o));

	if (!o)
		return RC_NOMEM;
	keys__cert_order__init(o);
	o->csr = (ProtobufCBinaryData){ csr->bytes.len, (uint8_t *)(uintptr_t)csr->bytes.bytes };
	o->owner_name =
		arena_printf(run->arena, "%u.%s.%s", v->p.slot, v->iccid, run->reg->settings.zone);
	o->kind = (Keys__CertKind)v->p.kind;
	o->asp = arena_str(run->arena, v->p.sponsor);
	o->service = arena_str(run->arena, v->p.service);
	o->eid = arena_str(run->arena, v->eid);
	o->not_before = run->now - REG__BACKDATE_S;
	o->not_after = run->now + run->reg->settings.cert_s;
	*out = o;
	if (run->arena->failed)
		return RC_NOMEM;
	return reg__attest_order(run, v, csr, o);
}

static bool same(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

/* What was made must be what is wanted now: a plan is older than the state it meets. */
static bool fits(const Keys__CertOrder *made, const Keys__CertOrder *now)
{
	return made && made->kind == now->kind && made->csr.len == now->csr.len &&
	       memcmp(made->csr.data, now->csr.data, now->csr.len) == 0 &&
	       strcmp(made->owner_name, now->owner_name) == 0 && strcmp(made->asp, now->asp) == 0 &&
	       strcmp(made->service, now->service) == 0 && strcmp(made->eid, now->eid) == 0 &&
	       made->attest_require == now->attest_require && same(&made->nonce, &now->nonce) &&
	       same(&made->attest_cert, &now->attest_cert);
}

static enum rc refuse_csr(
	struct registry_run *run, const struct store_profile_view *v, const Keys__CertResult *r)
{
	enum rc why = (enum rc)r->rc, rc;

	/* Somebody may be trying to pass a key off as a SIM's: that stays in the audit. */
	if (why == RC_DENIED) {
		rc = reg__audit(run, reg__profile_name(run, v), "refused: %.200s", r->why);
		run->keep = true;
		if (rc == RC_OK)
			reg__no(run, CODE(POLICY), "csr", "%s", r->why);
		return rc;
	}
	if (why == RC_UNAVAILABLE || why == RC_INTERNAL || why == RC_IO || why == RC_NOMEM ||
		why == RC_CRYPTO || why == RC_BUSY || why == RC_TIMEOUT)
		return reg__no(run, CODE(FAILED), "", "the certificate could not be made");
	return reg__no(run, CODE(VALUE_SYNTAX), "csr", "%s", *r->why ? r->why : rc_text(why));
}

/* A key belongs to one device and one slot for ever, and a revoked one never comes back. */
static enum rc bind_key(struct registry_run *run, struct store_profile_view *v,
	const struct reg__csr *csr, const Keys__CertResult *r)
{
	struct store_key k = { .device = v->p.device,
		.slot = v->p.slot,
		.state = STORE_KEY_IN_USE,
		.csr = csr->bytes,
		.b_point = { r->b_point.data, r->b_point.len } };
	enum rc rc;

	memcpy(k.spki, r->spki_sha256.data, STORE_SHA256);
	if (v->p.key && memcmp(k.spki, v->key_spki, STORE_SHA256) == 0)
		return RC_OK;
	rc = store_key_add(run->reg->store, &k);
	if (rc == RC_EXISTS) {
		rc = store_key_by_spki(run->reg->store, r->spki_sha256.data, &k);
		if (rc != RC_OK)
			return rc;
		if (k.state == STORE_KEY_REVOKED)
			return reg__no(run, CODE(POLICY), "csr",
				"this key was revoked and never comes back");
		if (k.device != v->p.device || k.slot != v->p.slot)
			return reg__no(run, CODE(POLICY), "csr",
				"this key is bound to another device or slot");
	}
	if (rc != RC_OK)
		return rc;
	v->p.key = k.id;
	v->key_state = STORE_KEY_IN_USE;
	memcpy(v->key_spki, k.spki, STORE_SHA256);
	return RC_OK;
}

static enum rc add_cert(struct registry_run *run, struct store_profile_view *v,
	const Keys__CertResult *r, struct store_blob *der)
{
	struct store_cert c = { .profile = v->p.id,
		.state = CERT(VALID),
		.not_before = run->ordered->not_before,
		.not_after = run->ordered->not_after };
	enum rc rc = RC_OK;

	snprintf(c.service, sizeof(c.service), "%s", v->p.service);
	memcpy(c.sha256, r->sha256.data, STORE_SHA256);
	memcpy(c.spki, r->spki_sha256.data, STORE_SHA256);
	if (v->p.cert && (v->cert.state == CERT(VALID) || v->cert.state == CERT(SUSPENDED)))
		rc = store_cert_state(run->reg->store, v->p.cert, CERT(SUPERSEDED));
	if (rc == RC_OK && v->p.cert && v->p.state == STATE(ACTIVATED))
		rc = reg__overlap_begin(run, v, &c);
	*der = (struct store_blob){ r->der.data, r->der.len };
	if (rc == RC_OK)
		rc = store_cert_add(run->reg->store, &c, *der);
	if (rc != RC_OK)
		return rc;
	v->p.cert = c.id;
	v->cert = c;
	return RC_OK;
}

enum rc reg__issue(struct registry_run *run, struct store_profile_view *v,
	const struct reg__csr *csr, struct store_blob *der, bool *done)
{
	const Keys__CertResult *r = run->made.cert;
	/* To another sponsor it is new. */
	bool was_live = v->p.state == STATE(ACTIVATED) && !run->loser;
	Keys__CertOrder *wanted;
	enum rc rc = order(run, v, csr, &wanted);

	*done = false;
	if (rc != RC_OK)
		return rc;
	if (run->planning) {
		run->cert_order = wanted;
		return RC_OK;
	}
	if (!r || !fits(run->ordered, wanted)) {
		run->again = true;
		return RC_OK;
	}
	if (r->rc != RC_OK)
		return refuse_csr(run, v, r);
	if (r->sha256.len != STORE_SHA256 || r->spki_sha256.len != STORE_SHA256 || !r->der.len)
		return reg__no(run, CODE(FAILED), "", "the certificate could not be made");
	rc = bind_key(run, v, csr, r);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = add_cert(run, v, r, der);
	if (rc == RC_OK)
		rc = reg__attest_keep(run, v, r);
	if (rc == RC_OK)
		rc = reg__publish(run, v, was_live);
	if (rc != RC_OK)
		return rc;
	v->p.state = STATE(ACTIVATED);
	v->p.install_due++;
	v->p.attempts = 0;
	v->p.updated = run->now;
	run->install = true;
	*done = true;
	return RC_OK;
}
