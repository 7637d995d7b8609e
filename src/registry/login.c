/* SPDX-License-Identifier: Apache-2.0 */
/* A session's login: a client key that is pinned to a party, and that party's password. The
 * password is looked at by another thread; here is what follows. */
#include "registry/internal.h"

#include <stdio.h>
#include <string.h>

#define PASSWORD_MIN   8
#define PASSWORD_LIMIT 64

/* Argon2id of nothing anybody knows, with the parameters of real ones: an unknown id takes as long
 * as a wrong password. */
static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$YXR0ZXN0cnktbm9ib2R5IQ$"
			     "2lX0hSg7yVQvQdYk3p9rT1uWzB5nM8cE4aF6iJ0oKsU";

static bool password_ok(const char *pw)
{
	size_t len = strlen(pw);

	for (size_t i = 0; i < len; i++) {
		if (pw[i] < '!' || pw[i] > '~')
			return false;
	}
	return len >= PASSWORD_MIN && len <= PASSWORD_LIMIT;
}

static enum rc order(
	struct registry_run *run, const struct store_party *p, bool own, const Registry__Login *m)
{
	struct registry_login *o = arena_alloc(run->arena, sizeof(*o));

	if (!o)
		return RC_NOMEM;
	o->encoded = own ? arena_str(run->arena, p->password) : nobody;
	o->password = m->password;
	if (own && *m->new_password && password_ok(m->new_password))
		o->new_password = m->new_password;
	run->login_order = o;
	return o->encoded ? RC_OK : RC_NOMEM;
}

/* One answer for every fault, so that it tells nothing. It is counted for the party, who hears of
 * it at the next good login. */
static enum rc refuse(struct registry_run *run, const char *id, bool exists)
{
	struct store_login l = { 0 };
	enum rc rc = RC_OK;

	if (exists) {
		rc = store_login_get(run->reg->store, id, &l);
		l.failed++;
		if (rc == RC_OK)
			rc = store_login_save(run->reg->store, id, &l);
		if (rc == RC_OK)
			rc = reg__audit(run, id, "refused");
		run->keep = true;
	}
	if (rc == RC_OK)
		reg__no(run, CODE(AUTHENTICATION), "clID",
			"client id, password and client certificate do not belong together");
	return rc;
}

static enum rc answer(struct registry_run *run, const struct store_login *was, bool changed)
{
	Registry__LoginData *out = arena_alloc(run->arena, sizeof(*out));

	if (!out)
		return RC_NOMEM;
	registry__login_data__init(out);
	out->failed = was->failed;
	out->last = was->last;
	out->password_changed = changed;
	run->reply.code = CODE(OK);
	run->reply.result_case = REGISTRY__REPLY__RESULT_LOGIN;
	run->reply.login = out;
	return RC_OK;
}

static enum rc new_password(struct registry_run *run, const Registry__Login *m)
{
	if (!password_ok(m->new_password))
		return reg__no(run, CODE(POLICY), "newPW", "%d to %d visible ASCII characters",
			PASSWORD_MIN, PASSWORD_LIMIT);
	if (!run->made.password)
		return reg__no(run, CODE(FAILED), "newPW", "cannot be kept at the moment");
	return store_password_save(run->reg->store, run->caller->id, run->made.password);
}

enum rc reg__login(struct registry_run *run)
{
	const Registry__Login *m = run->request->login;
	struct store_party p = { 0 };
	struct store_login was;
	bool exists, own, change = *m->new_password != '\0';
	enum rc rc = store_party_get(run->reg->store, m->id, &p);

	if (rc != RC_OK && rc != RC_NOT_FOUND)
		return rc;
	exists = rc == RC_OK;
	own = exists && *p.password && reg__is_caller(run, m->id);
	if (run->planning)
		return order(run, &p, own, m);
	if (!run->made.login_checked) {
		run->again = true;
		return RC_OK;
	}
	if (!own || !run->made.login_good)
		return refuse(run, m->id, exists);
	rc = store_login_get(run->reg->store, m->id, &was);
	if (rc == RC_OK && change)
		rc = new_password(run, m);
	if (rc != RC_OK || reg__refused(run))
		return rc;
	rc = store_login_save(run->reg->store, m->id, &(struct store_login){ .last = run->now });
	if (rc == RC_OK)
		rc = reg__audit(run, m->id, "new_password=%d agent=%.80s", change, m->user_agent);
	return rc == RC_OK ? answer(run, &was, change) : rc;
}
