/* SPDX-License-Identifier: Apache-2.0 */
/* What a service says of itself beside its address: the Thing Description, which is kept as it was
 * given (front has read it), and what its own zone says of its TLSA. */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

static const char *const words[STORE_TLSA_STATES] = { "unchecked", "ok", "missing", "mismatch",
	"insecure", "bogus", "unreachable" };

bool reg__td_take(struct registry_run *run, const Registry__Service *m, struct store_service *v,
	struct store_blob *doc)
{
	uint8_t sha256[STORE_SHA256];

	if (!m->td.len)
		return true;
	if (m->td.len > REGISTRY_TD_MAX) {
		reg__no(run, CODE(RANGE), "td", "at most %d bytes", REGISTRY_TD_MAX);
		return false;
	}
	reg__sha256(m->td.data, m->td.len, NULL, 0, sha256);
	if (m->td_sha256.len && memcmp(sha256, v->td_sha256, sizeof(sha256)) != 0) {
		reg__no(run, CODE(POLICY), "td_sha256", "is not that of the text in td");
		return false;
	}
	memcpy(v->td_sha256, sha256, sizeof(sha256));
	v->has_td = true;
	*doc = (struct store_blob){ m->td.data, m->td.len };
	return true;
}

/* The kept text must be the one of the hash that devices are told. */
static enum rc drop_other_td(struct registry_run *run, const struct store_service *v)
{
	struct store_blob doc = { 0 };
	uint8_t sha256[STORE_SHA256];
	enum rc rc = store_td_get(run->reg->store, v->handle, run->arena, &doc);

	if (rc != RC_OK)
		return rc == RC_NOT_FOUND ? RC_OK : rc;
	reg__sha256(doc.bytes, doc.len, NULL, 0, sha256);
	if (v->has_td && memcmp(sha256, v->td_sha256, sizeof(sha256)) == 0)
		return RC_OK;
	return store_td_set(run->reg->store, v->handle, (struct store_blob){ 0 });
}

enum rc reg__describe_save(struct registry_run *run, const struct store_service *v,
	const struct store_blob *doc, bool moved)
{
	static const struct store_tlsa_found anew = { .state = STORE_TLSA_UNCHECKED };
	enum rc rc =
		doc->len ? store_td_set(run->reg->store, v->handle, *doc) : drop_other_td(run, v);

	return rc == RC_OK && moved ? store_tlsa_set(run->reg->store, v->handle, &anew) : rc;
}

enum rc reg__describe_show(
	struct registry_run *run, const struct store_service *v, Registry__Service *m)
{
	struct store_tlsa_found found = { 0 };
	struct store_blob doc;
	enum rc rc = store_tlsa_get(run->reg->store, v->handle, &found);

	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	if (v->publish_tlsa)
		found = (struct store_tlsa_found){ 0 };
	m->tlsa = arena_str(run->arena, v->publish_tlsa ? "published" : words[found.state]);
	m->tlsa_checked = found.checked;
	m->tlsa_why = arena_str(run->arena, found.why);
	rc = v->has_td ? store_td_get(run->reg->store, v->handle, run->arena, &doc) : RC_NOT_FOUND;
	m->td_stored = rc == RC_OK;
	return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* For everybody who has a login: owners, operators and installers want to know what a device of the
 * service is. */
enum rc reg__service_td(struct registry_run *run)
{
	const char *handle = run->request->service_td->handle;
	Registry__TdData *out = arena_alloc(run->arena, sizeof(*out));
	struct store_blob doc = { 0 };
	struct store_service v;
	enum rc rc = store_service_get(run->reg->store, handle, NULL, &v);

	if (rc == RC_OK)
		rc = store_td_get(run->reg->store, handle, run->arena, &doc);
	if (rc == RC_NOT_FOUND)
		return reg__no(run, *handle ? CODE(NOT_FOUND) : CODE(MISSING), "handle",
			"no such service, or it has no Thing Description here");
	if (rc != RC_OK)
		return rc;
	if (!out)
		return RC_NOMEM;
	registry__td_data__init(out);
	out->handle = arena_str(run->arena, v.handle);
	out->url = arena_str(run->arena, v.td_url);
	out->td = (ProtobufCBinaryData){ doc.len, (uint8_t *)(uintptr_t)doc.bytes };
	out->sha256.data = arena_dup(run->arena, v.td_sha256, STORE_SHA256);
	out->sha256.len = STORE_SHA256;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_TD;
	run->reply.td = out;
	return RC_OK;
}

/* ---- TLSA --------------------------------------------------------------------------------- */

enum rc registry_tlsa_found(
	struct registry_run *run, const char *service, const struct store_tlsa_found *found)
{
	struct store_tlsa_found was = { 0 }, now = *found;
	struct store_service v;
	bool bad, was_bad;
	enum rc rc = store_service_get(run->reg->store, service, NULL, &v);

	if (rc == RC_OK)
		rc = store_tlsa_get(run->reg->store, service, &was);
	if (rc == RC_NOT_FOUND)
		return RC_OK; /* it was deleted, or is not looked at any more */
	if (rc != RC_OK)
		return rc;
	/* That our resolver is away says nothing of the provider. */
	if (now.state == STORE_TLSA_UNREACHABLE && was.state != STORE_TLSA_UNCHECKED) {
		now = was;
		now.checked = found->checked;
	}
	rc = store_tlsa_set(run->reg->store, service, &now);
	bad = now.state != STORE_TLSA_OK && now.state != STORE_TLSA_UNREACHABLE;
	was_bad = was.state != STORE_TLSA_OK && was.state != STORE_TLSA_UNREACHABLE &&
		  was.state != STORE_TLSA_UNCHECKED;
	if (rc != RC_OK || now.state == was.state || (!bad && !was_bad))
		return rc;
	rc = reg__poll(run, v.asp, "service.tlsa", service, "_%u._tcp.%s TLSA: %s%s%s", v.port,
		v.fqdn, words[now.state], *now.why ? ": " : "", now.why);
	return rc == RC_OK ? reg__audit(run, service, "tlsa=%s", words[now.state]) : rc;
}
