/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
const struct cmd zone_cmds[] = { { 0 } };
