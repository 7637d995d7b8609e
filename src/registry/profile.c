/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ident.h"
#include "base/secret.h"
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- seeing one ------------------------------------------------------------------------- */

bool reg__may_see(const struct registry_run *run, const struct store_profile_view *v)
{
	return reg__is_caller(run, v->p.sponsor) || reg__is_caller(run, v->mno) ||
	       reg__is_caller(run, v->owner) || reg__has_role(run, ROLE_BIT(OPERATOR));
}

struct store_profile_view *reg__profile(struct registry_run *run, const char *name, enum rc *rc)
{
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	char iccid[STORE_ICCID_MAX];
	uint32_t slot;

	*rc = v ? RC_OK : RC_NOMEM;
	if (!v || !reg__name(run, name, &slot, iccid))
		return NULL;
	*rc = store_profile_get(run->reg->store, iccid, slot, v);
	if (*rc == RC_OK && v->p.state != STATE(DELETED))
		return v;
	if (*rc == RC_OK || *rc == RC_NOT_FOUND)
		*rc = reg__no(run, CODE(NOT_FOUND), "name", "no such profile");
	return NULL;
}

const char *reg__profile_name(struct registry_run *run, const struct store_profile_view *v)
{
	return arena_printf(run->arena, "%u.%s", v->p.slot, v->iccid);
}

Registry__Certificate *reg__cert_message(
	struct registry_run *run, const struct store_cert *cert, const struct store_blob *der)
{
	Registry__Certificate *c = arena_alloc(run->arena, sizeof(*c));

	if (!c)
		return NULL;
	registry__certificate__init(c);
	if (der)
		c->der = (ProtobufCBinaryData){ der->len, (uint8_t *)(uintptr_t)der->bytes };
	c->sha256.data = arena_dup(run->arena, cert->sha256, STORE_SHA256);
	c->spki_sha256.data = arena_dup(run->arena, cert->spki, STORE_SHA256);
	c->sha256.len = STORE_SHA256;
	c->spki_sha256.len = STORE_SHA256;
	c->state = (Registry__CertState)cert->state;
	c->not_before = cert->not_before;
	c->not_after = cert->not_after;
	c->service = arena_str(run->arena, cert->service);
	return c;
}

enum rc reg__profile_message(struct registry_run *run, const struct store_profile_view *v,
	const struct store_blob *der, Registry__Profile **out)
{
	Registry__Profile *m = arena_alloc(run->arena, sizeof(*m));
	struct arena *a = run->arena;
	enum rc rc;

	if (!m)
		return RC_NOMEM;
	registry__profile__init(m);
	m->name = arena_printf(a, "%u.%s", v->p.slot, v->iccid);
	m->owner_name = arena_printf(a, "%u.%s.%s", v->p.slot, v->iccid, run->reg->settings.zone);
	m->device = arena_printf(a, "D%lld-IOT", (long long)v->p.device);
	m->sponsor = arena_str(a, v->p.sponsor);
	m->service = arena_str(a, v->p.service);
	m->mno = arena_str(a, v->mno);
	m->owner = arena_str(a, v->owner);
	m->state = (Registry__ProfileState)v->p.state;
	m->kind = (Registry__CertKind)v->p.kind;
	m->wipe_pending = v->p.wipe_pending;
	if (v->p.cert)
		m->certificate = reg__cert_message(run, &v->cert, der);
	m->payload_sequence = v->p.sequence;
	m->created = v->p.created;
	m->updated = v->p.updated;
	m->auth_set = v->p.has_auth && v->p.auth_expires > run->now;
	if (v->p.pending_job)
		m->pending_job = arena_printf(a, "%lld", (long long)v->p.pending_job);
	m->card_current = v->p.cert && v->p.card_cert == v->p.cert && !v->p.install_due &&
			  v->p.card_sequence == v->p.sequence;
	*out = m;
	if (a->failed)
		return RC_NOMEM;
	rc = reg__overlap_show(run, v, m);
	return rc == RC_OK ? reg__attest_show(run, v, m) : rc;
}

enum rc reg__profile_reply(struct registry_run *run, const struct store_profile_view *v,
	const struct store_blob *der, int64_t job)
{
	Registry__ProfileData *out = arena_alloc(run->arena, sizeof(*out));
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	registry__profile_data__init(out);
	rc = reg__profile_message(run, v, der, &out->profile);
	if (job)
		out->job = arena_printf(run->arena, "%lld", (long long)job);
	if (!run->reply.code)
		run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_PROFILE;
	run->reply.profile = out;
	return rc;
}

enum rc reg__profile_info(struct registry_run *run)
{
	struct store_blob der = { 0 };
	struct store_profile_view *v;
	struct store_transfer t;
	struct store_cert cert;
	bool waits;
	enum rc rc;

	v = reg__profile(run, run->request->profile_info->name, &rc);
	if (!v)
		return rc;
	if (!reg__may_see(run, v))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if (v->p.cert)
		rc = store_cert_get(run->reg->store, v->p.cert, run->arena, &cert, &der);
	if (rc == RC_OK)
		rc = reg__transfer_waits(run, v, &t, &waits);
	if (rc == RC_OK)
		rc = reg__profile_reply(run, v, &der, 0);
	if (rc == RC_OK)
		run->reply.profile->profile->transfer_pending = waits;
	return rc;
}

/* A page begins after "<device>.<slot>". */
static bool read_after(struct registry_run *run, const char *text, int64_t *device, uint32_t *slot)
{
	const char *dot = strchr(text, '.');
	char id[24];

	*device = 0;
	*slot = 0;
	if (!*text)
		return true;
	if (dot && (size_t)(dot - text) < sizeof(id) && dot[1] >= '1' && dot[1] <= '9' && !dot[2]) {
		snprintf(id, sizeof(id), "%.*s", (int)(dot - text), text);
		*slot = (uint32_t)(dot[1] - '0');
		return reg__id(run, id, "after", device);
	}
	reg__no(run, CODE(VALUE_SYNTAX), "after", "not a page mark of ours");
	return false;
}

enum rc reg__profile_list(struct registry_run *run)
{
	const Registry__ProfileList *m = run->request->profile_list;
	Registry__ProfileListData *out = arena_alloc(run->arena, sizeof(*out));
	size_t limit = reg__limit(m->limit);
	struct store_profile_view *list = NULL;
	enum store_side side = STORE_OWNER;
	int64_t after;
	uint32_t slot;
	size_t n = 0;
	enum rc rc;

	if (!read_after(run, m->after, &after, &slot))
		return RC_OK;
	if (!out)
		return RC_NOMEM;
	if (reg__has_role(run, ROLE_BIT(OPERATOR)))
		side = STORE_ALL;
	else if (reg__has_role(run, ROLE_BIT(ASP)))
		side = STORE_SPONSOR;
	else if (reg__has_role(run, ROLE_BIT(MNO)))
		side = STORE_MNO;
	rc = store_profile_list(run->reg->store, side, run->caller->id, m->service, after, slot,
		limit, run->arena, &list, &n);
	registry__profile_list_data__init(out);
	out->profiles = arena_array(run->arena, n, sizeof(*out->profiles));
	for (size_t i = 0; rc == RC_OK && out->profiles && i < n; i++)
		rc = reg__profile_message(run, &list[i], NULL, &out->profiles[out->n_profiles++]);
	if (n == limit)
		out->next = arena_printf(
			run->arena, "%lld.%u", (long long)list[n - 1].p.device, list[n - 1].p.slot);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_PROFILE_LIST;
	run->reply.profile_list = out;
	return rc;
}

/* ---- register --------------------------------------------------------------------------- */

/* The claim code of the SIM; wrong ones are counted, and the count survives the refusal. */
static enum rc check_claim(struct registry_run *run, const char *claim, struct store_device *d)
{
	bool resting = d->claim_tries >= REGISTRY_TRIES_MAX &&
		       run->now - d->claim_tried < REGISTRY_CLAIM_REST_S;
	uint8_t hash[STORE_SHA256];
	enum rc rc;

	if (resting)
		return reg__no(
			run, CODE(BAD_AUTHINFO), "claim", "too many wrong codes; later again");
	reg__sha256(d->claim_salt, sizeof(d->claim_salt), claim, strlen(claim), hash);
	if (d->has_claim && mem_equal_ct(hash, d->claim_sha256, sizeof(hash))) {
		if (!d->claim_tries)
			return RC_OK;
		d->claim_tries = 0;
		return store_device_save(run->reg->store, d);
	}
	if (d->claim_tries >= REGISTRY_TRIES_MAX)
		d->claim_tries = 0;
	d->claim_tries++;
	d->claim_tried = run->now;
	rc = store_device_save(run->reg->store, d);
	if (rc == RC_OK)
		rc = reg__audit(run, d->iccid, "wrong claim code, attempt %u", d->claim_tries);
	run->keep = true;
	if (rc == RC_OK)
		reg__no(run, CODE(BAD_AUTHINFO), "claim", "not the claim code of this SIM");
	return rc;
}

/* Nobody captures somebody else's SIM: its claim code, or its owner's consent; a locked device
 * takes its owner's consent only. */
static enum rc check_right(struct registry_run *run, const char *claim, struct store_device *d)
{
	enum rc rc = store_consent_check(run->reg->store, d->id, run->caller->id);

	if (rc != RC_NOT_FOUND)
		return rc;
	if (d->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "iccid",
			"the device is locked: its owner must consent");
	if (!*claim)
		return reg__no(run, CODE(AUTHORIZATION), "claim",
			"the claim code of this SIM, or its owner's consent, is needed");
	return check_claim(run, claim, d);
}

/* A deleted slot's row lives on under its new sponsor: the payload sequence goes on, and a wipe
 * that the card has not confirmed stays pending. */
static enum rc enter(struct registry_run *run, const Registry__ProfileRegister *m,
	const struct store_device *d, struct store_profile_view *v, bool reuse)
{
	struct store_profile *p = &v->p;

	p->device = d->id;
	p->slot = m->slot;
	snprintf(p->sponsor, sizeof(p->sponsor), "%s", run->caller->id);
	snprintf(p->service, sizeof(p->service), "%s", m->service);
	p->state = STATE(REGISTERED);
	p->kind = (int)m->kind;
	p->attempts = 0;
	p->created = run->now;
	p->updated = run->now;
	snprintf(v->iccid, sizeof(v->iccid), "%s", d->iccid);
	snprintf(v->mno, sizeof(v->mno), "%s", d->mno);
	snprintf(v->owner, sizeof(v->owner), "%s", d->owner);
	return reuse ? store_profile_save_all(run->reg->store, p)
		     : store_profile_add(run->reg->store, p);
}

enum rc reg__profile_register(struct registry_run *run)
{
	const Registry__ProfileRegister *m = run->request->profile_register;
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	struct store_device d;
	char iccid[STORE_ICCID_MAX];
	bool reuse;
	enum rc rc;

	if (!v)
		return RC_NOMEM;
	if (!reg__iccid(run, m->iccid, iccid))
		return RC_OK;
	if (m->slot < IDENT_SLOT_MIN || m->slot > IDENT_SLOT_MAX)
		return reg__no(run, CODE(RANGE), "slot", "1 to 9");
	if (m->kind != REGISTRY__CERT_KIND__KIND_UTA_IOT &&
		m->kind != REGISTRY__CERT_KIND__KIND_DEVKIT)
		return reg__no(run, CODE(RANGE), "kind", "uta_iot or devkit");
	if (strlen(m->claim) > 128)
		return reg__no(run, CODE(VALUE_SYNTAX), "claim", "at most 128 bytes");
	if (!reg__own_service(run, m->service, (int)m->kind, &rc))
		return rc;
	rc = store_device_by_iccid(run->reg->store, iccid, &d);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, CODE(NOT_FOUND), "iccid", "not in any operator's inventory");
	if (rc == RC_OK)
		rc = check_right(run, m->claim, &d);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	if (d.stolen || d.broken)
		return reg__no(run, CODE(STATUS_PROHIBITS), "iccid", "the device is reported %s",
			d.stolen ? "stolen" : "broken");
	rc = store_profile_get(run->reg->store, iccid, m->slot, v);
	reuse = rc == RC_OK;
	if (reuse && v->p.state != STATE(DELETED))
		return reg__no(run, CODE(EXISTS), "slot", "slot %u is registered", m->slot);
	if (rc == RC_NOT_FOUND)
		rc = RC_OK;
	if (rc == RC_OK)
		rc = enter(run, m, &d, v, reuse);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "service=%s", m->service);
	if (rc == RC_OK)
		rc = reg__tell_profile(run, v, "profile.registered", &(struct reg__tale){ 0 },
			"registered by %s for its service %s", run->caller->id, m->service);
	return rc == RC_OK ? reg__profile_reply(run, v, NULL, 0) : rc;
}
