/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
const struct cmd audit_cmds[] = { { 0 } };
