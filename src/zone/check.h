/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether a store that was left by a crash can be believed. LMDB has no checksums:
 * a page that a disk wrote by halves shows only when it is read, and may then lead
 * anywhere. So it is read by a child process first. */

#include "base/diag.h"

#include <stddef.h>

/* Looks at what was written last (the journal says which names those were), and at the rest for as
 * long as it takes a blink. RC_OK: nothing is wrong, or there is nothing. RC_MALFORMED: the store
 * is damaged, *d says what was found; RC_IO: nothing can be said. Before threads and confinement.
 */
enum rc zone_check(const char *dir, size_t map, struct diag *d) ATT_MUST_CHECK;

/* Puts a damaged store aside, as data.mdb.damaged, for people to look at. */
enum rc zone_check_set_aside(const char *dir, struct diag *d) ATT_MUST_CHECK;
