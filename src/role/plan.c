/* SPDX-License-Identifier: Apache-2.0 */
#include "role/plan.h"
#include "base/file.h"
#include "base/str.h"
#include "role/folders.h"
#include "role/listen.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The front goes first, so that nothing new comes in; keys last, since all others may need it. */
enum stage { STAGE_FRONT, STAGE_CORE, STAGE_ZONE, STAGE_KEYS };

static size_t add_child(
	struct plan *p, const struct role_users *users, enum user user, enum stage stage)
{
	struct supervisor_child *c = &p->children[p->supervisor.child_count];

	c->stop_stage = stage;
	c->uid = users->uid[user];
	c->gid = users->gid[user];
	c->group = user == USER_DNS ? users->gid[USER_ZONE] : 0;
	return p->supervisor.child_count++;
}

static void add_link(struct plan *p, size_t a, size_t b)
{
	p->links[p->supervisor.link_count++] = (struct supervisor_link){ a, b };
}

static void add_listener(struct plan *p, size_t child, const char *name, int fd)
{
	struct supervisor_child *c = &p->children[child];

	c->listeners[c->listener_count++] = (struct supervisor_listener){ name, fd };
	p->fds[p->fd_count++] = fd;
}

/* "127.0.0.1 5300\n" */
static void add_addr_line(const struct conf_addr *addr, char *text, size_t cap)
{
	char both[CONF_ADDR_TEXT];
	size_t len = strlen(text);
	char *host = both;

	conf_addr_write(addr, both);
	char *colon = strrchr(both, ':');
	*colon = '\0';
	if (host[0] == '[') {
		host++;
		colon[-1] = '\0';
	}
	(void)!str_format(text + len, cap - len, "%s %s\n", host, colon + 1);
}

static enum rc write_addrs(
	const struct config *config, const char *role, const char *text, struct diag *d)
{
	char path[4096];
	enum rc rc = supervisor_run_file(
		config->supervisor.run_folder, role, "addr", path, sizeof(path));

	if (rc != RC_OK)
		return diag_set(d, rc, "run_folder: path is too long");
	return file_write_atomic(path, text, strlen(text), 0644, d);
}

static size_t dns_workers(const struct config *config)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (config->dns.workers > 0)
		return (size_t)config->dns.workers;
	return cores < 1 ? 1 : cores > 64 ? 64 : (size_t)cores;
}

/* A nameless file for each worker's transfers. Opened here, so that a worker needs no right to open
 * any file for writing. */
static enum rc open_spool(struct plan *p, const struct config *config, size_t child, struct diag *d)
{
	int fd = open(config->zone.folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return diag_errno(d, RC_IO, "%s: a file for transfers", config->zone.folder);
	add_listener(p, child, "spool", fd);
	return RC_OK;
}

static enum rc open_dns(
	struct plan *p, const struct config *config, size_t first, size_t count, struct diag *d)
{
	struct conf_addr listen = config->dns.listen, dot = config->dns.dot;
	int tcp[SUPERVISOR_ROLES_MAX], udp[SUPERVISOR_ROLES_MAX];
	char text[2 * CONF_ADDR_TEXT] = "";
	enum rc rc = listen_open(&listen, tcp, udp, count, d);

	if (rc != RC_OK) {
		diag_prefix(d, "[dns] listen");
		return rc;
	}
	add_addr_line(&listen, text, sizeof(text));
	for (size_t i = 0; i < count; i++) {
		add_listener(p, first + i, "dns-udp", udp[i]);
		add_listener(p, first + i, "dns-tcp", tcp[i]);
		if (config->dns.secondary.count > 0 && rc == RC_OK)
			rc = open_spool(p, config, first + i, d);
	}
	if (rc != RC_OK)
		return rc;
	if (dot.len > 0) {
		rc = listen_open(&dot, tcp, NULL, count, d);
		if (rc != RC_OK) {
			diag_prefix(d, "[dns] dot");
			return rc;
		}
		add_addr_line(&dot, text, sizeof(text));
		for (size_t i = 0; i < count; i++)
			add_listener(p, first + i, "dot", tcp[i]);
	}
	return write_addrs(config, "dns", text, d);
}

static enum rc open_front(struct plan *p, const struct config *config, const char *name,
	struct conf_addr listen, size_t front, struct diag *d)
{
	char text[CONF_ADDR_TEXT] = "";
	int tcp;
	enum rc rc = listen_open(&listen, &tcp, NULL, 1, d);

	if (rc != RC_OK) {
		diag_prefix(d, strcmp(name, "epp") == 0 ? "[epp] listen" : "[https] listen");
		return rc;
	}
	add_listener(p, front, name, tcp);
	add_addr_line(&listen, text, sizeof(text));
	return write_addrs(config, p->children[front].name, text, d);
}

static enum rc add_epp(struct plan *p, const struct config *config, const struct role_users *users,
	size_t core, struct diag *d)
{
	size_t n = add_child(p, users, USER_FRONT_EPP, STAGE_FRONT);
	enum rc rc = str_copy(p->children[n].name, SUPERVISOR_NAME_MAX, "front-epp");

	add_link(p, n, core);
	return rc == RC_OK ? open_front(p, config, "epp", config->epp.listen, n, d) : rc;
}

static enum rc add_dns(struct plan *p, const struct config *config, const struct role_users *users,
	size_t zone, struct diag *d)
{
	size_t workers = dns_workers(config), first = p->supervisor.child_count;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < workers && rc == RC_OK; i++) {
		size_t n = add_child(p, users, USER_DNS, STAGE_FRONT);
		rc = str_format(p->children[n].name, SUPERVISOR_NAME_MAX, "dns/%zu", i);
		add_link(p, zone, n);
	}
	return rc == RC_OK ? open_dns(p, config, first, workers, d) : rc;
}

/* The zone comes from a primary: no key, no database, nobody to log in. */
static enum rc add_secondary(
	struct plan *p, const struct config *config, const struct role_users *users, struct diag *d)
{
	size_t zone = add_child(p, users, USER_ZONE, STAGE_ZONE);
	size_t out = add_child(p, users, USER_OUT, STAGE_FRONT);
	enum rc rc = str_copy(p->children[zone].name, SUPERVISOR_NAME_MAX, "zone");

	if (rc == RC_OK)
		rc = str_copy(p->children[out].name, SUPERVISOR_NAME_MAX, "out");
	if (rc == RC_OK)
		rc = add_dns(p, config, users, zone, d);
	add_link(p, out, zone);
	return rc;
}

static enum rc add_roles(
	struct plan *p, const struct config *config, const struct role_users *users, struct diag *d)
{
	static const struct {
		const char *name;
		enum user user;
		enum stage stage;
	} single[] = { { "keys", USER_KEYS, STAGE_KEYS }, { "core", USER_CORE, STAGE_CORE },
		{ "zone", USER_ZONE, STAGE_ZONE }, { "front-api", USER_FRONT_API, STAGE_FRONT },
		{ "out", USER_OUT, STAGE_FRONT } };
	enum { KEYS, CORE, ZONE, FRONT_API, OUT };
	enum rc rc = RC_OK;

	if (config_is_secondary(config))
		return add_secondary(p, config, users, d);
	for (size_t i = 0; i < ARRAY_LEN(single) && rc == RC_OK; i++) {
		size_t n = add_child(p, users, single[i].user, single[i].stage);
		rc = str_copy(p->children[n].name, SUPERVISOR_NAME_MAX, single[i].name);
	}
	/* Before zone's other links: it tells core what all dns that live serve. */
	if (rc == RC_OK)
		rc = add_dns(p, config, users, ZONE, d);
	add_link(p, CORE, KEYS);
	add_link(p, ZONE, KEYS);
	add_link(p, CORE, ZONE);
	add_link(p, FRONT_API, CORE);
	add_link(p, OUT, CORE);
	add_link(p, OUT, ZONE);
	if (rc == RC_OK)
		rc = open_front(p, config, "https", config->https.listen, FRONT_API, d);
	if (rc == RC_OK && config->epp.listen.len > 0)
		rc = add_epp(p, config, users, CORE, d);
	return rc;
}

enum rc plan_open(struct plan *out, const struct config *config, const struct log *log,
	const struct clock *clock, struct diag *d)
{
	struct role_users users;
	enum rc rc;

	*out = (struct plan){ 0 };
	out->supervisor = (struct supervisor_plan){
		.children = out->children,
		.links = out->links,
		.config_file = config->file,
		.run_folder = config->supervisor.run_folder,
		.log = log,
		.clock = clock,
		.heartbeat_ms = config->supervisor.heartbeat_ms,
		.heartbeat_timeout_ms = config->supervisor.heartbeat_timeout_ms,
		.start_timeout_ms = config->supervisor.start_timeout_ms,
		.restart_ms = config->supervisor.restart_ms,
		.restart_max_ms = config->supervisor.restart_max_ms,
		.stop_timeout_ms = config->supervisor.stop_timeout_ms,
	};
	(void)mkdir(config->supervisor.run_folder, 0755);
	if (config_is_secondary(config))
		(void)mkdir(config->zone.folder, 0750);
	role_users_of(config, &users);
	rc = role_folders_give(config, &users, d);
	if (rc == RC_OK)
		rc = add_roles(out, config, &users, d);
	if (rc != RC_OK)
		plan_close(out);
	return rc;
}

void plan_close(struct plan *plan)
{
	for (size_t i = 0; i < plan->fd_count; i++)
		close(plan->fds[i]);
	plan->fd_count = 0;
}
