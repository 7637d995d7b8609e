/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/renew.h"

#include "base/file.h"
#include "base/str.h"
#include "ca/init__.h"
#include "ca/keyfile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKDATE     300 /* clocks of devices */
#define ROOT_DAYS    7300
#define ISSUING_DAYS 3650
#define DAY	     86400

/* A registry's folder as it stands. */
struct folder {
	const char *dir;
	int64_t now;
	struct ca_crypt *x;
	struct ca_key root_key, issuing_key, devkit_key, payload_key;
	struct ca_issuer issuing, devkit;
	uint8_t root_der[CA_CERT_READ];
	size_t root_len;
	struct ca_cert root;
	char zone[CA_ZONE_MAX + 1];
	struct ca__records records;
};

/* The files of a signer: a certificate under each issuing CA, and its key. */
static const struct {
	const char *folder, *end;
} signer_files[] = { { "ca", ".pem" }, { "ca", "-devkit.pem" }, { "keys", ".key" } };

static enum rc load_key(const char *dir, const char *name, struct ca_key *out, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = ca__path(path, dir, name, d);

	return rc == RC_OK ? ca_key_load(out, path, d) : rc;
}

static enum rc load_issuer(const struct folder *f, const char *name, const struct ca_key *key,
	struct ca_issuer *out, struct diag *d)
{
	uint8_t der[CA_CERT_MAX];
	char path[PATH_MAX];
	size_t len = 0;
	enum rc rc = ca__path(path, f->dir, name, d);

	if (rc == RC_OK)
		rc = ca_pem_load(path, "CERTIFICATE", der, sizeof(der), &len, d);
	return rc == RC_OK ? ca_issuer_init(out, key, der, len, d) : rc;
}

static enum rc folder_open(struct folder *f, const char *dir, int64_t now, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc;

	*f = (struct folder){ .dir = dir, .now = now };
	rc = ca_crypt_new(&f->x, d);
	if (rc == RC_OK)
		rc = ca__zone_of(dir, f->zone, d);
	if (rc == RC_OK)
		rc = load_key(dir, "keys/issuing.key", &f->issuing_key, d);
	if (rc == RC_OK)
		rc = load_key(dir, "keys/devkit.key", &f->devkit_key, d);
	if (rc == RC_OK)
		rc = load_key(dir, "keys/payload.key", &f->payload_key, d);
	if (rc == RC_OK)
		rc = ca__path(path, dir, "ca/root.pem", d);
	if (rc == RC_OK)
		rc = ca_pem_load(
			path, "CERTIFICATE", f->root_der, sizeof(f->root_der), &f->root_len, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(f->root_der, f->root_len, &f->root, d);
	if (rc == RC_OK)
		rc = load_issuer(f, "ca/issuing.pem", &f->issuing_key, &f->issuing, d);
	if (rc == RC_OK)
		rc = load_issuer(f, "ca/devkit.pem", &f->devkit_key, &f->devkit, d);
	/* Nobody else writes it meanwhile, and nothing is made in vain. */
	return rc == RC_OK ? ca__append_records(dir, &f->records, d) : rc;
}

static void folder_close(struct folder *f)
{
	ca_key_free(&f->root_key);
	ca_key_free(&f->issuing_key);
	ca_key_free(&f->devkit_key);
	ca_key_free(&f->payload_key);
	ca_crypt_free(f->x);
}

/* ---- the signer --------------------------------------------------------------------------- */

static enum rc signer_path(
	char out[PATH_MAX], const char *dir, size_t which, const char *name, struct diag *d)
{
	char file[64];
	enum rc rc = str_format(file, sizeof(file), "%s/%s%s", signer_files[which].folder, name,
		signer_files[which].end);

	return rc == RC_OK ? ca__path(out, dir, file, d) : rc;
}

static bool signer_there(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct diag d;

	for (size_t i = 0; i < ARRAY_LEN(signer_files); i++)
		if (signer_path(path, dir, i, name, &d) == RC_OK && access(path, F_OK) == 0)
			return true;
	return false;
}

static enum rc signer_remove(const char *dir, const char *name, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(signer_files); i++) {
		rc = signer_path(path, dir, i, name, d);
		if (rc == RC_OK && unlink(path) != 0 && access(path, F_OK) == 0)
			rc = diag_errno(d, RC_IO, "%s", path);
	}
	return rc;
}

enum rc ca_signer_prepare(const char *dir, int64_t now, struct diag *d)
{
	struct ca_key key = { 0 };
	char path[PATH_MAX];
	struct folder f;
	bool made = false;
	enum rc rc;

	if (signer_there(dir, "payload-next"))
		return diag_set(d, RC_EXISTS, "a next payload signer is prepared already");
	if (signer_there(dir, "payload-old"))
		return diag_set(d, RC_STATE, "the former payload signer is not retired yet");
	rc = folder_open(&f, dir, now, d);
	if (rc == RC_OK)
		rc = ca_key_new(&key, d);
	if (rc == RC_OK) {
		made = true;
		rc = ca__make_payload_certs(f.x, &f.issuing, &f.devkit, &key, "payload-next", dir,
			f.zone, now, &f.records, d);
	}
	if (rc == RC_OK)
		rc = ca__append_records(dir, &f.records, d);
	if (rc == RC_OK)
		rc = signer_path(path, dir, 2, "payload-next", d);
	/* The key comes last: with it the next signer is there. */
	if (rc == RC_OK)
		rc = ca_key_store(&key, path, d);
	if (rc != RC_OK && made) {
		struct diag unused;

		if (signer_remove(dir, "payload-next", &unused) != RC_OK)
			diag_prefix(d, "(left behind: payload-next.*)");
	}
	ca_key_free(&key);
	folder_close(&f);
	return rc;
}

/* One file of three; done again after an interruption it goes on. */
static enum rc switch_file(const char *dir, size_t i, struct diag *d)
{
	char now[PATH_MAX], next[PATH_MAX], old[PATH_MAX];
	enum rc rc = signer_path(now, dir, i, "payload", d);

	if (rc == RC_OK)
		rc = signer_path(next, dir, i, "payload-next", d);
	if (rc == RC_OK)
		rc = signer_path(old, dir, i, "payload-old", d);
	if (rc != RC_OK || access(next, F_OK) != 0)
		return rc;
	if (access(old, F_OK) != 0 && rename(now, old) != 0)
		return diag_errno(d, RC_IO, "%s", now);
	return rename(next, now) == 0 ? RC_OK : diag_errno(d, RC_IO, "%s", next);
}

enum rc ca_signer_switch(const char *dir, struct diag *d)
{
	char key[PATH_MAX];
	enum rc rc = signer_path(key, dir, 2, "payload-next", d);

	if (rc == RC_OK && access(key, F_OK) != 0)
		return diag_set(d, RC_STATE, "no next payload signer is prepared");
	for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(signer_files); i++)
		rc = switch_file(dir, i, d);
	return rc;
}

enum rc ca_signer_retire(const char *dir, struct diag *d)
{
	if (signer_there(dir, "payload-next") || !signer_there(dir, "payload-old"))
		return diag_set(d, RC_STATE, "there is no former payload signer to retire");
	return signer_remove(dir, "payload-old", d);
}

/* ---- CA certificates ---------------------------------------------------------------------- */

static const struct {
	const char *file;
	const char *name; /* as init gives it, after the zone */
	enum ca_profile profile;
} cas[] = {
	[CA_RENEW_ROOT] = { "ca/root.pem", "Root CA", CA_ROOT },
	[CA_RENEW_ISSUING] = { "ca/issuing.pem", "CA", CA_ISSUING },
	[CA_RENEW_DEVKIT] = { "ca/devkit.pem", "Devkit CA", CA_ISSUING },
};

/* What another has signed: of the same key and name as before, by this root, and good now. */
static enum rc take_cert(struct folder *f, const struct ca_renew_params *p,
	const struct ca_cert *old, uint8_t der[CA_CERT_MAX], size_t *len, struct diag *d)
{
	char path[PATH_MAX], pem[CA_PEM_LEN(CA_CERT_MAX)];
	struct ca_cert cert;
	enum rc rc = ca_pem_load(p->cert_pem, "CERTIFICATE", der, CA_CERT_MAX, len, d);

	if (rc == RC_OK)
		rc = ca_cert_parse(der, *len, &cert, d);
	if (rc == RC_OK && (!cert.point || memcmp(cert.point, old->point, CA_POINT_LEN) != 0))
		rc = diag_set(d, RC_CONFLICT, "of another key");
	if (rc == RC_OK && (cert.subject_len != old->subject_len ||
				   memcmp(cert.subject, old->subject, old->subject_len) != 0))
		rc = diag_set(d, RC_CONFLICT, "subject: not the present one");
	if (rc == RC_OK)
		rc = ca_cert_signed_by(f->x, &cert, p->what == CA_RENEW_ROOT ? &cert : &f->root, d);
	if (rc == RC_OK &&
		(cert.not_before > p->now || cert.not_after <= p->now ||
			(p->what != CA_RENEW_ROOT && cert.not_after > f->root.not_after)))
		rc = diag_set(d, RC_RANGE, "validity: not now, or beyond the root's");
	if (rc == RC_OK)
		rc = ca__path(path, f->dir, cas[p->what].file, d);
	else
		diag_prefix(d, p->cert_pem);
	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", der, *len, pem, sizeof(pem));
	return rc == RC_OK ? file_write_atomic(path, pem, strlen(pem), 0644, d) : rc;
}

static enum rc make_cert(struct folder *f, const struct ca_renew_params *p,
	const struct ca_key *key, uint8_t der[CA_CERT_MAX], size_t *len, struct diag *d)
{
	unsigned days = p->what == CA_RENEW_ROOT ? ROOT_DAYS : ISSUING_DAYS;
	char cn[CA_NAME_MAX + 1];
	struct ca_issuer root;
	struct ca_cert_spec spec = { .profile = cas[p->what].profile,
		.cn = cn,
		.dns = { f->zone },
		.dns_count = p->what == CA_RENEW_ROOT ? 0 : 1,
		.not_before = p->now - BACKDATE,
		.not_after = p->now + (int64_t)(p->days ? p->days : days) * DAY };
	enum rc rc = ca_issuer_init(&root, &f->root_key, f->root_der, f->root_len, d);

	if (rc == RC_OK)
		rc = str_format(cn, sizeof(cn), "%s IoT Registry %s", f->zone, cas[p->what].name);
	if (rc == RC_OK && p->what != CA_RENEW_ROOT && spec.not_after > root.not_after)
		spec.not_after = root.not_after;
	return rc == RC_OK
		       ? ca__make_cert(f->x, p->what == CA_RENEW_ROOT ? NULL : &root, key, &spec,
				 f->dir, cas[p->what].file, p->now, &f->records, der, len, d)
		       : rc;
}

static enum rc replace(struct folder *f, const struct ca_renew_params *p, struct diag *d)
{
	bool is_root = p->what == CA_RENEW_ROOT;
	struct ca_issuer *issuer = p->what == CA_RENEW_DEVKIT ? &f->devkit : &f->issuing;
	const struct ca_key *key = is_root ? &f->root_key : issuer->key;
	struct ca_cert old = f->root;
	uint8_t der[CA_CERT_MAX];
	size_t len = 0;
	enum rc rc = is_root ? RC_OK : ca_cert_parse(issuer->cert, issuer->cert_len, &old, d);

	if (rc == RC_OK)
		rc = p->cert_pem ? take_cert(f, p, &old, der, &len, d)
				 : make_cert(f, p, key, der, &len, d);
	if (rc == RC_OK && is_root) {
		memcpy(f->root_der, der, len);
		f->root_len = len;
	} else if (rc == RC_OK) {
		rc = ca_issuer_init(issuer, key, der, len, d);
		if (rc == RC_OK)
			rc = ca__make_payload_certs(f->x, &f->issuing, &f->devkit, &f->payload_key,
				"payload", f->dir, f->zone, p->now, &f->records, d);
	}
	if (rc == RC_OK)
		rc = ca__append_records(f->dir, &f->records, d);
	return rc == RC_OK ? ca__write_chains(
				     f->dir, &f->issuing, &f->devkit, f->root_der, f->root_len, d)
			   : rc;
}

enum rc ca_renew(const struct ca_renew_params *params, struct diag *d)
{
	struct folder f;
	enum rc rc;

	/* Its certificates would be of the one CA certificate or of the other. */
	if (signer_there(params->dir, "payload-next"))
		return diag_set(
			d, RC_STATE, "a next payload signer is prepared: switch to it first");
	rc = folder_open(&f, params->dir, params->now, d);
	if (rc == RC_OK && !params->cert_pem)
		rc = ca_key_load(&f.root_key, params->root_key, d);
	if (rc == RC_OK)
		rc = replace(&f, params, d);
	folder_close(&f);
	return rc;
}
