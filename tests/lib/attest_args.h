/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* KEY=VALUE words of a test's command line as a struct attest. */

#include "attest.h"

struct attest *attest_args(int argc, char **argv);
