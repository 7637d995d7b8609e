/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between cmd/attestryd and the roles: how a role process starts. */

#include "role/role.h"
#include "proc/confine.h"

struct role__start {
	const struct config *config;
	const struct log *log;
	const struct clock *clock;
	const char *name;      /* --role */
	const char *listeners; /* --listeners, or NULL */
	int control_fd;	       /* -1: none, for the self-test */
};

/* Runs the role to its end. */
enum rc role_main(const struct role__start *start, struct diag *d) ATT_MUST_CHECK;

enum rc role__open(
	struct role *role, const struct role__start *start, struct diag *d) ATT_MUST_CHECK;
void role__close(struct role *role);

/* What the role's kind may touch (design section 3). Paths are borrowed from `store` and the
 * configuration. */
struct role__paths {
	char db_folder[4096];
};
enum rc role__confinement(const struct role *role, struct confine *out, struct role__paths *store,
	struct diag *d) ATT_MUST_CHECK;

/* `--selftest-confinement`: confines this process as the role and tries what it must not do; one
 * line per attempt on standard output. RC_OK: all as the table says. */
enum rc role_selftest(const struct role__start *start, struct diag *d) ATT_MUST_CHECK;
