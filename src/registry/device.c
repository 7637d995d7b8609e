/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ident.h"
#include "registry/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_SALT_LEN STORE_SALT

/* ---- inventory -------------------------------------------------------------------------- */

static bool imei_ok(const char *imei)
{
	size_t len = strlen(imei);

	return len >= 14 && len <= 16 && strspn(imei, "0123456789") == len;
}

/* What is wrong with a row in itself; NULL when nothing is. */
static const char *row_fault(
	const Registry__InventoryRow *row, struct store_device *d, Registry__Code *code)
{
	uint8_t ef[IDENT_ICCID_LEN];
	uint8_t eid[IDENT_EID_LEN];

	*code = CODE(VALUE_SYNTAX);
	if (ident_iccid_read(row->iccid, ef) != RC_OK || ident_iccid_write(ef, d->iccid) != RC_OK)
		return "iccid: 19 digits and f, or 20 digits";
	if (*row->eid &&
		(ident_eid_read(row->eid, eid) != RC_OK || ident_eid_write(eid, d->eid) != RC_OK))
		return "eid: 32 digits whose number is 1 modulo 97 (SGP.29)";
	if (*row->imei && !imei_ok(row->imei))
		return "imei: 14 to 16 digits";
	if (row->attest_cert.len > REGISTRY_ATTEST_MAX)
		return "attest_cert: at most 2048 bytes";
	if (row->claim_salt.len == 0 && row->claim_sha256.len == 0)
		return NULL;
	if (row->claim_salt.len != CLAIM_SALT_LEN || row->claim_sha256.len != STORE_SHA256)
		return "claim_salt, claim_sha256: 16 and 32 bytes, or neither";
	d->has_claim = true;
	memcpy(d->claim_salt, row->claim_salt.data, CLAIM_SALT_LEN);
	memcpy(d->claim_sha256, row->claim_sha256.data, STORE_SHA256);
	return NULL;
}

static enum rc owner_fault(
	struct registry_run *run, const char *owner, Registry__Code *code, const char **fault)
{
	struct store_party p;
	enum rc rc = store_party_get(run->reg->store, owner, &p);

	if (rc == RC_NOT_FOUND || (rc == RC_OK && !(p.roles & ROLE_BIT(OWNER)))) {
		*code = CODE(ASSOCIATION_PROHIBITS);
		*fault = "owner: no such owner";
		return RC_OK;
	}
	return rc;
}

static enum rc load_row(struct registry_run *run, const Registry__InventoryRow *row,
	Registry__Code *code, const char **fault)
{
	struct store_device d = { .created = run->now };
	enum rc rc = RC_OK;

	*fault = row_fault(row, &d, code);
	if (!*fault && *row->owner)
		rc = owner_fault(run, row->owner, code, fault);
	if (!*fault && rc == RC_OK && !reg__range_ok(run, run->caller->id, d.iccid)) {
		*code = CODE(AUTHORIZATION);
		*fault = "iccid: outside your ranges of ICCIDs";
		rc = reg__audit(run, d.iccid, "refused: %d %s", (int)*code, *fault);
	}
	if (*fault || rc != RC_OK)
		return rc;
	snprintf(d.mno, sizeof(d.mno), "%s", run->caller->id);
	snprintf(d.owner, sizeof(d.owner), "%s", row->owner);
	snprintf(d.imei, sizeof(d.imei), "%s", row->imei);
	/* A SIM that was given up and comes back is the same device again. */
	rc = store_device_revive(run->reg->store, &d, run->now);
	if (rc == RC_NOT_FOUND)
		rc = store_device_add(run->reg->store, &d);
	if (rc == RC_EXISTS) {
		*code = CODE(EXISTS);
		*fault = "iccid or eid: the registry knows it already";
		return RC_OK;
	}
	if (rc == RC_OK && *d.owner && !reg__is_caller(run, d.owner))
		rc = reg__tell_device(run, &d, "device.created", &(struct reg__tale){ 0 },
			"in the inventory of %s", d.mno);
	if (rc == RC_OK && row->attest_cert.len)
		rc = store_attest_set(run->reg->store, d.id,
			(struct store_blob){ row->attest_cert.data, row->attest_cert.len });
	return rc;
}

static enum rc refuse_row(struct registry_run *run, Registry__InventoryData *out, size_t i,
	Registry__Code code, const char *fault)
{
	Registry__RowResult *r = arena_alloc(run->arena, sizeof(*r));

	if (!r)
		return RC_NOMEM;
	registry__row_result__init(r);
	r->row = (uint32_t)i;
	r->code = code;
	r->reason = (char *)fault;
	out->refused[out->n_refused++] = r;
	return RC_OK;
}

enum rc reg__inventory_load(struct registry_run *run)
{
	const Registry__InventoryLoad *m = run->request->inventory_load;
	Registry__InventoryData *out = arena_alloc(run->arena, sizeof(*out));
	unsigned unluhn = 0;
	enum rc rc = RC_OK;

	if (m->n_rows < 1 || m->n_rows > REGISTRY_ROWS_MAX)
		return reg__no(run, m->n_rows ? CODE(RANGE) : CODE(MISSING), "rows", "1 to %d rows",
			REGISTRY_ROWS_MAX);
	if (!out)
		return RC_NOMEM;
	registry__inventory_data__init(out);
	out->refused = arena_array(run->arena, m->n_rows, sizeof(*out->refused));
	if (!out->refused)
		return RC_NOMEM;
	for (size_t i = 0; i < m->n_rows && rc == RC_OK; i++) {
		Registry__Code code = CODE(OK);
		const char *fault = NULL;

		rc = load_row(run, m->rows[i], &code, &fault);
		if (rc == RC_OK && fault)
			rc = refuse_row(run, out, i, code, fault);
		else if (rc == RC_OK && ++out->loaded)
			unluhn += !ident_luhn_ok(m->rows[i]->iccid);
	}
	/* Cards without a Luhn digit exist: said, not refused. */
	if (rc == RC_OK)
		rc = reg__audit(run, run->caller->id, "loaded=%u refused=%zu without_luhn=%u",
			out->loaded, out->n_refused, unluhn);
	if (unluhn)
		log_write(run->reg->log, LOG_WARNING, "inventory mno=%s without_luhn=%u",
			run->caller->id, unluhn);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_INVENTORY;
	run->reply.inventory = out;
	return rc;
}

/* ---- what a device looks like ----------------------------------------------------------- */

static enum rc fill_history(
	struct registry_run *run, const struct store_device *d, Registry__Device *m)
{
	struct store_iccid *list = NULL;
	size_t n = 0;
	enum rc rc = store_device_history(run->reg->store, d->id, run->arena, &list, &n);

	if (rc != RC_OK)
		return rc;
	m->history = arena_array(run->arena, n, sizeof(*m->history));
	for (size_t i = 0; m->history && i < n; i++) {
		Registry__Iccid *h = arena_alloc(run->arena, sizeof(*h));

		if (!h)
			return RC_NOMEM;
		registry__iccid__init(h);
		h->iccid = list[i].iccid;
		h->mno = list[i].mno;
		h->since = list[i].since;
		h->until = list[i].until;
		m->history[m->n_history++] = h;
	}
	return RC_OK;
}

enum rc reg__device_message(
	struct registry_run *run, const struct store_device *d, Registry__Device **out)
{
	Registry__Device *m = arena_alloc(run->arena, sizeof(*m));
	uint32_t slots = 0;
	enum rc rc;

	if (!m)
		return RC_NOMEM;
	registry__device__init(m);
	m->id = arena_printf(run->arena, "D%lld-IOT", (long long)d->id);
	m->iccid = arena_str(run->arena, d->iccid);
	m->eid = arena_str(run->arena, d->eid);
	m->imei = arena_str(run->arena, d->imei);
	m->mno = arena_str(run->arena, d->mno);
	m->owner = arena_str(run->arena, d->owner);
	m->locked = d->locked;
	m->stolen = d->stolen;
	m->broken = d->broken;
	m->created = d->created;
	rc = reg__device_extras(run, d, m);
	if (rc == RC_OK)
		rc = reg__flags_show(run, d, m);
	if (rc == RC_OK)
		rc = reg__maker_show(run, d, m);
	if (rc == RC_OK)
		rc = reg__moving_show(run, d, m);
	if (rc == RC_OK)
		rc = fill_history(run, d, m);
	if (rc == RC_OK)
		rc = store_consent_list(
			run->reg->store, d->id, run->arena, &m->consents, &m->n_consents);
	if (rc == RC_OK)
		rc = store_device_slots(run->reg->store, d->id, &slots);
	if (rc != RC_OK)
		return rc;
	m->profiles = arena_array(run->arena, IDENT_SLOT_MAX, sizeof(*m->profiles));
	for (unsigned slot = 1; m->profiles && slot <= IDENT_SLOT_MAX; slot++) {
		if (slots & (1u << slot))
			m->profiles[m->n_profiles++] =
				arena_printf(run->arena, "%u.%s", slot, d->iccid);
	}
	*out = m;
	return RC_OK;
}

/* Providers on one device do not learn of one another: neither names nor the owner's consents. */
static enum rc own_names(
	struct registry_run *run, const struct store_device *d, char **names, size_t *count)
{
	size_t n = 0;

	for (size_t i = 0; i < *count; i++) {
		struct store_profile_view v;
		enum rc rc = store_profile_get(
			run->reg->store, d->iccid, (uint32_t)(names[i][0] - '0'), &v);

		if (rc != RC_OK && rc != RC_NOT_FOUND)
			return rc;
		if (rc == RC_OK && reg__is_caller(run, v.p.sponsor))
			names[n++] = names[i];
	}
	*count = n;
	return RC_OK;
}

static enum rc only_own(struct registry_run *run, const struct store_device *d, Registry__Device *m)
{
	size_t consents = 0;
	enum rc rc = own_names(run, d, m->profiles, &m->n_profiles);

	if (rc == RC_OK)
		rc = own_names(run, d, m->wipe_pending, &m->n_wipe_pending);
	for (size_t i = 0; i < m->n_consents; i++)
		if (reg__is_caller(run, m->consents[i]))
			m->consents[consents++] = m->consents[i];
	m->n_consents = consents;
	return rc;
}

/* As the caller may see it. */
static enum rc view(struct registry_run *run, const struct store_device *d, Registry__Device **out)
{
	enum rc rc = reg__device_message(run, d, out);

	if (rc != RC_OK || reg__is_caller(run, d->mno) || reg__is_caller(run, d->owner) ||
		reg__has_role(run, ROLE_BIT(OPERATOR)))
		return rc;
	return only_own(run, d, *out);
}

enum rc reg__device_answer(struct registry_run *run, const struct store_device *d)
{
	Registry__DeviceData *out = arena_alloc(run->arena, sizeof(*out));
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	registry__device_data__init(out);
	rc = view(run, d, &out->device);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_DEVICE;
	run->reply.device = out;
	return rc;
}

enum rc reg__device_seen(struct registry_run *run, const struct store_device *d, bool *seen)
{
	enum rc rc;

	*seen = reg__is_caller(run, d->mno) || reg__is_caller(run, d->owner) ||
		reg__has_role(run, ROLE_BIT(OPERATOR));
	if (*seen)
		return RC_OK;
	rc = store_device_sponsored(run->reg->store, d->id, run->caller->id);
	if (rc == RC_NOT_FOUND)
		rc = store_consent_check(run->reg->store, d->id, run->caller->id);
	*seen = rc == RC_OK;
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* Reads a device that the caller may see; false: refused, or failed with *rc set. */
bool reg__device(struct registry_run *run, const char *text, struct store_device *d, enum rc *rc)
{
	char iccid[STORE_ICCID_MAX];
	bool seen = false;

	*rc = RC_OK;
	if (!reg__iccid(run, text, iccid))
		return false;
	*rc = store_device_by_iccid(run->reg->store, iccid, d);
	if (*rc == RC_OK)
		*rc = reg__device_seen(run, d, &seen);
	if (*rc == RC_OK && seen)
		return true;
	/* Somebody else's device is not told from none. */
	if (*rc == RC_NOT_FOUND || *rc == RC_OK)
		*rc = reg__no(run, CODE(NOT_FOUND), "iccid", "no such device");
	return false;
}

enum rc reg__device_info(struct registry_run *run)
{
	struct store_device d;
	enum rc rc;

	return reg__device(run, run->request->device_info->iccid, &d, &rc)
		       ? reg__device_answer(run, &d)
		       : rc;
}

static enum store_side side_of(const struct registry_run *run)
{
	if (reg__has_role(run, ROLE_BIT(OPERATOR)))
		return STORE_ALL;
	if (reg__has_role(run, ROLE_BIT(ASP)))
		return STORE_SPONSOR;
	return reg__has_role(run, ROLE_BIT(MNO)) ? STORE_MNO : STORE_OWNER;
}

enum rc reg__device_list(struct registry_run *run)
{
	const Registry__DeviceList *m = run->request->device_list;
	Registry__DeviceListData *out = arena_alloc(run->arena, sizeof(*out));
	size_t limit = reg__limit(m->limit);
	struct store_device *list = NULL;
	int64_t after = 0;
	size_t n = 0;
	enum rc rc;

	if (*m->after && !reg__id(run, m->after, "after", &after))
		return RC_OK;
	if (!out)
		return RC_NOMEM;
	rc = store_device_list(run->reg->store, side_of(run), run->caller->id, after, limit,
		run->arena, &list, &n);
	registry__device_list_data__init(out);
	out->devices = arena_array(run->arena, n, sizeof(*out->devices));
	for (size_t i = 0; rc == RC_OK && out->devices && i < n; i++)
		rc = view(run, &list[i], &out->devices[out->n_devices++]);
	if (rc == RC_OK && n == limit)
		out->next = arena_printf(run->arena, "%lld", (long long)list[n - 1].id);
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_DEVICE_LIST;
	run->reply.device_list = out;
	return rc;
}

/* ---- update ----------------------------------------------------------------------------- */

/* A new owner starts with no consents; only the present owner gives a device away. */
static enum rc set_owner(struct registry_run *run, const char *owner, struct store_device *d)
{
	Registry__Code code = CODE(OK);
	const char *fault = NULL;
	bool first = !*d->owner && reg__is_caller(run, d->mno);
	enum rc rc;

	if (!first && !reg__is_caller(run, d->owner) && !reg__has_role(run, ROLE_BIT(OPERATOR)))
		return reg__no(run, CODE(AUTHORIZATION), "owner",
			"the present owner names the next one; the MNO names the first");
	if (d->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "owner", "the device is locked");
	rc = owner_fault(run, owner, &code, &fault);
	if (rc != RC_OK)
		return rc;
	if (fault)
		return reg__no(run, code, "owner", "no such owner");
	snprintf(d->owner, sizeof(d->owner), "%s", owner);
	return store_consent_drop_all(run->reg->store, d->id);
}

static enum rc set_consent(
	struct registry_run *run, const Registry__DeviceUpdate *m, const struct store_device *d)
{
	struct store_party asp;
	enum rc rc;

	if (*m->add_consent) {
		rc = store_party_get(run->reg->store, m->add_consent, &asp);
		if (rc == RC_NOT_FOUND || (rc == RC_OK && !(asp.roles & ROLE_BIT(ASP))))
			return reg__no(
				run, CODE(ASSOCIATION_PROHIBITS), "add_consent", "no such ASP");
		if (rc == RC_OK)
			rc = store_consent_add(run->reg->store, d->id, m->add_consent);
		if (rc == RC_EXISTS)
			return reg__no(run, CODE(POLICY), "add_consent", "given already");
		if (rc != RC_OK)
			return rc;
	}
	if (*m->rem_consent) {
		rc = store_consent_check(run->reg->store, d->id, m->rem_consent);
		if (rc == RC_NOT_FOUND)
			return reg__no(run, CODE(POLICY), "rem_consent", "was not given");
		if (rc == RC_OK)
			rc = store_consent_remove(run->reg->store, d->id, m->rem_consent);
		return rc;
	}
	return RC_OK;
}

/* Whom the device concerns, and whom it did or will concern. */
static enum rc tell_update(struct registry_run *run, const Registry__DeviceUpdate *m,
	const struct store_device *was, const struct store_device *d, struct reg__tale *t)
{
	struct reg__tale none = { 0 }, lost = { .before = t->before };
	enum rc rc = reg__tell_device(run, d, "device.updated", t, "updated by %s%s%s",
		run->caller->id, !was->stolen && d->stolen ? ": reported stolen" : "",
		!was->broken && d->broken ? ": reported broken" : "");

	if (rc == RC_OK && strcmp(was->owner, d->owner) != 0)
		rc = reg__tell(run, was->owner, "device.updated", d->iccid, &lost,
			"now owned by %s", d->owner);
	if (rc == RC_OK)
		rc = reg__tell(run, m->add_consent, "device.consent", d->iccid, &none,
			"%s lets you register without the claim code", d->owner);
	if (rc == RC_OK)
		rc = reg__tell(run, m->rem_consent, "device.consent", d->iccid, &none,
			"%s has taken its consent back", d->owner);
	return rc;
}

enum rc reg__device_update(struct registry_run *run)
{
	const Registry__DeviceUpdate *m = run->request->device_update;
	bool is_operator = reg__has_role(run, ROLE_BIT(OPERATOR));
	struct store_device d, was;
	struct reg__tale t;
	bool owner;
	enum rc rc;

	if (!reg__device(run, m->iccid, &d, &rc))
		return rc;
	was = d;
	rc = reg__before_device(run, &d, &t);
	if (rc != RC_OK)
		return rc;
	owner = is_operator || reg__is_caller(run, d.owner);
	if (*m->imei && !imei_ok(m->imei))
		return reg__no(run, CODE(VALUE_SYNTAX), "imei", "14 to 16 digits");
	if (*m->imei && !is_operator && !reg__is_caller(run, d.mno))
		return reg__no(run, CODE(AUTHORIZATION), "imei", "the MNO says so");
	if (*m->imei)
		snprintf(d.imei, sizeof(d.imei), "%s", m->imei);
	if (!*m->owner && !*m->imei && !m->locked && !m->stolen && !m->broken && !m->refresh &&
		!*m->add_consent && !*m->rem_consent && !m->attest_cert.len && !*m->move_to)
		return reg__no(run, CODE(MISSING), "", "nothing to change");
	if ((*m->add_consent || *m->rem_consent) && !owner)
		return reg__no(run, CODE(AUTHORIZATION),
			*m->add_consent ? "add_consent" : "rem_consent", "the owner consents");
	if (m->locked != REGISTRY__FLAG__FLAG_KEEP && !owner)
		return reg__no(run, CODE(AUTHORIZATION), "locked", "the owner locks and unlocks");
	if (m->locked != REGISTRY__FLAG__FLAG_KEEP)
		d.locked = m->locked == REGISTRY__FLAG__FLAG_TRUE;
	rc = reg__device_flags(run, m, &d);
	if (rc == RC_OK && !reg__refused(run))
		rc = reg__device_set_extras(run, m, &d);
	if (rc == RC_OK && !reg__refused(run))
		rc = set_consent(run, m, &d);
	if (rc == RC_OK && !reg__refused(run) && *m->owner)
		rc = set_owner(run, m->owner, &d);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = store_device_save(run->reg->store, &d);
	if (rc == RC_OK)
		rc = reg__audit(run, d.iccid,
			"owner=%s locked=%d stolen=%d broken=%d add_consent=%.16s "
			"rem_consent=%.16s",
			d.owner, d.locked, d.stolen, d.broken, m->add_consent, m->rem_consent);
	if (rc == RC_OK)
		rc = tell_update(run, m, &was, &d, &t);
	return rc == RC_OK ? reg__device_answer(run, &d) : rc;
}
