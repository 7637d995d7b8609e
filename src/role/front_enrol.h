/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The front's enrolment doors, EST and CMP, on the listener of class api: from a client's message
 * to core's typed request and back. Tells devices, who may renew their own certificate and nothing
 * else, from parties. What is refused here by form goes into the audit, so many a second. */

#include "http/server.h"
#include "role/front_core.h"

struct front_enrol;

/* Before confinement: reads the listener's certificate, its key and the CAs' certificates, and
 * lets devices into `ctx`. */
enum rc front_enrol_new(
	struct front_enrol **out, struct role *role, SSL_CTX *ctx, struct diag *d) ATT_MUST_CHECK;
void front_enrol_free(struct front_enrol *e);
void front_enrol_core(struct front_enrol *e, struct front_core *core);

/* Whether a path is for EST or CMP. */
bool front_enrol_is(const char *path);
/* Whether the client has come with a device's certificate. */
bool front_enrol_device(const struct front_enrol *e, const struct http_request *http);

void front_enrol_request(
	struct front_enrol *e, struct http_conn *conn, const struct http_request *http);
/* Core's answer, when it is one that was asked for here; false: it is not. */
bool front_enrol_reply(struct front_enrol *e, struct http_conn *conn, const Registry__Reply *reply,
	const char *why);
void front_enrol_gone(struct front_enrol *e, const struct http_conn *conn);

/* Something was refused by form: a row in the audit. */
void front_enrol_refused(struct front_enrol *e, const struct http_request *http, const char *object,
	const char *why);
