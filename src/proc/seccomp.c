/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* An allow-list. What is on no list answers EPERM, so that a library's optional call fails softly
 * and a test can see the refusal; what only an intruder would call kills the process. */

static const int common_calls[] = {
	/* memory; mmap and mprotect have their own rules */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(msync),
	SCMP_SYS(mlock),
	SCMP_SYS(munlock),
	SCMP_SYS(membarrier),
	/* open descriptors */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pwritev),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* connected sockets: the links and what was accepted */
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	/* waiting */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(futex),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(sched_yield),
	SCMP_SYS(restart_syscall),
	/* time, chance, oneself */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrusage),
	SCMP_SYS(getcpu),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(times),
	/* signals, threads' book-keeping, the end */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Looking at files: Landlock and the uid say at which. */
static const int read_calls[] = {
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(statfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(fadvise64),
	SCMP_SYS(flock),
};

static const int write_calls[] = {
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(creat),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchown),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),
	SCMP_SYS(umask),
	SCMP_SYS(utimensat),
	SCMP_SYS(copy_file_range),
};

static const int accept_calls[] = { SCMP_SYS(accept), SCMP_SYS(accept4) };
/* Making an open file shorter, or full of holes: which files these are was settled before. */
static const int spool_calls[] = { SCMP_SYS(ftruncate), SCMP_SYS(fallocate) };
static const int datagram_calls[] = { SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg) };

/* No library tries these in passing. */
static const int hostile_calls[] = {
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(kexec_load),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(pidfd_getfd),
};

/* In a build with sanitizers. The leak check runs in a clone that traces its parent and reads
 * /proc. */
static const int sanitizer_calls[] = {
	SCMP_SYS(ptrace),
	SCMP_SYS(clone),
	SCMP_SYS(wait4),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(readlink),
	SCMP_SYS(getdents),
	SCMP_SYS(getdents64),
	SCMP_SYS(newfstatat),
	SCMP_SYS(stat),
	SCMP_SYS(prctl),
	SCMP_SYS(kill),
	SCMP_SYS(tgkill),
	SCMP_SYS(prlimit64),
	SCMP_SYS(arch_prctl),
};

static int add_all(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && err == 0; i++)
		err = seccomp_rule_add(ctx, action, calls[i], 0);
	return err;
}

#define ALLOW_ALL(ctx, list) add_all(ctx, SCMP_ACT_ALLOW, list, ARRAY_LEN(list))

/* Allows a call while argument `arg`, under `mask`, is `value`. */
static int allow_if(
	scmp_filter_ctx ctx, int call, unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	const struct scmp_arg_cmp cmp = {
		.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &cmp);
}

/* int and pid_t arguments: what a caller leaves in the upper half of the register is not looked
 * at by the kernel either. */
#define WHOLE_INT 0xffffffffu

/* No new executable memory, signals to oneself only, limits read but not set, and the few ioctls
 * of sockets and terminals. */
static int add_bounded(scmp_filter_ctx ctx)
{
	static const unsigned requests[] = { FIONBIO, FIONREAD, TCGETS };
	scmp_datum_t self = (scmp_datum_t)getpid();
	int err = 0;

	err |= allow_if(ctx, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
	err |= allow_if(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
	err |= allow_if(ctx, SCMP_SYS(kill), 0, WHOLE_INT, self);
	err |= allow_if(ctx, SCMP_SYS(tgkill), 0, WHOLE_INT, self);
	err |= allow_if(ctx, SCMP_SYS(prlimit64), 2, ~UINT64_C(0), 0);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		err |= allow_if(ctx, SCMP_SYS(ioctl), 1, WHOLE_INT, requests[i]);
	return err;
}

static int add_files(scmp_filter_ctx ctx, unsigned may)
{
	const scmp_datum_t writes = O_ACCMODE | O_CREAT | O_TRUNC;
	int err = 0;

	if (may & (CONFINE_READ_FILES | CONFINE_WRITE_FILES))
		err |= ALLOW_ALL(ctx, read_calls);
	if (may & CONFINE_WRITE_FILES)
		return err | ALLOW_ALL(ctx, write_calls);
	if ((may & CONFINE_READ_FILES) && !CONFINE_SANITIZED) {
		err |= allow_if(ctx, SCMP_SYS(open), 1, writes, O_RDONLY);
		err |= allow_if(ctx, SCMP_SYS(openat), 2, writes, O_RDONLY);
	}
#ifdef ATT_KILLPOINTS
	/* A kill point empties its file. */
	err |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ftruncate), 0);
#endif
	return err;
}

/* Threads share the address space; a clone that does not is a process. glibc falls back from
 * clone3, whose flags a filter cannot see, on ENOSYS. */
static int add_threads(scmp_filter_ctx ctx)
{
	const scmp_datum_t thread = CLONE_THREAD | CLONE_VM;
	int err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (!CONFINE_SANITIZED)
		err |= allow_if(ctx, SCMP_SYS(clone), 0, thread, thread);
	err |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(set_tid_address), 0);
	err |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), 0);
	return err;
}

static int add_connect(scmp_filter_ctx ctx, unsigned may)
{
	int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0);

	if (may & CONFINE_CONNECT_UNIX)
		err |= allow_if(ctx, SCMP_SYS(socket), 0, WHOLE_INT, AF_UNIX);
	if (!(may & CONFINE_CONNECT))
		return err;
	err |= allow_if(ctx, SCMP_SYS(socket), 0, WHOLE_INT, AF_INET);
	err |= allow_if(ctx, SCMP_SYS(socket), 0, WHOLE_INT, AF_INET6);
	return err;
}

static int add_rules(scmp_filter_ctx ctx, unsigned may)
{
	int err = ALLOW_ALL(ctx, common_calls);

	err |= add_all(ctx, SCMP_ACT_KILL_PROCESS, hostile_calls, ARRAY_LEN(hostile_calls));
	if (CONFINE_SANITIZED) {
		err |= ALLOW_ALL(ctx, sanitizer_calls);
	} else {
		err |= add_bounded(ctx);
		err |= seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(ptrace), 0);
	}
	err |= add_files(ctx, may);
	if (may & CONFINE_THREADS)
		err |= add_threads(ctx);
	if (may & CONFINE_ACCEPT)
		err |= ALLOW_ALL(ctx, accept_calls);
	if (may & CONFINE_DATAGRAMS)
		err |= ALLOW_ALL(ctx, datagram_calls);
	if (may & CONFINE_SPOOL)
		err |= ALLOW_ALL(ctx, spool_calls);
	if (may & (CONFINE_CONNECT | CONFINE_CONNECT_UNIX))
		err |= add_connect(ctx, may);
	return err;
}

enum rc confine__seccomp(const struct confine *confine, struct diag *d)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	enum rc rc = RC_OK;

	if (!ctx)
		return diag_set(d, RC_INTERNAL, "seccomp: no filter");
	/* A binary tree: the common calls cost a few comparisons, not a hundred. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) != 0 ||
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 1) != 0 ||
		add_rules(ctx, confine->may) != 0)
		rc = diag_set(d, RC_INTERNAL, "seccomp: rules");
	if (rc == RC_OK && seccomp_load(ctx) != 0)
		rc = diag_set(d, RC_INTERNAL, "seccomp: load");
	seccomp_release(ctx);
	return rc;
}
