/* SPDX-License-Identifier: Apache-2.0 */
/* Card provisioning, and the credentials of devices: both are views of one profile. */
#include "asp/services/internal.h"

#include "base/ident.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS 300

/* ---- one profile ------------------------------------------------------------------------------
 */

/* `<slot>.<iccid>` of a name with or without zone. */
static enum rc short_name(const char *name, char out[64], struct diag *d)
{
	size_t len = name && name[0] >= '1' && name[0] <= '9' && name[1] == '.'
			     ? 2 + strcspn(name + 2, ".")
			     : 0;

	if (len < 3 || len >= 64)
		return diag_set(d, RC_MALFORMED, "name: must be SLOT.ICCID, with or without zone");
	memcpy(out, name, len);
	out[len] = '\0';
	str_lower(out);
	return RC_OK;
}

/* One step of a profile; `out` gets the profile (json_decref), NULL where the answer has none. */
static enum rc profile_call(struct attest_registry *r, const char *method, const char *name,
	const char *step, json_t *take_body, json_t **out, int *status, struct diag *d)
{
	char path[256], plain[64];
	json_t *answer = NULL;
	enum rc rc = short_name(name, plain, d);

	if (rc == RC_OK)
		rc = svc__path(path, "profiles", plain, step, d);
	if (rc != RC_OK) {
		json_decref(take_body);
		return rc;
	}
	rc = svc__call(r, method, path, take_body, &answer, status, d);
	if (rc == RC_OK && out)
		*out = json_incref(json_object_get(answer, "profile"));
	json_decref(answer);
	return rc;
}

/* ---- card provisioning service ------------------------------------------------------------------
 */

static enum rc read_job(struct attest_registry *r, struct attest_card *card, struct diag *d)
{
	const json_t *job;
	json_t *answer = NULL;
	char path[256];
	enum rc rc = svc__path(path, "jobs", card->job, "", d);

	if (rc == RC_OK)
		rc = svc__call(r, "GET", path, NULL, &answer, NULL, d);
	if (rc == RC_OK) {
		job = json_object_get(answer, "job");
		if (!job)
			job = answer;
		svc__copy(card->job_kind, sizeof(card->job_kind), svc__text(job, "kind"));
		svc__copy(card->job_state, sizeof(card->job_state), svc__text(job, "state"));
		svc__copy(card->job_reason, sizeof(card->job_reason), svc__text(job, "reason"));
	}
	json_decref(answer);
	return rc;
}

static enum rc card_of(
	struct attest_registry *r, const json_t *p, struct attest_card *out, struct diag *d)
{
	struct attest_card c = { 0 };
	enum rc rc = RC_OK;

	svc__copy(c.name, sizeof(c.name), svc__text(p, "owner_name"));
	svc__copy(c.state, sizeof(c.state), svc__text(p, "state"));
	svc__copy(c.maker, sizeof(c.maker), svc__text(p, "attested_by"));
	svc__copy(c.job, sizeof(c.job), svc__text(p, "pending_job"));
	c.current = json_is_true(json_object_get(p, "card_current"));
	c.wipe_pending = json_is_true(json_object_get(p, "wipe_pending"));
	c.key_proven = json_is_true(json_object_get(p, "attested"));
	c.payload = (unsigned long long)json_integer_value(json_object_get(p, "payload_sequence"));
	if (!c.name[0])
		return diag_set(d, RC_MALFORMED, "the answer holds no profile");
	if (c.job[0])
		rc = read_job(r, &c, d);
	if (rc == RC_OK)
		*out = c;
	return rc;
}

static enum attest_error card_step(struct attest_registry *r, const char *method, const char *name,
	const char *step, struct attest_card *out, char *error)
{
	struct diag d = { 0 };
	json_t *p = NULL;
	enum rc rc =
		profile_call(r, method, name, step, *step ? json_object() : NULL, &p, NULL, &d);

	if (rc == RC_OK)
		rc = card_of(r, p, out, &d);
	json_decref(p);
	return svc__error(rc, &d, error);
}

enum attest_error attest_card_status(struct attest_registry *registry, const char *name,
	struct attest_card *out, char error[ATTEST_TEXT_MAX])
{
	return card_step(registry, "GET", name, "", out, error);
}

enum attest_error attest_card_write(struct attest_registry *registry, const char *name,
	struct attest_card *out, char error[ATTEST_TEXT_MAX])
{
	enum attest_error e = attest_card_status(registry, name, out, error);
	struct diag d;

	if (e != ATTEST_SUCCESS)
		return e;
	if (strcmp(out->state, "activated") != 0)
		return svc__error(
			diag_set(&d, RC_STATE,
				"the profile is %s: only an activated one is written", out->state),
			&d, error);
	return card_step(registry, "POST", name, "/activate", out, error);
}

enum attest_error attest_card_block(struct attest_registry *registry, const char *name,
	struct attest_card *out, char error[ATTEST_TEXT_MAX])
{
	return card_step(registry, "POST", name, "/deactivate", out, error);
}

enum attest_error attest_card_unblock(struct attest_registry *registry, const char *name,
	struct attest_card *out, char error[ATTEST_TEXT_MAX])
{
	enum attest_error e = attest_card_status(registry, name, out, error);
	struct diag d;

	if (e != ATTEST_SUCCESS)
		return e;
	if (strcmp(out->state, "deactivated") != 0)
		return svc__error(
			diag_set(&d, RC_STATE, "the profile is %s, not deactivated", out->state),
			&d, error);
	return card_step(registry, "POST", name, "/activate", out, error);
}

enum attest_error attest_card_wipe(
	struct attest_registry *registry, const char *name, char error[ATTEST_TEXT_MAX])
{
	return attest_credential_revoke(registry, name, 1, error);
}

/* ---- credential establishment and management service --------------------------------------------
 */

static enum rc credential_of(const json_t *p, struct attest_credential *out, struct diag *d)
{
	const json_t *cert = json_object_get(p, "certificate");
	const char *der = svc__text(cert, "der"), *sha256 = svc__text(cert, "sha256");
	size_t len = 0;

	memset(out, 0, sizeof(*out));
	svc__copy(out->name, sizeof(out->name), svc__text(p, "owner_name"));
	svc__copy(out->service, sizeof(out->service), svc__text(p, "service"));
	svc__copy(out->state, sizeof(out->state), svc__text(p, "state"));
	out->on_card = json_is_true(json_object_get(p, "card_current"));
	out->pending = strcmp(out->state, "registered") == 0 && *svc__text(p, "pending_job");
	if (!out->name[0])
		return diag_set(d, RC_MALFORMED, "the answer holds no profile");
	if (!cert)
		return RC_OK;
	out->not_after = json_integer_value(json_object_get(cert, "not_after"));
	if (b64_read(der, strlen(der), out->cert, sizeof(out->cert), &out->cert_len) != RC_OK ||
		b64_read(sha256, strlen(sha256), out->sha256, sizeof(out->sha256), &len) != RC_OK ||
		len != sizeof(out->sha256))
		return diag_set(d, RC_MALFORMED, "the answer's certificate is not one");
	return RC_OK;
}

static enum rc step(struct attest_registry *r, const char *method, const char *name,
	const char *what, json_t *take_body, struct attest_credential *out, struct diag *d)
{
	json_t *p = NULL;
	int status = 0;
	enum rc rc = profile_call(r, method, name, what, take_body, &p, &status, d);

	if (rc == RC_OK && p)
		rc = credential_of(p, out, d);
	if (rc == RC_OK && status == 202)
		out->pending = 1;
	json_decref(p);
	return rc;
}

enum attest_error attest_credential_get(struct attest_registry *registry, const char *name,
	struct attest_credential *out, char error[ATTEST_TEXT_MAX])
{
	struct diag d = { 0 };

	return svc__error(step(registry, "GET", name, "", NULL, out, &d), &d, error);
}

static enum rc do_register(struct attest_registry *r, const struct attest_issue *i, struct diag *d)
{
	char plain[64];
	json_t *body;
	enum rc rc = short_name(i->name, plain, d);

	if (rc != RC_OK)
		return rc;
	if (!i->service)
		return diag_set(d, RC_RANGE, "service: is missing");
	body = json_pack("{s:s,s:i,s:s,s:s*}", "iccid", plain + 2, "slot", plain[0] - '0',
		"service", i->service, "claim", i->claim);
	return body ? svc__call(r, "POST", "/v1/profiles", body, NULL, NULL, d) : RC_NOMEM;
}

static enum rc issue(struct attest_registry *r, const struct attest_issue *i,
	struct attest_credential *out, struct diag *d)
{
	json_t *body = json_object();
	char *base64 = NULL;
	enum rc rc = step(r, "GET", i->name, "", NULL, out, d);

	if (rc == RC_NOT_FOUND)
		rc = do_register(r, i, d);
	else if (rc == RC_OK && i->service && strcmp(out->service, i->service) != 0)
		rc = diag_set(d, RC_CONFLICT, "%s is bound to service %s", out->name, out->service);
	else if (rc == RC_OK && !i->csr && strcmp(out->state, "activated") == 0)
		goto out; /* a repeat */
	if (rc == RC_OK && i->csr) {
		base64 = malloc(B64_LEN(i->csr_len));
		if (!base64)
			rc = RC_NOMEM;
		else
			b64_write(i->csr, i->csr_len, base64);
		if (base64)
			json_object_set_new(body, "csr", json_string(base64));
	}
	free(base64);
	if (rc == RC_OK)
		return step(r, "POST", i->name, "/activate", body, out, d);
out:
	json_decref(body);
	return rc;
}

enum attest_error attest_credential_issue(struct attest_registry *registry,
	const struct attest_issue *issue_, struct attest_credential *out,
	char error[ATTEST_TEXT_MAX])
{
	struct diag d = { 0 };

	return svc__error(issue(registry, issue_, out, &d), &d, error);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum attest_error attest_credential_wait(struct attest_registry *registry, const char *name,
	unsigned timeout_s, struct attest_credential *out, char error[ATTEST_TEXT_MAX])
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	int64_t end = now_ms() + (int64_t)timeout_s * 1000;
	struct diag d = { 0 };

	for (;;) {
		enum rc rc = step(registry, "GET", name, "", NULL, out, &d);

		if (rc != RC_OK || (strcmp(out->state, "activated") == 0 && out->on_card))
			return svc__error(rc, &d, error);
		if (now_ms() >= end)
			return svc__error(diag_set(&d, RC_TIMEOUT,
						  "%s: the card has not confirmed within %u s; it "
						  "goes on by itself",
						  name, timeout_s),
				&d, error);
		nanosleep(&pause, NULL);
	}
}

enum attest_error attest_credential_renew(struct attest_registry *registry, const char *name,
	struct attest_credential *out, char error[ATTEST_TEXT_MAX])
{
	struct diag d = { 0 };
	json_t *body = NULL;
	enum rc rc = step(registry, "GET", name, "", NULL, out, &d);

	if (rc == RC_OK && !out->cert_len)
		rc = diag_set(&d, RC_STATE, "%s has no certificate that could be renewed", name);
	/* The registry renews only what the caller knows: a repeat is not a second renewal. */
	if (rc == RC_OK) {
		body = json_pack("{s:I}", "not_after", (json_int_t)out->not_after);
		rc = body ? step(registry, "POST", name, "/renew", body, out, &d) : RC_NOMEM;
	}
	return svc__error(rc, &d, error);
}

static enum rc delete (struct attest_registry *r, const char *name, struct diag *d) {
	return profile_call(r, "DELETE", name, "", NULL, NULL, NULL, d);
}

enum attest_error attest_credential_rotate(struct attest_registry *registry,
	const struct attest_issue *issue_, struct attest_credential *out,
	char error[ATTEST_TEXT_MAX])
{
	struct attest_issue anew = *issue_;
	struct diag d = { 0 };
	char service[ATTEST_SERVICE_MAX];
	enum rc rc = step(registry, "GET", anew.name, "", NULL, out, &d);

	if (rc == RC_OK && anew.csr)
		rc = diag_set(&d, RC_RANGE, "csr: the card makes the new key itself");
	if (rc == RC_OK) {
		memcpy(service, out->service, sizeof(service));
		anew.service = anew.service ? anew.service : service;
		rc = delete (registry, anew.name, &d);
	}
	if (rc == RC_OK)
		rc = issue(registry, &anew, out, &d);
	return svc__error(rc, &d, error);
}

enum attest_error attest_credential_revoke(struct attest_registry *registry, const char *name,
	int for_good, char error[ATTEST_TEXT_MAX])
{
	struct diag d = { 0 };
	enum rc rc = for_good ? delete (registry, name, &d)
			      : profile_call(registry, "POST", name, "/deactivate", json_object(),
					NULL, NULL, &d);

	return svc__error(rc, &d, error);
}
