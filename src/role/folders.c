/* SPDX-License-Identifier: Apache-2.0 */
#include "role/folders.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct owner {
	uid_t uid;
	gid_t gid;
	mode_t folder, file;
};

void role_users_of(const struct config *config, struct role_users *out)
{
	*out = (struct role_users){ 0 };
	if (geteuid() != 0 || config->supervisor.user_base == 0)
		return;
	for (size_t i = 0; i < USERS; i++) {
		out->uid[i] = (uid_t)config->supervisor.user_base + (uid_t)i;
		out->gid[i] = (gid_t)out->uid[i];
	}
}

/* Owner and mode of one open file or folder. */
static enum rc give(int fd, const char *name, const struct owner *to, mode_t mode, struct diag *d)
{
	if (fchown(fd, to->uid, to->gid) != 0 || fchmod(fd, mode) != 0)
		return diag_errno(d, RC_IO, "%s", name);
	return RC_OK;
}

/* A role owns its folder and could plant a link in it to have root give it a file: only regular
 * files with one name, opened without following, change hands. */
static enum rc give_entry(int folder, const char *name, const struct owner *to, struct diag *d)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	enum rc rc = RC_OK;
	struct stat st;

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO || errno == ENOENT
			       ? RC_OK
			       : diag_errno(d, RC_IO, "%s", name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
		rc = give(fd, name, to, to->file, d);
	close(fd);
	return rc;
}

static enum rc give_folder(const char *path, const struct owner *to, struct diag *d)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	enum rc rc = RC_OK;
	DIR *dir;

	if (fd < 0)
		return diag_errno(d, RC_IO, "%s", path);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return RC_NOMEM;
	}
	for (struct dirent *e = readdir(dir); e && rc == RC_OK; e = readdir(dir))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = give_entry(fd, e->d_name, to, d);
	if (rc == RC_OK)
		rc = give(fd, path, to, to->folder, d);
	closedir(dir);
	if (rc != RC_OK)
		diag_prefix(d, path);
	return rc;
}

static enum rc give_file(const char *path, const struct owner *to, struct diag *d)
{
	return path[0] ? give_entry(AT_FDCWD, path, to, d) : RC_OK;
}

/* Everybody must be able to walk to the registry's folder. */
static enum rc check_walk(const char *dir, struct diag *d)
{
	char path[4096];
	struct stat st;
	enum rc rc = str_copy(path, sizeof(path), dir);

	while (rc == RC_OK) {
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			return RC_OK;
		*slash = '\0';
		if (stat(path, &st) != 0)
			return diag_errno(d, RC_IO, "%s", path);
		if (!(st.st_mode & S_IXOTH))
			return diag_set(d, RC_DENIED,
				"%s is closed to the users of the roles (mode %04o): move the "
				"registry, or set user_base = 0",
				path, (unsigned)st.st_mode & 07777);
	}
	return rc;
}

/* Public files stay root's: 0644 in folders that all may enter. */
static enum rc open_to_all(const char *path, mode_t mode, struct diag *d)
{
	return chmod(path, mode) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", path);
}

static enum rc give_tls(const struct config *config, const struct role_users *users, struct diag *d)
{
	const struct owner dns = { users->uid[USER_DNS], users->gid[USER_DNS], 0700, 0600 };
	const struct owner front = { users->uid[USER_FRONT_API], users->gid[USER_FRONT_API], 0700,
		0600 };
	const struct owner epp = { users->uid[USER_FRONT_EPP], users->gid[USER_FRONT_EPP], 0700,
		0600 };
	/* Both dns and out sign with them. */
	const struct owner shared = { users->uid[USER_DNS], users->gid[USER_OUT], 0700, 0640 };
	char folder[4096];
	enum rc rc = str_copy(folder, sizeof(folder), config->https.key);

	if (rc != RC_OK)
		return rc;
	*strrchr(folder, '/') = '\0';
	rc = open_to_all(folder, 0711, d);
	if (rc == RC_OK)
		rc = give_file(config->https.key, &front, d);
	if (rc == RC_OK && config->dns.dot.len > 0)
		rc = give_file(config->dns.dot_key, &dns, d);
	if (rc == RC_OK && config->epp.listen.len > 0)
		rc = give_file(config->epp.key, &epp, d);
	if (rc == RC_OK)
		rc = give_file(config->dns.transfer_keys, &shared, d);
	return rc;
}

enum rc role_folders_give(
	const struct config *config, const struct role_users *users, struct diag *d)
{
	const struct owner keys = { users->uid[USER_KEYS], users->gid[USER_KEYS], 0700, 0600 };
	const struct owner core = { users->uid[USER_CORE], users->gid[USER_CORE], 0700, 0600 };
	const struct owner zone = { users->uid[USER_ZONE], users->gid[USER_ZONE], 0750, 0640 };
	char db[4096];
	enum rc rc;

	if (users->uid[USER_KEYS] == 0)
		return RC_OK;
	rc = check_walk(config->dir, d);
	if (rc == RC_OK)
		rc = open_to_all(config->dir, 0711, d);
	if (rc == RC_OK)
		rc = open_to_all(config->file, 0644, d);
	if (rc == RC_OK)
		rc = give_folder(config->zone.folder, &zone, d);
	if (config_is_secondary(config))
		return rc == RC_OK ? give_tls(config, users, d) : rc;
	if (rc == RC_OK)
		rc = open_to_all(config->keys.ca_folder, 0755, d);
	if (rc == RC_OK)
		rc = give_folder(config->keys.folder, &keys, d);
	if (rc == RC_OK)
		rc = config_database_folder(config, db, sizeof(db), d);
	if (rc == RC_OK)
		rc = give_folder(db, &core, d);
	return rc == RC_OK ? give_tls(config, users, d) : rc;
}
