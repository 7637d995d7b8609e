/* SPDX-License-Identifier: Apache-2.0 */
/* Whom devices trust: what their payloads say of it, which CA files and payload signer their cards
 * hold, and how a signer is replaced: the former one announces the next, and signs until the card
 * has confirmed that and its device has had time to read it (formats section 2, key 16). */
#include "base/ident.h"
#include "registry/internal.h"

#include <string.h>

/* ---- what is trusted now ------------------------------------------------------------------ */

/* What every payload says of the registry, in one hash. */
static enum rc trust_hash(struct registry_run *run, uint8_t out[STORE_SHA256])
{
	const struct registry_trust *t = run->reg->trust;
	const Registry__CaData *ca = run->reg->ca;
	ProtobufCBinaryData rest[] = { ca->devkit, ca->payload_signer, ca->payload_signer_devkit,
		ca->payload_next_spki };
	Keys__SignPayload m = KEYS__SIGN_PAYLOAD__INIT;
	uint8_t *bytes;
	size_t len;

	m.anchors = t->anchors;
	m.n_anchors = t->anchor_count;
	m.resolvers = t->resolvers;
	m.n_resolvers = t->resolver_count;
	m.cert_sha256 = ca->root;
	m.b_point = ca->issuing;
	m.next_signers = rest;
	m.n_next_signers = ARRAY_LEN(rest);
	m.full = run->reg->settings.payload_full;
	len = keys__sign_payload__get_packed_size(&m);
	bytes = arena_alloc(run->arena, len);
	if (!bytes)
		return RC_NOMEM;
	keys__sign_payload__pack(&m, bytes);
	reg__sha256(bytes, len, NULL, 0, out);
	return RC_OK;
}

static void sha256_of(const ProtobufCBinaryData *der, uint8_t out[STORE_SHA256])
{
	reg__sha256(der->data, der->len, NULL, 0, out);
}

static bool is_hash(const ProtobufCBinaryData *b)
{
	return b->len == STORE_SHA256;
}

static enum rc load_epochs(struct registry_run *run)
{
	struct registry *reg = run->reg;
	struct store_blob bytes = { 0 };
	Registry__TrustEpochs *m;
	enum rc rc = store_setting_get(reg->store, "trust_epochs", run->arena, &bytes);

	reg->epoch_count = 0;
	if (rc != RC_OK)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	m = registry__trust_epochs__unpack(NULL, bytes.len, bytes.bytes);
	for (size_t i = 0; m && i < m->n_epochs && i < REGISTRY_EPOCHS_MAX; i++) {
		const Registry__TrustEpoch *from = m->epochs[i];
		struct registry_epoch *to = &reg->epochs[i];

		if (!is_hash(&from->root) || !is_hash(&from->issuing) || !is_hash(&from->signer) ||
			!is_hash(&from->spki))
			rc = RC_MALFORMED;
		if (rc != RC_OK)
			break;
		to->since = from->since;
		memcpy(to->root, from->root.data, STORE_SHA256);
		memcpy(to->issuing, from->issuing.data, STORE_SHA256);
		memcpy(to->signer, from->signer.data, STORE_SHA256);
		memcpy(to->spki, from->spki.data, STORE_SHA256);
		reg->epoch_count++;
	}
	if (!m)
		rc = RC_MALFORMED;
	registry__trust_epochs__free_unpacked(m, NULL);
	return rc;
}

static ProtobufCBinaryData hash_field(uint8_t hash[STORE_SHA256])
{
	return (ProtobufCBinaryData){ STORE_SHA256, hash };
}

static enum rc save_epochs(struct registry_run *run)
{
	struct registry *reg = run->reg;
	Registry__TrustEpoch rows[REGISTRY_EPOCHS_MAX], *list[REGISTRY_EPOCHS_MAX];
	Registry__TrustEpochs m = REGISTRY__TRUST_EPOCHS__INIT;
	struct store_blob out = { 0 };
	uint8_t *bytes;

	for (size_t i = 0; i < reg->epoch_count; i++) {
		struct registry_epoch *e = &reg->epochs[i];

		registry__trust_epoch__init(&rows[i]);
		rows[i].since = e->since;
		rows[i].root = hash_field(e->root);
		rows[i].issuing = hash_field(e->issuing);
		rows[i].signer = hash_field(e->signer);
		rows[i].spki = hash_field(e->spki);
		list[i] = &rows[i];
	}
	m.epochs = list;
	m.n_epochs = reg->epoch_count;
	out.len = registry__trust_epochs__get_packed_size(&m);
	bytes = arena_alloc(run->arena, out.len);
	if (!bytes)
		return RC_NOMEM;
	registry__trust_epochs__pack(&m, bytes);
	out.bytes = bytes;
	return store_setting_put(reg->store, "trust_epochs", out);
}

/* SIMs that come into an inventory from now on are taken to be made with these files. */
static enum rc note_epoch(struct registry_run *run)
{
	struct registry *reg = run->reg;
	const Registry__CaData *ca = reg->ca;
	struct registry_epoch now = { .since = run->now };
	enum rc rc;

	if (!is_hash(&ca->payload_spki))
		return RC_OK;
	rc = load_epochs(run);
	if (rc != RC_OK)
		return rc;
	sha256_of(&ca->root, now.root);
	sha256_of(&ca->issuing, now.issuing);
	sha256_of(&ca->payload_signer, now.signer);
	memcpy(now.spki, ca->payload_spki.data, STORE_SHA256);
	if (reg->epoch_count) {
		const struct registry_epoch *last = &reg->epochs[reg->epoch_count - 1];

		if (memcmp(last->root, now.root,
			    sizeof(now) - offsetof(struct registry_epoch, root)) == 0)
			return RC_OK;
	} else {
		now.since = 0;
	}
	/* What came with the oldest is then unknown, and sent everything. */
	if (reg->epoch_count == REGISTRY_EPOCHS_MAX) {
		memmove(reg->epochs, reg->epochs + 1, sizeof(now) * (REGISTRY_EPOCHS_MAX - 1));
		reg->epoch_count--;
	}
	reg->epochs[reg->epoch_count++] = now;
	return save_epochs(run);
}

enum rc registry_trust_changed(struct registry_run *run)
{
	uint8_t hash[STORE_SHA256];
	struct store_blob old = { 0 };
	enum rc rc = note_epoch(run), got;

	if (rc == RC_OK)
		rc = trust_hash(run, hash);
	if (rc != RC_OK)
		return rc;
	got = store_setting_get(run->reg->store, "trust", run->arena, &old);
	if (got == RC_OK && old.len == sizeof(hash) && memcmp(old.bytes, hash, old.len) == 0)
		return RC_OK;
	if (got != RC_OK && got != RC_NOT_FOUND)
		return got;
	rc = store_setting_put(run->reg->store, "trust", (struct store_blob){ hash, sizeof(hash) });
	if (rc != RC_OK || got == RC_NOT_FOUND)
		return rc;
	run->install = true;
	rc = store_profile_due_all(run->reg->store);
	return rc == RC_OK ? reg__audit(run, "trust",
				     "anchors, resolvers, CAs or the payload signer changed: new "
				     "payloads for all")
			   : rc;
}

/* ---- one card ----------------------------------------------------------------------------- */

static enum rc sim_since(
	struct registry_run *run, const struct store_profile_view *v, int64_t *since)
{
	struct store_iccid *list = NULL;
	size_t n = 0;
	enum rc rc = store_device_history(run->reg->store, v->p.device, run->arena, &list, &n);

	*since = 0;
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (!list[i].until)
			*since = list[i].since;
	return rc;
}

/* *kept: the card has confirmed it. RC_NOT_FOUND: nothing is known, or nothing is there: only slot
 * 1 comes with the SIM. */
static enum rc card_has(struct registry_run *run, const struct store_profile_view *v,
	struct store_card_trust *out, bool *kept)
{
	const struct registry *reg = run->reg;
	const struct registry_epoch *e = NULL;
	int64_t since = 0;
	enum rc rc = store_card_trust_get(reg->store, v->p.id, out);

	*kept = rc == RC_OK && strcmp(out->iccid, v->iccid) == 0;
	if (*kept || (rc != RC_OK && rc != RC_NOT_FOUND))
		return rc;
	if (v->p.slot != 1)
		return RC_NOT_FOUND;
	rc = sim_since(run, v, &since);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < reg->epoch_count && reg->epochs[i].since <= since; i++)
		e = &reg->epochs[i];
	if (!e)
		return RC_NOT_FOUND;
	*out = (struct store_card_trust){ 0 };
	memcpy(out->iccid, v->iccid, sizeof(out->iccid));
	memcpy(out->root, e->root, STORE_SHA256);
	memcpy(out->issuing, e->issuing, STORE_SHA256);
	memcpy(out->signer, e->signer, STORE_SHA256);
	memcpy(out->spki, e->spki, STORE_SHA256);
	return RC_OK;
}

static void announce(struct registry_trust_plan *plan, const ProtobufCBinaryData *spki)
{
	plan->announces = true;
	plan->after.has_announced = true;
	memcpy(plan->after.announced, spki->data, STORE_SHA256);
}

/* Must the payload still be signed by the key that the card has? */
static bool still_former(const struct registry_run *run, const struct store_profile_view *v,
	const struct store_card_trust *has)
{
	const Registry__CaData *ca = run->reg->ca;

	if (!v->p.sequence || !is_hash(&ca->payload_old_spki) ||
		memcmp(has->spki, ca->payload_old_spki.data, STORE_SHA256) != 0)
		return false;
	return !has->has_announced ||
	       memcmp(has->announced, ca->payload_spki.data, STORE_SHA256) != 0 ||
	       has->ready > run->now;
}

static enum rc add_files(struct registry_run *run, const ProtobufCBinaryData der[REG__TRUST_FILES],
	const struct store_card_trust *has, bool known, struct registry_trust_plan *plan)
{
	const uint8_t *const before[] = { has->root, has->issuing, has->signer };
	const uint8_t *const after[] = { plan->after.root, plan->after.issuing,
		plan->after.signer };
	static const unsigned ids[] = { 0x06, 0x07, 0x0C };

	for (size_t i = 0; i < REG__TRUST_FILES; i++) {
		struct reg__file *f = &plan->files[i];

		f->n = ids[i];
		if ((known && memcmp(before[i], after[i], STORE_SHA256) == 0) || !der[i].len)
			continue;
		/* The order outlives what keys said. */
		f->data = (struct store_blob){ arena_dup(run->arena, der[i].data, der[i].len),
			der[i].len };
		if (!f->data.bytes)
			return RC_NOMEM;
	}
	plan->cas_changed = known && (plan->files[0].data.len || plan->files[1].data.len);
	return RC_OK;
}

enum rc reg__trust_plan(struct registry_run *run, const struct store_profile_view *v,
	struct registry_trust_plan *plan)
{
	const Registry__CaData *ca = run->reg->ca;
	bool devkit = v->p.kind == REGISTRY__CERT_KIND__KIND_DEVKIT, known, kept = false;
	bool live = v->p.state == STATE(ACTIVATED);
	struct store_card_trust has = { 0 };
	struct store_card_trust *after = &plan->after;
	enum rc rc;

	*plan = (struct registry_trust_plan){ 0 };
	if (!ca || !is_hash(&ca->payload_spki))
		return RC_OK;
	const ProtobufCBinaryData der[] = { ca->root, devkit ? ca->devkit : ca->issuing,
		devkit ? ca->payload_signer_devkit : ca->payload_signer };
	rc = card_has(run, v, &has, &kept);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	known = rc == RC_OK;
	memcpy(after->iccid, v->iccid, sizeof(after->iccid));
	sha256_of(&der[0], after->root);
	sha256_of(&der[1], after->issuing);
	plan->by_former = known && still_former(run, v, &has);
	if (plan->by_former) {
		memcpy(after->signer, has.signer, STORE_SHA256);
		memcpy(after->spki, has.spki, STORE_SHA256);
	} else {
		sha256_of(&der[2], after->signer);
		memcpy(after->spki, ca->payload_spki.data, STORE_SHA256);
	}
	if (live && plan->by_former)
		announce(plan, &ca->payload_spki);
	else if (live && is_hash(&ca->payload_next_spki))
		announce(plan, &ca->payload_next_spki);
	rc = add_files(run, der, &has, known, plan);
	plan->known = kept || plan->announces;
	for (size_t i = 0; i < REG__TRUST_FILES; i++)
		plan->known = plan->known || plan->files[i].data.len;
	return rc;
}

void reg__trust_order(
	struct registry_run *run, const struct registry_trust_plan *plan, Keys__SignPayload *m)
{
	m->full = run->reg->settings.payload_full;
	m->ca_digests = plan->cas_changed;
	if (plan->by_former)
		m->signer = (ProtobufCBinaryData){ STORE_SHA256,
			arena_dup(run->arena, plan->after.spki, STORE_SHA256) };
	if (!plan->announces)
		return;
	m->next_signers = arena_array(run->arena, 1, sizeof(*m->next_signers));
	if (!m->next_signers)
		return;
	m->next_signers[0] = (ProtobufCBinaryData){ STORE_SHA256,
		arena_dup(run->arena, plan->after.announced, STORE_SHA256) };
	m->n_next_signers = m->next_signers[0].data ? 1 : 0;
}

/* ---- afterwards --------------------------------------------------------------------------- */

static bool take_extra(const Registry__JobExtra *extra, struct store_card_trust *t)
{
	if (!extra || !is_hash(&extra->spki) || !is_hash(&extra->root) ||
		!is_hash(&extra->issuing) || !is_hash(&extra->signer))
		return false;
	memcpy(t->root, extra->root.data, STORE_SHA256);
	memcpy(t->issuing, extra->issuing.data, STORE_SHA256);
	memcpy(t->signer, extra->signer.data, STORE_SHA256);
	memcpy(t->spki, extra->spki.data, STORE_SHA256);
	t->has_announced = is_hash(&extra->announced);
	if (t->has_announced)
		memcpy(t->announced, extra->announced.data, STORE_SHA256);
	return true;
}

enum rc reg__trust_confirmed(struct registry_run *run, const struct store_profile_view *v,
	const Registry__JobExtra *extra)
{
	struct store_card_trust before = { 0 }, now = { 0 };
	bool kept;
	enum rc rc;

	rc = store_card_trust_get(run->reg->store, v->p.id, &before);
	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	kept = rc == RC_OK && strcmp(before.iccid, v->iccid) == 0;
	memcpy(now.iccid, v->iccid, sizeof(now.iccid));
	if (take_extra(extra, &now)) {
		bool again = kept && before.has_announced && now.has_announced &&
			     memcmp(before.announced, now.announced, STORE_SHA256) == 0;

		if (now.has_announced)
			now.ready =
				again ? before.ready : run->now + run->reg->settings.signer_hold_s;
		return store_card_trust_put(run->reg->store, v->p.id, &now);
	}
	/* A payload that announces nobody: its device forgets who was announced. */
	if (!kept || !before.has_announced)
		return RC_OK;
	before.has_announced = false;
	before.ready = 0;
	return store_card_trust_put(run->reg->store, v->p.id, &before);
}

enum rc reg__trust_forget(struct registry_run *run, struct store_profile_view *v)
{
	struct store_card_trust unknown = { 0 };

	memcpy(unknown.iccid, v->iccid, sizeof(unknown.iccid));
	if (v->p.state == STATE(ACTIVATED)) {
		v->p.install_due++;
		run->install = true;
	}
	return store_card_trust_put(run->reg->store, v->p.id, &unknown);
}

enum rc reg__trust_refresh(struct registry_run *run, const struct store_device *d)
{
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	int64_t ids[IDENT_SLOT_MAX];
	size_t n = 0;
	enum rc rc = v ? store_device_profiles(run->reg->store, d->id, IDENT_SLOT_MAX, ids, &n)
		       : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		rc = store_profile_by_id(run->reg->store, ids[i], v);
		if (rc == RC_OK)
			rc = reg__trust_forget(run, v);
		if (rc == RC_OK)
			rc = store_profile_save(run->reg->store, &v->p);
	}
	return rc;
}

enum rc reg__trust_sweep(struct registry_run *run, size_t limit, size_t *n)
{
	const Registry__CaData *ca = run->reg->ca;
	int64_t ids[REG__SWEEP_MAX];
	enum rc rc;

	*n = 0;
	if (!ca || !is_hash(&ca->payload_spki))
		return RC_OK;
	rc = store_card_trust_ready(
		run->reg->store, run->now, ca->payload_spki.data, limit, ids, n);
	for (size_t i = 0; rc == RC_OK && i < *n; i++) {
		struct store_profile_view v;
		struct store_card_trust t;

		rc = store_card_trust_get(run->reg->store, ids[i], &t);
		t.ready = 0;
		if (rc == RC_OK)
			rc = store_card_trust_put(run->reg->store, ids[i], &t);
		if (rc == RC_OK)
			rc = store_profile_by_id(run->reg->store, ids[i], &v);
		if (rc != RC_OK || v.p.state != STATE(ACTIVATED) || strcmp(v.iccid, t.iccid) != 0)
			continue;
		v.p.install_due++;
		run->install = true;
		rc = store_profile_save(run->reg->store, &v.p);
	}
	return rc;
}

enum rc reg__signer_info(struct registry_run *run)
{
	static const uint8_t nobody[STORE_SHA256];
	const struct registry *reg = run->reg;
	const Registry__CaData *ca = reg->ca;
	Registry__SignerData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_signer_counts n = { 0 };
	int64_t since = 0;
	enum rc rc;

	if (!out)
		return RC_NOMEM;
	if (!ca || !is_hash(&ca->payload_spki))
		return reg__no(run, CODE(FAILED), "", "the keys role has not been heard yet");
	for (size_t i = reg->epoch_count;
		i-- && memcmp(reg->epochs[i].spki, ca->payload_spki.data, STORE_SHA256) == 0;)
		since = reg->epochs[i].since;
	rc = store_signer_count(reg->store,
		is_hash(&ca->payload_next_spki) ? ca->payload_next_spki.data : nobody,
		ca->payload_spki.data, since, &n);
	registry__signer_data__init(out);
	out->spki = ca->payload_spki;
	out->next = ca->payload_next_spki;
	out->old = ca->payload_old_spki;
	out->profiles = (uint64_t)n.profiles;
	out->known = (uint64_t)n.known;
	out->left = (uint64_t)n.left;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_SIGNER;
	run->reply.signer = out;
	return rc;
}
