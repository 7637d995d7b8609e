/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files that make a role process. */

#include "role/role.h"
#include "role/start.h"
#include "proc/confine.h"

/* Everything but the body. *role is closed with role__close. */
enum rc role__open(
	struct role *role, const struct role_start *start, struct diag *d) ATT_MUST_CHECK;
void role__close(struct role *role);

/* What the role's kind may touch (design section 3). Paths are borrowed from `store` and the
 * configuration. */
struct role__paths {
	char db_folder[4096];
};
enum rc role__confinement(const struct role *role, struct confine *out, struct role__paths *store,
	struct diag *d) ATT_MUST_CHECK;
