/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the keys role, and what it says of itself once per link. */
#include "role/core_internal.h"

#include <stdlib.h>
#include <string.h>

static void *take(void *user, size_t len)
{
	return arena_alloc(user, len);
}

static void give_back(void *user ATT_UNUSED, void *p ATT_UNUSED)
{
}

static void finish(
	struct core *core, struct core_call *call, const Keys__Reply *reply, struct arena *arena)
{
	core_keys_fn *fn = call->fn;
	void *user = call->user;

	call->id = 0;
	fn(core, reply, arena, user);
}

bool core__call_keys(struct core *core, Keys__Request *request, core_keys_fn *fn, void *user)
{
	struct core_call *call = &core->calls[(core->call_id + 1) % CORE_KEYS_SLOTS];

	if (!core->keys || call->id)
		return false;
	request->id = ++core->call_id;
	if (link_send(core->keys, &request->base) != RC_OK)
		return false;
	*call = (struct core_call){ .id = request->id,
		.deadline_ms = core__now_ms(core) + CORE_KEYS_WAIT_MS,
		.fn = fn,
		.user = user };
	return true;
}

/* Those without an answer by now fail; UINT64_MAX fails all. */
void core__calls_expire(struct core *core, uint64_t now_ms)
{
	for (size_t i = 0; i < CORE_KEYS_SLOTS; i++) {
		struct core_call *call = &core->calls[i];
		struct arena none = arena_init(0);

		if (call->id && call->deadline_ms <= now_ms)
			finish(core, call, NULL, &none);
	}
}

static void on_message(struct link *link, const uint8_t *bytes, size_t len, void *user)
{
	struct core *core = user;
	struct arena arena = arena_init(CORE_ARENA_MAX);
	ProtobufCAllocator alloc = { take, give_back, &arena };
	Keys__Reply *reply = keys__reply__unpack(&alloc, len, bytes);
	struct core_call *call = reply ? &core->calls[reply->id % CORE_KEYS_SLOTS] : NULL;

	(void)link;
	/* One that came too late has no call any more. */
	if (call && call->id == reply->id)
		finish(core, call, reply, &arena);
	else if (!reply)
		log_write(core->log, LOG_ERROR, "malformed reply peer=keys");
	arena_fini(&arena);
}

static void on_closed(struct link *link, enum rc why, void *user)
{
	struct core *core = user;

	log_write(core->log, LOG_WARNING, "link_closed peer=keys why=%s", rc_text(why));
	core->keys = NULL;
	link_free(link);
	core__calls_expire(core, UINT64_MAX);
}

enum rc core__keys_link(struct core *core, int take_fd)
{
	struct link_opts opts = { .on_message = on_message, .on_closed = on_closed, .user = core };
	enum rc rc;

	if (core->keys) {
		link_free(core->keys);
		core->keys = NULL;
		core__calls_expire(core, UINT64_MAX);
	}
	rc = link_new(core->base, take_fd, &opts, &core->keys);
	if (rc == RC_OK)
		core__public_ask(core);
	return rc;
}
