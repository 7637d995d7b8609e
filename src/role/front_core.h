/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A front's way to core: the link, the requests that wait for an answer, and the key to which a
 * service's Wi-Fi is sealed. Shared by every class of front; knows neither HTTP nor EPP. */

#include "registry.pb-c.h"
#include "role/role.h"

struct front_core;

struct front_core_events {
	/* The answer to a request; `reply` NULL: there will be none, and `why` says so in words. */
	void (*on_reply)(void *user, void *client, const void *extra, const Registry__Reply *reply,
		const char *why);
	void *user;
};

/* Before confinement; the role's links come by its loop. */
enum rc front_core_new(struct front_core **out, struct role *role,
	const struct front_core_events *events) ATT_MUST_CHECK;
/* After confinement. */
enum rc front_core_start(struct front_core *fc) ATT_MUST_CHECK;
void front_core_free(struct front_core *fc);

/* Sends `request` (its id is set here). `client` and `extra` come back with the answer, which is
 * waited for `wait_ms` beyond core's own time. False: it was not sent, *why says why. */
bool front_core_ask(struct front_core *fc, Registry__Request *request, void *client,
	const void *extra, uint64_t wait_ms, const char **why);
/* The client has gone: its answers are dropped. */
void front_core_forget(struct front_core *fc, const void *client);
/* Whether anything still waits. */
bool front_core_idle(const struct front_core *fc);
/* RC_UNAVAILABLE: the key is not known yet. */
enum rc front_core_seal(
	void *fc, const uint8_t *plain, size_t len, uint8_t *out, size_t cap, size_t *out_len);
