/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From the configuration to the supervisor's plan: which roles there are, as
 * whom they run, which sockets they listen on, who talks to whom. */

#include "proc/supervisor.h"
#include "role/config.h"

#define PLAN_LINKS_MAX (SUPERVISOR_ROLES_MAX * 2)
#define PLAN_FDS_MAX   (SUPERVISOR_ROLES_MAX * 4)

struct plan {
	struct supervisor_plan supervisor; /* points into this struct */
	struct supervisor_child children[SUPERVISOR_ROLES_MAX];
	struct supervisor_link links[PLAN_LINKS_MAX];
	int fds[PLAN_FDS_MAX]; /* bound sockets, owned */
	size_t fd_count;
};

/* Binds every listening socket, writes DIR/run/<role>.addr (one `addr port` per listener: dns.addr
 * holds dns then dot, front-api.addr https, front-epp.addr epp) and, for root with user_base, gives
 * the folders to the roles' users. *out must stay where it is until plan_close. RC_CONFLICT: an
 * address is in use. */
enum rc plan_open(struct plan *out, const struct config *config, const struct log *log,
	const struct clock *clock, struct diag *d) ATT_MUST_CHECK;
void plan_close(struct plan *plan);
