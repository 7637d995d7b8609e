/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one list of result codes. A fallible function returns `enum rc`; what a
 * person needs to mend the fault goes to a `struct diag` beside it. Codes say
 * what a caller can tell apart and act on, not where the fault was. */

#include "base/compiler.h"

/* id, text */
#define RC_LIST(X)                                     \
	X(OK, "ok")                                    \
	X(MALFORMED, "malformed")                      \
	X(TOO_LARGE, "too large")                      \
	X(TRUNCATED, "more bytes needed")              \
	X(RANGE, "value out of range")                 \
	X(UNSUPPORTED, "not supported")                \
	X(NOT_FOUND, "not found")                      \
	X(EXISTS, "already exists")                    \
	X(DENIED, "not allowed")                       \
	X(AUTH, "authentication failed")               \
	X(STATE, "not possible in this state")         \
	X(CONFLICT, "in conflict with another object") \
	X(SIGNATURE, "signature does not verify")      \
	X(EXPIRED, "expired")                          \
	X(REPLAY, "replayed or out of order")          \
	X(BUSY, "busy")                                \
	X(TIMEOUT, "timed out")                        \
	X(UNAVAILABLE, "unavailable")                  \
	X(CLOSED, "closed by the other side")          \
	X(NOMEM, "out of memory")                      \
	X(IO, "input/output error")                    \
	X(CRYPTO, "crypto library failed")             \
	X(INTERNAL, "internal error")

#define RC_ENUM(id, text) RC_##id,
enum rc { RC_LIST(RC_ENUM) RC_COUNT };
#undef RC_ENUM

/* The text of a code; never NULL, also for values out of the list. */
const char *rc_text(enum rc rc);
