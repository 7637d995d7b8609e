/* SPDX-License-Identifier: Apache-2.0 */
/* The second step of whatever changes a card: the payload is signed after the answer has left, and
 * its job opens in a transaction of its own. What is due stands in the database. */
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

struct install {
	struct registry_install basis;
	const Keys__SignedPayload *payload;
	const Keys__SignedKit *kit;
	bool wants_kit;
	bool given_up; /* keys will not sign it, ever */
	char why[128];
};

struct core_installs {
	struct arena arena;    /* orders and answers of this round */
	struct arena *answers; /* one per call */
	size_t answer_count;
	struct install *list;
	size_t count;
	size_t open; /* calls without answer */
	int64_t after;
	bool busy;
	bool again;  /* more became due meanwhile */
	bool broken; /* keys did not answer: wait for the tick */
};

struct call {
	struct core_installs *round;
	struct install *install;
	bool kit;
};

static void next_round(struct core *core);

/* ---- the job's transaction ---------------------------------------------------------------- */

static enum rc open_all(struct registry_run *run, void *user)
{
	struct core_installs *r = user;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < r->count && rc == RC_OK; i++) {
		const struct install *in = &r->list[i];

		if (in->given_up)
			rc = registry_install_give_up(run, &in->basis, in->why);
		else if (in->payload && (in->kit || !in->wants_kit))
			rc = registry_install_open(run, &in->basis, in->payload, in->kit);
	}
	return rc;
}

static void clear_round(struct core_installs *r)
{
	for (size_t i = 0; i < r->answer_count; i++)
		arena_fini(&r->answers[i]);
	r->answer_count = 0;
	arena_fini(&r->arena);
	r->list = NULL;
	r->count = 0;
}

static void round_over(struct core *core)
{
	struct core_installs *r = core->installs;
	bool more = r->after != 0;

	if (r->count && core__system(core, open_all, r) != RC_OK)
		r->broken = true;
	clear_round(r);
	r->busy = false;
	if (r->broken)
		return; /* the tick tries again */
	if (more)
		next_round(core);
	else if (r->again)
		core__install_kick(core);
}

/* ---- keys' answers ------------------------------------------------------------------------ */

static bool passing(uint32_t rc)
{
	return rc == RC_UNAVAILABLE || rc == RC_BUSY || rc == RC_NOMEM || rc == RC_TIMEOUT ||
	       rc == RC_IO;
}

static void take_answer(
	struct core_installs *r, struct install *in, bool kit, const Keys__Reply *reply)
{
	uint32_t rc = reply->rc;
	const char *why = reply->why;

	if (rc == RC_OK && !kit && reply->result_case == KEYS__REPLY__RESULT_SIGNED_PAYLOAD) {
		rc = reply->signed_payload->rc;
		why = reply->signed_payload->why;
		if (rc == RC_OK)
			in->payload = reply->signed_payload;
	} else if (rc == RC_OK && kit && reply->result_case == KEYS__REPLY__RESULT_SIGNED_KIT) {
		rc = reply->signed_kit->rc;
		why = reply->signed_kit->why;
		if (rc == RC_OK)
			in->kit = reply->signed_kit;
	} else if (rc == RC_OK) {
		rc = RC_INTERNAL;
	}
	if (rc == RC_OK)
		return;
	if (passing(rc)) {
		r->broken = true;
		return;
	}
	in->given_up = true;
	snprintf(in->why, sizeof(in->why), "%s", *why ? why : rc_text((enum rc)rc));
}

static void on_signed(struct core *core, const Keys__Reply *reply, struct arena *arena, void *user)
{
	struct call *call = user;
	struct core_installs *r = call->round;

	if (reply) {
		r->answers[r->answer_count++] = *arena;
		*arena = arena_init(0);
		take_answer(r, call->install, call->kit, reply);
	} else {
		r->broken = true;
	}
	if (--r->open == 0)
		round_over(core);
}

/* ---- a round ------------------------------------------------------------------------------ */

static bool call_keys(struct core *core, struct install *in, bool kit, Keys__Request *request)
{
	struct core_installs *r = core->installs;
	struct call *call = arena_alloc(&r->arena, sizeof(*call));

	if (!call)
		return false;
	*call = (struct call){ r, in, kit };
	if (!core__call_keys(core, request, on_signed, call))
		return false;
	r->open++;
	return true;
}

static bool order_one(struct core *core, int64_t profile)
{
	struct core_installs *r = core->installs;
	struct install *in = &r->list[r->count];
	Keys__Request request = KEYS__REQUEST__INIT;
	Keys__SignPayload *payload;
	Keys__SignKit *kit;
	struct registry_run run;
	enum rc rc;

	registry_run_init(&run, &core->registry, &r->arena, REGISTRY_OUT, NULL, NULL);
	rc = registry_install_prepare(&run, profile, &in->basis, &payload, &kit);
	if (rc != RC_OK)
		return rc == RC_STATE;
	r->count++;
	request.op_case = KEYS__REQUEST__OP_SIGN_PAYLOAD;
	request.sign_payload = payload;
	if (!call_keys(core, in, false, &request))
		return false;
	if (!kit)
		return true;
	in->wants_kit = true;
	request.op_case = KEYS__REQUEST__OP_SIGN_KIT;
	request.sign_kit = kit;
	return call_keys(core, in, true, &request);
}

static bool start_round(struct core *core, const int64_t *ids, size_t n)
{
	struct core_installs *r = core->installs;
	bool going = true;

	r->arena = arena_init(CORE_ARENA_MAX);
	r->list = arena_array(&r->arena, n, sizeof(*r->list));
	r->answers = arena_array(&r->arena, 2 * n, sizeof(*r->answers));
	if (!r->list || !r->answers)
		return false;
	r->busy = true;
	/* Answers come from the loop, never from within a call: the round is whole before the
	 * first. */
	for (size_t i = 0; i < n && going; i++)
		going = order_one(core, ids[i]);
	if (!going)
		r->broken = true;
	if (r->open == 0) {
		clear_round(r);
		r->busy = false;
	}
	return r->busy;
}

static void next_round(struct core *core)
{
	struct core_installs *r = core->installs;
	int64_t ids[CORE_INSTALL_MAX];
	size_t n = 0;
	bool going = false;
	/* One read transaction for all of the round: one lock instead of one per question. */
	bool reading = store_read_begin(core->store) == RC_OK;

	do {
		if (store_profile_due(core->store, r->after, CORE_INSTALL_MAX, ids, &n) != RC_OK)
			break;
		/* A full page may have another behind it. */
		r->after = n == CORE_INSTALL_MAX ? ids[n - 1] : 0;
		r->again = false;
		going = n && start_round(core, ids, n);
	} while (!going && r->after && !r->broken);
	if (reading)
		store_read_end(core->store);
}

void core__install(evutil_socket_t fd ATT_UNUSED, short what ATT_UNUSED, void *user)
{
	struct core *core = user;
	struct core_installs *r = core->installs;

	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			return;
		core->installs = r;
	}
	r->again = true;
	if (r->busy || !core->keys || !core->registry.trust)
		return;
	r->broken = false;
	next_round(core);
}

void core__install_kick(struct core *core)
{
	static const struct timeval gather = { 0, CORE_INSTALL_MS * 1000 };

	if (!event_pending(core->install, EV_TIMEOUT, NULL))
		event_add(core->install, &gather);
}

void core__installs_free(struct core *core)
{
	if (core->installs)
		clear_round(core->installs);
	free(core->installs);
	core->installs = NULL;
}
