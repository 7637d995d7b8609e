/* SPDX-License-Identifier: Apache-2.0 */
/* A confined process tries what it must not do. Prints `<attempt> refused` or `<attempt> allowed`.
 */
#include "role/role_internal.h"
#include "base/str.h"
#include "proc/supervisor.h"
#include "role/folders.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct probe {
	const struct confine *confine;
	int listener;  /* bound before confinement */
	uint16_t port; /* of it */
	int unix_listener;
	struct sockaddr_un unix_addr; /* abstract, chosen by the kernel */
	socklen_t unix_len;
};

struct attempt {
	const char *name;
	bool (*try)(const struct probe *p); /* true: it was possible */
	unsigned needs; /* possible exactly when the role may one of these; 0: never */
	bool exact;	/* tried only where confinement is exact */
};

static bool opened(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool try_open_read(const struct probe *p)
{
	(void)p;
	return opened(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static bool try_open_write(const struct probe *p)
{
	(void)p;
	return opened(open("/tmp/attestryd-selftest", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* In the first path of the role's own, a folder or a file. */
static bool try_own_read(const struct probe *p)
{
	return p->confine->path_count > 0 &&
	       opened(open(p->confine->paths[0].path, O_RDONLY | O_CLOEXEC));
}

static bool try_own_write(const struct probe *p)
{
	char path[4096];
	bool done;

	if (p->confine->path_count == 0 ||
		str_format(path, sizeof(path), "%s/.selftest", p->confine->paths[0].path) != RC_OK)
		return false;
	done = opened(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	(void)unlink(path);
	return done;
}

static bool try_connect_unix(const struct probe *p)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool done =
		fd >= 0 && connect(fd, (const struct sockaddr *)&p->unix_addr, p->unix_len) == 0;

	(void)opened(fd);
	return done;
}

static bool try_socket_netlink(const struct probe *p)
{
	(void)p;
	return opened(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static bool try_connect_tcp(const struct probe *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(p->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool done = fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;

	(void)opened(fd);
	return done;
}

static bool try_listen(const struct probe *p)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool done;

	(void)p;
	done = fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0 &&
	       listen(fd, 1) == 0;
	(void)opened(fd);
	return done;
}

/* The listener is non-blocking and empty: EAGAIN says that the call itself was let through. */
static bool try_accept(const struct probe *p)
{
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	return opened(fd) || errno == EAGAIN;
}

static bool try_exec(const struct probe *p)
{
	char *const argv[] = { (char *)(uintptr_t) "true", NULL };

	(void)p;
	execv("/bin/true", argv);
	return false; /* had it been possible, nobody would print this line */
}

static bool try_fork(const struct probe *p)
{
	pid_t pid = fork();

	(void)p;
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return pid > 0;
}

static void *thread_main(void *user)
{
	return user;
}

static bool try_thread(const struct probe *p)
{
	pthread_t t;

	(void)p;
	if (pthread_create(&t, NULL, thread_main, NULL) != 0)
		return false;
	(void)pthread_join(t, NULL);
	return true;
}

static bool try_map_exec(const struct probe *p)
{
	void *at = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)p;
	if (at == MAP_FAILED)
		return false;
	munmap(at, 4096);
	return true;
}

static bool try_kill_parent(const struct probe *p)
{
	(void)p;
	return kill(getppid(), 0) == 0;
}

static const struct attempt attempts[] = {
	{ "open", try_open_read, 0, false },
	{ "create", try_open_write, 0, false },
	{ "own-read", try_own_read, CONFINE_READ_FILES | CONFINE_WRITE_FILES, false },
	{ "own-write", try_own_write, CONFINE_WRITE_FILES, false },
	{ "connect-tcp", try_connect_tcp, CONFINE_CONNECT, false },
	{ "connect-unix", try_connect_unix, 0, false },
	{ "listen", try_listen, 0, false },
	{ "accept", try_accept, CONFINE_ACCEPT, false },
	{ "socket-netlink", try_socket_netlink, 0, false },
	{ "thread", try_thread, CONFINE_THREADS, true },
	{ "fork", try_fork, 0, true },
	{ "map-exec", try_map_exec, 0, true },
	{ "kill-other", try_kill_parent, 0, true },
	{ "exec", try_exec, 0, false },
};

static enum rc open_tcp_listener(struct probe *p)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&at, len) != 0 ||
		listen(p->listener, 1) != 0 ||
		getsockname(p->listener, (struct sockaddr *)&at, &len) != 0)
		return RC_IO;
	p->port = ntohs(at.sin_port);
	return RC_OK;
}

static enum rc open_unix_listener(struct probe *p)
{
	p->unix_addr.sun_family = AF_UNIX;
	p->unix_len = sizeof(p->unix_addr);
	p->unix_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* An address of the family alone: the kernel chooses an abstract name (unix(7)). */
	if (p->unix_listener < 0 ||
		bind(p->unix_listener, (struct sockaddr *)&p->unix_addr, sizeof(sa_family_t)) !=
			0 ||
		listen(p->unix_listener, 1) != 0 ||
		getsockname(p->unix_listener, (struct sockaddr *)&p->unix_addr, &p->unix_len) != 0)
		return RC_IO;
	return RC_OK;
}

/* The kernel's own word: seccomp filter mode and no new privileges. */
static enum rc print_status(FILE *status)
{
	char line[256];

	while (fgets(line, sizeof(line), status)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "Seccomp:", 8) == 0 || strncmp(line, "NoNewPrivs:", 11) == 0 ||
			strncmp(line, "CapEff:", 7) == 0)
			printf("%.*s %s\n", (int)strcspn(line, ":"), line, strchr(line, '\t') + 1);
	}
	return ferror(status) ? RC_IO : RC_OK;
}

static enum rc try_all(const struct probe *p, struct diag *d)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		const struct attempt *a = &attempts[i];
		bool may = (p->confine->may & a->needs) != 0;
		if (a->exact && !confine_is_exact())
			continue;
		bool done = a->try(p);

		if (may)
			printf("%s %s\n", a->name, done ? "works" : "fails");
		else
			printf("%s %s\n", a->name, done ? "allowed" : "refused");
		if (done != may)
			rc = diag_set(d, RC_DENIED, "%s is %s", a->name, done ? "possible" : "not");
	}
	return rc;
}

/* Root tries it as whom the role runs. */
static enum rc become_user(const struct role *role, struct diag *d)
{
	static const enum user user_of[ROLE_KINDS] = { [ROLE_KEYS] = USER_KEYS,
		[ROLE_CORE] = USER_CORE,
		[ROLE_ZONE] = USER_ZONE,
		[ROLE_DNS] = USER_DNS,
		[ROLE_FRONT] = USER_FRONT_API,
		[ROLE_OUT] = USER_OUT };
	enum user user = user_of[role->kind];
	struct role_users users;

	role_users_of(role->config, &users);
	return supervisor_become(
		users.uid[user], users.gid[user], user == USER_DNS ? users.gid[USER_ZONE] : 0, d);
}

enum rc role_selftest(const struct role_start *start, struct diag *d)
{
	struct role__paths store;
	struct confine confine = { 0 };
	struct probe p = { .confine = &confine, .listener = -1, .unix_listener = -1 };
	FILE *status = NULL;
	struct role role;
	enum rc rc = role__open(&role, start, d);

	if (rc != RC_OK)
		return rc;
	rc = role__confinement(&role, &confine, &store, d);
	if (rc == RC_OK)
		rc = become_user(&role, d);
	if (rc == RC_OK)
		rc = open_tcp_listener(&p);
	if (rc == RC_OK)
		rc = open_unix_listener(&p);
	if (rc == RC_OK) {
		/* Opened before: its lines are read after. */
		status = fopen("/proc/self/status", "re");
		rc = status ? role_confine(&role, d) : RC_IO;
	}
	if (rc == RC_OK)
		rc = try_all(&p, d);
	if (rc == RC_OK)
		rc = print_status(status);
	if (status)
		fclose(status);
	(void)opened(p.listener);
	(void)opened(p.unix_listener);
	role__close(&role);
	(void)fflush(stdout);
	if (rc != RC_OK)
		fprintf(stderr, "attestryd: %s: %s\n", start->name,
			d->text[0] ? d->text : rc_text(rc));
	return rc;
}
