/* SPDX-License-Identifier: Apache-2.0 */
/* Whether names are free (EPP's check). Anybody who may log in may ask; the answer tells no more
 * than an attempt to create would. */
#include "registry/internal.h"

#include <string.h>

#define CHECK_MAX 100

/* NULL: free. At most 32 characters (eppcom reasonType). */
static enum rc device(struct registry_run *run, const char *id, const char **taken)
{
	char iccid[STORE_ICCID_MAX];
	struct store_device d;
	enum rc rc;

	if (!reg__iccid(run, id, iccid))
		return RC_OK;
	rc = store_device_by_iccid(run->reg->store, iccid, &d);
	*taken = rc == RC_OK ? "In use" : NULL;
	return rc;
}

static enum rc profile(struct registry_run *run, const char *id, const char **taken)
{
	struct store_profile_view *v = arena_alloc(run->arena, sizeof(*v));
	char iccid[STORE_ICCID_MAX];
	struct store_device d;
	uint32_t slot;
	enum rc rc;

	if (!v)
		return RC_NOMEM;
	if (!reg__name(run, id, &slot, iccid))
		return RC_OK;
	rc = store_device_by_iccid(run->reg->store, iccid, &d);
	if (rc == RC_NOT_FOUND)
		*taken = "Not in any inventory";
	if (rc != RC_OK)
		return rc;
	rc = store_profile_get(run->reg->store, iccid, slot, v);
	if (rc == RC_OK && v->p.state != STATE(DELETED))
		*taken = "In use";
	return rc;
}

static enum rc service(struct registry_run *run, const char *id, const char **taken)
{
	enum rc rc = store_service_taken(run->reg->store, id);

	*taken = rc == RC_OK ? "In use" : !reg__handle_ok(id) ? "Malformed" : NULL;
	return rc;
}

static enum rc party(struct registry_run *run, const char *id, const char **taken)
{
	struct store_party p;
	enum rc rc = store_party_get(run->reg->store, id, &p);

	*taken = rc == RC_OK ? "In use" : NULL;
	return rc;
}

static enum rc one(struct registry_run *run, const Registry__Check *m, const char *id,
	Registry__CheckItem *item)
{
	const char *taken = NULL;
	enum rc rc;

	switch (m->kind) {
	case REGISTRY__CHECK_KIND__CHECK_DEVICE: rc = device(run, id, &taken); break;
	case REGISTRY__CHECK_KIND__CHECK_PROFILE: rc = profile(run, id, &taken); break;
	case REGISTRY__CHECK_KIND__CHECK_SERVICE: rc = service(run, id, &taken); break;
	case REGISTRY__CHECK_KIND__CHECK_PARTY: rc = party(run, id, &taken); break;
	case REGISTRY__CHECK_KIND__CHECK_NONE:
	case _REGISTRY__CHECK_KIND_IS_INT_SIZE:
	default: return reg__no(run, CODE(RANGE), "kind", "no such kind of object");
	}
	/* A malformed id is no reason to refuse the others. */
	if (reg__refused(run) && m->kind != REGISTRY__CHECK_KIND__CHECK_NONE) {
		run->reply.code = REGISTRY__CODE__CODE_NONE;
		taken = "Malformed";
	}
	item->id = (char *)(uintptr_t)id;
	item->avail = !taken;
	item->reason = (char *)(uintptr_t)(taken ? taken : "");
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc reg__check(struct registry_run *run)
{
	const Registry__Check *m = run->request->check;
	Registry__CheckData *out = arena_alloc(run->arena, sizeof(*out));
	enum rc rc = RC_OK;

	if (!out)
		return RC_NOMEM;
	if (m->n_ids < 1 || m->n_ids > CHECK_MAX)
		return reg__no(run, m->n_ids ? CODE(POLICY) : CODE(MISSING), "ids", "1 to %d ids",
			CHECK_MAX);
	registry__check_data__init(out);
	out->items = arena_array(run->arena, m->n_ids, sizeof(*out->items));
	for (size_t i = 0; out->items && i < m->n_ids && rc == RC_OK; i++) {
		Registry__CheckItem *item = arena_alloc(run->arena, sizeof(*item));

		if (!item)
			return RC_NOMEM;
		registry__check_item__init(item);
		rc = one(run, m, m->ids[i], item);
		if (reg__refused(run))
			return RC_OK;
		out->items[out->n_items++] = item;
	}
	run->reply.code = CODE(OK);
	run->reply.reason = (char *)(uintptr_t) "";
	run->reply.field = (char *)(uintptr_t) "";
	run->reply.result_case = REGISTRY__REPLY__RESULT_CHECK;
	run->reply.check = out;
	return rc;
}
