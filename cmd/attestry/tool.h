/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Other people's programs, run and waited for. */

#include <stddef.h>

/* Takes what it writes to standard output and error, up to cap - 1 octets; its exit code, -1: it
 * did not run. argv[0] is a path. */
int tool_run(char *const argv[], char *out, size_t cap);
