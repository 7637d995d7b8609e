/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside role `out`: one object per thing that it does for another role. */

#include "role/role.h"
#include "zone/tsig.h"

#include "out.pb-c.h"

/* Asks the parent's servers of the settings for our DS whenever zone wants to know. Takes zone's
 * link. */
struct out_parent;
enum rc out_parent_new(struct role *role, struct out_parent **out, struct diag *d) ATT_MUST_CHECK;
void out_parent_free(struct out_parent *p);

/* A secondary: fetches the zone from its primary. Takes zone's link. */
struct out_follow;
struct out_follow_opts {
	const struct tsig_key *key;		     /* NULL: none */
	void (*serial)(void *user, uint32_t serial); /* what zone has now */
	void *user;
};
enum rc out_follow_new(struct role *role, const struct out_follow_opts *opts /* borrowed */,
	struct out_follow **out, struct diag *d) ATT_MUST_CHECK;
void out_follow_free(struct out_follow *f);

/* Looks TLSA records of services up in their own zones, as core asks. `done` is called from the
 * event loop. Does nothing without [tlsa] anchor_file. */
struct out_tlsa;
typedef void out_tlsa_fn(void *user, const Out__FoundTlsa *found);
enum rc out_tlsa_new(struct role *role, out_tlsa_fn *done, void *user, struct out_tlsa **out,
	struct diag *d) ATT_MUST_CHECK;
enum rc out_tlsa_start(struct out_tlsa *o) ATT_MUST_CHECK; /* its thread: after confinement */
void out_tlsa_ask(struct out_tlsa *o, const Out__AskTlsa *ask);
void out_tlsa_free(struct out_tlsa *o);
