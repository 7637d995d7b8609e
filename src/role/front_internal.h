/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The bodies of the front's classes. */

#include "role/role.h"

enum rc role__front_epp_run(struct role *role) ATT_MUST_CHECK;
