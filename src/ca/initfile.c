/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/str.h"
#include "ca/init__.h"
#include "ca/keyfile.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum rc ca__path(char *out, const char *dir, const char *name, struct diag *d)
{
	if (str_format(out, PATH_MAX, "%s/%s", dir, name) != RC_OK)
		return diag_set(d, RC_RANGE, "%s: path too long", dir);
	return RC_OK;
}

static enum rc write_cert_file(
	const char *dir, const char *name, const uint8_t *der, size_t len, struct diag *d)
{
	char path[PATH_MAX], pem[CA_PEM_LEN(CA_CERT_MAX)];
	enum rc rc = ca__path(path, dir, name, d);

	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", der, len, pem, sizeof(pem));
	return rc == RC_OK ? file_write_atomic(path, pem, strlen(pem), 0644, d) : rc;
}

static enum rc record(struct ca_crypt *x, const struct ca_cert_spec *spec, const uint8_t *der,
	size_t len, int64_t now, struct ca__records *records)
{
	struct ca_issued_entry *e = &records->entries[records->count];
	enum rc rc;

	if (records->count == CA__RECORDS_MAX)
		return RC_INTERNAL;
	*e = (struct ca_issued_entry){
		.profile = spec->profile, .issued = now, .not_after = spec->not_after
	};
	memcpy(e->serial, spec->serial, CA_SERIAL_LEN);
	rc = ca_sha256(x, spec->spki, CA_SPKI_LEN, e->spki_sha256);
	if (rc == RC_OK)
		rc = ca_sha256(x, der, len, e->cert_sha256);
	if (rc == RC_OK)
		rc = str_copy(e->name, sizeof(e->name), spec->cn);
	if (rc == RC_OK)
		records->count++;
	return rc;
}

enum rc ca__make_cert(struct ca_crypt *x, const struct ca_issuer *issuer, const struct ca_key *key,
	struct ca_cert_spec *spec, const char *dir, const char *name, int64_t now,
	struct ca__records *records, uint8_t *der, size_t *len, struct diag *d)
{
	uint8_t own[CA_CERT_MAX], *buf = der ? der : own;
	size_t n = 0;
	enum rc rc = ca_serial_next(spec->serial);

	spec->spki = key->spki;
	if (rc == RC_OK)
		rc = issuer ? ca_cert_write(x, issuer, spec, buf, &n, d)
			    : ca_cert_write_self(x, key, spec, buf, &n, d);
	if (rc == RC_OK)
		rc = write_cert_file(dir, name, buf, n, d);
	if (rc == RC_OK)
		rc = record(x, spec, buf, n, now, records);
	if (rc == RC_OK && len)
		*len = n;
	return rc;
}

/* The zone stands in front of the DS that init wrote. */
enum rc ca__zone_of(const char *dir, char out[CA_ZONE_MAX + 1], struct diag *d)
{
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t len = 0;
	enum rc rc = ca__path(path, dir, "ca/anchor.ds", d);

	if (rc == RC_OK)
		rc = file_read(path, 1024, &text, &len, d);
	if (rc != RC_OK)
		return rc;
	size_t n = strcspn((const char *)text, " ");
	if (n < 2 || n - 1 > CA_ZONE_MAX || text[n - 1] != '.') {
		rc = diag_set(d, RC_MALFORMED, "%s: not a DS record", path);
	} else {
		memcpy(out, text, n - 1);
		out[n - 1] = '\0';
	}
	free(text);
	return rc;
}

static enum rc make_payload_cert(struct ca_crypt *x, const struct ca_issuer *issuer,
	const struct ca_key *payload, const char *name, const char *kind, const char *dir,
	const char *zone, int64_t now, struct ca__records *records, struct diag *d)
{
	char cn[CA_NAME_MAX + 1], file[64];
	struct ca_cert_spec spec = { .profile = CA_PAYLOAD, .cn = cn };
	enum rc rc = str_format(cn, sizeof(cn), "%s payload signer", zone);

	if (rc == RC_OK)
		rc = str_format(file, sizeof(file), "ca/%s%s.pem", name, kind);
	/* As long as its issuer: what has been signed with it must stay verifiable. */
	spec.not_before = issuer->not_before;
	spec.not_after = issuer->not_after;
	return rc == RC_OK ? ca__make_cert(x, issuer, payload, &spec, dir, file, now, records, NULL,
				     NULL, d)
			   : rc;
}

enum rc ca__make_payload_certs(struct ca_crypt *x, const struct ca_issuer *issuing,
	const struct ca_issuer *devkit, const struct ca_key *payload, const char *name,
	const char *dir, const char *zone, int64_t now, struct ca__records *records, struct diag *d)
{
	enum rc rc = make_payload_cert(x, issuing, payload, name, "", dir, zone, now, records, d);

	return rc == RC_OK ? make_payload_cert(x, devkit, payload, name, "-devkit", dir, zone, now,
				     records, d)
			   : rc;
}

static enum rc write_chain(const char *dir, const char *name, const struct ca_issuer *issuer,
	const uint8_t *root, size_t root_len, struct diag *d)
{
	char path[PATH_MAX], pem[CA_PEM_LEN(CA_CERT_MAX) + CA_PEM_LEN(CA_CERT_READ)];
	enum rc rc = ca__path(path, dir, name, d);

	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", issuer->cert, issuer->cert_len, pem, sizeof(pem));
	if (rc == RC_OK)
		rc = ca_pem_write("CERTIFICATE", root, root_len, pem + strlen(pem),
			sizeof(pem) - strlen(pem));
	return rc == RC_OK ? file_write_atomic(path, pem, strlen(pem), 0644, d) : rc;
}

enum rc ca__write_chains(const char *dir, const struct ca_issuer *issuing,
	const struct ca_issuer *devkit, const uint8_t *root, size_t root_len, struct diag *d)
{
	enum rc rc = write_chain(dir, "ca/chain.pem", issuing, root, root_len, d);

	return rc == RC_OK ? write_chain(dir, "ca/devkit-chain.pem", devkit, root, root_len, d)
			   : rc;
}

enum rc ca__append_records(const char *dir, const struct ca__records *records, struct diag *d)
{
	const struct ca_issued_entry *entries[CA__RECORDS_MAX];
	struct ca_issued *log = NULL;
	char path[PATH_MAX];
	enum rc rc = ca__path(path, dir, "keys/issued.log", d);

	for (size_t i = 0; i < records->count; i++)
		entries[i] = &records->entries[i];
	if (rc == RC_OK)
		rc = ca_issued_open(&log, path, d);
	if (rc == RC_OK)
		rc = ca_issued_append(log, entries, records->count, d);
	ca_issued_close(log);
	return rc;
}
