/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of confine.c that need the kernel's own tables. */

#include "proc/confine.h"

/* Sanitizers start threads, trace themselves at exit and map what they like. */
#if defined(__SANITIZE_ADDRESS__)
#define CONFINE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define CONFINE_SANITIZED 1
#endif
#endif
#ifndef CONFINE_SANITIZED
#define CONFINE_SANITIZED 0
#endif

/* Paths and TCP ports. Where the kernel has none and it is not required, a warning and RC_OK. */
enum rc confine__landlock(
	const struct confine *confine, const struct log *log, struct diag *d) ATT_MUST_CHECK;

/* System calls; the last step. */
enum rc confine__seccomp(const struct confine *confine, struct diag *d) ATT_MUST_CHECK;
