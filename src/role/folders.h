/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* As whom each role runs, and which of the registry's files it therefore owns. */

#include "role/config.h"

#include <sys/types.h>

/* Offsets from user_base. dns reads the zone's files by membership in zone's group. */
enum user {
	USER_KEYS,
	USER_CORE,
	USER_ZONE,
	USER_DNS,
	USER_FRONT_API,
	USER_FRONT_PUBLIC,
	USER_FRONT_EPP,
	USER_OUT,
	USERS
};

struct role_users {
	uid_t uid[USERS]; /* all 0: processes keep the starter's user */
	gid_t gid[USERS];
};

/* Users switch only for root with user_base set. */
void role_users_of(const struct config *config, struct role_users *out);

/* Gives the folders and keys to their roles' users, and checks that these can reach them. Nothing
 * to do when users do not switch. Links and foreign files are left alone. RC_DENIED: a folder
 * above is closed to the roles. */
enum rc role_folders_give(
	const struct config *config, const struct role_users *users, struct diag *d) ATT_MUST_CHECK;
