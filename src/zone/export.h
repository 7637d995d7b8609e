/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The whole zone as text (RFC 1035 section 5) in canonical order: for people,
 * and for other name servers. */

#include "base/diag.h"

#include <stdint.h>
#include <stdio.h>

/* Writes the zone of a folder that a registry may be writing at the same time: one consistent
 * snapshot, streamed; nothing of the zone is held in memory. *records (or NULL): how many.
 * RC_NOT_FOUND: there is no zone yet. RC_IO. */
enum rc zone_export(const char *dir, FILE *to, uint64_t *records, struct diag *d) ATT_MUST_CHECK;
