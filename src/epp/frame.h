/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* EPP's frames over TCP (RFC 5734 section 4): four octets of length, big-endian, that count
 * themselves, then one XML instance. Never looks at the XML. */

#include "base/rc.h"

#include <stddef.h>
#include <stdint.h>

#define EPP_FRAME_HEADER 4

/* Whether `buf` begins with a whole frame. RC_OK: its XML is the *len bytes after the header.
 * RC_TRUNCATED: more bytes are needed. RC_MALFORMED: a length that leaves no XML. RC_TOO_LARGE:
 * over `max` in all, known before any of it is there. */
enum rc epp_frame_next(const uint8_t *buf, size_t buf_len, size_t max, size_t *len) ATT_MUST_CHECK;

/* The header of a frame that holds `len` bytes of XML. */
void epp_frame_head(size_t len, uint8_t out[EPP_FRAME_HEADER]);
