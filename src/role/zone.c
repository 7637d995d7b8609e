/* SPDX-License-Identifier: Apache-2.0 */
/* zone: the signed zone and its schedule. Its links come from keys, core and dns/N. */
#include "role/role.h"

enum rc role_zone_run(struct role *role)
{
	struct diag d = { 0 };
	enum rc rc = role_confine(role, &d);

	if (rc != RC_OK) {
		log_write(role->log, LOG_ERROR, "confinement why=%s", d.text);
		return rc;
	}
	rc = role_ready(role);
	return rc == RC_OK ? role_loop(role) : rc;
}
