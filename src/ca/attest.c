/* SPDX-License-Identifier: Apache-2.0 */
#include "ca/attest.h"
#include "base/cbor.h"
#include "base/der.h"
#include "base/ident.h"
#include "base/str.h"
#include "ca/keyfile.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define RULE	"formats 3"
#define STEM(n) ((n) - (sizeof(".pem") - 1))

static const char label[] = "attestry-attest-1";

/* ---- the makers --------------------------------------------------------------------------- */

static int is_pem(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 4 && e->d_name[0] != '.' && strcmp(e->d_name + STEM(n), ".pem") == 0;
}

static enum rc load_maker(struct ca_maker *m, const char *folder, const char *file, struct diag *d)
{
	char path[PATH_MAX];
	size_t len = 0, stem = STEM(strlen(file));
	enum rc rc = str_format(path, sizeof(path), "%s/%s", folder, file);

	if (rc == RC_OK && stem >= sizeof(m->name))
		rc = RC_TOO_LARGE;
	if (rc != RC_OK)
		return diag_set(d, rc, "%s: too long", file);
	memcpy(m->name, file, stem);
	m->name[stem] = '\0';
	rc = ca_pem_load(path, "CERTIFICATE", m->der, sizeof(m->der), &len, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(m->der, len, &m->cert, d);
	if (rc == RC_OK && (!m->cert.ca || !m->cert.key_cert_sign || !m->cert.point))
		rc = diag_set(d, RC_RANGE,
			"%s: no CA on P-256 that may sign certificates (RFC 5280 section 4.2.1)",
			path);
	return rc;
}

enum rc ca_makers_load(struct ca_makers *out, const char *folder, struct diag *d)
{
	struct ca_makers makers = { 0 };
	struct dirent **list = NULL;
	int n = scandir(folder, &list, is_pem, alphasort);
	enum rc rc = RC_OK;

	if (n < 0 && errno != ENOENT)
		return diag_errno(d, RC_IO, "%s", folder);
	if (n < 0) {
		*out = makers;
		return RC_OK;
	}
	if (n > CA_MAKERS_MAX)
		rc = diag_set(d, RC_RANGE, "%s: more than %d makers", folder, CA_MAKERS_MAX);
	makers.of = calloc((size_t)n + 1, sizeof(*makers.of));
	if (rc == RC_OK && !makers.of)
		rc = RC_NOMEM;
	for (int i = 0; i < n; i++) {
		if (rc == RC_OK)
			rc = load_maker(&makers.of[makers.count++], folder, list[i]->d_name, d);
		free(list[i]);
	}
	free(list);
	if (rc == RC_OK)
		*out = makers;
	else
		free(makers.of);
	return rc;
}

void ca_makers_free(struct ca_makers *makers)
{
	free(makers->of);
	*makers = (struct ca_makers){ 0 };
}

/* ---- a statement --------------------------------------------------------------------------- */

/* What S says; pointers borrow from it. */
struct statement {
	struct cur iccid, eid; /* eid.left 0: null */
	uint64_t container;
	struct cur spki_sha256, nonce;
};

static enum rc parse_statement(struct cur c, struct statement *s, struct diag *d)
{
	size_t items = cbor_array(&c);
	struct cur kind = cbor_text(&c);

	s->iccid = cbor_bytes(&c);
	if (!cbor_null(&c))
		s->eid = cbor_bytes(&c);
	else
		s->eid = cur_init(NULL, 0);
	s->container = cbor_uint(&c);
	s->spki_sha256 = cbor_bytes(&c);
	s->nonce = cbor_bytes(&c);
	if (items != 6 || !cur_done(&c) || kind.left != sizeof(label) - 1 ||
		memcmp(kind.at, label, sizeof(label) - 1) != 0)
		return diag_set(d, RC_MALFORMED,
			"csr: attestation: not the six items of attestry-attest-1 (" RULE ")");
	return RC_OK;
}

static enum rc differs(struct diag *d, const char *what)
{
	return diag_set(d, RC_CONFLICT, "csr: attestation: of another %s (" RULE ")", what);
}

static bool same(const struct cur *c, const void *bytes, size_t len)
{
	return c->left == len && memcmp(c->at, bytes, len) == 0;
}

static enum rc check_statement(struct ca_crypt *x, const struct statement *s,
	const struct ca_csr *csr, const struct ca_attest_order *order, struct diag *d)
{
	uint8_t iccid[IDENT_ICCID_LEN], eid[IDENT_EID_LEN], spki[CA_SHA256_LEN];
	struct ident_owner owner;
	enum rc rc = ident_owner_parse(order->owner_name, order->zone, &owner);

	if (rc == RC_OK)
		rc = ident_iccid_read(owner.iccid, iccid);
	if (rc == RC_OK && *order->eid)
		rc = ident_eid_read(order->eid, eid);
	if (rc == RC_OK)
		rc = ca_sha256(x, csr->spki, CA_SPKI_LEN, spki);
	if (rc != RC_OK)
		return diag_set(d, rc, "order: owner_name or eid");
	if (!same(&s->iccid, iccid, sizeof(iccid)))
		return differs(d, "ICCID");
	if (*order->eid && !same(&s->eid, eid, sizeof(eid)))
		return differs(d, "EID");
	if (s->container != (owner.slot == 1 ? 1 : owner.slot << 4 | 1))
		return differs(d, "container");
	if (!same(&s->spki_sha256, spki, sizeof(spki)))
		return differs(d, "key");
	if (!same(&s->nonce, order->nonce, CA_NONCE_LEN))
		return differs(d, "job (nonce)");
	return RC_OK;
}

/* The card's certificate: under which maker? */
static enum rc find_maker(struct ca_crypt *x, const struct ca_makers *makers,
	const struct ca_cert *cert, int64_t now, const char **maker, struct diag *d)
{
	if (!cert->point || cert->ca)
		return diag_set(d, RC_RANGE,
			"attestation certificate: not of an end entity's key on P-256");
	if (now < cert->not_before || now > cert->not_after)
		return diag_set(d, RC_RANGE, "attestation certificate: not valid now");
	for (size_t i = 0; i < makers->count; i++) {
		if (ca_cert_signed_by(x, cert, &makers->of[i].cert, NULL) == RC_OK) {
			*maker = makers->of[i].name;
			return RC_OK;
		}
	}
	return diag_set(d, RC_SIGNATURE,
		"attestation certificate: under none of the %zu makers in ca/makers",
		makers->count);
}

static enum rc check_signature(
	struct ca_crypt *x, const struct ca_csr *csr, const uint8_t *point, struct diag *d)
{
	uint8_t digest[CA_SHA256_LEN], sig[DER_ECDSA_MAX];
	enum rc rc = ca_sha256(x, csr->attest, csr->attest_len, digest);

	if (rc == RC_OK)
		rc = ca_verify(x, point, digest, sig, der_ecdsa_write(csr->attest_sig, sig));
	if (rc != RC_OK)
		diag_set(d, rc, "csr: attestation: not signed by the card's attestation key");
	return rc;
}

enum rc ca_attest_verify(struct ca_crypt *x, const struct ca_makers *makers,
	const struct ca_csr *csr, const struct ca_attest_order *order, int64_t now,
	const char **maker, struct diag *d)
{
	struct statement s = { 0 };
	struct ca_cert cert;
	const char *who = NULL;
	enum rc rc;

	if (!csr->attest)
		return diag_set(d, RC_NOT_FOUND,
			"csr: attestation: none; the key may lie anywhere (" RULE ")");
	if (!order->nonce)
		return diag_set(d, RC_NOT_FOUND, "csr: attestation: no job asked for it");
	if (!order->cert_len)
		return diag_set(d, RC_NOT_FOUND,
			"attestation certificate: the inventory has none for this SIM");
	rc = parse_statement(cur_init(csr->attest, csr->attest_len), &s, d);
	if (rc == RC_OK)
		rc = check_statement(x, &s, csr, order, d);
	if (rc == RC_OK)
		rc = ca_cert_parse(order->cert, order->cert_len, &cert, d);
	if (rc == RC_OK)
		rc = find_maker(x, makers, &cert, now, &who, d);
	if (rc == RC_OK)
		rc = check_signature(x, csr, cert.point, d);
	if (rc == RC_OK)
		*maker = who;
	return rc;
}
