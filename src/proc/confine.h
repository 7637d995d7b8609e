/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Takes away from a process what its duty does not need, for good: new
 * privileges, capabilities, core dumps, being traced, system calls (seccomp),
 * paths and TCP ports (Landlock). To be called while the process has one
 * thread and before it reads its first untrusted byte. */

#include "base/diag.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What system calls a process keeps beyond the common ones (memory, time, reading and writing
 * open descriptors, waiting). exec, socket, bind, listen are in no common set. */
enum confine_may {
	CONFINE_READ_FILES = 1 << 0,   /* open and stat for reading */
	CONFINE_WRITE_FILES = 1 << 1,  /* create, write, lock, rename, unlink, sync */
	CONFINE_THREADS = 1 << 2,      /* make threads, never processes */
	CONFINE_ACCEPT = 1 << 3,       /* accept on inherited listening sockets */
	CONFINE_DATAGRAMS = 1 << 4,    /* recvmmsg, sendmmsg on inherited sockets */
	CONFINE_CONNECT = 1 << 5,      /* new IPv4 and IPv6 sockets and connect; never listen */
	CONFINE_CONNECT_UNIX = 1 << 6, /* the same for Unix sockets */
	CONFINE_SPOOL = 1 << 7	       /* ftruncate, fallocate of files that are open */
};

struct confine_path {
	const char *path; /* borrowed; a file or a folder with all below it */
	bool write;	  /* else read only */
};

#define CONFINE_PATHS_MAX 12

struct confine {
	unsigned may; /* enum confine_may */
	struct confine_path paths[CONFINE_PATHS_MAX];
	size_t path_count;
	bool landlock_required; /* refuse to go on where the kernel has no Landlock */
};

/* All of it, in the order in which nothing cuts off the next step. RC_UNSUPPORTED: Landlock is
 * required and missing; RC_STATE: the process already has threads; RC_NOT_FOUND: a path. A failure
 * leaves the process partly confined: it must end. */
enum rc confine_apply(
	const struct confine *confine, const struct log *log, struct diag *d) ATT_MUST_CHECK;

/* The Landlock ABI of the running kernel; 0: none. */
int confine_landlock_abi(void);

/* False in a build with sanitizers, which need system calls (clone, executable memory, signals)
 * that the filter then leaves open; Landlock's part is the same in every build. */
bool confine_is_exact(void);
