/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* cmocka's own order of includes, once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_rc(expected, call) assert_int_equal((expected), (call))
