/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bytes that must not reach a log, an error, argv, a core dump or a swap
 * device: locked in memory, excluded from dumps, wiped when freed, compared in
 * constant time. There is no printed form. */

#include "base/rc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct secret {
	uint8_t *bytes; /* NULL when empty */
	size_t len;
	size_t mapped; /* private */
};

/* Memory for `len` bytes, zeroed. RC_NOMEM. Free with secret_free. */
enum rc secret_new(struct secret *out, size_t len) ATT_MUST_CHECK;
enum rc secret_from(struct secret *out, const void *bytes, size_t len) ATT_MUST_CHECK;
/* Reads a whole file of at most `max` bytes that group and others cannot access (RC_DENIED
 * otherwise). */
enum rc secret_read_file(struct secret *out, const char *path, size_t max) ATT_MUST_CHECK;
void secret_free(struct secret *s);

bool secret_equal(const struct secret *a, const void *bytes, size_t len);

/* Constant-time comparison of two buffers of the same length. */
bool mem_equal_ct(const void *a, const void *b, size_t len);
/* A wipe that the compiler keeps. */
void mem_wipe(void *p, size_t len);

/* No core dumps, no ptrace by others (PR_SET_DUMPABLE 0): for every process that sees a key. */
enum rc secret_harden_process(void) ATT_MUST_CHECK;
