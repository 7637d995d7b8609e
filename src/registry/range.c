/* SPDX-License-Identifier: Apache-2.0 */
/* Whose ICCIDs are whose. A row of the settings is "mno", or "mno/8912230": all that begins so. */
#include "registry/internal.h"

#include <string.h>

bool reg__range_covers(const char *row, const char *mno, const char *iccid)
{
	size_t len = strcspn(row, "/");
	const char *range = row[len] == '/' ? row + len + 1 : "";

	return strlen(mno) == len && memcmp(mno, row, len) == 0 &&
	       strncmp(iccid, range, strlen(range)) == 0;
}

bool reg__range_ok(const struct registry_run *run, const char *mno, const char *iccid)
{
	const struct registry_settings *s = &run->reg->settings;
	bool found = !s->range_count;

	for (size_t i = 0; i < s->range_count && !found; i++)
		found = reg__range_covers(s->ranges[i], mno, iccid);
	return found;
}
