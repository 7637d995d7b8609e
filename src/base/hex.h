/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes as hex digits, strict both ways. Freestanding: no allocation, no libc files. */

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

/* Lower-case hex with a NUL; `out` holds 2 * len + 1. */
void hex_write(const void *bytes, size_t len, char *out);
/* Exactly `len` bytes from 2 * len digits of either case; RC_MALFORMED otherwise. */
enum rc hex_read(const char *text, uint8_t *out, size_t len) ATT_MUST_CHECK;
/* Any even number of digits up to 2 * cap; the number of bytes goes to *len. */
enum rc hex_read_upto(const char *text, uint8_t *out, size_t cap, size_t *len) ATT_MUST_CHECK;
