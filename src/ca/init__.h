/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What init.c and finish.c share: writing certificates into a registry's
 * folder, with a record of each for issued.log. */

#include "ca/cert.h"
#include "ca/init.h"
#include "ca/issued.h"

#define CA__RECORDS_MAX 16

struct ca__records {
	struct ca_issued_entry entries[CA__RECORDS_MAX];
	size_t count;
};

/* "<dir>/<name>" into `out` of PATH_MAX. */
enum rc ca__path(char *out, const char *dir, const char *name, struct diag *d) ATT_MUST_CHECK;

/* One certificate: serial, signature (by itself when issuer is NULL), file, record. `der` (of
 * CA_CERT_MAX) and `len` may be NULL. */
enum rc ca__make_cert(struct ca_crypt *x, const struct ca_issuer *issuer, const struct ca_key *key,
	struct ca_cert_spec *spec, const char *dir, const char *name, int64_t now,
	struct ca__records *records, uint8_t *der, size_t *len, struct diag *d) ATT_MUST_CHECK;

/* ca/<name>.pem and ca/<name>-devkit.pem. */
enum rc ca__make_payload_certs(struct ca_crypt *x, const struct ca_issuer *issuing,
	const struct ca_issuer *devkit, const struct ca_key *payload, const char *name,
	const char *dir, const char *zone, int64_t now, struct ca__records *records,
	struct diag *d) ATT_MUST_CHECK;

/* The zone of a registry's folder. */
enum rc ca__zone_of(const char *dir, char out[CA_ZONE_MAX + 1], struct diag *d) ATT_MUST_CHECK;

/* ca/chain.pem and ca/devkit-chain.pem. */
enum rc ca__write_chains(const char *dir, const struct ca_issuer *issuing,
	const struct ca_issuer *devkit, const uint8_t *root, size_t root_len,
	struct diag *d) ATT_MUST_CHECK;

enum rc ca__append_records(
	const char *dir, const struct ca__records *records, struct diag *d) ATT_MUST_CHECK;
