/* SPDX-License-Identifier: Apache-2.0 */
#include "node_files.h"

#include "base/file.h"
#include "base/str.h"
#include "ca/cert.h"
#include "ca/keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

static enum rc join(char out[PATH_MAX], const char *dir, const char *name, struct diag *d)
{
	enum rc rc = str_format(out, PATH_MAX, "%s/%s", dir, name);

	return rc == RC_OK ? rc : diag_set(d, rc, "%s: path too long", dir);
}

static enum rc make_dir(const char *top, const char *name, mode_t mode, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = join(path, top, name, d);

	if (rc == RC_OK && mkdir(path, mode) != 0 && errno != EEXIST)
		rc = diag_errno(d, RC_IO, "%s", path);
	return rc;
}

/* ---- configuration -------------------------------------------------------------------------- */

/* Whether a line says "name =". */
static bool sets(const char *line, const char *name)
{
	size_t n = strcspn(line, " \t=\n");

	if (n != strlen(name) || strncmp(line, name, n) != 0)
		return false;
	for (line += n; *line == ' ' || *line == '\t'; line++)
		;
	return *line == '=';
}

static void copy_lines(FILE *f, const char *text, const char *section, const char *name,
	const char *value, bool *done)
{
	char head[80];
	bool inside = false;

	snprintf(head, sizeof(head), "[%s]", section);
	while (*text) {
		size_t n = strcspn(text, "\n");

		if (*text == '[')
			inside = strncmp(text, head, strlen(head)) == 0;
		if (!(inside && sets(text, name)))
			fprintf(f, "%.*s\n", (int)n, text);
		if (*text == '[' && inside) {
			fprintf(f, "%s = %s\n", name, value);
			*done = true;
		}
		text += n + (text[n] == '\n');
	}
}

enum rc node_conf_set(
	const char *conf, const char *section, const char *name, const char *value, struct diag *d)
{
	uint8_t *text = NULL;
	char *out = NULL;
	size_t len = 0, out_len = 0;
	bool done = false;
	FILE *f = open_memstream(&out, &out_len);
	enum rc rc = f ? file_read(conf, FILE_MAX, &text, &len, d) : RC_NOMEM;

	if (rc == RC_OK) {
		copy_lines(f, (const char *)text, section, name, value, &done);
		if (!done)
			fprintf(f, "\n[%s]\n%s = %s\n", section, name, value);
	}
	if (f && fclose(f) != 0 && rc == RC_OK)
		rc = RC_NOMEM;
	if (rc == RC_OK)
		rc = file_write_atomic(conf, out, out_len, 0644, d);
	free(out);
	free(text);
	return rc;
}

/* ---- folders -------------------------------------------------------------------------------- */

enum rc node_folder_make(const char *to, uint8_t point[CA_POINT_LEN], struct diag *d)
{
	static const struct {
		const char *name;
		mode_t mode;
	} folders[] = { { "ca", 0755 }, { "tls", 0711 }, { "keys", 0700 }, { "db", 0700 },
		{ "zone", 0750 }, { "run", 0755 } };
	struct ca_key key = { 0 };
	char path[PATH_MAX];
	enum rc rc = RC_OK;

	if (mkdir(to, 0711) != 0 && errno != EEXIST)
		return diag_errno(d, RC_IO, "%s", to);
	if (rmdir(to) != 0 || mkdir(to, 0711) != 0)
		return diag_errno(d, RC_EXISTS, "%s: must be absent or empty", to);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(folders); i++)
		rc = make_dir(to, folders[i].name, folders[i].mode, d);
	if (rc == RC_OK)
		rc = join(path, to, "keys/" CA_NODE_KEY_FILE, d);
	if (rc == RC_OK)
		rc = ca_key_new(&key, d);
	if (rc == RC_OK)
		rc = ca_key_store(&key, path, d);
	memcpy(point, key.point, CA_POINT_LEN);
	ca_key_free(&key);
	return rc;
}

static enum rc copy_file(const char *from, const char *to, const char *name, struct diag *d)
{
	char a[PATH_MAX], b[PATH_MAX];
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = join(a, from, name, d);

	if (rc == RC_OK)
		rc = join(b, to, name, d);
	if (rc == RC_OK)
		rc = file_read(a, FILE_MAX, &bytes, &len, d);
	if (rc == RC_OK)
		rc = file_write_atomic(b, bytes, len, 0644, d);
	free(bytes);
	return rc;
}

/* Certificates: what is public. */
static enum rc copy_pems(const char *from, const char *to, struct diag *d)
{
	DIR *dir = opendir(from);
	struct dirent *e;
	enum rc rc = RC_OK;

	if (!dir)
		return diag_errno(d, RC_IO, "%s", from);
	while (rc == RC_OK && (e = readdir(dir))) {
		size_t n = strlen(e->d_name);

		if (n > 4 && strcmp(e->d_name + n - 4, ".pem") == 0)
			rc = copy_file(from, to, e->d_name, d);
	}
	closedir(dir);
	return rc;
}

static enum rc copy_folders(const char *from, const char *to, struct diag *d)
{
	static const char *const names[] = { "ca", "ca/makers", "tls" };
	char a[PATH_MAX], b[PATH_MAX];
	struct stat st;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(names); i++) {
		rc = join(a, from, names[i], d);
		if (rc == RC_OK)
			rc = join(b, to, names[i], d);
		if (rc == RC_OK && stat(a, &st) != 0)
			continue;
		if (rc == RC_OK)
			rc = make_dir(to, names[i], 0755, d);
		if (rc == RC_OK)
			rc = copy_pems(a, b, d);
	}
	return rc;
}

/* ---- the bundle ----------------------------------------------------------------------------- */

static enum rc write_sealed(const char *folder, const struct ca_key *party, const char *name,
	const uint8_t point[CA_POINT_LEN], const char *out, const char *file, struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *bytes = NULL;
	size_t len = 0;
	enum rc rc = join(path, out, file, d);

	if (rc == RC_OK)
		rc = ca_bundle_seal(folder, CA_BUNDLE_ALL, 0, party, name, point, &bytes, &len, d);
	if (rc == RC_OK)
		rc = file_write_atomic(path, bytes, len, 0600, d);
	free(bytes);
	return rc;
}

enum rc node_bundle_write(const struct config *config, const char *out, const char *name,
	const uint8_t point[CA_POINT_LEN], struct diag *d)
{
	struct ca_key party = { 0 };
	char path[PATH_MAX], conf[PATH_MAX];
	enum rc rc = join(path, config->keys.folder, "party.key", d);

	if (rc == RC_OK && mkdir(out, 0700) != 0)
		rc = diag_errno(d, errno == EEXIST ? RC_EXISTS : RC_IO, "%s", out);
	if (rc == RC_OK)
		rc = ca_key_load(&party, path, d);
	if (rc == RC_OK)
		rc = copy_file(config->dir, out, "attestry.conf", d);
	if (rc == RC_OK)
		rc = join(conf, out, "attestry.conf", d);
	if (rc == RC_OK)
		rc = node_conf_set(conf, "node", "name", name, d);
	if (rc == RC_OK)
		rc = copy_folders(config->dir, out, d);
	if (rc == RC_OK)
		rc = write_sealed(config->keys.folder, &party, name, point, out, "keys.sealed", d);
	if (rc == RC_OK)
		rc = join(path, config->dir, "tls", d);
	if (rc == RC_OK)
		rc = write_sealed(path, &party, name, point, out, "tls.sealed", d);
	ca_key_free(&party);
	return rc;
}

/* The party CA's certificate of the bundle says whose signature counts: whoever carries the bundle
 * over vouches for it, as for everything else in it. */
static enum rc party_point(const char *from, uint8_t point[CA_POINT_LEN], struct diag *d)
{
	uint8_t der[4096];
	char path[PATH_MAX];
	struct ca_cert cert;
	size_t len = 0;
	enum rc rc = join(path, from, "ca/party.pem", d);

	if (rc == RC_OK)
		rc = ca_pem_load(path, "CERTIFICATE", der, sizeof(der), &len, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(der, len, &cert, d);
	if (rc == RC_OK && !cert.point)
		rc = diag_set(d, RC_UNSUPPORTED, "%s: not a P-256 key", path);
	if (rc == RC_OK)
		memcpy(point, cert.point, CA_POINT_LEN);
	return rc;
}

static enum rc open_sealed(const char *from, const char *file, const char *folder,
	const struct ca_key *key, const uint8_t party[CA_POINT_LEN], const char *name,
	struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *bytes = NULL;
	size_t len = 0;
	uint64_t version;
	enum rc rc = join(path, from, file, d);

	if (rc == RC_OK)
		rc = file_read(path, CA_BUNDLE_MAX, &bytes, &len, d);
	if (rc == RC_OK)
		rc = ca_bundle_open(
			folder, CA_BUNDLE_ALL, key, party, name, 0, bytes, len, &version, d);
	free(bytes);
	return rc;
}

enum rc node_bundle_take(const char *from, const char *to, const char *name, struct diag *d)
{
	uint8_t party[CA_POINT_LEN];
	struct ca_key key = { 0 };
	char path[PATH_MAX];
	enum rc rc = join(path, to, "keys/" CA_NODE_KEY_FILE, d);

	if (rc == RC_OK)
		rc = ca_key_load(&key, path, d);
	if (rc == RC_OK)
		rc = party_point(from, party, d);
	if (rc == RC_OK)
		rc = copy_file(from, to, "attestry.conf", d);
	if (rc == RC_OK)
		rc = copy_folders(from, to, d);
	if (rc == RC_OK)
		rc = join(path, to, "keys", d);
	if (rc == RC_OK)
		rc = open_sealed(from, "keys.sealed", path, &key, party, name, d);
	if (rc == RC_OK)
		rc = join(path, to, "tls", d);
	if (rc == RC_OK)
		rc = open_sealed(from, "tls.sealed", path, &key, party, name, d);
	ca_key_free(&key);
	return rc;
}
