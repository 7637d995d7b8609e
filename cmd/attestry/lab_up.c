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
/* First uid of the roles when root starts a lab: above what distributions hand out. */
#define LAB_USER_BASE 61840

extern char **environ;

static void say(bool quiet, const char *text)
{
	if (!quiet) {
		printf("%s\n", text);
		fflush(stdout);
	}
}

/* Runs this program with the given arguments and waits; its errors stay visible. */
enum rc lab_run_self(const struct lab *lab, char *const argv[], struct diag *d)
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
		return diag_set(
			d, RC_INTERNAL, "attestry %s %s failed", argv[1], argv[2] ? argv[2] : "");
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
	int *const ports[] = { &lab->dns, &lab->dot, &lab->https, &lab->epp, &lab->resolver,
		&lab->parent, &lab->services[0].port, &lab->services[1].port };
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

/* Starts a part and waits for the line by which it says that it serves. */
enum rc lab_start(struct lab *lab, const char *role, const char *ready, pid_t *pid,
	char *const argv[], struct diag *d)
{
	char log[PATH_MAX];
	json_t *pids;
	enum rc rc = lab_path(lab, log, "log/%s.log", role);

	if (rc == RC_OK)
		rc = lab_spawn(lab->dir, log, argv, pid, d);
	if (rc != RC_OK)
		return rc;
	pids = json_pack("[i]", (int)*pid);
	json_object_set_new(lab->pids, role, pids);
	rc = ready ? lab_wait_line(log, ready, *pid, START_MS, d) : RC_OK;
	if (rc != RC_OK)
		diag_prefix(d, role);
	return rc;
}

/* A role under a uid of its own must be able to walk to the folder. */
static bool others_can_reach(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	if (str_copy(path, sizeof(path), dir) != RC_OK)
		return false;
	for (char *slash; (slash = strrchr(path, '/')) && slash != path; *slash = '\0')
		if (stat(path, &st) != 0 || !(st.st_mode & S_IXOTH))
			return false;
	return true;
}

static enum rc init_registry(struct lab *lab, struct diag *d)
{
	char dir[PATH_MAX], settings[16][200];
	char *argv[44] = { "attestry", "init", dir, "--zone", (char *)(uintptr_t)lab->zone };
	size_t argc = 5, n = 0;
	enum rc rc = lab_path(lab, dir, "registry");
	const struct {
		const char *name, *prefix, *text;
		int number;
	} rows[] = {
		{ "dns.listen", "127.0.0.1:", NULL, lab->dns },
		{ "dns.dot", "127.0.0.1:", NULL, lab->dot },
		{ "https.listen", "127.0.0.1:", NULL, lab->https },
		{ "epp.listen", "127.0.0.1:", NULL, lab->epp },
		{ "zone.ttl", "", NULL, lab->ttl },
		{ "zone.minimum", "", NULL, lab->ttl },
		{ "dns.ns_addr", "", "127.0.0.1", 0 },
		{ "resolver.name", "", "localhost", 0 },
		{ "resolver.addr", "", "127.0.0.1", 0 },
		{ "resolver.port", "", NULL, lab->resolver },
		{ "resolver.pin", "", lab->resolver_pin, 0 },
		{ "parent.server", "127.0.0.1:", NULL, lab->parent },
		{ "parent.check", "", "1s", 0 },
		/* No secondaries to wait for. */
		{ "zone.propagation", "", "1s", 0 },
		{ "supervisor.user_base", "", NULL,
			geteuid() == 0 && others_can_reach(lab->dir) ? LAB_USER_BASE : 0 },
		{ "registry.database", "", lab->database ? lab->database : "sqlite:db/registry.db",
			0 },
	};

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(rows); i++, n++)
		rc = rows[i].text ? str_format(settings[n], sizeof(settings[0]), "%s=%s",
					    rows[i].name, rows[i].text)
				  : str_format(settings[n], sizeof(settings[0]), "%s=%s%d",
					    rows[i].name, rows[i].prefix, rows[i].number);
	for (size_t i = 0; i < n; i++) {
		argv[argc++] = "--set";
		argv[argc++] = settings[i];
	}
	return rc == RC_OK ? lab_run_self(lab, argv, d) : rc;
}

/* A member of an answer's object, or NULL. */
static json_t *call(struct client *c, const char *method, const char *path, json_t *take_body,
	enum rc *rc, struct diag *d)
{
	json_t *answer = NULL;
	int status = 0;

	*rc = take_body || strcmp(method, "GET") == 0
		      ? client_call(c, method, path, take_body, &answer, &status, d)
		      : RC_NOMEM;
	json_decref(take_body);
	if (*rc == RC_OK && status >= 300) {
		client_refusal(answer, status, d);
		diag_prefix(d, path);
		*rc = RC_DENIED;
	}
	if (*rc != RC_OK) {
		json_decref(answer);
		return NULL;
	}
	return answer;
}

static enum rc connect_as(
	const struct lab *lab, const char *who, struct client **out, struct diag *d)
{
	char url[64], ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];
	bool operator= strcmp(who, "operator") == 0;
	const char *folder = operator? "registry/operator" : "parties";
	enum rc rc = str_format(url, sizeof(url), "https://localhost:%d", lab->https);

	if (rc == RC_OK)
		rc = lab_path(lab, ca, "registry/ca/party.pem");
	if (rc == RC_OK)
		rc = lab_path(lab, cert, "%s/%s.pem", folder, who);
	if (rc == RC_OK)
		rc = lab_path(lab, key, "%s/%s.key", folder, who);
	return rc == RC_OK ? client_new(out, url, ca, cert, key, d) : rc;
}

/* Writes the base64 member of the CA's answer as bytes. */
static enum rc save_der(const struct lab *lab, const json_t *ca, const char *member,
	const char *file, struct diag *d)
{
	uint8_t der[4096];
	char path[PATH_MAX];
	size_t len;
	const char *text = json_string_value(json_object_get(ca, member));
	enum rc rc = text ? b64_read(text, strlen(text), der, sizeof(der), &len) : RC_MALFORMED;

	if (rc != RC_OK)
		return diag_set(d, rc, "GET /v1/ca: %s is missing or not base64", member);
	rc = lab_path(lab, path, "%s", file);
	return rc == RC_OK ? file_write_atomic(path, der, len, 0644, d) : rc;
}

static enum rc append_file(
	const struct lab *lab, const char *name, char **text, size_t *len, struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *bytes = NULL;
	size_t n = 0;
	enum rc rc = lab_path(lab, path, "registry/ca/%s.pem", name);

	if (rc == RC_OK)
		rc = file_read(path, 1U << 16, &bytes, &n, d);
	if (rc != RC_OK)
		return rc;
	char *grown = realloc(*text, *len + n);
	if (grown) {
		memcpy(grown + *len, bytes, n);
		*text = grown;
		*len += n;
	}
	free(bytes);
	return grown ? RC_OK : RC_NOMEM;
}

/* What a broker trusts of its clients: both issuing CAs and their root. */
static enum rc write_device_cas(const struct lab *lab, struct diag *d)
{
	static const char *const names[] = { "root", "issuing", "devkit" };
	char path[PATH_MAX];
	char *text = NULL;
	size_t len = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(names); i++)
		rc = append_file(lab, names[i], &text, &len, d);
	if (rc == RC_OK)
		rc = lab_path(lab, path, "services/devices.pem");
	if (rc == RC_OK)
		rc = file_write_atomic(path, text, len, 0644, d);
	free(text);
	return rc;
}

/* The trust anchor, and what the operator puts on a SIM before it leaves the shop. */
static enum rc take_trust(struct lab *lab, struct diag *d)
{
	struct client *c = NULL;
	json_t *ca = NULL;
	const char *ds = NULL;
	enum rc rc = connect_as(lab, "operator", &c, d);

	if (rc == RC_OK)
		ca = call(c, "GET", "/v1/ca", NULL, &rc, d);
	if (rc == RC_OK) {
		ds = json_string_value(json_array_get(json_object_get(ca, "trust_anchors"), 0));
		rc = ds ? lab_write(lab, "trust-anchor.ds", 0644, d, "%s\n", ds)
			: diag_set(d, RC_MALFORMED, "GET /v1/ca: no trust anchor");
	}
	if (rc == RC_OK)
		rc = save_der(lab, ca, "root", "sims/root.der", d);
	if (rc == RC_OK)
		rc = save_der(lab, ca, "issuing", "sims/issuing.der", d);
	if (rc == RC_OK)
		rc = save_der(lab, ca, "payload_signer", "sims/payload.der", d);
	if (rc == RC_OK)
		rc = lab_write_registry_profile(lab, ds, d);
	if (rc == RC_OK)
		rc = write_device_cas(lab, d);
	if (rc == RC_OK)
		rc = lab_start_parent(lab, ds, d);
	json_decref(ca);
	client_free(c);
	return rc;
}

static enum rc add_party(struct lab *lab, json_t *parties, const char *id, const char *name,
	const char *role, struct diag *d)
{
	char dir[PATH_MAX], password[16], password_file[PATH_MAX], file[64];
	char *argv[] = { "attestry", "party", "add", (char *)(uintptr_t)id, "--name",
		(char *)(uintptr_t)name, "--role", (char *)(uintptr_t)role, "--out", dir,
		"--password-file", password_file, "--lab", lab->dir, "--as", "operator", NULL };
	enum rc rc = lab_path(lab, dir, "parties");

	if (rc == RC_OK)
		rc = lab_random_text(password, 10, ALNUM);
	if (rc == RC_OK)
		rc = str_format(file, sizeof(file), "parties/%s.password", id);
	if (rc == RC_OK)
		rc = lab_path(lab, password_file, "%s", file);
	if (rc == RC_OK)
		rc = lab_write(lab, file, 0600, d, "%s\n", password);
	if (rc == RC_OK)
		rc = lab_run_self(lab, argv, d);
	if (rc == RC_OK)
		json_object_set_new(parties, id,
			json_pack("{s:s, s:[s], s:o, s:o, s:s}", "id", id, "roles", role, "cert",
				json_sprintf("%s/parties/%s.pem", lab->dir, id), "key",
				json_sprintf("%s/parties/%s.key", lab->dir, id), "password",
				password));
	return rc;
}

static enum rc add_service(struct lab *lab, const struct lab_service *s, struct diag *d)
{
	struct client *c = NULL;
	uint8_t spki[32];
	char pin[B64_LEN(32)];
	json_t *body;
	enum rc rc = connect_as(lab, s->handle, &c, d);

	if (rc == RC_OK)
		rc = hex_read(s->spki_hex, spki, sizeof(spki));
	if (rc == RC_OK) {
		b64_write(spki, sizeof(spki), pin);
		body = json_pack("{s:s, s:s, s:i, s:b, s:[{s:i, s:i, s:i, s:s}]}", "handle",
			s->handle, "fqdn", "localhost", "port", s->port, "publish_tlsa", 1, "pins",
			"usage", 3, "selector", 1, "matching", 1, "data", pin);
		json_decref(call(c, "POST", "/v1/services", body, &rc, d));
	}
	client_free(c);
	return rc;
}

/* File F2 of a SIM as the inventory takes it. */
static json_t *attest_cert(const struct lab *lab, size_t i, enum rc *rc, struct diag *d)
{
	uint8_t *der = NULL;
	char path[PATH_MAX], text[B64_LEN(1024)] = "";
	size_t len = 0;

	*rc = lab_path(lab, path, "sims/f2-%zu.der", i + 1);
	if (*rc == RC_OK)
		*rc = file_read(path, 1024, &der, &len, d);
	if (*rc == RC_OK)
		b64_write(der, len, text);
	free(der);
	return json_string(text);
}

/* The operator's SIMs, with their claim codes as salted hashes. */
static enum rc load_inventory(struct lab *lab, struct diag *d)
{
	struct client *c = NULL;
	json_t *rows = json_array();
	enum rc rc = connect_as(lab, "mno", &c, d);

	for (size_t i = 0; rc == RC_OK && i < LAB_SIMS; i++) {
		const struct lab_sim *s = &lab->sims[i];
		char salt[33], input[16 + 32], salt64[B64_LEN(16)], digest64[B64_LEN(32)];
		uint8_t digest[32];
		json_t *row, *f2;

		rc = lab_random_text(salt, 32, HEX_DIGITS);
		if (rc == RC_OK)
			rc = hex_read(salt, (uint8_t *)input, 16);
		memcpy(input + 16, s->claim, 32);
		if (rc == RC_OK)
			rc = lab_sha256(input, sizeof(input), digest);
		b64_write(input, 16, salt64);
		b64_write(digest, sizeof(digest), digest64);
		row = json_pack("{s:s, s:s, s:s, s:s, s:s}", "iccid", s->iccid, "eid", s->eid,
			"owner", "gatineau", "claim_salt", salt64, "claim_sha256", digest64);
		f2 = rc == RC_OK ? attest_cert(lab, i, &rc, d) : NULL;
		json_object_set_new(row, "attest_cert", f2);
		json_array_append_new(rows, row);
	}
	if (rc == RC_OK) {
		json_t *answer =
			call(c, "POST", "/v1/inventory", json_pack("{s:O}", "rows", rows), &rc, d);
		if (rc == RC_OK &&
			json_integer_value(json_object_get(answer, "loaded")) != LAB_SIMS)
			rc = diag_set(d, RC_DENIED, "the inventory was not taken whole");
		json_decref(answer);
	}
	json_decref(rows);
	client_free(c);
	return rc;
}

static enum rc start_registry(struct lab *lab, struct diag *d)
{
	char program[PATH_MAX], conf[PATH_MAX];
	char *argv[] = { program, "--config", conf, NULL };
	pid_t pid;
	enum rc rc = lab->node_count && !lab->database ? lab_start_postgres(lab, d) : RC_OK;

	if (rc == RC_OK)
		rc = init_registry(lab, d);

	if (rc == RC_OK && lab->node_count)
		rc = lab_first_node(lab, d);
	if (rc == RC_OK)
		rc = lab_card_maker(lab, d);

	if (rc == RC_OK)
		rc = str_format(program, sizeof(program), "%s/attestryd", lab->programs);
	if (rc == RC_OK)
		rc = lab_path(lab, conf, "registry/attestry.conf");
	return rc == RC_OK ? lab_start(lab, "attestryd", "serving roles=", &pid, argv, d) : rc;
}

static enum rc start_resolver(struct lab *lab, struct diag *d)
{
	char conf[PATH_MAX];
	char *argv[] = { "/usr/sbin/unbound", "-d", "-p", "-c", conf, NULL };
	pid_t pid;
	enum rc rc = lab_write_resolver(lab, d);

	if (rc == RC_OK)
		rc = lab_path(lab, conf, "resolver/unbound.conf");
	return rc == RC_OK ? lab_start(lab, "unbound", "start of service", &pid, argv, d) : rc;
}

static enum rc start_broker(struct lab *lab, struct lab_service *s, struct diag *d)
{
	char conf[PATH_MAX];
	char *argv[] = { "/usr/sbin/mosquitto", "-c", conf, NULL };
	enum rc rc = lab_write_broker(lab, s, d);

	if (rc == RC_OK)
		rc = lab_path(lab, conf, "services/%s.conf", s->handle);
	return rc == RC_OK ? lab_start(lab, s->handle, " running", &s->pid, argv, d) : rc;
}

/* A program of ours with one JSON configuration. */
static enum rc start_own(struct lab *lab, const char *name, const char *config, struct diag *d)
{
	char program[PATH_MAX], path[PATH_MAX];
	char *argv[] = { program, "--config", path, NULL };
	pid_t pid;
	enum rc rc = str_format(program, sizeof(program), "%s/%s", lab->programs, name);

	if (rc == RC_OK)
		rc = lab_path(lab, path, "%s", config);
	return rc == RC_OK ? lab_start(lab, name, "ready", &pid, argv, d) : rc;
}

static enum rc make_resolver_key(struct lab *lab, struct diag *d)
{
	unsigned char spki[32];
	enum rc rc = lab_self_signed(lab, "resolver", "resolver", spki, d);

	if (rc == RC_OK)
		b64_write(spki, sizeof(spki), lab->resolver_pin);
	return rc;
}

static enum rc make_broker_keys(struct lab *lab, struct diag *d)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < LAB_SERVICES; i++) {
		unsigned char spki[32];
		rc = lab_self_signed(lab, "services", lab->services[i].handle, spki, d);
		if (rc == RC_OK)
			hex_write(spki, sizeof(spki), lab->services[i].spki_hex);
	}
	return rc;
}

static enum rc add_parties(struct lab *lab, json_t *parties, struct diag *d)
{
	static const struct {
		const char *id, *name, *role;
	} rows[] = { { "parkoserv", "ParkoServ", "asp" }, { "carparkserv", "CarParkServ", "asp" },
		{ "mno", "The mobile operator", "mno" },
		{ "gatineau", "City of Gatineau", "owner" } };
	enum rc rc = RC_OK;

	json_object_set_new(parties, "operator",
		json_pack("{s:s, s:[s], s:o, s:o, s:s}", "id", "operator", "roles", "operator",
			"cert", json_sprintf("%s/registry/operator/operator.pem", lab->dir), "key",
			json_sprintf("%s/registry/operator/operator.key", lab->dir), "password",
			""));
	/* The commands that follow find the registry through lab.json. */
	rc = lab_write_json(lab, parties, d);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(rows); i++)
		rc = add_party(lab, parties, rows[i].id, rows[i].name, rows[i].role, d);
	return rc == RC_OK ? lab_write_json(lab, parties, d) : rc;
}

/* Steps 3 and 4 of the story: ParkoServ registers profile 1 of the first SIM and activates it. */
static enum rc register_first(struct lab *lab, struct diag *d)
{
	struct client *c = NULL;
	char path[96];
	const struct lab_sim *s = &lab->sims[0];
	enum rc rc = connect_as(lab, "parkoserv", &c, d);

	if (rc == RC_OK)
		json_decref(call(c, "POST", "/v1/profiles",
			json_pack("{s:s, s:i, s:s, s:s}", "iccid", s->iccid, "slot", 1, "claim",
				s->claim, "service", "parkoserv"),
			&rc, d));
	if (rc == RC_OK)
		rc = str_format(path, sizeof(path), "/v1/profiles/1.%s/activate", s->iccid);
	if (rc == RC_OK)
		json_decref(call(c, "POST", path, json_object(), &rc, d));
	client_free(c);
	return rc;
}

static enum rc start_meter(struct lab *lab, struct diag *d)
{
	char program[PATH_MAX], card[PATH_MAX], state[PATH_MAX], log[PATH_MAX];
	char *argv[] = { program, "--card", card, "--state", state, "--json", NULL };
	pid_t pid;
	enum rc rc = str_format(program, sizeof(program), "%s/attestry-meter", lab->programs);

	if (rc == RC_OK)
		rc = lab_path(lab, state, "sims/meter.state");

	if (rc == RC_OK)
		rc = str_format(card, sizeof(card), "tty:%s/sims/modem1", lab->dir);
	if (rc == RC_OK)
		rc = lab_start(lab, "attestry-meter", NULL, &pid, argv, d);
	if (rc == RC_OK)
		rc = lab_path(lab, log, "log/attestry-meter.log");
	if (rc == RC_OK)
		rc = lab_wait_line(log, "published", pid, 3 * START_MS, d);
	return rc;
}

static enum rc build(struct lab *lab, json_t *parties, bool empty, bool quiet, struct diag *d)
{
	enum rc rc = make_resolver_key(lab, d);

	if (rc == RC_OK)
		rc = make_broker_keys(lab, d);
	if (rc == RC_OK)
		rc = start_registry(lab, d);
	if (rc != RC_OK)
		return rc;
	say(quiet, "registry        attestryd serves the zone and the API");
	if (lab->node_count > 1) {
		rc = lab_further_nodes(lab, d);
		if (rc != RC_OK)
			return rc;
		say(quiet, "nodes           further ones have copied the zone and follow");
		if (lab->secondary)
			rc = lab_start_secondary(lab, d);
		if (rc != RC_OK)
			return rc;
		say(quiet, lab->secondary ? "secondary       Knot has the zone from any of them"
					  : "secondary       none: knotd is not installed");
	}
	rc = add_parties(lab, parties, d);
	if (rc == RC_OK)
		rc = take_trust(lab, d);
	if (rc == RC_OK)
		rc = start_resolver(lab, d);
	if (rc == RC_OK)
		rc = lab_start_ds_keeper(lab, d);
	if (rc != RC_OK)
		return rc;
	say(quiet,
		"resolver        unbound trusts the lab's root alone; the parent follows our CDS");
	for (size_t i = 0; rc == RC_OK && i < LAB_SERVICES; i++) {
		rc = add_service(lab, &lab->services[i], d);
		if (rc == RC_OK)
			rc = start_broker(lab, &lab->services[i], d);
	}
	if (rc != RC_OK)
		return rc;
	say(quiet, "providers       two brokers, each trusting devices by one DNSSEC query");
	rc = load_inventory(lab, d);
	if (rc == RC_OK)
		rc = lab_write_sims(lab, d);
	if (rc == RC_OK)
		rc = start_own(lab, "attestry-sim", "sims/sim.json", d);
	if (rc == RC_OK)
		rc = lab_write_mno(lab, d);
	if (rc == RC_OK)
		rc = start_own(lab, "attestry-mno", "mno/mno.json", d);
	if (rc != RC_OK || empty)
		return rc;
	say(quiet, "operator        SIMs in the inventory, reached over the air");
	rc = register_first(lab, d);
	if (rc == RC_OK)
		rc = start_meter(lab, d);
	if (rc == RC_OK)
		say(quiet, "device          the meter publishes to ParkoServ");
	return rc;
}

enum rc lab_up(const char *dir, const struct lab_options *o, struct diag *d)
{
	struct lab lab = { .pids = json_object(), .database = o->database, .node_count = o->nodes };
	json_t *parties = json_object();
	enum rc rc = lab.pids && parties ? RC_OK : RC_NOMEM;

	if (rc == RC_OK)
		rc = make_folders(&lab, dir, d);
	if (rc != RC_OK)
		goto out;
	rc = plan(&lab, d);
	if (rc == RC_OK)
		rc = lab_plan_nodes(&lab, d);
	if (rc == RC_OK)
		rc = build(&lab, parties, o->empty, o->quiet, d);
	/* Written on failure too, so that `lab down` finds what was started. */
	if (lab_write_json(&lab, parties, rc == RC_OK ? d : NULL) != RC_OK && rc == RC_OK)
		rc = RC_IO;
	if (rc != RC_OK)
		lab_down(lab.dir, NULL);
out:
	json_decref(parties);
	json_decref(lab.pids);
	return rc;
}
