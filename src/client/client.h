/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The registry's JSON API from the other side: HTTPS with mutual TLS over one
 * kept connection. A call is repeated when its answer was lost, and always
 * under one Idempotency-Key, so that it happens once. Never follows a
 * redirect, never uses a proxy of the environment, never logs a body. */

#include "base/diag.h"

#include <signal.h>
#include <stdint.h>

#include <jansson.h>

#define CLIENT_ANSWER_MAX (32u << 20) /* bytes; a list of everything a page may hold */
#define CLIENT_TRIES	  4	      /* the first and three repeats: 0.2, 0.4, 0.8 s apart */

struct client;

/* Where to and as whom: `url` is "https://host:port"; the others are PEM files (`ca`: whom to
 * trust as the server; `cert`, `key`: who we are). Connects at the first call. One client belongs
 * to one thread. RC_DENIED when the key can be read by others. */
enum rc client_new(struct client **out, const char *url, const char *ca, const char *cert,
	const char *key, struct diag *d) ATT_MUST_CHECK;
void client_free(struct client *c);

/* The whole time a try may take (default 75 s: longer than the longest poll). */
void client_set_timeout_ms(struct client *c, uint32_t timeout_ms);
/* How often a call is tried at most (default CLIENT_TRIES). */
void client_set_tries(struct client *c, unsigned tries);
/* A flag that ends calls within about a second with RC_CLOSED once it is not 0; borrowed. */
void client_set_stop(struct client *c, const volatile sig_atomic_t *stop);

/* One request: `path` with its query ("/v1/jobs?wait=30"), `body` borrowed or NULL. RC_OK means
 * that the registry answered: *status is the HTTP status, *out its JSON (json_decref; NULL when the
 * answer has no body). What is not 2xx holds {"code","reason","field"}; client_refusal puts it in
 * words. RC_UNAVAILABLE: nobody answered, or 503 to the last try (then *status is 503 and *out
 * set). RC_TIMEOUT, RC_AUTH (TLS: either side does not trust the other), RC_MALFORMED (not our
 * JSON), RC_TOO_LARGE, RC_CLOSED (stopped). */
enum rc client_call(struct client *c, const char *method, const char *path, const json_t *body,
	json_t **out, int *status, struct diag *d) ATT_MUST_CHECK;

/* Why the calls from now on change what they change, and under which case ("" none); for the audit
 * and for those whom it concerns. RC_TOO_LARGE: over 64 or 128 bytes. */
enum rc client_set_cause(struct client *c, const char *case_id, const char *why) ATT_MUST_CHECK;

/* As client_call under the caller's own Idempotency-Key (1-64 visible ASCII): for a call that
 * must stay the same across a restart of the caller. */
enum rc client_call_once(struct client *c, const char *method, const char *path,
	const char *idempotency_key, const json_t *body, json_t **out, int *status,
	struct diag *d) ATT_MUST_CHECK;

/* As client_call_once with a body of another type than JSON: `text` of `len` bytes. */
enum rc client_call_text(struct client *c, const char *method, const char *path,
	const char *idempotency_key, const char *type, const char *text, size_t len, json_t **out,
	int *status, struct diag *d) ATT_MUST_CHECK;

/* "2303 object does not exist (iccid)" into *d; for answers that are not 2xx. */
void client_refusal(const json_t *answer, int status, struct diag *d);
