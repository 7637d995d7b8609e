/* SPDX-License-Identifier: Apache-2.0 */
#include "iotsafe_cmd.h"

#include "base/str.h"
#include "device/record.h"
#include "device/self.h"

#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOKUP_MS 5000
#define FOUND_MAX 16

/* One line per thing that was looked at; the first that fails is where to begin. */
static bool say(const struct run *run, const char *what, bool ok, const char *text)
{
	if (run->json)
		cmd_print(json_pack("{s:s, s:b, s:s}", "check", what, "ok", ok, "text", text));
	else
		printf("%-8s %-4s %s\n", what, ok ? "ok" : "BAD", text);
	return ok;
}

static bool holds(const char *pid, const char *device)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	if (str_format(path, sizeof(path), "/proc/%s/fd", pid) != RC_OK || !(dir = opendir(path)))
		return false;
	while (!found && (e = readdir(dir)) != NULL) {
		if (str_format(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name) != RC_OK)
			continue;
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, device) == 0;
	}
	closedir(dir);
	return found;
}

/* The name of another process that has the device open (of those that we may look into). */
static bool holder(const char *device, char *name, size_t cap)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	char path[PATH_MAX];
	bool found = false;

	while (proc && !found && (e = readdir(proc)) != NULL) {
		uint64_t pid = 0;
		if (u64_read(e->d_name, 1, INT_MAX, &pid) != RC_OK || pid == (uint64_t)getpid() ||
			!holds(e->d_name, device) ||
			str_format(path, sizeof(path), "/proc/%s/comm", e->d_name) != RC_OK)
			continue;
		FILE *f = fopen(path, "re");
		found = f && fgets(name, (int)cap, f);
		if (f)
			(void)fclose(f);
		name[found ? strcspn(name, "\n") : 0] = '\0';
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Why a modem's device cannot be used, beyond what opening it said. */
static void explain_tty(const char *path, enum iotsafe_error e, char *text, size_t cap)
{
	char device[PATH_MAX], name[64] = "";

	if (!realpath(path, device)) {
		(void)!str_format(text, cap, "%s: there is no such device", path);
		return;
	}
	if (access(device, R_OK | W_OK) != 0) {
		(void)!str_format(text, cap,
			"%s: no permission (run adduser $USER dialout, log in again)", device);
		return;
	}
	if (holder(device, name, sizeof(name)))
		(void)!str_format(text, cap, "no modem answered on %s (%s holds it; run %s)",
			device, name,
			strcmp(name, "ModemManager") == 0 ? "systemctl stop ModemManager"
							  : "fuser -v to see who it is");
	else if (e == IOTSAFE_ETIMEOUT)
		(void)!str_format(text, cap,
			"no modem answered on %s (a modem has several ports, one takes AT "
			"commands; "
			"one that hangs: run iotsafe reset)",
			device);
}

/* Where nobody named the card: the first that this machine has. Else each serial device, and why
 * it is not one. */
static const char *find_card(const struct run *run, char name[IOTSAFE_ERROR_MAX])
{
	static const char *const patterns[] = { "/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyMODEM*" };
	struct iotsafe_found found[FOUND_MAX];
	char text[2 * PATH_MAX];
	glob_t g = { 0 };

	if (iotsafe_discover(found, FOUND_MAX, 0) > 0) {
		(void)!str_copy(name, IOTSAFE_ERROR_MAX, found[0].card);
		(void)!str_format(
			text, sizeof(text), "%s (run export IOTSAFE_CARD='%s')", name, name);
		(void)say(run, "found", true, text);
		return name;
	}
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
		(void)glob(patterns[i], i == 0 ? 0 : GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		(void)!str_format(text, sizeof(text), "%s: no IoT SAFE card", g.gl_pathv[i]);
		explain_tty(g.gl_pathv[i], IOTSAFE_ETIMEOUT, text, sizeof(text));
		(void)say(run, "found", false, text);
	}
	if (g.gl_pathc == 0)
		(void)say(run, "found", false,
			"no modem (no /dev/ttyUSB*, ttyACM* or ttyMODEM*), and no PC/SC reader "
			"with a "
			"card; a card elsewhere: run with --card, or set IOTSAFE_CARD");
	globfree(&g);
	return NULL;
}

static struct iotsafe *check_card(const struct run *run)
{
	const char *card = run->card ? run->card : getenv("IOTSAFE_CARD");
	char text[IOTSAFE_ERROR_MAX + PATH_MAX] = "", iccid[IOTSAFE_ICCID_TEXT] = "unknown ICCID";
	char found[IOTSAFE_ERROR_MAX];
	struct iotsafe *opened = NULL;

	if (!card || !*card)
		card = find_card(run, found);
	if (!card)
		return NULL;
	struct iotsafe_options o = { .card = card };
	enum iotsafe_error e = iotsafe_open(&o, &opened, text, IOTSAFE_ERROR_MAX);

	if (e != IOTSAFE_OK) {
		if (strncmp(card, "tty:", 4) == 0)
			explain_tty(card + 4, e, text, sizeof(text));
		(void)say(run, "card", false, text);
		return NULL;
	}
	(void)iotsafe_iccid(opened, iccid);
	(void)!str_format(text, sizeof(text), "%.200s: applet selected, %s", card, iccid);
	(void)say(run, "card", true, text);
	return opened;
}

/* Certificate, key, payload, record: each only where the one before is well. */
static int check_slot(const struct run *run, struct iotsafe *card, struct self *self)
{
	static const struct payload_state none;
	struct dane *dane = NULL;
	struct diag d = { 0 };
	enum record_verdict v;
	enum rc rc = self_read_cert(card, run->slot, self, &d);

	if (!say(run, "cert", rc == RC_OK, rc == RC_OK ? self->owner : d.text))
		return EXIT_NO;
	rc = self_prove_key(card, self, &d);
	if (!say(run, "key", rc == RC_OK, rc == RC_OK ? "signs, and is the certificate's" : d.text))
		return EXIT_NO;
	rc = self_read(card, run->slot, &none, (uint64_t)time(NULL), self, &d);
	if (!say(run, "payload", rc == RC_OK, rc == RC_OK ? "believed" : d.text))
		return EXIT_NO;
	rc = record_open(&self->payload, LOOKUP_MS, &dane, &d);
	v = rc == RC_OK ? record_check(dane, self->owner, self->cert_sha256, &d)
			: RECORD_CANNOT_TELL;
	dane_free(dane);
	if (say(run, "record", v == RECORD_ATTESTED, d.text[0] ? d.text : record_text(v)))
		return EXIT_YES;
	return v == RECORD_CANNOT_TELL ? EXIT_CANNOT_TELL : EXIT_NO;
}

int cmd_doctor(const struct run *run)
{
	struct self *self = calloc(1, sizeof(*self));
	struct iotsafe *card = NULL;
	int code = EXIT_CANNOT_TELL;

	if (run->argc != 0 || !self) {
		free(self);
		return run->argc != 0 ? EXIT_USAGE : EXIT_CANNOT_TELL;
	}
	card = check_card(run);
	if (card)
		code = check_slot(run, card, self);
	iotsafe_close(card);
	free(self);
	return code;
}
