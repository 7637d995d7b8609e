/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include "base/str.h"
#include "device/apply.h"

#include <errno.h>
#include <openssl/sha.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The agent: looks at the card every few seconds, believes what is new or says why not, writes it
 * down for other programs, runs a hook, and carries local connections to whatever service the
 * payload names now. */

#define EVERY_S	  10
#define EVERY_MAX 86400
#define HOOK_S	  60
#define FILE_MAX  PAYLOAD_MAX
#define N_CERT	  2
#define N_PAYLOAD 0xd

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

/* sd_notify(3) in one datagram; nothing where nobody listens. */
static void tell_systemd(const char *what)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n == 0 || n >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, what, strlen(what), MSG_NOSIGNAL, (const struct sockaddr *)&a,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	if (fd >= 0)
		close(fd);
}

void watch_say(const struct watch *w, const char *event, const char *text)
{
	if (w->run->json)
		cmd_print(json_pack("{s:s, s:i, s:s}", "event", event, "slot", (int)w->run->slot,
			"text", text));
	else
		printf("%s: %s\n", event, text);
	(void)fflush(stdout);
}

/* The hook's environment: the old one and what has happened. */
#define HOOK_VARS 9

static char **hook_env(const struct watch *w, const char *event, char vars[HOOK_VARS][600])
{
	const struct payload *p = &w->self->payload;
	const bool live = w->live;
	size_t n = 0, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + HOOK_VARS + 1, sizeof(*env));
	if (!env)
		return NULL;
	(void)!str_format(vars[k++], 600, "IOTSAFE_EVENT=%s", event);
	(void)!str_format(vars[k++], 600, "IOTSAFE_SLOT=%u", w->run->slot);
	(void)!str_format(vars[k++], 600, "IOTSAFE_CARD=%s", iotsafe_name(w->card));
	(void)!str_format(vars[k++], 600, "IOTSAFE_DIR=%s", w->run->apply ? w->run->apply : "");
	(void)!str_format(vars[k++], 600, "IOTSAFE_OWNER=%s", live ? w->self->owner : "");
	(void)!str_format(
		vars[k++], 600, "IOTSAFE_SEQUENCE=%llu", (unsigned long long)w->state.sequence);
	(void)!str_format(vars[k++], 600, "IOTSAFE_SERVICE=%.*s", live ? (int)p->service.len : 0,
		(const char *)p->service.at);
	(void)!str_format(vars[k++], 600, "IOTSAFE_FQDN=%.*s", live ? (int)p->fqdn.len : 0,
		(const char *)p->fqdn.at);
	(void)!str_format(vars[k++], 600, "IOTSAFE_PORT=%u", live ? p->port : 0U);
	for (size_t i = 0; i < k; i++)
		env[i] = vars[i];
	for (size_t i = 0; i < n; i++) {
		bool ours = false;
		for (size_t j = 0; j < HOOK_VARS; j++)
			ours = ours || strncmp(environ[i], vars[j], strcspn(vars[j], "=") + 1) == 0;
		if (!ours)
			env[k++] = environ[i];
	}
	return env;
}

static void wait_for(const struct watch *w, pid_t pid)
{
	const struct timespec step = { .tv_nsec = 20000000 };
	int status = 0;

	for (int i = 0; i < HOOK_S * 50; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
				watch_say(w, "hook", "it has failed");
			return;
		}
		(void)nanosleep(&step, NULL);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	watch_say(w, "hook", "it did not end within a minute and was killed");
}

static void run_hook(const struct watch *w, const char *event)
{
	char vars[HOOK_VARS][600];
	char *argv[] = { (char *)(uintptr_t)w->run->hook, NULL };
	posix_spawnattr_t attr;
	sigset_t none;
	char **env;
	pid_t pid;

	if (!w->run->hook || !(env = hook_env(w, event, vars)))
		return;
	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	if (posix_spawn(&pid, w->run->hook, NULL, &attr, argv, env) == 0)
		wait_for(w, pid);
	else
		watch_say(w, "hook", "it cannot be run");
	(void)posix_spawnattr_destroy(&attr);
	free(env);
}

/* SHA-256 of payload and certificate as they lie on the card; an absent file counts as empty. */
static enum rc fingerprint(struct watch *w, uint8_t out[SHA256_DIGEST_LENGTH], struct diag *d)
{
	static const unsigned numbers[] = { N_PAYLOAD, N_CERT };
	uint8_t hashes[2][SHA256_DIGEST_LENGTH], *buf = malloc(FILE_MAX);
	enum rc rc = buf ? RC_OK : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(numbers); i++) {
		size_t len = 0;
		enum iotsafe_error e = iotsafe_read_file(
			w->card, iotsafe_container(w->run->slot, numbers[i]), buf, FILE_MAX, &len);
		if (e == IOTSAFE_ENOTFOUND || e == IOTSAFE_EDENIED)
			len = 0;
		else
			rc = self_card_error(w->card, e, d);
		SHA256(buf, len, hashes[i]);
	}
	free(buf);
	if (rc == RC_OK)
		SHA256(hashes[0], sizeof(hashes), out);
	return rc;
}

static enum rc accept_new(struct watch *w, struct diag *d)
{
	bool payload = !payload_state_equal(&w->state, &w->next->state);
	bool first = !w->live;
	bool cert = memcmp(w->self->cert_sha256, w->next->cert_sha256, 32) != 0;
	char text[512];
	enum rc rc = RC_OK;

	if (payload && w->run->state)
		rc = self_state_store(w->card, w->run->state, w->run->slot, &w->next->state, d);
	if (rc == RC_OK && w->run->apply)
		rc = apply_write(w->card, w->next, w->run->apply, d);
	if (rc != RC_OK)
		return rc;
	struct self *old = w->self;
	w->self = w->next;
	w->next = old;
	w->state = w->self->state;
	w->live = true;
	watch_cut(w);
	(void)!str_format(text, sizeof(text), "%s: sequence %llu, %.*s:%u", w->self->owner,
		(unsigned long long)w->self->payload.sequence, (int)w->self->payload.fqdn.len,
		(const char *)w->self->payload.fqdn.at, w->self->payload.port);
	if (cert) {
		watch_say(w, "certificate", text);
		if (!first)
			run_hook(w, "certificate");
	}
	watch_say(w, "payload", text);
	run_hook(w, "payload");
	return RC_OK;
}

static enum rc end_service(struct watch *w, const char *event, const char *text, struct diag *d)
{
	enum rc rc = RC_OK;

	if (w->next->state.any && !payload_state_equal(&w->state, &w->next->state)) {
		w->state = w->next->state;
		if (w->run->state)
			rc = self_state_store(w->card, w->run->state, w->run->slot, &w->state, d);
	}
	if (rc == RC_OK && w->run->apply)
		rc = apply_remove(w->run->apply, d);
	w->live = false;
	watch_cut(w);
	watch_say(w, event, text);
	run_hook(w, event);
	return rc;
}

/* What is on the card now, when it is not what was there before. RC_UNAVAILABLE: no card. */
static enum rc look(struct watch *w, struct diag *d)
{
	uint8_t seen[SHA256_DIGEST_LENGTH];
	enum rc rc = fingerprint(w, seen, d);

	if (rc != RC_OK || (w->looked && memcmp(seen, w->seen, sizeof(seen)) == 0))
		return rc;
	rc = self_read(w->card, w->run->slot, &w->state, (uint64_t)time(NULL), w->next, d);
	switch ((int)rc) {
	case RC_OK: rc = accept_new(w, d); break;
	case RC_STATE: rc = end_service(w, "withdrawn", d->text, d); break;
	case RC_NOT_FOUND:
		if (w->live)
			rc = end_service(w, "removed", d->text, d);
		else
			watch_say(w, "waiting", d->text);
		break;
	case RC_UNAVAILABLE: return rc;
	case RC_CONFLICT: /* payload and certificate come one after the other */
		watch_say(w, "waiting", d->text);
		break;
	default:
		watch_say(w, "refused", d->text);
		run_hook(w, "refused");
		break;
	}
	if (rc == RC_IO || rc == RC_NOMEM) { /* of our own disk: again with the next look */
		watch_say(w, "failed", d->text);
		return RC_OK;
	}
	memcpy(w->seen, seen, sizeof(seen));
	w->looked = true;
	return RC_OK;
}

static enum rc open_card(struct watch *w, struct diag *d)
{
	struct iotsafe_options o = { .card = w->run->card };
	enum rc rc;

	if (iotsafe_open(&o, &w->card, d->text, sizeof(d->text)) != IOTSAFE_OK)
		return RC_UNAVAILABLE;
	if (!w->run->state || w->state.any)
		return RC_OK;
	rc = self_state_load(w->card, w->run->state, w->run->slot, &w->state, d);
	if (rc != RC_OK) {
		iotsafe_close(w->card);
		w->card = NULL;
	}
	return rc;
}

static void tick(struct watch *w)
{
	struct diag d = { 0 };
	enum rc rc = w->card ? RC_OK : open_card(w, &d);

	if (rc == RC_OK)
		rc = look(w, &d);
	if (rc == RC_OK) {
		if (w->away)
			watch_say(w, "card", "it is there again");
		w->away = false;
		return;
	}
	if (!w->away)
		watch_say(w, "card", d.text[0] ? d.text : rc_text(rc));
	w->away = true;
	w->failed = w->failed || rc != RC_UNAVAILABLE;
	watch_cut(w); /* what it carries holds the card */
	iotsafe_close(w->card);
	w->card = NULL;
}

static int serve(struct watch *w, unsigned every_s)
{
	struct timespec began, now, left;
	sigset_t block, old;

	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGTERM);
	(void)sigaddset(&block, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &block, &old);
	(void)sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	(void)sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	tick(w);
	tell_systemd("READY=1");
	while (!stopped && !w->run->once && !w->failed) {
		struct pollfd p = { .fd = w->listener, .events = POLLIN };
		clock_gettime(CLOCK_MONOTONIC, &began);
		left = (struct timespec){ .tv_sec = every_s };
		while (ppoll(&p, 1, &left, &old) > 0) {
			watch_accept(w);
			clock_gettime(CLOCK_MONOTONIC, &now);
			if (now.tv_sec - began.tv_sec >= (time_t)every_s)
				break;
			left.tv_sec = (time_t)every_s - (now.tv_sec - began.tv_sec);
		}
		if (!stopped)
			tick(w);
	}
	tell_systemd("STOPPING=1");
	watch_cut(w);
	if (w->run->once)
		return w->live ? EXIT_YES : w->away ? EXIT_CANNOT_TELL : EXIT_NO;
	return w->failed ? EXIT_NO : EXIT_YES;
}

int cmd_watch(const struct run *run)
{
	struct watch w = { .run = run, .listener = -1 };
	struct diag d = { 0 };
	uint64_t every = EVERY_S;
	int code = EXIT_CANNOT_TELL;

	if (run->argc != 0 || (run->every && u64_read(run->every, 1, EVERY_MAX, &every) != RC_OK))
		return EXIT_USAGE;
	if (run->hook && run->hook[0] != '/')
		return cmd_fail(run, EXIT_USAGE, "--hook: not an absolute path");
	(void)signal(SIGPIPE, SIG_IGN);
	w.self = calloc(1, sizeof(*w.self));
	w.next = calloc(1, sizeof(*w.next));
	if (!w.self || !w.next)
		goto out;
	if (run->listen && watch_listen(&w, run->listen, &d) != RC_OK)
		code = cmd_fail(run, EXIT_USAGE, d.text);
	else
		code = serve(&w, (unsigned)every);
out:
	if (w.listener >= 0)
		close(w.listener);
	iotsafe_close(w.card);
	free(w.self);
	free(w.next);
	return code;
}
