/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rc.h"

const char *rc_text(enum rc rc)
{
#define RC_TEXT(id, text) text,
	static const char *const texts[] = { RC_LIST(RC_TEXT) };
#undef RC_TEXT

	return (unsigned)rc < RC_COUNT ? texts[rc] : "unknown result code";
}
