/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's own server credentials: a folder with the key that devices are told of, and the
 * next one while it is being replaced. The service at the registry holds the pins; RFC 7671
 * section 8.1 gives the order: name both, wait, change over, take the old one back. */
#include "asp/services/internal.h"

#include "base/file.h"
#include "base/hex.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAYS   365
#define WAIT_S 600 /* a record's TTL twice, at the registry's default of 300 s */

enum which { CURRENT, NEXT };
static const char *const stems[] = { "server", "next" };

struct server {
	struct attest_registry *registry;
	const char *handle;
	const struct attest_server_options *opt;
	json_t *service; /* as the registry has it */
	struct attest_server shown;
	struct diag *d;
};

static enum rc path_of(const struct server *s, enum which which, const char *end, char out[4096])
{
	return str_format(out, 4096, "%s/%s.%s", s->opt->dir, stems[which], end);
}

static bool there_is(const struct server *s, enum which which, const char *end)
{
	char path[4096];

	return path_of(s, which, end, path) == RC_OK && access(path, F_OK) == 0;
}

/* ---- the service at the registry --------------------------------------------------------------
 */

static enum rc fetch(struct server *s)
{
	char path[256];
	json_t *answer = NULL;
	enum rc rc = svc__path(path, "services", s->handle, "", s->d);

	if (rc == RC_OK)
		rc = svc__call(s->registry, "GET", path, NULL, &answer, NULL, s->d);
	if (rc != RC_OK)
		return rc;
	json_decref(s->service);
	s->service = json_incref(json_object_get(answer, "service"));
	json_decref(answer);
	svc__copy(s->shown.fqdn, sizeof(s->shown.fqdn), svc__text(s->service, "fqdn"));
	s->shown.port = (unsigned)json_integer_value(json_object_get(s->service, "port"));
	s->shown.in_our_zone = json_is_true(json_object_get(s->service, "publish_tlsa"));
	return *s->shown.fqdn ? RC_OK
			      : diag_set(s->d, RC_STATE, "service %s has no FQDN", s->handle);
}

static bool is_pin(const json_t *p, const char *base64)
{
	return json_integer_value(json_object_get(p, "usage")) == 3 &&
	       json_integer_value(json_object_get(p, "selector")) == 1 &&
	       json_integer_value(json_object_get(p, "matching")) == 1 &&
	       strcmp(svc__text(p, "data"), base64) == 0;
}

static bool names(const json_t *service, const uint8_t pin[32])
{
	char base64[B64_LEN(32)];
	const json_t *p;
	size_t i;

	b64_write(pin, 32, base64);
	json_array_foreach(json_object_get(service, "pins"), i, p)
	{
		if (is_pin(p, base64))
			return true;
	}
	return false;
}

/* Has the service name `add` and no more `drop`; either may be NULL. Other pins stay. */
static enum rc change_pins(struct server *s, const uint8_t *add, const uint8_t *drop)
{
	char path[256], plus[B64_LEN(32)] = "", minus[B64_LEN(32)] = "";
	json_t *pins = json_array(), *p;
	size_t i;
	enum rc rc = svc__path(path, "services", s->handle, "", s->d);

	if (add)
		b64_write(add, 32, plus);
	if (drop)
		b64_write(drop, 32, minus);
	json_array_foreach(json_object_get(s->service, "pins"), i, p)
	{
		if (!is_pin(p, minus) && !is_pin(p, plus))
			json_array_append(pins, p);
	}
	if (add)
		json_array_append_new(pins, json_pack("{s:i,s:i,s:i,s:s}", "usage", 3, "selector",
						    1, "matching", 1, "data", plus));
	if (rc == RC_OK && json_equal(pins, json_object_get(s->service, "pins"))) {
		json_decref(pins);
		return RC_OK;
	}
	if (rc == RC_OK)
		rc = svc__call(s->registry, "PATCH", path, json_pack("{s:o}", "pins", pins), NULL,
			NULL, s->d);
	else
		json_decref(pins);
	return rc == RC_OK ? fetch(s) : rc;
}

/* How many live devices have not confirmed the newest payload. */
static enum rc count_behind(struct server *s)
{
	char after[64] = "", path[256];
	enum rc rc = RC_OK;

	s->shown.behind = 0;
	do {
		json_t *answer = NULL;
		const json_t *p;
		size_t i;

		rc = str_format(path, sizeof(path), "/v1/profiles?limit=500&service=%s%s%s",
			s->handle, *after ? "&after=" : "", after);
		if (rc == RC_OK)
			rc = svc__call(s->registry, "GET", path, NULL, &answer, NULL, s->d);
		json_array_foreach(json_object_get(answer, "profiles"), i, p)
		{
			if (strcmp(svc__text(p, "state"), "activated") == 0 &&
				!json_is_true(json_object_get(p, "card_current")))
				s->shown.behind++;
		}
		svc__copy(after, sizeof(after), svc__text(answer, "next"));
		json_decref(answer);
	} while (rc == RC_OK && *after);
	return rc;
}

/* ---- the folder -------------------------------------------------------------------------------
 */

static enum rc pin_of(const struct server *s, enum which which, uint8_t pin[32])
{
	char path[4096];
	EVP_PKEY *key = NULL;
	enum rc rc = path_of(s, which, "key", path);

	if (rc == RC_OK)
		rc = svc__key_load(path, &key, s->d);
	if (rc == RC_OK)
		rc = svc__key_pin(key, pin);
	EVP_PKEY_free(key);
	return rc;
}

/* A certificate for the key, by the CA or by itself. */
static enum rc certify(const struct server *s, enum which which, EVP_PKEY *key)
{
	char path[4096], *pem = NULL;
	uint8_t *csr = NULL;
	size_t len = 0;
	enum rc rc = path_of(s, which, "pem", path);

	if (rc == RC_OK && !s->opt->ca) {
		rc = svc__self_signed(
			key, s->shown.fqdn, s->opt->days ? s->opt->days : DAYS, &pem, s->d);
	} else if (rc == RC_OK) {
		rc = svc__request(key, s->shown.fqdn, &csr, &len, s->d);
		if (rc == RC_OK)
			rc = svc__est(s->opt->ca, csr, len, false, &pem, s->d);
	}
	if (rc == RC_OK)
		rc = file_write_atomic(path, pem, strlen(pem), 0644, s->d);
	free(csr);
	free(pem);
	return rc;
}

/* Key and certificate, unless they are there. What was begun and failed goes on from there. */
static enum rc make(const struct server *s, enum which which)
{
	char path[4096];
	EVP_PKEY *key = NULL;
	enum rc rc = path_of(s, which, "key", path);

	if (rc == RC_OK)
		rc = there_is(s, which, "key") ? svc__key_load(path, &key, s->d)
					       : svc__key_make(path, &key, s->d);
	if (rc == RC_OK && !there_is(s, which, "pem"))
		rc = certify(s, which, key);
	EVP_PKEY_free(key);
	return rc;
}

static enum rc look(struct server *s)
{
	uint8_t pin[32];
	char path[4096];
	EVP_PKEY *key = NULL;
	int64_t until = 0;
	enum rc rc = path_of(s, CURRENT, "key", path);

	if (rc == RC_OK)
		rc = svc__key_load(path, &key, s->d);
	if (rc == RC_OK)
		rc = svc__key_pin(key, pin);
	if (rc == RC_OK) {
		hex_write(pin, sizeof(pin), s->shown.pin);
		s->shown.pinned = names(s->service, pin);
		rc = path_of(s, CURRENT, "pem", path);
	}
	if (rc == RC_OK)
		rc = svc__cert_look(path, key, &until, s->d);
	s->shown.not_after = until;
	EVP_PKEY_free(key);
	s->shown.next[0] = '\0';
	s->shown.next_pinned = 0;
	if (rc == RC_OK && there_is(s, NEXT, "key")) {
		rc = pin_of(s, NEXT, pin);
		if (rc == RC_OK) {
			hex_write(pin, sizeof(pin), s->shown.next);
			s->shown.next_pinned = names(s->service, pin);
		}
	}
	return rc == RC_OK ? count_behind(s) : rc;
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static enum rc issue(struct server *s)
{
	uint8_t pin[32];
	enum rc rc = make(s, CURRENT);

	if (rc == RC_OK)
		rc = pin_of(s, CURRENT, pin);
	return rc == RC_OK ? change_pins(s, pin, NULL) : rc;
}

static enum rc renew(struct server *s)
{
	char path[4096];
	EVP_PKEY *key = NULL;
	enum rc rc = path_of(s, CURRENT, "key", path);

	if (rc == RC_OK)
		rc = svc__key_load(path, &key, s->d);
	if (rc == RC_OK)
		rc = certify(s, CURRENT, key);
	EVP_PKEY_free(key);
	return rc;
}

static enum rc rotate(struct server *s)
{
	uint8_t pin[32];
	enum rc rc = pin_of(s, CURRENT, pin);

	if (rc == RC_OK)
		rc = make(s, NEXT);
	if (rc == RC_OK)
		rc = pin_of(s, NEXT, pin);
	return rc == RC_OK ? change_pins(s, pin, NULL) : rc;
}

static enum rc old_enough(const struct server *s)
{
	unsigned wait_s = s->opt->wait_s ? s->opt->wait_s : WAIT_S;
	char path[4096];
	struct stat st;
	time_t age;

	if (path_of(s, NEXT, "pem", path) != RC_OK || stat(path, &st) != 0)
		return diag_errno(s->d, RC_IO, "%s", path);
	age = time(NULL) - st.st_mtime;
	if (age >= 0 && age < (time_t)wait_s)
		return diag_set(s->d, RC_STATE,
			"the next key is known for %lld s: devices may remember the old record "
			"for %u s",
			(long long)age, wait_s);
	return RC_OK;
}

/* next.* becomes server.*; what was cut short between the two goes on. */
static enum rc change_over(struct server *s)
{
	static const char *const ends[] = { "key", "pem" };
	uint8_t old[32], fresh[32];
	char from[4096], to[4096];
	bool has_old;
	enum rc rc;

	has_old = there_is(s, NEXT, "key") && pin_of(s, CURRENT, old) == RC_OK;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		if (!there_is(s, NEXT, ends[i]))
			continue;
		if (path_of(s, NEXT, ends[i], from) != RC_OK ||
			path_of(s, CURRENT, ends[i], to) != RC_OK || rename(from, to) != 0)
			return diag_errno(s->d, RC_IO, "%s", from);
	}
	rc = pin_of(s, CURRENT, fresh);
	if (rc == RC_OK && has_old && memcmp(old, fresh, sizeof(old)) == 0)
		has_old = false;
	return rc == RC_OK ? change_pins(s, fresh, has_old ? old : NULL) : rc;
}

static enum rc finish(struct server *s)
{
	uint8_t pin[32];
	enum rc rc;

	if (!there_is(s, NEXT, "key") && !there_is(s, NEXT, "pem"))
		return diag_set(s->d, RC_STATE, "no key is being replaced: rotate first");
	if (there_is(s, NEXT, "key")) {
		rc = pin_of(s, NEXT, pin);
		if (rc == RC_OK && !names(s->service, pin))
			rc = diag_set(s->d, RC_STATE,
				"the service does not name the next key: rotate again");
		if (rc == RC_OK)
			rc = old_enough(s);
		if (rc == RC_OK)
			rc = count_behind(s);
		if (rc == RC_OK && s->shown.behind)
			rc = diag_set(s->d, RC_STATE,
				"%llu live devices have not confirmed the new pin yet",
				s->shown.behind);
		if (rc != RC_OK)
			return rc;
	}
	return change_over(s);
}

static enum rc give_up(struct server *s)
{
	uint8_t pin[32];
	enum rc rc = make(s, NEXT);

	/* The new pin first: a service without one would let devices trust nobody, or anybody. */
	if (rc == RC_OK)
		rc = pin_of(s, NEXT, pin);
	if (rc == RC_OK)
		rc = change_pins(s, pin, NULL);
	return rc == RC_OK ? change_over(s) : rc;
}

static enum rc nothing(struct server *s)
{
	(void)s;
	return RC_OK;
}

static enum attest_error run(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, enum rc (*what)(struct server *s),
	struct attest_server *out, char *error)
{
	struct diag d = { 0 };
	struct server s = { .registry = registry, .handle = service, .opt = options, .d = &d };
	enum rc rc = options->dir ? fetch(&s) : diag_set(&d, RC_RANGE, "a folder is needed");

	if (rc == RC_OK)
		rc = what(&s);
	if (rc == RC_OK)
		rc = look(&s);
	if (rc == RC_OK)
		*out = s.shown;
	json_decref(s.service);
	return svc__error(rc, &d, error);
}

enum attest_error attest_server_issue(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out,
	char error[ATTEST_TEXT_MAX])
{
	return run(registry, service, options, issue, out, error);
}

enum attest_error attest_server_renew(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out,
	char error[ATTEST_TEXT_MAX])
{
	return run(registry, service, options, renew, out, error);
}

enum attest_error attest_server_rotate(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out,
	char error[ATTEST_TEXT_MAX])
{
	return run(registry, service, options, rotate, out, error);
}

enum attest_error attest_server_finish(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out,
	char error[ATTEST_TEXT_MAX])
{
	return run(registry, service, options, finish, out, error);
}

enum attest_error attest_server_revoke(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out,
	char error[ATTEST_TEXT_MAX])
{
	return run(registry, service, options, give_up, out, error);
}

enum attest_error attest_server_show(struct attest_registry *registry, const char *service,
	const struct attest_server_options *options, struct attest_server *out,
	char error[ATTEST_TEXT_MAX])
{
	return run(registry, service, options, nothing, out, error);
}
