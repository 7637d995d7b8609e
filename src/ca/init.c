/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/init.h"
#include "base/file.h"
#include "base/str.h"
#include "ca/csr.h"
#include "ca/init__.h"
#include "ca/keyfile.h"
#include "ca/rrsign.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY	     INT64_C(86400)
#define ROOT_DAYS    7300
#define ISSUING_DAYS 3650
#define SERVER_DAYS  CA_LEAF_DAYS_MAX
#define BACKDATE     DAY /* devices and peers whose clocks are a little behind */

enum which {
	ROOT,
	ISSUING,
	DEVKIT,
	PARTY,
	PAYLOAD,
	SEAL,
	KSK,
	ZSK,
	HTTPS,
	DOT,
	EPP,
	OPERATOR,
	KEYS
};

static const char *const key_files[KEYS] = {
	[ROOT] = "root/root.key",
	[ISSUING] = "keys/issuing.key",
	[DEVKIT] = "keys/devkit.key",
	[PARTY] = "keys/party.key",
	[PAYLOAD] = "keys/payload.key",
	[SEAL] = "keys/seal.key",
	[KSK] = "keys/ksk.key",
	[ZSK] = "keys/zsk.key",
	[HTTPS] = "tls/https.key",
	[DOT] = "tls/dot.key",
	[EPP] = "tls/epp.key",
	[OPERATOR] = "operator/operator.key",
};

static const struct {
	const char *name;
	mode_t mode;
} folders[] = {
	{ "keys", 0700 },
	{ "ca", 0755 },
	{ "root", 0700 },
	{ "tls", 0755 },
	{ "operator", 0755 },
	{ "db", 0700 },
	{ "zone", 0755 },
	{ "run", 0755 },
};

struct making {
	const struct ca_init_params *p;
	char tmp[PATH_MAX]; /* where it is made before it takes its place; "" when there is none */
	struct ca_crypt *x;
	struct ca_key keys[KEYS];
	struct ca_issuer root, issuing, devkit, party;
	struct ca_zone zone;
	struct ca__records records;
	int64_t not_before;
};

static int64_t days_or(unsigned days, unsigned otherwise)
{
	return (int64_t)(days ? days : otherwise) * DAY;
}

static enum rc check_params(const struct ca_init_params *p, struct diag *d)
{
	uint8_t wire[CA_NAME_WIRE_MAX];
	size_t len;

	if (strlen(p->zone) > CA_ZONE_MAX)
		return diag_set(d, RC_RANGE,
			"zone: %zu characters, at most %d: CN = slot.iccid.zone holds 64 (RFC 5280 "
			"appendix A)",
			strlen(p->zone), CA_ZONE_MAX);
	return ca_name_to_wire(p->zone, wire, &len, d);
}

static enum rc check_folder(const char *dir, struct diag *d)
{
	struct dirent *e;
	DIR *f = opendir(dir);
	enum rc rc = RC_OK;

	if (!f)
		return errno == ENOENT ? RC_OK : diag_errno(d, RC_IO, "%s", dir);
	while (rc == RC_OK && (e = readdir(f)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = diag_set(d, RC_EXISTS, "%s: is not empty", dir);
	closedir(f);
	return rc;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static enum rc make_folders(struct making *m, struct diag *d)
{
	char path[PATH_MAX];
	size_t len = strlen(m->p->dir);
	enum rc rc;

	while (len > 1 && m->p->dir[len - 1] == '/')
		len--;
	rc = str_format(path, sizeof(path), "%.*s.init-XXXXXX", (int)len, m->p->dir);
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: path too long", m->p->dir);
	if (!mkdtemp(path))
		return diag_errno(d, RC_IO, "%s: cannot be made", m->p->dir);
	rc = str_copy(m->tmp, sizeof(m->tmp), path);
	if (rc == RC_OK && chmod(path, 0755) != 0)
		rc = diag_errno(d, RC_IO, "%s", path);
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(folders); i++) {
		rc = ca__path(path, m->tmp, folders[i].name, d);
		if (rc == RC_OK && (mkdir(path, 0700) != 0 || chmod(path, folders[i].mode) != 0))
			rc = diag_errno(d, RC_IO, "%s", path);
	}
	return rc;
}

static enum rc make_keys(struct making *m, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < KEYS; i++) {
		if (i == ROOT && m->p->root_csr)
			continue;
		rc = ca_key_new(&m->keys[i], d);
		if (rc == RC_OK)
			rc = ca__path(path, m->tmp, key_files[i], d);
		if (rc == RC_OK)
			rc = ca_key_store(&m->keys[i], path, d);
	}
	return rc;
}

/* A CA's certificate and the issuer made of it; self-signed when `parent` is NULL. */
static enum rc make_ca(struct making *m, enum which which, enum ca_profile profile,
	const struct ca_issuer *parent, const char *cn, const char *file, int64_t life,
	struct ca_issuer *out, struct diag *d)
{
	uint8_t der[CA_CERT_MAX];
	size_t len = 0;
	struct ca_cert_spec spec = {
		.profile = profile,
		.cn = cn,
		.dns = { m->p->zone },
		.dns_count = profile == CA_ISSUING ? 1 : 0,
		.not_before = m->not_before,
		.not_after = m->p->now + life,
	};
	enum rc rc = ca__make_cert(m->x, parent, &m->keys[which], &spec, m->tmp, file, m->p->now,
		&m->records, der, &len, d);

	return rc == RC_OK ? ca_issuer_init(out, &m->keys[which], der, len, d) : rc;
}

/* CN of the two issuing CAs; 41 characters of zone leave 23 (RFC 5280: 64). */
static enum rc issuing_names(
	const struct making *m, char issuing[CA_NAME_MAX + 1], char devkit[CA_NAME_MAX + 1])
{
	enum rc rc = str_format(issuing, CA_NAME_MAX + 1, "%s IoT Registry CA", m->p->zone);

	return rc == RC_OK ? str_format(devkit, CA_NAME_MAX + 1, "%s IoT Registry Devkit CA",
				     m->p->zone)
			   : rc;
}

static enum rc make_device_cas(struct making *m, struct diag *d)
{
	char root[CA_NAME_MAX + 1], issuing[CA_NAME_MAX + 1], devkit[CA_NAME_MAX + 1];
	int64_t life = days_or(m->p->issuing_days, ISSUING_DAYS);
	enum rc rc = issuing_names(m, issuing, devkit);

	if (rc == RC_OK)
		rc = str_format(root, sizeof(root), "%s IoT Registry Root CA", m->p->zone);
	if (rc == RC_OK)
		rc = make_ca(m, ROOT, CA_ROOT, NULL, root, "ca/root.pem",
			days_or(m->p->root_days, ROOT_DAYS), &m->root, d);
	if (rc == RC_OK)
		rc = make_ca(m, ISSUING, CA_ISSUING, &m->root, issuing, "ca/issuing.pem", life,
			&m->issuing, d);
	if (rc == RC_OK)
		rc = make_ca(m, DEVKIT, CA_ISSUING, &m->root, devkit, "ca/devkit.pem", life,
			&m->devkit, d);
	if (rc == RC_OK)
		rc = ca__make_payload_certs(m->x, &m->issuing, &m->devkit, &m->keys[PAYLOAD],
			"payload", m->tmp, m->p->zone, m->p->now, &m->records, d);
	if (rc == RC_OK)
		rc = ca__write_chains(
			m->tmp, &m->issuing, &m->devkit, m->root.cert, m->root.cert_len, d);
	return rc;
}

static enum rc make_request(
	struct making *m, enum which which, const char *cn, const char *file, struct diag *d)
{
	uint8_t der[CA_CSR_MAX];
	char path[PATH_MAX], pem[CA_PEM_LEN(CA_CSR_MAX)];
	size_t len = 0;
	enum rc rc = ca_csr_write(m->x, &m->keys[which], cn, NULL, der, &len, d);

	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE REQUEST", der, len, pem, sizeof(pem));
	if (rc == RC_OK)
		rc = ca__path(path, m->tmp, file, d);
	return rc == RC_OK ? file_write_atomic(path, pem, strlen(pem), 0644, d) : rc;
}

static enum rc make_requests(struct making *m, struct diag *d)
{
	char issuing[CA_NAME_MAX + 1], devkit[CA_NAME_MAX + 1];
	enum rc rc = issuing_names(m, issuing, devkit);

	if (rc == RC_OK)
		rc = make_request(m, ISSUING, issuing, "ca/issuing.csr", d);
	return rc == RC_OK ? make_request(m, DEVKIT, devkit, "ca/devkit.csr", d) : rc;
}

static enum rc add_ip(struct ca_cert_spec *spec, const char *text, struct diag *d)
{
	struct ca_ip *ip = &spec->ip[spec->ip_count];

	if (spec->ip_count == CA_SAN_MAX)
		return diag_set(d, RC_RANGE, "address: too many");
	if (inet_pton(AF_INET, text, ip->addr) == 1)
		ip->len = 4;
	else if (inet_pton(AF_INET6, text, ip->addr) == 1)
		ip->len = 16;
	else
		return diag_set(d, RC_RANGE, "address: %s: neither IPv4 nor IPv6", text);
	spec->ip_count++;
	return RC_OK;
}

static enum rc make_server(struct making *m, enum which which, const char *builtin,
	const char *const *names, const char *file, struct diag *d)
{
	struct ca_cert_spec spec = {
		.profile = CA_SERVER,
		.not_before = m->not_before,
		.not_after = m->not_before + days_or(m->p->server_days, SERVER_DAYS),
	};
	enum rc rc = add_ip(&spec, "127.0.0.1", d);

	if (rc == RC_OK)
		rc = add_ip(&spec, "::1", d);
	for (size_t i = 0; rc == RC_OK && i < CA_INIT_NAMES_MAX && m->p->ips[i]; i++)
		rc = add_ip(&spec, m->p->ips[i], d);
	for (size_t i = 0; i < CA_INIT_NAMES_MAX && names[i]; i++)
		spec.dns[spec.dns_count++] = names[i];
	spec.dns[spec.dns_count++] = builtin;
	spec.cn = spec.dns[0];
	if (rc == RC_OK)
		rc = ca__make_cert(m->x, &m->party, &m->keys[which], &spec, m->tmp, file, m->p->now,
			&m->records, NULL, NULL, d);
	return rc;
}

/* The party CA stands by itself: no path leads from a device's root to a login. */
static enum rc make_party_side(struct making *m, struct diag *d)
{
	char cn[CA_NAME_MAX + 1], ns[CA_NAME_MAX + 1];
	struct ca_cert_spec who = {
		.profile = CA_PARTY,
		.cn = "operator",
		.not_before = m->not_before,
		.not_after = m->not_before + days_or(m->p->server_days, SERVER_DAYS),
	};
	enum rc rc = str_format(cn, sizeof(cn), "%s IoT Registry Party CA", m->p->zone);

	if (rc == RC_OK)
		rc = str_format(ns, sizeof(ns), "ns1.%s", m->p->zone);
	if (rc == RC_OK)
		rc = make_ca(m, PARTY, CA_PARTY_CA, NULL, cn, "ca/party.pem",
			days_or(m->p->issuing_days, ISSUING_DAYS), &m->party, d);
	if (rc == RC_OK)
		rc = make_server(m, HTTPS, "localhost", m->p->https_names, "tls/https.pem", d);
	if (rc == RC_OK)
		rc = make_server(m, EPP, "localhost", m->p->https_names, "tls/epp.pem", d);
	if (rc == RC_OK)
		rc = make_server(m, DOT, ns, m->p->dot_names, "tls/dot.pem", d);
	if (rc == RC_OK)
		rc = ca__make_cert(m->x, &m->party, &m->keys[OPERATOR], &who, m->tmp,
			"operator/operator.pem", m->p->now, &m->records, NULL, NULL, d);
	return rc;
}

static enum rc make_anchor(struct making *m, struct ca_init_result *result, struct diag *d)
{
	char path[PATH_MAX], hex[2 * CA_SHA256_LEN + 1];
	enum rc rc = ca_zone_init(&m->zone, m->p->zone, &m->keys[KSK], &m->keys[ZSK], d);

	if (rc != RC_OK)
		return rc;
	hex_write(m->zone.ksk_ds_sha256, CA_SHA256_LEN, hex);
	rc = str_format(result->ds, sizeof(result->ds), "%s. IN DS %u 13 2 %s", m->p->zone,
		m->zone.ksk_tag, hex);
	if (rc == RC_OK)
		rc = ca__path(path, m->tmp, "ca/anchor.ds", d);
	if (rc != RC_OK)
		return rc;
	char line[sizeof(result->ds) + 2];
	int n = snprintf(line, sizeof(line), "%s\n", result->ds);
	result->ksk_tag = m->zone.ksk_tag;
	memcpy(result->operator_spki_sha256, m->keys[OPERATOR].spki_sha256, CA_SHA256_LEN);
	return file_write_atomic(path, line, (size_t)n, 0644, d);
}

static enum rc sync_folder(const char *path, struct diag *d)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum rc rc = fd >= 0 && fsync(fd) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", path);

	if (fd >= 0)
		close(fd);
	return rc;
}

/* rename(2) takes the place of an empty folder and of none, never of one with content. */
static enum rc take_place(struct making *m, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(folders); i++) {
		rc = ca__path(path, m->tmp, folders[i].name, d);
		if (rc == RC_OK)
			rc = sync_folder(path, d);
	}
	if (rc == RC_OK)
		rc = sync_folder(m->tmp, d);
	if (rc != RC_OK)
		return rc;
	if (rename(m->tmp, m->p->dir) != 0)
		return diag_errno(d, errno == ENOTEMPTY || errno == EEXIST ? RC_EXISTS : RC_IO,
			"%s", m->p->dir);
	m->tmp[0] = '\0';
	rc = str_format(path, sizeof(path), "%s/..", m->p->dir);
	return rc == RC_OK ? sync_folder(path, d) : rc;
}

enum rc ca_init(const struct ca_init_params *params, struct ca_init_result *out, struct diag *d)
{
	struct ca_init_result result = { 0 };
	struct making *m = calloc(1, sizeof(*m));
	enum rc rc;

	if (!m)
		return RC_NOMEM;
	m->p = params;
	m->not_before = params->now - BACKDATE;
	rc = check_params(params, d);
	if (rc == RC_OK)
		rc = check_folder(params->dir, d);
	if (rc == RC_OK)
		rc = ca_crypt_new(&m->x, d);
	if (rc == RC_OK)
		rc = make_folders(m, d);
	if (rc == RC_OK)
		rc = make_keys(m, d);
	if (rc == RC_OK)
		rc = params->root_csr ? make_requests(m, d) : make_device_cas(m, d);
	if (rc == RC_OK)
		rc = make_party_side(m, d);
	if (rc == RC_OK)
		rc = make_anchor(m, &result, d);
	if (rc == RC_OK)
		rc = ca__append_records(m->tmp, &m->records, d);
	if (rc == RC_OK)
		rc = take_place(m, d);
	if (rc == RC_OK)
		*out = result;
	if (m->tmp[0])
		(void)nftw(m->tmp, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < KEYS; i++)
		ca_key_free(&m->keys[i]);
	ca_crypt_free(m->x);
	free(m);
	return rc;
}
