/* SPDX-License-Identifier: Apache-2.0 */
#include "backup.h"
#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 30) /* the issue log grows with the registry */

/* The root key is kept elsewhere; the zone is made again from the database. */
static const struct {
	const char *name;
	mode_t mode;
	bool secret;
} folders[] = {
	{ "ca", 0755, false },
	{ "tls", 0711, false },
	{ "operator", 0700, true },
	{ "keys", 0700, true },
};

static enum rc read_hashed(
	const char *path, uint8_t **out, size_t *len, char hex[65], struct diag *d)
{
	uint8_t hash[32];
	enum rc rc = file_read(path, FILE_MAX, out, len, d);

	if (rc != RC_OK)
		return rc;
	if (!EVP_Digest(*out, *len, hash, NULL, EVP_sha256(), NULL)) {
		free(*out);
		return RC_CRYPTO;
	}
	hex_write(hash, sizeof(hash), hex);
	return RC_OK;
}

/* `name` from one folder to another, with its mode. */
static enum rc copy_file(
	const char *from, const char *to, const char *name, char hex[65], struct diag *d)
{
	char a[PATH_MAX], b[PATH_MAX];
	uint8_t *bytes = NULL;
	size_t len = 0;
	struct stat st;
	enum rc rc = str_format(a, sizeof(a), "%s/%s", from, name);

	if (rc == RC_OK)
		rc = str_format(b, sizeof(b), "%s/%s", to, name);
	if (rc == RC_OK && stat(a, &st) != 0)
		rc = diag_errno(d, RC_IO, "%s", a);
	if (rc == RC_OK)
		rc = read_hashed(a, &bytes, &len, hex, d);
	if (rc == RC_OK)
		rc = file_write_atomic(b, bytes, len, st.st_mode & 0777, d);
	if (bytes)
		OPENSSL_cleanse(bytes, len);
	free(bytes);
	return rc;
}

static enum rc make_folder(const char *top, const char *name, mode_t mode, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = str_format(path, sizeof(path), "%s/%s", top, name);

	if (rc == RC_OK && mkdir(path, mode) != 0 && errno != EEXIST)
		rc = diag_errno(d, RC_IO, "%s", path);
	return rc;
}

static enum rc note_file(
	const char *from, const char *to, const char *name, json_t *files, struct diag *d)
{
	char hex[65];
	enum rc rc = copy_file(from, to, name, hex, d);

	if (rc == RC_OK && json_object_set_new(files, name, json_string(hex)) != 0)
		rc = RC_NOMEM;
	return rc;
}

static enum rc backup_folder(
	const char *dir, const char *to, const char *folder, json_t *files, struct diag *d)
{
	char path[PATH_MAX], name[PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *open_dir;
	enum rc rc = str_format(path, sizeof(path), "%s/%s", dir, folder);

	if (rc != RC_OK)
		return rc;
	open_dir = opendir(path);
	if (!open_dir)
		return diag_errno(d, RC_IO, "%s", path);
	while (rc == RC_OK && (e = readdir(open_dir))) {
		if (fstatat(dirfd(open_dir), e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
			continue;
		rc = str_format(name, sizeof(name), "%s/%s", folder, e->d_name);
		if (rc == RC_OK)
			rc = note_file(dir, to, name, files, d);
	}
	closedir(open_dir);
	return rc;
}

enum rc backup_files(const char *dir, const char *backup, bool keys, json_t *files, struct diag *d)
{
	char to[PATH_MAX];
	enum rc rc = make_folder(backup, "files", 0700, d);

	if (rc == RC_OK)
		rc = str_format(to, sizeof(to), "%s/files", backup);
	if (rc == RC_OK)
		rc = note_file(dir, to, "attestry.conf", files, d);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(folders); i++) {
		/* tls holds private keys too: of the servers, not of the registry. */
		if (folders[i].secret && !keys)
			continue;
		rc = make_folder(to, folders[i].name, 0700, d);
		if (rc == RC_OK)
			rc = backup_folder(dir, to, folders[i].name, files, d);
	}
	return rc;
}

/* A manifest comes from a place that others may write: only names as we make them. */
static bool name_ok(const char *name)
{
	const char *slash = strchr(name, '/');

	if (strcmp(name, "attestry.conf") == 0)
		return true;
	if (!slash || strchr(slash + 1, '/') || slash[1] == '.' || slash[1] == '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		size_t n = strlen(folders[i].name);

		if ((size_t)(slash - name) == n && strncmp(name, folders[i].name, n) == 0)
			return true;
	}
	return false;
}

static enum rc make_place(const char *dir, struct diag *d)
{
	static const char *const more[] = { "db", "zone", "run", "root" };
	enum rc rc = RC_OK;

	if (mkdir(dir, 0711) != 0 && errno != EEXIST)
		return diag_errno(d, RC_IO, "%s", dir);
	if (rmdir(dir) != 0 || mkdir(dir, 0711) != 0)
		return diag_errno(d, RC_EXISTS, "%s: must be absent or empty", dir);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(folders); i++)
		rc = make_folder(dir, folders[i].name, folders[i].mode, d);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(more); i++)
		rc = make_folder(dir, more[i], i == 1 ? 0750 : i == 2 ? 0755 : 0700, d);
	return rc;
}

enum rc restore_files(const char *backup, const char *dir, const json_t *files, struct diag *d)
{
	char from[PATH_MAX], hex[65];
	const char *name;
	json_t *hash;
	enum rc rc = str_format(from, sizeof(from), "%s/files", backup);

	if (rc == RC_OK)
		rc = make_place(dir, d);
	if (rc != RC_OK)
		return rc;
	json_object_foreach((json_t *)(uintptr_t)files, name, hash)
	{
		if (!name_ok(name))
			return diag_set(d, RC_MALFORMED, "the manifest names %s", name);
		rc = copy_file(from, dir, name, hex, d);
		if (rc == RC_OK &&
			(!json_is_string(hash) || strcmp(hex, json_string_value(hash)) != 0))
			rc = diag_set(d, RC_CONFLICT, "%s is not what the manifest says", name);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* The line's start, at the begin of a line: "database" and "=" with blanks between. */
static bool is_database_line(const char *line)
{
	size_t n = strcspn(line, " \t=\n");

	if (n != strlen("database") || strncmp(line, "database", n) != 0)
		return false;
	for (line += n; *line == ' ' || *line == '\t'; line++)
		;
	return *line == '=';
}

enum rc backup_set_database(const char *conf, const char *url, struct diag *d)
{
	uint8_t *text = NULL;
	char *out = NULL, *line;
	size_t len = 0, out_len = 0;
	bool done = false;
	FILE *f = open_memstream(&out, &out_len);
	enum rc rc = f ? file_read(conf, 1u << 20, &text, &len, d) : RC_NOMEM;

	for (line = (char *)text; rc == RC_OK && *line;) {
		size_t n = strcspn(line, "\n");
		bool section = strncmp(line, "[registry]", 10) == 0;
		bool replace = is_database_line(line);

		if (!replace)
			fwrite(line, 1, n, f);
		if (!replace)
			fputc('\n', f);
		if (section) {
			fprintf(f, "database = %s\n", url);
			done = true;
		}
		line += n + (line[n] == '\n');
	}
	if (f && fclose(f) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK && !done)
		rc = diag_set(d, RC_MALFORMED, "%s: no section [registry]", conf);
	if (rc == RC_OK)
		rc = file_write_atomic(conf, out, out_len, 0644, d);
	free(out);
	free(text);
	return rc;
}
