/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a registry's signed zone says what a database says. */

#include "store/store.h"

struct zone_compared {
	bool have;	 /* there is a zone */
	uint64_t names;	 /* devices that both have */
	uint64_t behind; /* changes that the zone has not applied yet: then nothing was compared */
};

/* Every device that is published in the database has its certificates in the zone of `folder`, and
 * the zone has no other. RC_CONFLICT: *d names the first that differs. */
enum rc migrate_zone_compare(const char *folder, struct store *s, int64_t now,
	struct zone_compared *out, struct diag *d) ATT_MUST_CHECK;
