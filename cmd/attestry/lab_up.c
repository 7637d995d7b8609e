/* SPDX-License-Identifier: Apache-2.0 */
/* `attestry lab up`: every part started in the order in which it can trust the
 * one before. Each step says on standard output what stands. */
#include "lab.h"
#include "lab_proc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS   20000
#define ALNUM	   "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"
#define HEX_DIGITS "0123456789abcdef"

extern char **environ;

static void say(bool quiet, const char *text)
{
	if (!quiet) {
		printf("%s\n", text);
		fflush(stdout);
	}
}

/* Runs this program with the given arguments and waits; its errors stay visible. */
static enum rc run_self(const struct lab *lab, char *const argv[], struct diag *d)
{
	char self[PATH_MAX];
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status, err;
	enum rc rc = str_format(self, sizeof(self), "%s/attestry", lab->programs);

	if (rc != RC_OK)
		return rc;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
	err = posix_spawn(&pid, self, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (err) {
		errno = err;
		return diag_errno(d, RC_IO, "cannot start %s", self);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return diag_errno(d, RC_IO, "attestry %s", argv[1]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return diag_set(d, RC_INTERNAL, "attestry %s %s failed", argv[1],
			argv[2] ? argv[2] : "");
	return RC_OK;
}

static enum rc make_folders(struct lab *lab, const char *dir, struct diag *d)
{
	static const char *const folders[] = { "log", "resolver", "services", "sims", "mno",
		"parties" };
	char path[PATH_MAX];

	if (mkdir(dir, 0711) != 0 && errno != EEXIST)
		return diag_errno(d, RC_IO, "%s", dir);
	if (!realpath(dir, lab->dir))
		return diag_errno(d, RC_IO, "%s", dir);
	if (rmdir(lab->dir) != 0 || mkdir(lab->dir, 0711) != 0)
		return diag_errno(d, RC_EXISTS, "%s: a lab wants an absent or empty folder", dir);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		enum rc rc = lab_path(lab, path, "%s", folders[i]);
		if (rc != RC_OK)
			return rc;
		if (mkdir(path, 0711) != 0)
			return diag_errno(d, RC_IO, "%s", path);
	}
	return RC_OK;
}

static enum rc plan(struct lab *lab, struct diag *d)
{
	static const char *const iccids[LAB_SIMS] = { "8912230200031010008f",
		"8912230200031010016f", "8912230200031010024f" };
	static const char *const eids[LAB_SIMS] = { "89049032123451234512345678901235",
		"89049032123451234512345678901332", "89049032123451234512345678901429" };
	int *const ports[] = { &lab->dns, &lab->dot, &lab->https, &lab->resolver,
		&lab->services[0].port, &lab->services[1].port };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	enum rc rc = RC_OK;

	if (n <= 0)
		return diag_errno(d, RC_IO, "/proc/self/exe");
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	rc = str_copy(lab->programs, sizeof(lab->programs), self);
	lab->zone = "iotregistry.example";
	lab->ttl = 5;
	lab->services[0].handle = "parkoserv";
	lab->services[0].name = "ParkoServ";
	lab->services[1].handle = "carparkserv";
	lab->services[1].name = "CarParkServ";
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(ports); i++)
		rc = lab_free_port(ports[i], d);
	for (size_t i = 0; rc == RC_OK && i < LAB_SIMS; i++) {
		struct lab_sim *s = &lab->sims[i];
		s->iccid = iccids[i];
		s->eid = eids[i];
		rc = lab_random_text(s->claim, 32, HEX_DIGITS);
		if (rc == RC_OK)
			rc = lab_random_text(s->kic, 32, HEX_DIGITS);
		if (rc == RC_OK)
			rc = lab_random_text(s->kid, 32, HEX_DIGITS);
	}
	return rc;
}
