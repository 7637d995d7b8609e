/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"
#include "base/str.h"
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

/* RFC 9154: 128 bits and more of randomness. 32 letters and digits that are not mistaken for one
 * another, five bits each. */
#define CODE_LEN       28
#define CODE_MIN       20 /* of a sponsor's own: 20 of 94 characters are 131 bits */
#define CODE_MAX       64
#define CODE_DIFFERENT 10
#define TTL_MAX_S      (30 * 86400)

static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

static enum rc make_code(struct registry_run *run, char out[CODE_LEN + 1])
{
	uint8_t bits[CODE_LEN];
	enum rc rc = run->reg->rng->fill(run->reg->rng, bits, sizeof(bits));

	_Static_assert(sizeof(alphabet) == 33, "five bits choose a character");
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < CODE_LEN; i++)
		out[i] = alphabet[bits[i] & 31];
	out[CODE_LEN] = '\0';
	mem_wipe(bits, sizeof(bits));
	return RC_OK;
}

static enum rc answer_code(struct registry_run *run, const char *code, int64_t expires)
{
	Registry__AuthData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__auth_data__init(out);
	out->code = arena_str(run->arena, code);
	out->expires = expires;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_AUTH;
	run->reply.auth = out;
	return RC_OK;
}

static bool strong(const char *code)
{
	bool seen[128] = { false };
	size_t len = strlen(code), different = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)code[i];

		if (c < '!' || c > '~')
			return false;
		different += !seen[c];
		seen[c] = true;
	}
	return len >= CODE_MIN && len <= CODE_MAX && different >= CODE_DIFFERENT;
}

/* Sponsor and owner hear of each other's codes: never the code itself. */
static enum rc tell_code(
	struct registry_run *run, const struct store_profile_view *v, const char *what)
{
	const struct reg__tale none = { 0 };
	const char *name = reg__profile_name(run, v), *who = run->caller->id;
	enum rc rc = reg__tell(run, v->p.sponsor, "profile.auth", name, &none,
		"the transfer code was %s by %s", what, who);

	return rc == RC_OK ? reg__tell(run, v->owner, "profile.auth", name, &none,
				     "the transfer code was %s by %s", what, who)
			   : rc;
}

static enum rc clear_code(struct registry_run *run, struct store_profile_view *v)
{
	enum rc rc;

	v->p.has_auth = false;
	v->p.auth_expires = 0;
	v->p.auth_tries = 0;
	v->p.updated = run->now;
	rc = store_profile_save_all(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "code unset");
	if (rc == RC_OK)
		rc = tell_code(run, v, "unset");
	return rc == RC_OK ? answer_code(run, "", 0) : rc;
}

enum rc reg__profile_set_auth(struct registry_run *run)
{
	const Registry__ProfileSetAuth *m = run->request->profile_set_auth;
	struct store_profile_view *v;
	char code[CODE_MAX + 1];
	enum rc rc;

	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	if (!reg__is_caller(run, v->p.sponsor) && !reg__is_caller(run, v->owner))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if ((*m->code || m->clear) && !reg__is_caller(run, v->p.sponsor))
		return reg__no(run, CODE(AUTHORIZATION), "code",
			"the sponsor sets and unsets the code; ask the registry for one");
	if (m->clear)
		return clear_code(run, v);
	if (*m->code && !strong(m->code))
		return reg__no(run, CODE(POLICY), "code",
			"a code has 20 to 64 visible characters, 10 of them different (RFC 9154)");
	if (m->ttl_s > TTL_MAX_S)
		return reg__no(run, CODE(RANGE), "ttl_s", "at most %d seconds", TTL_MAX_S);
	if (*m->code)
		snprintf(code, sizeof(code), "%s", m->code);
	else
		rc = make_code(run, code);
	if (rc == RC_OK)
		rc = run->reg->rng->fill(run->reg->rng, v->p.auth_salt, sizeof(v->p.auth_salt));
	if (rc != RC_OK)
		return rc;
	reg__sha256(v->p.auth_salt, sizeof(v->p.auth_salt), code, strlen(code), v->p.auth_sha256);
	v->p.has_auth = true;
	v->p.auth_tries = 0;
	v->p.auth_expires = run->now + (m->ttl_s ? m->ttl_s : run->reg->settings.auth_ttl_s);
	v->p.updated = run->now;
	rc = store_profile_save_all(run->reg->store, &v->p);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "code set");
	if (rc == RC_OK)
		rc = tell_code(run, v, "set");
	if (rc == RC_OK)
		rc = answer_code(run, *m->code ? "" : code, v->p.auth_expires);
	mem_wipe(code, sizeof(code));
	return rc;
}

/* ---- transfer --------------------------------------------------------------------------- */

/* Unset, expired and wrong look the same. Wrong ones are counted; at the limit the code is
 * withdrawn. */
static enum rc check_code(struct registry_run *run, struct store_profile_view *v, const char *code)
{
	bool live = v->p.has_auth && v->p.auth_expires > run->now;
	uint8_t hash[STORE_SHA256];
	enum rc rc = RC_OK;

	reg__sha256(v->p.auth_salt, sizeof(v->p.auth_salt), code, strlen(code), hash);
	if (mem_equal_ct(hash, v->p.auth_sha256, sizeof(hash)) && live)
		return RC_OK;
	if (!run->planning && live) {
		v->p.auth_tries++;
		if (v->p.auth_tries >= REGISTRY_TRIES_MAX)
			v->p.has_auth = false;
		rc = store_profile_save_all(run->reg->store, &v->p);
		if (rc == RC_OK)
			rc = reg__audit(run, reg__profile_name(run, v), "wrong code, attempt %u",
				v->p.auth_tries);
		run->keep = true;
	}
	if (rc == RC_OK)
		reg__no(run, CODE(BAD_AUTHINFO), "code", "not the code of this profile");
	return rc;
}

/* Whoever has the code may see what it is for. */
enum rc reg__profile_look(struct registry_run *run)
{
	const Registry__ProfileLook *m = run->request->profile_look;
	struct store_profile_view *v;
	enum rc rc;

	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	if (strlen(m->code) > 128)
		return reg__no(run, CODE(VALUE_SYNTAX), "code", "at most 128 bytes");
	rc = check_code(run, v, m->code);
	return rc == RC_OK && !reg__refused(run) ? reg__profile_reply(run, v, NULL, 0) : rc;
}

static enum rc check_transfer(struct registry_run *run, struct store_profile_view *v)
{
	const Registry__ProfileTransfer *m = run->request->profile_transfer;
	enum rc rc;

	if (reg__is_caller(run, v->p.sponsor))
		return reg__no(run, CODE(USE), "name", "the profile is yours already");
	if (!*m->code)
		return reg__no(run, CODE(MISSING), "code", "the profile's code is needed");
	if (strlen(m->code) > 128)
		return reg__no(run, CODE(VALUE_SYNTAX), "code", "at most 128 bytes");
	if (!reg__own_service(run, m->service, v->p.kind, &rc))
		return rc;
	rc = check_code(run, v, m->code);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	if (v->locked)
		return reg__no(run, CODE(STATUS_PROHIBITS), "name", "the device is locked");
	if (v->stolen)
		return reg__no(
			run, CODE(STATUS_PROHIBITS), "name", "the device is reported stolen");
	return RC_OK;
}

/* The same key, a new certificate that names the new service. */
static enum rc reissue(
	struct registry_run *run, struct store_profile_view *v, struct store_blob *der, bool *done)
{
	struct reg__csr csr = { .stored = true };
	struct store_key k;
	enum rc rc = store_key_get(run->reg->store, v->p.key, run->arena, &k);

	if (rc != RC_OK)
		return rc;
	csr.bytes = k.csr;
	rc = reg__issue(run, v, &csr, der, done);
	if (rc == RC_OK && *done)
		rc = reg__jobs_cancel(run, v, 1u << JOB(INSTALL), "transferred");
	return rc;
}

enum rc reg__move(struct registry_run *run, struct store_profile_view *v, const char *sponsor,
	const char *service, struct store_blob *der, bool *done)
{
	bool was_live = v->p.state == STATE(ACTIVATED);
	char loser[STORE_ID_MAX];
	enum rc rc = RC_OK;

	*done = true;
	memcpy(loser, v->p.sponsor, sizeof(loser));
	if (strcmp(loser, sponsor) != 0) {
		v->p.has_auth = false;
		v->p.auth_expires = 0;
		v->p.auth_tries = 0;
		run->loser = loser;
	}
	snprintf(v->p.sponsor, sizeof(v->p.sponsor), "%s", sponsor);
	snprintf(v->p.service, sizeof(v->p.service), "%s", service);
	v->p.updated = run->now;
	if (was_live)
		rc = reissue(run, v, der, done);
	if (rc == RC_OK && *done && !run->planning && was_live && run->loser)
		rc = reg__feed_lost(run, v, loser);
	run->loser = NULL;
	if (rc != RC_OK || !*done || run->planning)
		return rc;
	/* A suspended certificate names the old service: re-activation makes a new one. */
	if (v->p.state == STATE(DEACTIVATED) && v->cert.state == CERT(SUSPENDED)) {
		rc = store_cert_state(run->reg->store, v->p.cert, CERT(SUPERSEDED));
		v->cert.state = CERT(SUPERSEDED);
	}
	return rc == RC_OK ? store_profile_save_all(run->reg->store, &v->p) : rc;
}

/* The transfer that has just been made, as the one that the profile remembers. */
static enum rc record(
	struct registry_run *run, const struct store_profile_view *v, struct store_transfer *t)
{
	*t = (struct store_transfer){ .profile = v->p.id,
		.status = "serverApproved",
		.requested = run->now,
		.act_date = run->now };
	snprintf(t->requester, sizeof(t->requester), "%s", run->caller->id);
	snprintf(t->actor, sizeof(t->actor), "%s", run->caller->id);
	snprintf(t->service, sizeof(t->service), "%s", v->p.service);
	return store_transfer_save(run->reg->store, t);
}

enum rc reg__profile_transfer(struct registry_run *run)
{
	const Registry__ProfileTransfer *m = run->request->profile_transfer;
	struct store_transfer t;
	struct store_profile_view *v;
	struct store_blob der = { 0 };
	struct reg__tale tale = { 0 }, lost;
	char loser[STORE_ID_MAX];
	bool done = true;
	enum rc rc;

	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	rc = check_transfer(run, v);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	memcpy(loser, v->p.sponsor, sizeof(loser));
	/* The code proves the owner's will: a request that waits for the sponsor gives way. */
	if (!run->planning)
		rc = reg__transfer_expire(run, v->p.id);
	if (rc == RC_OK)
		rc = reg__before_profile(run, v, &tale);
	lost = tale;
	if (rc == RC_OK)
		rc = reg__move(run, v, run->caller->id, m->service, &der, &done);
	if (rc != RC_OK || !done || run->planning)
		return rc;
	rc = record(run, v, &t);
	if (rc == RC_OK)
		rc = reg__tell(run, loser, "profile.transferred", reg__profile_name(run, v), &lost,
			"transferred to %s", run->caller->id);
	if (rc == RC_OK)
		rc = reg__tell_profile(
			run, v, "profile.transferred", &tale, "transferred to %s", run->caller->id);
	if (rc == RC_OK)
		rc = reg__audit(
			run, reg__profile_name(run, v), "from=%s service=%s", loser, m->service);
	if (rc == RC_OK)
		rc = reg__profile_reply(run, v, &der, 0);
	if (rc == RC_OK)
		run->reply.profile->transfer = reg__transfer_message(run, v, &t);
	return rc;
}

/* To another service of the same sponsor. */
enum rc reg__profile_rebind(struct registry_run *run)
{
	const Registry__ProfileRebind *m = run->request->profile_rebind;
	struct store_profile_view *v;
	struct store_blob der = { 0 };
	struct reg__tale t;
	bool done = true;
	enum rc rc;

	v = reg__profile(run, m->name, &rc);
	if (!v)
		return rc;
	if (!reg__is_caller(run, v->p.sponsor))
		return reg__no(run, CODE(AUTHORIZATION), "name", "not your profile");
	if (strcmp(v->p.service, m->service) == 0)
		return reg__no(run, CODE(POLICY), "service", "that is its service already");
	if (!reg__own_service(run, m->service, v->p.kind, &rc))
		return rc;
	if (v->stolen)
		return reg__no(
			run, CODE(STATUS_PROHIBITS), "name", "the device is reported stolen");
	rc = reg__before_profile(run, v, &t);
	if (rc == RC_OK)
		rc = reg__move(run, v, run->caller->id, m->service, &der, &done);
	if (rc != RC_OK || !done || run->planning)
		return rc;
	rc = reg__tell_profile(run, v, "profile.updated", &t, "service %s now", m->service);
	if (rc == RC_OK)
		rc = reg__audit(run, reg__profile_name(run, v), "service=%s", m->service);
	return rc == RC_OK ? reg__profile_reply(run, v, &der, 0) : rc;
}

/* ---- the same codes, for whole devices ---------------------------------------------------- */

enum rc reg__code_make(struct registry_run *run, char code[REG__CODE_LEN + 1],
	uint8_t salt[STORE_SALT], uint8_t sha256[STORE_SHA256])
{
	enum rc rc = make_code(run, code);

	_Static_assert(REG__CODE_LEN == CODE_LEN && REG__CODE_TTL_MAX_S == TTL_MAX_S, "one kind");
	if (rc == RC_OK)
		rc = run->reg->rng->fill(run->reg->rng, salt, STORE_SALT);
	if (rc == RC_OK)
		reg__sha256(salt, STORE_SALT, code, REG__CODE_LEN, sha256);
	return rc;
}

enum rc reg__code_answer(struct registry_run *run, const char *code, int64_t expires)
{
	return answer_code(run, code, expires);
}
