/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Batches over the JSON API: each row is one request of its own, with an Idempotency-Key of its
 * own, so a batch that was cut off is sent again and no row happens twice. Some rows are with core
 * at a time, so that a batch fills core's transactions. Reads forms; every rule is core's. */

#include "http/api.h"
#include "http/server.h"
#include "role/front_core.h"

struct front_bulks;

enum rc front_bulks_new(struct front_bulks **out, struct front_core *core) ATT_MUST_CHECK;
/* NULL-safe. */
void front_bulks_free(struct front_bulks *all);

/* Takes the batch; http_reply answers `conn` when its last row is done, perhaps before this
 * returns. RC_MALFORMED and *fault: it is none. */
enum rc front_bulk_start(struct front_bulks *all, struct http_conn *conn,
	const struct http_request *http, struct api_fault *fault) ATT_MUST_CHECK;
/* An answer of core whose `extra` is this. */
extern const char front_bulk_mark[];
void front_bulk_reply(void *client, const Registry__Reply *reply, const char *why);
/* The client went away: what core has is done, the rest is not begun. */
void front_bulk_gone(struct front_bulks *all, const struct http_conn *conn);
