/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/str.h"
#include "ca/init__.h"
#include "ca/keyfile.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct finishing {
	const struct ca_init_finish_params *p;
	struct ca_crypt *x;
	struct ca_key issuing_key, devkit_key, payload_key;
	struct ca_issuer issuing, devkit;
	uint8_t root_der[CA_CERT_READ];
	size_t root_len;
	struct ca_cert root;
	char zone[CA_ZONE_MAX + 1];
	struct ca__records records;
};

static enum rc check_state(const char *dir, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = ca__path(path, dir, "ca/issuing.csr", d);

	if (rc == RC_OK && access(path, R_OK) != 0)
		return diag_set(d, RC_STATE, "%s: no folder of init --root-csr", dir);
	if (rc == RC_OK)
		rc = ca__path(path, dir, "ca/issuing.pem", d);
	if (rc == RC_OK && access(path, F_OK) == 0)
		return diag_set(d, RC_STATE, "%s: finished already", dir);
	return rc;
}

static enum rc load_key(
	const struct finishing *f, struct ca_key *out, const char *name, struct diag *d)
{
	char path[PATH_MAX];
	enum rc rc = ca__path(path, f->p->dir, name, d);

	return rc == RC_OK ? ca_key_load(out, path, d) : rc;
}

static enum rc load_root(struct finishing *f, struct diag *d)
{
	enum rc rc = ca_pem_load(
		f->p->root_pem, "CERTIFICATE", f->root_der, sizeof(f->root_der), &f->root_len, d);

	if (rc == RC_OK)
		rc = ca_cert_parse(f->root_der, f->root_len, &f->root, d);
	if (rc == RC_OK && (!f->root.ca || !f->root.key_cert_sign))
		rc = diag_set(d, RC_RANGE, "root: not a CA certificate");
	if (rc == RC_OK)
		rc = ca_cert_signed_by(f->x, &f->root, &f->root, d);
	if (rc != RC_OK)
		diag_prefix(d, "root");
	return rc;
}

static enum rc load_issuer(struct finishing *f, struct ca_issuer *out, const struct ca_key *key,
	const char *path, struct diag *d)
{
	uint8_t der[CA_CERT_MAX];
	struct ca_cert cert;
	size_t len = 0;
	enum rc rc = ca_pem_load(path, "CERTIFICATE", der, sizeof(der), &len, d);

	if (rc == RC_OK)
		rc = ca_issuer_init(out, key, der, len, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(out->cert, out->cert_len, &cert, d);
	if (rc == RC_OK)
		rc = ca_cert_signed_by(f->x, &cert, &f->root, d);
	if (rc == RC_OK && (!cert.has_path_len || cert.path_len != 0))
		rc = diag_set(d, RC_RANGE, "basicConstraints: pathlen must be 0 (design 6)");
	if (rc == RC_OK && (cert.not_before > f->p->now || cert.not_after <= f->p->now ||
				   cert.not_after > f->root.not_after))
		rc = diag_set(d, RC_RANGE, "validity: not now, or beyond the root's");
	if (rc != RC_OK)
		diag_prefix(d, path);
	return rc;
}

static enum rc write_pem(
	struct finishing *f, const char *name, const uint8_t *der, size_t len, struct diag *d)
{
	char path[PATH_MAX], pem[CA_PEM_LEN(CA_CERT_READ)];
	enum rc rc = ca__path(path, f->p->dir, name, d);

	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", der, len, pem, sizeof(pem));
	return rc == RC_OK ? file_write_atomic(path, pem, strlen(pem), 0644, d) : rc;
}

/* issuing.pem comes last: with it the folder is finished. */
static enum rc write_files(struct finishing *f, struct diag *d)
{
	enum rc rc = ca__make_payload_certs(f->x, &f->issuing, &f->devkit, &f->payload_key,
		"payload", f->p->dir, f->zone, f->p->now, &f->records, d);

	if (rc == RC_OK)
		rc = ca__append_records(f->p->dir, &f->records, d);
	if (rc == RC_OK)
		rc = ca__write_chains(
			f->p->dir, &f->issuing, &f->devkit, f->root_der, f->root_len, d);
	if (rc == RC_OK)
		rc = write_pem(f, "ca/root.pem", f->root_der, f->root_len, d);
	if (rc == RC_OK)
		rc = write_pem(f, "ca/devkit.pem", f->devkit.cert, f->devkit.cert_len, d);
	if (rc == RC_OK)
		rc = write_pem(f, "ca/issuing.pem", f->issuing.cert, f->issuing.cert_len, d);
	return rc;
}

enum rc ca_init_finish(const struct ca_init_finish_params *params, struct diag *d)
{
	struct finishing *f = calloc(1, sizeof(*f));
	enum rc rc;

	if (!f)
		return RC_NOMEM;
	f->p = params;
	rc = check_state(params->dir, d);
	if (rc == RC_OK)
		rc = ca_crypt_new(&f->x, d);
	if (rc == RC_OK)
		rc = load_key(f, &f->issuing_key, "keys/issuing.key", d);
	if (rc == RC_OK)
		rc = load_key(f, &f->devkit_key, "keys/devkit.key", d);
	if (rc == RC_OK)
		rc = load_key(f, &f->payload_key, "keys/payload.key", d);
	if (rc == RC_OK)
		rc = ca__zone_of(params->dir, f->zone, d);
	if (rc == RC_OK)
		rc = load_root(f, d);
	if (rc == RC_OK)
		rc = load_issuer(f, &f->issuing, &f->issuing_key, params->issuing_pem, d);
	if (rc == RC_OK)
		rc = load_issuer(f, &f->devkit, &f->devkit_key, params->devkit_pem, d);
	if (rc == RC_OK)
		rc = write_files(f, d);
	ca_key_free(&f->issuing_key);
	ca_key_free(&f->devkit_key);
	ca_key_free(&f->payload_key);
	ca_crypt_free(f->x);
	free(f);
	return rc;
}
