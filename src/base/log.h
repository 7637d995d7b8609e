/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One line per event on a descriptor (standard error unless told otherwise):
 * `2026-11-23T17:07:22.123Z warning keys: event key=value ...`. Log once, at the
 * place that decides; never a key, password, authInfo, claim code or passphrase. */

#include "base/compiler.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log {
	int fd;		    /* borrowed; -1 discards everything */
	enum log_level min; /* lines below this are dropped */
	const char *role;   /* borrowed: "keys", "dns/2", "attestry-mno" ... */
};

/* `fmt` gives the event and its key=value pairs, without newline. Control characters in the
 * result are replaced by '?', so a peer cannot forge lines; lines are cut at 1,000 bytes and
 * written by one write(2). A NULL log discards. */
void log_write(const struct log *log, enum log_level level, const char *fmt, ...) ATT_PRINTF(3, 4);
