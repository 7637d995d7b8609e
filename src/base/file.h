/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whole files: bounded reads, atomic durable writes. Secrets go through secret.h. */

#include "base/diag.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads a file of at most `max` bytes into new memory with a NUL after it (free with free()).
 * RC_NOT_FOUND, RC_TOO_LARGE, RC_IO; *d names the file. */
enum rc file_read(
	const char *path, size_t max, uint8_t **out, size_t *len, struct diag *d) ATT_MUST_CHECK;

/* Writes through a temporary file beside it, fsync, rename, fsync of the folder: old or new,
 * never a mixture. */
enum rc file_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode,
	struct diag *d) ATT_MUST_CHECK;
