/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside role `out`: one object per thing that it does for another role. */

#include "role/role.h"

/* Asks the parent's servers of the settings for our DS whenever zone wants to know. Takes zone's
 * link. */
struct out_parent;
enum rc out_parent_new(struct role *role, struct out_parent **out, struct diag *d) ATT_MUST_CHECK;
void out_parent_free(struct out_parent *p);
