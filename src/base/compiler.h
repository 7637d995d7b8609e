/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The only place where compiler extensions are named. */

#define ATT_MUST_CHECK	 __attribute__((warn_unused_result))
#define ATT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ATT_NORETURN	 __attribute__((noreturn))
#define ATT_UNUSED	 __attribute__((unused))
#define ATT_NOINLINE	 __attribute__((noinline))
#define ATT_PACKED	 __attribute__((packed))
#define ATT_PUBLIC	 __attribute__((visibility("default")))
#define ATT_LIKELY(x)	 __builtin_expect(!!(x), 1)
#define ATT_UNLIKELY(x)	 __builtin_expect(!!(x), 0)

/* A character array that is not a string: gcc wants to be told, clang does not know the word. */
#if defined(__clang__)
#define ATT_NONSTRING
#else
#define ATT_NONSTRING __attribute__((nonstring))
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
