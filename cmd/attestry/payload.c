/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
const struct cmd payload_cmds[] = { { 0 } };
