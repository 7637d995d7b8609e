/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text forms of bytes and numbers, strict both ways. */

#include "base/hex.h"
#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Padded base64 (RFC 4648 section 4) with a NUL; `out` holds B64_LEN(len). */
#define B64_LEN(n) (((n) + 2) / 3 * 4 + 1)
void b64_write(const void *bytes, size_t len, char *out);
/* Padded, no white space, canonical (unused bits zero). RC_MALFORMED, RC_TOO_LARGE. */
enum rc b64_read(
	const char *text, size_t text_len, uint8_t *out, size_t cap, size_t *len) ATT_MUST_CHECK;

/* Decimal without sign, spaces or superfluous zeros, within [min, max]. */
enum rc u64_read(const char *text, uint64_t min, uint64_t max, uint64_t *out) ATT_MUST_CHECK;

/* Copies with a NUL; RC_TOO_LARGE (and out = "") when it does not fit. */
enum rc str_copy(char *out, size_t cap, const char *text) ATT_MUST_CHECK;
/* printf into out; RC_TOO_LARGE when it does not fit. */
enum rc str_format(char *out, size_t cap, const char *fmt, ...) ATT_PRINTF(3, 4) ATT_MUST_CHECK;

/* ASCII lower case in place. */
void str_lower(char *text);
bool str_equal_nocase(const char *a, const char *b);
