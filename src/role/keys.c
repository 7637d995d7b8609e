/* SPDX-License-Identifier: Apache-2.0 */
/* keys: signs what it has itself put together. Its links come from core and zone. */
#include "role/role.h"

enum rc role_keys_run(struct role *role)
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
