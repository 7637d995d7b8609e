/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of role may touch: the table of design section 3 in code. All listening sockets
 * come from the supervisor, links from its control socket: no role makes a socket, but `out`. */
#include "role/role.h"
#include "role/role_internal.h"
#include "base/str.h"

#include <string.h>

#define FILES_RW (CONFINE_READ_FILES | CONFINE_WRITE_FILES)

static const unsigned may_of[ROLE_KINDS] = {
	[ROLE_KEYS] = FILES_RW | CONFINE_THREADS,
	[ROLE_CORE] = FILES_RW | CONFINE_THREADS,
	[ROLE_ZONE] = FILES_RW,
	[ROLE_DNS] = CONFINE_READ_FILES | CONFINE_ACCEPT | CONFINE_DATAGRAMS | CONFINE_SPOOL,
	[ROLE_FRONT] = CONFINE_READ_FILES | CONFINE_ACCEPT,
	[ROLE_OUT] = CONFINE_CONNECT | CONFINE_THREADS,
};

static void add_path(struct confine *c, const char *path, bool write)
{
	c->paths[c->path_count++] = (struct confine_path){ path, write };
}

/* What a PKCS#11 module needs of the file system after it is loaded. */
static enum rc add_token_paths(const struct config *conf, struct confine *c, struct diag *d)
{
	const struct conf_list *l = &conf->keys.pkcs11_paths;

	if (!conf->keys.pkcs11_module[0])
		return RC_OK;
	if (conf->keys.pkcs11_config[0])
		add_path(c, conf->keys.pkcs11_config, false);
	for (size_t i = 0; i < l->count; i++) {
		if (!l->items[i][0])
			continue;
		if (c->path_count == CONFINE_PATHS_MAX)
			return diag_set(d, RC_TOO_LARGE, "[keys] pkcs11_paths: too many");
		add_path(c, l->items[i], true);
	}
	return RC_OK;
}

static bool is_epp(const struct role *role)
{
	return strcmp(role->class, "epp") == 0;
}

static enum rc add_paths(
	const struct role *role, struct confine *c, struct role__paths *store, struct diag *d)
{
	const struct config *conf = role->config;
	enum rc rc = RC_OK;

	switch (role->kind) {
	case ROLE_KEYS:
		add_path(c, conf->keys.folder, true);
		add_path(c, conf->keys.ca_folder, false);
		rc = add_token_paths(conf, c, d);
		break;
	case ROLE_CORE:
		rc = config_database_folder(conf, store->db_folder, sizeof(store->db_folder), d);
		if (rc != RC_OK)
			return rc;
		if (config_is_postgres(conf)) /* a lost connection is opened again */
			c->may |= CONFINE_CONNECT | CONFINE_CONNECT_UNIX;
		add_path(c, store->db_folder, true);
		add_path(c, conf->keys.ca_folder, false);
		break;
	case ROLE_ZONE: add_path(c, conf->zone.folder, true); break;
	case ROLE_DNS:
		add_path(c, conf->zone.folder, false);
		if (conf->dns.dot.len > 0) {
			add_path(c, conf->dns.dot_cert, false);
			add_path(c, conf->dns.dot_key, false);
		}
		break;
	case ROLE_FRONT:
		add_path(c, is_epp(role) ? conf->epp.cert : conf->https.cert, false);
		add_path(c, is_epp(role) ? conf->epp.key : conf->https.key, false);
		add_path(c, conf->https.client_ca, false);
		if (!is_epp(role))
			add_path(c, conf->keys.ca_folder, false);
		break;
	case ROLE_OUT:
	case ROLE_KINDS: break;
	}
	return rc;
}

enum rc role__confinement(
	const struct role *role, struct confine *out, struct role__paths *store, struct diag *d)
{
	struct confine c = {
		.may = may_of[role->kind],
		.landlock_required = role->config->supervisor.landlock == CONFIG_LANDLOCK_REQUIRE,
	};
	enum rc rc = add_paths(role, &c, store, d);

	if (rc == RC_OK)
		*out = c;
	return rc;
}

enum rc role_confine(struct role *role, struct diag *d)
{
	struct role__paths store;
	struct confine c;
	enum rc rc = role__confinement(role, &c, &store, d);

	return rc == RC_OK ? confine_apply(&c, role->log, d) : rc;
}
