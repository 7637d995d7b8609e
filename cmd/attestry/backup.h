/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The files of a backup: configuration, certificates, and keys when asked for. */

#include "base/diag.h"

#include <jansson.h>
#include <stdbool.h>

/* Copies the registry's files from `dir` to BACKUP/files; their hashes go to `files` by name. */
enum rc backup_files(const char *dir, const char *backup, bool keys, json_t *files,
	struct diag *d) ATT_MUST_CHECK;
/* The way back into `dir`, which is absent or empty; each file must have its hash. Makes the
 * folders of what is not in a backup. */
enum rc restore_files(
	const char *backup, const char *dir, const json_t *files, struct diag *d) ATT_MUST_CHECK;
/* Replaces the `database` line of a configuration file. */
enum rc backup_set_database(const char *conf, const char *url, struct diag *d) ATT_MUST_CHECK;
