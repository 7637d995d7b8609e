/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Listening sockets, bound by the supervisor before any role lives: ports below
 * 1024 need no privilege in a role, an address survives a role's restart, and
 * no role needs a system call that makes a socket. */

#include "base/conf.h"

/* `count` sockets of each kind that share one address by SO_REUSEPORT when there are several; the
 * kernel spreads clients over them. Port 0 is chosen by the kernel and left in *addr. Streams are
 * listening; all are non-blocking and close-on-exec. RC_CONFLICT: in use. On failure none is open.
 * `udp` may be NULL. */
enum rc listen_open(
	struct conf_addr *addr, int *tcp, int *udp, size_t count, struct diag *d) ATT_MUST_CHECK;
