/* SPDX-License-Identifier: Apache-2.0 */
/* For whoever mounts a device: is it live, and what is to be done. */
#include "registry/internal.h"

#include <string.h>

/* Nothing here that an installer could not see by trying: no keys, codes, owners. */
static const char *slot_advice(const struct store_profile_view *v, int64_t now, bool *live)
{
	bool current = v->p.cert && v->p.card_cert == v->p.cert && !v->p.install_due;

	*live = v->p.state == STATE(ACTIVATED) && v->cert.not_after > now && current;
	if (*live)
		return "live: nothing to do";
	if (v->p.state == STATE(ACTIVATED) && v->cert.not_after <= now)
		return "its certificate has expired: ask the provider to renew it";
	if (v->p.state == STATE(ACTIVATED))
		return "certificate is on its way to the SIM: leave the device switched on and in "
		       "coverage";
	if (v->p.state == STATE(DEACTIVATED) && v->p.wipe_pending)
		return "switched off by the provider or owner, and the SIM has not heard of it "
		       "yet: "
		       "ask the provider";
	if (v->p.state == STATE(DEACTIVATED))
		return "switched off by the provider or owner: ask the provider";
	if (v->p.pending_job)
		return "the SIM is asked for its key: leave the device switched on and in coverage";
	if (v->p.attempts)
		return "the SIM did not answer: check antenna and coverage, then ask the provider "
		       "to "
		       "activate it again";
	return "registered, not activated yet: ask the provider to activate it";
}

static enum rc add_slots(
	struct registry_run *run, const struct store_device *d, Registry__InstallData *out)
{
	int64_t ids[16];
	size_t n = 0;
	enum rc rc = store_device_profiles(run->reg->store, d->id, ARRAY_LEN(ids), ids, &n);

	out->slots = arena_array(run->arena, n, sizeof(*out->slots));
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		Registry__InstallSlot *s = arena_alloc(run->arena, sizeof(*s));
		struct store_profile_view v;
		bool live;

		if (!s || !out->slots)
			return RC_NOMEM;
		registry__install_slot__init(s);
		rc = store_profile_by_id(run->reg->store, ids[i], &v);
		if (rc != RC_OK || !reg__may_see(run, &v))
			continue;
		s->slot = v.p.slot;
		s->service = arena_str(run->arena, v.p.service);
		s->advice = arena_str(run->arena, slot_advice(&v, run->now, &live));
		s->live = live;
		out->live = out->live || live;
		out->slots[out->n_slots++] = s;
	}
	return rc;
}

enum rc reg__install_info(struct registry_run *run)
{
	Registry__InstallData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_device d;
	enum rc rc;

	if (!reg__device(run, run->request->install_info->iccid, &d, &rc))
		return rc;
	if (!out)
		return RC_NOMEM;
	registry__install_data__init(out);
	out->iccid = arena_str(run->arena, d.iccid);
	out->time = run->now;
	rc = add_slots(run, &d, out);
	if (rc != RC_OK)
		return rc;
	/* A device that is not where it should be is not brought to life by an installer. */
	if (d.stolen || d.broken)
		out->live = false;
	out->advice = arena_str(run->arena,
		d.stolen    ? "reported stolen: do not mount it; call its owner"
		: d.broken  ? "reported broken: do not mount it; call its owner"
		: out->live ? "live: mount it"
		: !out->n_slots
			? "not registered with any provider: ask the provider to register it"
			: "not live: see the slots");
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_INSTALL;
	run->reply.install = out;
	return RC_OK;
}
