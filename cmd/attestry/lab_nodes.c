/* SPDX-License-Identifier: Apache-2.0 */
/* Several nodes in a lab: a PostgreSQL server of its own, and further registries on its database.
 */
#include "lab.h"
#include "lab_proc.h"
#include "base/str.h"
#include "node_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 60000
#define SERVERS	 "/usr/lib/postgresql"
#define DB_USER	 "registry"
#define KNOT	 "/usr/sbin/knotd"
#define ARGS_MAX 24

extern char **environ;

/* The newest installed server's folder of programs. */
static enum rc find_server(char out[PATH_MAX], struct diag *d)
{
	DIR *dir = opendir(SERVERS);
	struct dirent *e;
	uint64_t best = 0, n;

	while (dir && (e = readdir(dir)))
		if (u64_read(e->d_name, 1, 1000, &n) == RC_OK && n > best)
			best = n;
	if (dir)
		closedir(dir);
	if (!best)
		return diag_set(d, RC_NOT_FOUND,
			"no PostgreSQL server in " SERVERS ": install one, or give --database");
	return str_format(out, PATH_MAX, SERVERS "/%llu/bin", (unsigned long long)best);
}

/* PostgreSQL refuses to run as root. Puts the words before the command into argv. */
static size_t as_other(char *argv[ARGS_MAX])
{
	static const char *const words[] = { "setpriv", "--reuid", "postgres", "--regid",
		"postgres", "--clear-groups" };
	size_t n = 0;

	for (; geteuid() == 0 && n < ARRAY_LEN(words); n++)
		argv[n] = (char *)(uintptr_t)words[n];
	return n;
}

static enum rc make_folder(const struct lab *lab, char out[PATH_MAX], struct diag *d)
{
	const struct passwd *pw = getpwnam("postgres");
	enum rc rc = lab_path(lab, out, "postgresql");

	if (rc != RC_OK)
		return rc;
	if (mkdir(out, 0755) != 0)
		return diag_errno(d, RC_IO, "%s", out);
	if (geteuid() != 0)
		return RC_OK;
	if (!pw)
		return diag_set(d, RC_NOT_FOUND, "there is no user postgres: give --database");
	return chown(out, pw->pw_uid, pw->pw_gid) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", out);
}

static enum rc run_quietly(char *const argv[], const char *log, struct diag *d)
{
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status = -1, err;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	err = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (err) {
		errno = err;
		return diag_errno(d, RC_IO, "%s", argv[0]);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
		       ? RC_OK
		       : diag_set(d, RC_IO, "initdb failed: see %s", log);
}

static enum rc init_server(const struct lab *lab, const char *bin, const char *data, struct diag *d)
{
	char program[PATH_MAX], log[PATH_MAX];
	char *argv[ARGS_MAX];
	char *const words[] = { program, "-D", (char *)(uintptr_t)data, "-U", DB_USER, "-A",
		"trust", "-E", "UTF8", "--locale=C", "--no-sync", NULL };
	size_t n = as_other(argv);
	enum rc rc = str_format(program, sizeof(program), "%s/initdb", bin);

	if (rc == RC_OK)
		rc = lab_path(lab, log, "log/initdb.log");
	memcpy(argv + n, words, sizeof(words));
	return rc == RC_OK ? run_quietly(argv, log, d) : rc;
}

enum rc lab_start_postgres(struct lab *lab, struct diag *d)
{
	char bin[PATH_MAX], folder[PATH_MAX], data[PATH_MAX], program[PATH_MAX], sockets[PATH_MAX];
	char *argv[ARGS_MAX];
	char *const words[] = { program, "-D", data, "-c", "listen_addresses=", "-c", sockets, "-c",
		"max_connections=60", "-c", "shared_buffers=64MB", NULL };
	size_t n = as_other(argv);
	pid_t pid;
	enum rc rc = find_server(bin, d);

	if (rc == RC_OK)
		rc = make_folder(lab, folder, d);
	if (rc == RC_OK)
		rc = str_format(data, sizeof(data), "%s/data", folder);
	if (rc == RC_OK)
		rc = init_server(lab, bin, data, d);
	if (rc == RC_OK)
		rc = str_format(program, sizeof(program), "%s/postgres", bin);
	if (rc == RC_OK)
		rc = str_format(sockets, sizeof(sockets), "unix_socket_directories=%s", folder);
	if (rc != RC_OK)
		return rc;
	memcpy(argv + n, words, sizeof(words));
	rc = lab_start(
		lab, "postgresql", "database system is ready to accept connections", &pid, argv, d);
	if (rc == RC_OK)
		rc = str_format(lab->own_database, sizeof(lab->own_database),
			"postgresql:///postgres?host=%s&user=" DB_USER, folder);
	lab->database = lab->own_database;
	return rc;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

enum rc lab_plan_nodes(struct lab *lab, struct diag *d)
{
	enum rc rc = RC_OK;

	if (lab->node_count > 1 && access(KNOT, X_OK) == 0)
		rc = lab_free_port(&lab->secondary, d);
	for (int i = 0; rc == RC_OK && i < lab->node_count; i++) {
		struct lab_node *n = &lab->nodes[i];
		int *const ports[] = { &n->dns, &n->dot, &n->https, &n->epp };

		n->name[0] = (char)('a' + i);
		rc = i == 0 ? str_copy(n->folder, sizeof(n->folder), "registry")
			    : str_format(n->folder, sizeof(n->folder), "node-%s", n->name);
		for (size_t k = 0; rc == RC_OK && i > 0 && k < ARRAY_LEN(ports); k++)
			rc = lab_free_port(ports[k], d);
		if (i == 0) {
			n->dns = lab->dns;
			n->dot = lab->dot;
			n->https = lab->https;
			n->epp = lab->epp;
		}
	}
	return rc;
}

/* Each node tells it of changes and lets it have the zone. */
static enum rc tell_secondary(const struct lab *lab, const char *conf, struct diag *d)
{
	char line[40];
	enum rc rc = str_format(line, sizeof(line), "knot 127.0.0.1:%d", lab->secondary);

	return rc == RC_OK ? node_conf_set(conf, "dns", "secondary1", line, d) : rc;
}

enum rc lab_first_node(struct lab *lab, struct diag *d)
{
	char dir[PATH_MAX], conf[PATH_MAX];
	char *argv[] = { "attestry", "node", "init", lab->nodes[0].name, "--dir", dir, NULL };
	enum rc rc = lab_path(lab, dir, "registry");

	/* Whoever plays with a lab waits for nothing. */
	if (rc == RC_OK)
		rc = lab_path(lab, conf, "registry/attestry.conf");
	if (rc == RC_OK)
		rc = node_conf_set(conf, "node", "lease", "1s", d);
	if (rc == RC_OK)
		rc = node_conf_set(conf, "node", "anchor", "5s", d);

	if (rc == RC_OK && lab->secondary)
		rc = tell_secondary(lab, conf, d);
	return rc == RC_OK ? lab_run_self(lab, argv, d) : rc;
}

static enum rc add_node(struct lab *lab, const struct lab_node *node, struct diag *d)
{
	char dir[PATH_MAX], to[PATH_MAX], settings[4][64];
	const int ports[] = { node->dns, node->dot, node->https, node->epp };
	static const char *const names[] = { "dns.listen", "dns.dot", "https.listen",
		"epp.listen" };
	char *argv[20] = { "attestry", "node", "add", (char *)(uintptr_t)node->name, "--dir", dir,
		"--to", to };
	size_t argc = 8;
	enum rc rc = lab_path(lab, dir, "registry");

	if (rc == RC_OK)
		rc = lab_path(lab, to, "%s", node->folder);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(ports); i++) {
		rc = str_format(
			settings[i], sizeof(settings[i]), "%s=127.0.0.1:%d", names[i], ports[i]);
		argv[argc++] = "--set";
		argv[argc++] = settings[i];
	}
	return rc == RC_OK ? lab_run_self(lab, argv, d) : rc;
}

enum rc lab_further_nodes(struct lab *lab, struct diag *d)
{
	char program[PATH_MAX], conf[PATH_MAX], role[32], log[PATH_MAX];
	char *argv[] = { program, "--config", conf, NULL };
	enum rc rc = str_format(program, sizeof(program), "%s/attestryd", lab->programs);

	for (int i = 1; rc == RC_OK && i < lab->node_count; i++) {
		const struct lab_node *node = &lab->nodes[i];
		pid_t pid;

		rc = add_node(lab, node, d);
		if (rc == RC_OK)
			rc = lab_path(lab, conf, "%s/attestry.conf", node->folder);
		if (rc == RC_OK)
			rc = str_format(role, sizeof(role), "attestryd-%s", node->name);
		if (rc == RC_OK)
			rc = lab_start(lab, role, "serving roles=", &pid, argv, d);
		if (rc == RC_OK)
			rc = lab_path(lab, log, "log/%s.log", role);
		if (rc == RC_OK)
			rc = lab_wait_line(log, "copied serial=", pid, START_MS, d);
	}
	return rc;
}

/* ---- a secondary ----------------------------------------------------------------------------- */

static enum rc write_knot(const struct lab *lab, struct diag *d)
{
	char remotes[LAB_NODES_MAX * 48] = "", masters[LAB_NODES_MAX * 4] = "";
	enum rc rc = RC_OK;

	for (int i = 0; rc == RC_OK && i < lab->node_count; i++) {
		const struct lab_node *n = &lab->nodes[i];
		size_t at = strlen(remotes), to = strlen(masters);

		rc = str_format(remotes + at, sizeof(remotes) - at,
			"  - id: %s\n    address: 127.0.0.1@%d\n", n->name, n->dns);
		if (rc == RC_OK)
			rc = str_format(
				masters + to, sizeof(masters) - to, "%s%s", i ? ", " : "", n->name);
	}
	if (rc != RC_OK)
		return rc;
	return lab_write(lab, "knot/knot.conf", 0644, d,
		"# A secondary that has the zone from whichever node tells it of a change.\n"
		"server:\n    listen: 127.0.0.1@%d\n    rundir: %s/knot\n"
		"    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n"
		"database:\n    storage: %s/knot\n"
		"log:\n  - target: stderr\n    any: info\n"
		"remote:\n%s"
		"acl:\n  - id: told\n    address: 127.0.0.1\n    action: notify\n"
		"  - id: look\n    address: 127.0.0.1\n    action: transfer\n"
		"zone:\n  - domain: %s\n    master: [%s]\n    acl: [told, look]\n"
		"    storage: %s/knot\n    zonefile-load: none\n    journal-content: all\n",
		lab->secondary, lab->dir, lab->dir, remotes, lab->zone, masters, lab->dir);
}

enum rc lab_start_secondary(struct lab *lab, struct diag *d)
{
	char program[] = KNOT, flag[] = "-c", folder[PATH_MAX], conf[PATH_MAX];
	char *argv[] = { program, flag, conf, NULL };
	pid_t pid;
	enum rc rc = lab_path(lab, folder, "knot");

	if (rc == RC_OK && mkdir(folder, 0700) != 0)
		rc = diag_errno(d, RC_IO, "%s", folder);
	if (rc == RC_OK)
		rc = write_knot(lab, d);
	if (rc == RC_OK)
		rc = lab_path(lab, conf, "knot/knot.conf");
	return rc == RC_OK ? lab_start(lab, "knot", "zone updated", &pid, argv, d) : rc;
}

json_t *lab_nodes_json(const struct lab *lab)
{
	json_t *out = json_array();

	for (int i = 0; i < lab->node_count; i++) {
		const struct lab_node *n = &lab->nodes[i];

		json_array_append_new(out,
			json_pack("{s:s, s:o, s:{s:s, s:i, s:i, s:i}, s:o, s:i}", "name", n->name,
				"config", json_sprintf("%s/%s/attestry.conf", lab->dir, n->folder),
				"dns", "addr", "127.0.0.1", "udp", n->dns, "tcp", n->dns, "dot",
				n->dot, "https", json_sprintf("https://localhost:%d", n->https),
				"epp", n->epp));
	}
	return out;
}
